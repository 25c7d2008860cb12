"""The shape of a function: what its type hints say of its ports, and how its events are read and written."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any, Union

from pydantic import PydanticUserError

from streamlets import event as events
from streamlets.contracts import Contract, PydanticContract, decode_json, encode_json, name_of
from streamlets.errors import Broken, Rejected
from streamlets.event import Delivery, Event, data_of
from streamlets.ports import Branch, Emit, Fate, Inlet, OptionsBase, Outlet

_GIVEN = frozenset(
    ["causationid", "origin", "traceparent"]
)  # the engine's to give, as the id and the source are
OVERLAP = 4  # batches of an async function in flight for each partition, so that one slow await delays few


class NotAStreamlet(Exception):
    """The function cannot be a streamlet; the message says why and what to write."""


class NoOptions(OptionsBase):
    """A function has no options; what it needs it imports."""


class Shape:
    """What a function's hints say: how an event is read for it, how its result is written, and its ports."""

    Options = NoOptions
    critical = True
    holds = False
    keeps_state = False
    max_events = 500

    def __init__(self, function: Callable[..., Any]) -> None:
        """Read the hints. Raises: NotAStreamlet."""
        self.function = function
        self.code = code_of(function)
        self.name = type(function).__name__ if self.code.__name__ == "__call__" else str(self.code.__name__)
        self.__doc__ = inspect.getdoc(self.code)
        self.is_async = inspect.iscoroutinefunction(self.code)
        self.overlap = OVERLAP if self.is_async else 1
        if inspect.isgeneratorfunction(self.code) or inspect.isasyncgenfunction(self.code):
            raise self._no("yields", "return one event, or None; for several write a class")
        takes, gives = self._hints()
        self.is_batch = _is_list(takes)
        if self.is_batch:
            takes = _element(takes)
            if gives is not None and not _is_list(gives):
                raise self._no(
                    f"takes a list and returns {name_of(gives)}",
                    "return a list aligned by position, like list[B | None]",
                )
            gives = None if gives is None else _element(gives)
        elif _is_list(gives):
            raise self._no(
                f"takes one event and returns {name_of(gives)}",
                "return one event, or None; take a list to work on batches; for several events write a class",
            )
        self.may_filter, gives = _without_none(gives)
        self.is_sink = gives is None
        self.read_event, inlet = self._reader(takes)
        self.write_result, outlet = self._writer(gives)
        self.inlets = (Inlet("in", contract=inlet),)
        self.outlets = () if self.is_sink else (Outlet("out", contract=outlet, required=True),)

    def __repr__(self) -> str:
        return f"<Shape of {self.name}>"

    def branches(self, options: Any) -> list[Branch]:
        """Return the ways that events can go: returned, left out, and refused where the function raises by itself."""
        found = [] if self.is_sink else [Branch(name="returned", outlet="out")]
        if self.may_filter:
            found.append(Branch(name="returned None", fate=Fate.FILTERED))
        if _raises(getattr(self.code, "__code__", None)):
            found.append(Branch(name="raised", is_dead_letter=True))
        return found

    def _no(self, what: str, instead: str) -> NotAStreamlet:
        return NotAStreamlet(f"function {self.name} {what}; {instead}")

    def _hints(self) -> tuple[Any, Any]:
        """Return the annotations of the one argument and of the result."""
        try:
            arguments = list(inspect.signature(self.function).parameters.values())
            hints = typing.get_type_hints(self.code, include_extras=True)
        except (TypeError, ValueError, NameError) as exc:
            raise self._no(f"has hints that cannot be read ({exc})", "import what they name") from exc
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        needed = [one for one in arguments if one.default is one.empty and one.kind in positional]
        others = [one for one in arguments if one.default is one.empty and one.kind not in positional]
        if others:
            raise self._no(
                f"takes {others[0].name!r} by keyword only", "it must take one argument: the event"
            )
        if len(needed) != 1:
            raise self._no(f"takes {len(needed)} arguments", "it must take one: the event")
        if needed[0].name not in hints:
            raise self._no(
                f"has no type hint for {needed[0].name!r}",
                "write one: a pydantic model, dict, bytes or Event",
            )
        gives = hints.get("return")
        return hints[needed[0].name], None if gives is type(None) else gives

    def _reader(self, kind: Any) -> tuple[Callable[[Delivery], Any], Contract | None]:
        if kind is Event:
            return events.decode, None
        if kind is bytes:
            return _bytes, None
        if kind is dict or typing.get_origin(kind) is dict:
            return _object, None
        contract = self._contract(kind, "validation")
        check = contract.decode

        def read(delivery: Delivery) -> Any:
            return check(data_of(delivery))

        return read, contract

    def _writer(self, kind: Any) -> tuple[Callable[[Any, int, Delivery], Emit], Contract | None]:
        if kind is None:
            return _nothing, None
        if kind is Event:
            return _event_emit, None
        if kind is bytes:
            return _bytes_emit, None
        if kind is dict or typing.get_origin(kind) is dict:
            return _object_emit, None
        contract = self._contract(kind, "serialization")
        encode = contract.encode

        def write(result: Any, parent: int, delivery: Delivery) -> Emit:
            return Emit("out", encode(result), parent)

        return write, contract

    def _contract(self, kind: Any, mode: typing.Literal["validation", "serialization"]) -> PydanticContract:
        try:
            return PydanticContract(kind, mode)
        except PydanticUserError as exc:
            reason = exc.message.splitlines()[0]
            raise self._no(
                f"has a hint that is no contract, {name_of(kind)} ({reason})",
                "use a pydantic model, dict, bytes or Event",
            ) from exc


