"""Expressions in streamlets: how an option says that it is one, and how it is evaluated.

An option annotated so is checked by the linter against the contract of the events it is evaluated over, with the place
inside the expression; the streamlet itself has nothing to check:

    class Options(OptionsBase):
        where: Condition

    def __init__(self, options, context):
        self._where = Evaluation(options.where, "the condition", context.contracts.get("in", ()))
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema

from blueprints.expressions import Expression, ExpressionError, asks_for_data, free_names
from blueprints.field_types import FieldType
from blueprints.numbers import Fix, fix_for
from streamlets.errors import Rejected
from streamlets.event import Event

_ATTRIBUTES = ("id", "source", "type", "subject", "time", "dataschema", "datacontenttype")


@dataclass(frozen=True)
class Cel:
    """An annotation of an option: its text is a CEL expression over the events of a port, or the name of a field.

    `over`: the port. `gives`: what is wanted of it: `bool`; `scalar`: text, a number, or true or false; `number`;
    `string`; `id`: text or a whole number; `time`: text or a number; `values`: scalars or a list of them; `any`.
    `attributes`: whether the event's attributes are there as `event`, beside `event.data`. `only_field`: a field's name
    and no expression. `takes_null`: a null is of use too. `takes_absent`: and so is a field that is not there.
    """

    over: str = "in"
    gives: Literal["bool", "scalar", "number", "string", "id", "time", "values", "any"] = "any"
    attributes: bool = True
    only_field: bool = False
    takes_null: bool = False
    takes_absent: bool = False

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        said: dict[str, Any] = {"over": self.over, "gives": self.gives}
        for name, flag in (
            ("attributes", self.attributes),
            ("only-field", self.only_field),
            ("takes-null", self.takes_null),
            ("takes-absent", self.takes_absent),
        ):
            if flag:
                said[name] = True
        return {**handler(core), "format": "field" if self.only_field else "cel", "x-cel": said}


Condition = Annotated[str, Cel(gives="bool")]
"""A condition over the events of the inlet `in`."""

FieldName = Annotated[str, Cel(only_field=True, takes_null=True)]
"""The name of a field of the events of the inlet `in`."""


@functools.lru_cache(maxsize=256)  # a tenth of a millisecond; blueprint tests build streamlets for every case
def _decoder(names: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """Return what reads these fields of a JSON object; what is not there is UNSET."""
    fields = [
        (f"f{at}", Any, msgspec.field(name=name, default=msgspec.UNSET)) for at, name in enumerate(names)
    ]
    return msgspec.json.Decoder(msgspec.defstruct("Asked", fields))


class Evaluation:
    """A field's name or a CEL expression, evaluated over JSON objects. Raises: ExpressionError where it is no CEL."""

    def __init__(self, text: str, what: str, contracts: Sequence[Mapping[str, Any]] = ()) -> None:
        """`what` it is, for messages: `the condition`. `contracts`: JSON Schemas of what it is evaluated over.

        Numbers are of the kinds that the contracts declare, however JSON spells them; without, as they are written.
        """
        self._told = f"{what} {text!r}"
        self._expression = Expression(text)
        self.names = free_names(text)
        self._names = [name for name in self.names if name != "event" or text == "event"]
        self.asks_for_event = "event" in self.names and text != "event"
        self._asks_for_data = self.asks_for_event and asks_for_data(text)
        self._decoder = _decoder(tuple(self._names))
        self._fixes: dict[str, Fix] = {}
        self._fix_all: Fix | None = None
        if contracts:
            kind = FieldType.any_of([FieldType.of(contract) for contract in contracts])
            if self._asks_for_data:
                self._fix_all = fix_for(kind)
            for name in self._names:
                field = kind.field(name)
                fix = None if field is None else fix_for(field.type)
                if fix is not None:
                    self._fixes[name] = fix

    def __repr__(self) -> str:
        return f"<Evaluation of {self._told}>"

    def of(self, data: bytes | None, attributes: Mapping[str, Any] | None = None) -> Any:
        """Return the expression's value over the data, with these attributes and `data` under `event`.

        Raises: Rejected, `against-contract` where the data are no JSON object, `bad-expression` where a field is
        missing or of the wrong kind; the message holds no value. The data are looked into only where the expression
        asks for something of theirs.
        """
        fields: dict[str, Any] = {}
        if self._names or not self.asks_for_event:
            fields = self._fields(data)
        if self.asks_for_event:
            event = dict(attributes or {})
            if self._asks_for_data:
                whole = _decoded(data)
                event["data"] = whole if self._fix_all is None else self._fix_all(whole)
            fields["event"] = event
        return self._value(fields)

    def of_event(self, event: Event) -> Any:
        """Return the expression's value over an event. Raises: as `of` does."""
        return self.of(event.data, attributes_of(event) if self.asks_for_event else None)

    def _fields(self, data: bytes | None) -> dict[str, Any]:
        try:
            asked = msgspec.structs.astuple(self._decoder.decode(data or b""))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise Rejected("the data are no JSON object", code="against-contract") from exc
        fields = {
            name: value for name, value in zip(self._names, asked, strict=True) if value is not msgspec.UNSET
        }
        for name, fix in self._fixes.items():
            if name in fields:
                fields[name] = fix(fields[name])
        return fields

    def _value(self, fields: dict[str, Any]) -> Any:
        try:
            return self._expression.evaluate(fields)
        except ExpressionError as exc:
            raise self.rejected(f"fails: {exc}") from exc

    def rejected(self, why: str) -> Rejected:
        """Return the error of a value that is not what was asked for."""
        return Rejected(f"{self._told} {why}", code="bad-expression")


def attributes_of(event: Event) -> dict[str, Any]:
    """Return an event's attributes and extensions, as expressions see them under `event`."""
    attributes = {name: value for name in _ATTRIBUTES if (value := getattr(event, name)) is not None}
    return attributes | event.extensions


def _decoded(data: bytes | None) -> Any:
    try:
        return msgspec.json.decode(data or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Rejected("the data are no JSON", code="against-contract") from exc
