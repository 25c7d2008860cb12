"""Protobuf data: the binary encoding of one message, read to JSON and written from it.

The bytes are read and written by Protobuf's own library; to and from JSON we go ourselves, because the library's
`json_format` writes 64-bit integers as text and takes several times as long. It agrees with `json_format` in all else
(tests/formats/test_protobuf.py). Past 150 lines because reading and writing of a type stand beside each other.

Source: Protocol Buffers, ProtoJSON format.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
from google.protobuf import message_factory
from google.protobuf.message import DecodeError, EncodeError

from blueprints.contracts.protobuf import find_message
from blueprints.contracts.protobuf_json import (
    BOOL,
    BYTES,
    DOUBLE,
    ENUM,
    FLOAT,
    GOOGLE,
    GROUP,
    MESSAGE,
    NULL,
    RANGES,
    UINT_RANGE,
    WRAPPERS,
    is_map,
)
from blueprints.contracts.times import NANOS, fraction, timestamp_number, timestamp_text
from streamlets.formats.format import Misfit
from streamlets.formats.numbers import finite, packed_float, shortest

Show = Callable[[Any], Any]
"""A field's value → its JSON value. Raises: Misfit."""
Take = Callable[[Any], Any]
"""A JSON value → a scalar of the field's type. Raises: Misfit."""
Fill = Callable[[Any, Any], None]
"""(message, JSON value): sets the message. Raises: Misfit."""

_TO_JSON = msgspec.json.Encoder()
_DURATION = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?s", re.ASCII)
_DIGITS = re.compile(r"-?[0-9]{1,20}", re.ASCII)
MAX_DURATION_S: Final = 315_576_000_000  # 10,000 years: what Duration itself allows


class ProtobufFormat:
    """The Protobuf encoding of one message. Implements `Format`."""

    def __init__(self, compiled: bytes, name: str) -> None:
        """`compiled`: a descriptor set; `name`: of the message in it."""
        descriptor = find_message(compiled, name)
        self._class: Any = message_factory.GetMessageClass(descriptor)
        messages = _Messages()
        self._show = messages.shower(descriptor)
        self._fill = messages.filler(descriptor)

    @property
    def content_type(self) -> str:
        """The type that CloudEvents' Protobuf format gives to Protobuf data."""
        return "application/protobuf"

    def decode(self, data: bytes) -> bytes:
        """Return the JSON of an event's data. Raises: Misfit."""
        try:
            message = self._class.FromString(data)
        except DecodeError as exc:
            raise Misfit("the data are no such Protobuf message") from exc
        if not message.IsInitialized():
            raise Misfit("is missing", message.FindInitializationErrors()[0])
        try:
            return _TO_JSON.encode(self._show(message))
        except RecursionError as exc:
            raise Misfit("nested too deeply") from exc

    def encode(self, value: object) -> bytes:
        """Return the data of a JSON value: equal values give equal bytes. Raises: Misfit."""
        message = self._class()
        try:
            self._fill(message, value)
            if not message.IsInitialized():
                raise Misfit("is missing", message.FindInitializationErrors()[0])
            data: bytes = message.SerializeToString(deterministic=True)
        except (RecursionError, EncodeError) as exc:
            raise Misfit("nested too deeply") from exc
        return data