def _raises(code: types.CodeType | None) -> bool:
    """Return whether there is a `raise` or an `assert` in the code itself; what it calls may raise anything."""
    import dis  # here, because only the coverage of tests asks

    return code is not None and any(
        found.opname == "RAISE_VARARGS" and found.arg for found in dis.get_instructions(code)
    )


def code_of(function: Callable[..., Any]) -> Any:
    """Return the function that holds the code and the hints: inside a partial, a wrapper or a callable object."""
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    return function if inspect.isroutine(function) else type(function).__call__


def _is_list(kind: Any) -> bool:
    return kind is list or typing.get_origin(kind) is list


def _element(kind: Any) -> Any:
    return (typing.get_args(kind) or (dict,))[0]


def _without_none(kind: Any) -> tuple[bool, Any]:
    """Return whether None is among what is returned, and the hint without it."""
    if typing.get_origin(kind) not in (Union, types.UnionType):
        return False, kind
    kept = tuple(one for one in typing.get_args(kind) if one is not type(None))
    return len(kept) < len(typing.get_args(kind)), Union[kept]  # noqa: UP007 - made of a tuple


def _bytes(delivery: Delivery) -> bytes:
    data = data_of(delivery)
    if data is None:
        raise Rejected("the event has no data (a tombstone)", code="against-contract")
    return data


def _object(delivery: Delivery) -> dict[str, Any]:
    value = decode_json(data_of(delivery))
    if not isinstance(value, dict):
        raise Rejected("the data are no JSON object", code="against-contract")
    return value


def _nothing(result: Any, parent: int, delivery: Delivery) -> Emit:
    raise Broken(
        f"returned a {type(result).__name__}, but has no outlet to send it to",
        hint="give the function a return annotation",
    )


def _bytes_emit(result: Any, parent: int, delivery: Delivery) -> Emit:
    if not isinstance(result, bytes):
        raise Broken(f"returned a {type(result).__name__} where bytes were promised")
    return Emit("out", result, parent, copies=True)


def _object_emit(result: Any, parent: int, delivery: Delivery) -> Emit:
    if not isinstance(result, dict):
        raise Broken(f"returned a {type(result).__name__} where a dict was promised")
    return Emit("out", encode_json(result), parent)


def _event_emit(result: Any, parent: int, delivery: Delivery) -> Emit:
    if not isinstance(result, Event):
        raise Broken(f"returned a {type(result).__name__} where an Event was promised")
    events.check(result)
    extensions = {name: text for name, text in result.extensions.items() if name not in _GIVEN}
    if result.dataschema is not None:
        extensions["dataschema"] = result.dataschema  # an attribute like any other, once it is a header
    return Emit(
        "out",
        result.data,
        parent,
        type=result.type,
        subject=result.subject,
        time=result.time,
        # The parent's own key is taken over by the engine, with the parent's partition: order stays as it is.
        key=None if result.key == delivery.key else result.key,
        extensions=extensions,
        datacontenttype=result.datacontenttype or "application/octet-stream",
    )