class _Messages:
    """What reads and writes each message, made once."""

    def __init__(self) -> None:
        self._showers: dict[str, Show] = {}
        self._fillers: dict[str, Fill] = {}

    # --- reading

    def shower(self, descriptor: Any) -> Show:
        """Return what makes the JSON value of a message."""
        name = descriptor.full_name
        if (found := self._showers.get(name)) is not None:
            return found
        if name in WRAPPERS:
            show_value = self._scalar_shower(descriptor.fields_by_name["value"])
            return lambda message: show_value(message.value)
        if name in _SHOWN:
            return _SHOWN[name]
        fields: list[tuple[str, str, bool, Show]] = []

        def show(message: Any) -> dict[str, Any]:
            shown = {}
            label = ""
            try:
                for name, label, has_presence, show_field in fields:
                    if not has_presence or message.HasField(name):
                        shown[label] = show_field(getattr(message, name))
            except Misfit as exc:
                exc.path.insert(0, label)
                raise
            return shown

        self._showers[name] = show  # before its fields: they may hold it again
        fields += [(f.name, f.json_name, f.has_presence, self._field_shower(f)) for f in descriptor.fields]
        return show

    def _field_shower(self, field: Any) -> Show:
        if is_map(field):
            entry = field.message_type.fields_by_name
            show_key = _SHOWN_KEYS.get(entry["key"].type, str)
            show_value = self._value_shower(entry["value"])
            # In the order of the keys: the library's own changes from run to run.
            return lambda value: {show_key(key): show_value(value[key]) for key in sorted(value)}
        show_one = self._value_shower(field)
        return (lambda value: [show_one(item) for item in value]) if field.is_repeated else show_one

    def _value_shower(self, field: Any) -> Show:
        if field.type in (MESSAGE, GROUP):
            return self.shower(field.message_type)
        return self._scalar_shower(field)

    def _scalar_shower(self, field: Any) -> Show:
        if field.type == ENUM:
            return _enum_shower(field.enum_type)
        return _SHOWN_SCALARS.get(field.type, _as_it_is)

    # --- writing

    def filler(self, descriptor: Any) -> Fill:
        """Return what sets a message from its JSON value."""
        name = descriptor.full_name
        if (found := self._fillers.get(name)) is not None:
            return found
        if name in WRAPPERS:
            return _wrapper_filler(self._taker(descriptor.fields_by_name["value"]))
        if name in _FILLED:
            return _FILLED[name]
        fields: dict[str, tuple[str, str, Fill, bool]] = {}

        def fill(message: Any, value: Any) -> None:
            if value.__class__ is not dict:
                raise Misfit("not an object")
            given: set[str] = set()
            for label, part in value.items():
                field = fields.get(label)
                if field is None:
                    raise Misfit("is not in the message", label)
                name, group, fill_field, takes_null = field
                if name in given:
                    raise Misfit("is there by both its names", label)
                if part is None and not takes_null:
                    continue
                if group in given:
                    raise Misfit(f"more than one of the oneof '{group.strip()}'", label)
                given.add(name)
                if group:
                    given.add(group)
                try:
                    fill_field(message, part)
                except Misfit as exc:
                    exc.path.insert(0, label)
                    raise

        self._fillers[name] = fill  # before its fields: they may hold it again
        for field in descriptor.fields:
            oneof = field.containing_oneof
            group = f"{oneof.name} " if oneof is not None else ""  # the blank: no field is called so
            takes_null = (
                field.enum_type is not None and field.enum_type.full_name == NULL and not field.is_repeated
            ) or (
                field.message_type is not None
                and field.message_type.full_name == f"{GOOGLE}Value"
                and not field.is_repeated
            )
            filled = (field.name, group, self._field_filler(field), takes_null)
            fields[field.name] = filled
            fields[field.json_name] = filled
        return fill

    def _field_filler(self, field: Any) -> Fill:
        name = field.name
        if is_map(field):
            return self._map_filler(name, field.message_type.fields_by_name)
        if field.type in (MESSAGE, GROUP):
            fill_one = self.filler(field.message_type)

            def fill_message(message: Any, value: Any) -> None:
                part = getattr(message, name)
                part.SetInParent()
                fill_one(part, value)

            def fill_messages(message: Any, value: Any) -> None:
                items = getattr(message, name)
                for index, item in enumerate(_listed(value)):
                    _at(str(index), fill_one, items.add(), item)

            return fill_messages if field.is_repeated else fill_message
        take = self._taker(field)

        def fill_scalar(message: Any, value: Any) -> None:
            setattr(message, name, take(value))

        def fill_scalars(message: Any, value: Any) -> None:
            items = getattr(message, name)
            for index, item in enumerate(_listed(value)):
                try:
                    items.append(take(item))
                except Misfit as exc:
                    exc.path.insert(0, str(index))
                    raise

        return fill_scalars if field.is_repeated else fill_scalar

    def _map_filler(self, name: str, entry: Any) -> Fill:
        take_key = _key_taker(entry["key"])
        value_field = entry["value"]
        if value_field.type in (MESSAGE, GROUP):
            fill_one = self.filler(value_field.message_type)

            def fill_messages(message: Any, value: Any) -> None:
                items = getattr(message, name)
                for key, item in _mapped(value).items():
                    _at(key, fill_one, items[take_key(key)], item)

            return fill_messages
        take = self._taker(value_field)

        def fill_scalars(message: Any, value: Any) -> None:
            items = getattr(message, name)
            for key, item in _mapped(value).items():
                try:
                    items[take_key(key)] = take(item)
                except Misfit as exc:
                    exc.path.insert(0, key)
                    raise

        return fill_scalars

    def _taker(self, field: Any) -> Take:
        kind = field.type
        if kind in RANGES:
            low, high = RANGES[kind]
            return lambda value: _take_integer(value, low, high)
        if kind == ENUM:
            return _enum_taker(field.enum_type)
        return {DOUBLE: _take_double, FLOAT: _take_float, BOOL: _take_bool, BYTES: _take_bytes}.get(
            kind, _take_text
        )


def _at(place: str, fill: Fill, message: Any, value: Any) -> None:
    try:
        fill(message, value)
    except Misfit as exc:
        exc.path.insert(0, place)
        raise


def _listed(value: Any) -> list[Any]:
    if value.__class__ is not list:
        raise Misfit("not a list")
    found: list[Any] = value
    return found


def _mapped(value: Any) -> dict[str, Any]:
    if value.__class__ is not dict:
        raise Misfit("not an object")
    found: dict[str, Any] = value
    return found


# --- scalars


def _as_it_is(value: Any) -> Any:
    return value


def _show_float(value: float) -> float:
    return shortest(finite(value))


def _show_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _show_key(value: bool) -> str:
    return "true" if value else "false"


_SHOWN_KEYS: Final[dict[int, Show]] = {BOOL: _show_key}
_SHOWN_SCALARS: Final[dict[int, Show]] = {FLOAT: _show_float, DOUBLE: finite, BYTES: _show_bytes}


def _enum_shower(enum: Any) -> Show:
    if enum.full_name == NULL:
        return lambda value: None
    names = {number: value.name for number, value in enum.values_by_number.items()}

    def show(value: int) -> str:
        found: str | None = names.get(value)
        if found is None:
            raise Misfit("a value that the enum does not have")
        return found

    return show


def _enum_taker(enum: Any) -> Take:
    numbers = {value.name: value.number for value in enum.values}
    is_null = enum.full_name == NULL

    def take(value: Any) -> int:
        if is_null and value is None:
            return 0
        found = numbers.get(value) if value.__class__ is str else None
        if found is None:
            raise Misfit("a value that the enum does not have")
        return int(found)

    return take


def _take_integer(value: Any, low: int, high: int) -> int:
    if value.__class__ is float and value.is_integer():
        value = int(value)  # 1.0 is an integer in JSON Schema, too
    elif value.__class__ is str and high > UINT_RANGE[1] and _DIGITS.fullmatch(value):
        value = int(value)
    if value.__class__ is not int:
        raise Misfit("not an integer")
    if not low <= value <= high:
        raise Misfit("an integer beyond what the field holds")
    return int(value)


def _take_double(value: Any) -> float:
    if value.__class__ is not float and value.__class__ is not int:
        raise Misfit("not a number")
    try:
        return float(value)
    except OverflowError as exc:
        raise Misfit("a number beyond 64 bits") from exc


def _take_float(value: Any) -> float:
    number = _take_double(value)
    packed_float(number)
    return number


def _take_bool(value: Any) -> bool:
    if value.__class__ is not bool:
        raise Misfit("neither true nor false")
    return bool(value)


def _take_text(value: Any) -> str:
    if value.__class__ is not str:
        raise Misfit("not text")
    return str(value)


def _take_bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(_take_text(value), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Misfit("not base64") from exc


def _key_taker(field: Any) -> Take:
    if field.type == BOOL:
        return lambda key: _bool_key(key)
    if field.type in RANGES:
        low, high = RANGES[field.type]
        return lambda key: _integer_key(key, low, high)
    return _take_text


def _bool_key(key: str) -> bool:
    if key not in ("true", "false"):
        raise Misfit("its keys are true and false", key)
    return key == "true"


def _integer_key(key: str, low: int, high: int) -> int:
    if not _DIGITS.fullmatch(key) or not low <= int(key) <= high:
        raise Misfit("not an integer that the key holds", key)
    return int(key)


# --- Google's own messages


def _show_timestamp(message: Any) -> str:
    if not 0 <= message.nanos < NANOS:
        raise Misfit("a time whose nanoseconds are no part of a second")
    try:
        return timestamp_text(message.seconds * NANOS + message.nanos)
    except ValueError as exc:
        raise Misfit(str(exc)) from exc


def _fill_timestamp(message: Any, value: Any) -> None:
    try:
        message.seconds, message.nanos = divmod(timestamp_number(_take_text(value)), NANOS)
    except ValueError as exc:
        raise Misfit(str(exc)) from exc


def _show_duration(message: Any) -> str:
    nanos = message.seconds * NANOS + message.nanos
    is_mixed = message.seconds * message.nanos < 0 or abs(message.nanos) >= NANOS
    if is_mixed or abs(message.seconds) > MAX_DURATION_S:
        raise Misfit("no duration: seconds and nanoseconds do not go together")
    seconds, rest = divmod(abs(nanos), NANOS)
    return f"{'-' if nanos < 0 else ''}{seconds}{fraction(rest)}s"


def _fill_duration(message: Any, value: Any) -> None:
    found = _DURATION.fullmatch(_take_text(value))
    if found is None or int(found[2]) > MAX_DURATION_S:
        raise Misfit("no duration such as 1.5s")
    sign = -1 if found[1] else 1
    message.seconds = sign * int(found[2])
    message.nanos = sign * int((found[3] or "").ljust(9, "0"))


def _wrapper_filler(take: Take) -> Fill:
    def fill(message: Any, value: Any) -> None:
        message.value = take(value)

    return fill


def _show_struct(message: Any) -> dict[str, Any]:
    return {name: _show_value(message.fields[name]) for name in sorted(message.fields)}


def _show_list(message: Any) -> list[Any]:
    return [_show_value(item) for item in message.values]


def _show_value(message: Any) -> Any:
    kind = message.WhichOneof("kind")
    if kind is None:
        raise Misfit("a Value without a kind")
    if kind == "null_value":
        return None
    value = getattr(message, kind)
    if kind == "number_value":
        return finite(value)
    if kind == "struct_value":
        return _show_struct(value)
    return _show_list(value) if kind == "list_value" else value


def _fill_struct(message: Any, value: Any) -> None:
    for name, part in _mapped(value).items():
        _at(name, _fill_value, message.fields[name], part)


def _fill_list(message: Any, value: Any) -> None:
    for index, part in enumerate(_listed(value)):
        _at(str(index), _fill_value, message.values.add(), part)


def _fill_value(message: Any, value: Any) -> None:
    if value is None:
        message.null_value = 0
    elif value.__class__ is bool:
        message.bool_value = value
    elif value.__class__ is str:
        message.string_value = value
    elif value.__class__ is dict:
        message.struct_value.SetInParent()
        _fill_struct(message.struct_value, value)
    elif value.__class__ is list:
        message.list_value.SetInParent()
        _fill_list(message.list_value, value)
    else:
        message.number_value = _take_double(value)


def _fill_empty(message: Any, value: Any) -> None:
    for name in _mapped(value):
        raise Misfit("is not in the message", name)


_SHOWN: Final[dict[str, Show]] = {
    f"{GOOGLE}Timestamp": _show_timestamp,
    f"{GOOGLE}Duration": _show_duration,
    f"{GOOGLE}Struct": _show_struct,
    f"{GOOGLE}Value": _show_value,
    f"{GOOGLE}ListValue": _show_list,
    f"{GOOGLE}Empty": lambda message: {},
}
_FILLED: Final[dict[str, Fill]] = {
    f"{GOOGLE}Timestamp": _fill_timestamp,
    f"{GOOGLE}Duration": _fill_duration,
    f"{GOOGLE}Struct": _fill_struct,
    f"{GOOGLE}Value": _fill_value,
    f"{GOOGLE}ListValue": _fill_list,
    f"{GOOGLE}Empty": _fill_empty,
}
