"""Avro data: the binary encoding of one schema, read to JSON and written from it.

Our own codec, although there are good ones: data come from outside, and C code that recurses as deep as they say ends
the process, for good, with an event of a few kilobytes (fastavro 1.13). Here such data are one dead letter. It also
names the field that is wrong, and knows the branch of a union that it has read. It agrees byte by byte with fastavro
and with Apache's own library (tests/formats/test_avro.py). Past 150 lines because reading and writing of a type stand
beside each other.

Source: Apache Avro 1.12 specification, binary encoding.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
import uuid
from collections.abc import Callable
from typing import Any, Final

import msgspec

from blueprints.contracts.avro import INT_RANGE, LONG_RANGE, MISSING, AvroType, parse_avro
from blueprints.contracts.avro_json import UNITS, bytes_json, default_json, number_json
from blueprints.contracts.times import date_number, local_number, time_number, timestamp_number
from streamlets.formats.format import Misfit
from streamlets.formats.numbers import finite, packed_float, shortest

Read = Callable[[bytes, int], tuple[Any, int]]
"""(data, position) → (value, position behind it). Raises: Misfit; IndexError and struct.error at the data's end."""
Write = Callable[[bytearray, Any], None]
"""Appends a value. Raises: Misfit, with something appended perhaps."""

_TO_JSON = msgspec.json.Encoder()
_SORTED = msgspec.json.Encoder(order="sorted")
_FLOAT = struct.Struct("<f")
_DOUBLE = struct.Struct("<d")
_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?", re.ASCII)
_TEXT_NUMBERS: Final = {"time": time_number, "timestamp": timestamp_number, "local-timestamp": local_number}


class AvroFormat:
    """The Avro encoding of one schema. Implements `Format`."""

    def __init__(self, schema: Any) -> None:
        root = parse_avro(schema)
        self._read = _Readers().of(root)
        self._write = _Writers().of(root)

    @property
    def content_type(self) -> str:
        """What CloudEvents' examples and its SDKs call Avro data."""
        return "application/avro"

    def decode(self, data: bytes) -> bytes:
        """Return the JSON of an event's data. Raises: Misfit."""
        try:
            value, end = self._read(data, 0)
        except (IndexError, struct.error) as exc:
            raise Misfit("the data end too early") from exc
        except RecursionError as exc:
            raise Misfit("nested too deeply") from exc
        if end != len(data):
            raise Misfit(f"{len(data) - end} bytes more than the schema has")
        try:
            return _TO_JSON.encode(value)
        except RecursionError as exc:
            raise Misfit("nested too deeply") from exc

    def encode(self, value: object) -> bytes:
        """Return the data of a JSON value. Raises: Misfit."""
        out = bytearray()
        try:
            self._write(out, value)
        except RecursionError as exc:
            raise Misfit("nested too deeply") from exc
        return bytes(out)


# --- reading


class _Readers:
    def __init__(self) -> None:
        self._records: dict[int, Read] = {}

    def of(self, kind: AvroType) -> Read:
        """Return what reads a type to its JSON value."""
        word = kind.kind
        if word in _PLAIN_READERS and not kind.logical:
            return _PLAIN_READERS[word]
        if word in ("int", "long"):
            return _read_number(kind)
        if word in ("bytes", "fixed"):
            return _read_binary(kind)
        if word == "string":
            return _read_uuid
        if word == "enum":
            return _read_enum(kind)
        if word == "union":
            return _read_union([self.of(branch) for branch in kind.branches])
        if word == "record":
            return self._record(kind)
        assert kind.items is not None
        return _read_array(self.of(kind.items)) if word == "array" else _read_map(self.of(kind.items))

    def _record(self, kind: AvroType) -> Read:
        if (found := self._records.get(id(kind))) is not None:
            return found
        fields: list[tuple[str, Read]] = []

        def read(data: bytes, at: int) -> tuple[Any, int]:
            value = {}
            name = ""
            try:
                for name, read_field in fields:
                    value[name], at = read_field(data, at)
            except Misfit as exc:
                exc.path.insert(0, name)
                raise
            except (IndexError, struct.error) as exc:
                raise Misfit("the data end too early", name) from exc
            return value, at

        self._records[id(kind)] = read  # before its fields: they may hold it again
        fields += [(one.name, self.of(one.type)) for one in kind.fields]
        return read


def _read_long(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    at += 1
    if byte < 128:
        return (byte >> 1) ^ -(byte & 1), at
    number, shift = byte & 127, 7
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
        if shift > 63:
            raise Misfit("a number of more than 64 bits")
    if number >> 64:
        raise Misfit("a number of more than 64 bits")
    return (number >> 1) ^ -(number & 1), at


def _read_int(data: bytes, at: int) -> tuple[int, int]:
    number, at = _read_long(data, at)
    if not INT_RANGE[0] <= number <= INT_RANGE[1]:
        raise Misfit("a number of more than 32 bits")
    return number, at


def _read_null(data: bytes, at: int) -> tuple[None, int]:
    return None, at


def _read_boolean(data: bytes, at: int) -> tuple[bool, int]:
    byte = data[at]
    if byte > 1:
        raise Misfit("neither true nor false")
    return byte == 1, at + 1


def _read_float(data: bytes, at: int) -> tuple[float, int]:
    return shortest(finite(_FLOAT.unpack_from(data, at)[0])), at + 4


def _read_double(data: bytes, at: int) -> tuple[float, int]:
    return finite(_DOUBLE.unpack_from(data, at)[0]), at + 8


def _read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    length, at = _read_long(data, at)
    end = at + length
    if length < 0 or end > len(data):
        raise Misfit("the data end too early" if length > 0 else "a negative length")
    return data[at:end], end


def _read_string(data: bytes, at: int) -> tuple[str, int]:
    raw, at = _read_bytes(data, at)
    try:
        return raw.decode(), at
    except UnicodeDecodeError as exc:
        raise Misfit("text that is not UTF-8") from exc


def _read_uuid(data: bytes, at: int) -> tuple[str, int]:
    text, at = _read_string(data, at)
    _uuid(text)
    return text, at


_PLAIN_READERS: Final[dict[str, Read]] = {
    "null": _read_null,
    "boolean": _read_boolean,
    "int": _read_int,
    "long": _read_long,
    "float": _read_float,
    "double": _read_double,
    "string": _read_string,
}


def _read_number(kind: AvroType) -> Read:
    read_plain = _PLAIN_READERS[kind.kind]

    def read(data: bytes, at: int) -> tuple[str, int]:
        number, at = read_plain(data, at)
        try:
            return number_json(kind, number), at
        except ValueError as exc:
            raise Misfit(str(exc)) from exc

    return read


def _read_binary(kind: AvroType) -> Read:
    size, is_fixed = kind.size, kind.kind == "fixed"

    def read(data: bytes, at: int) -> tuple[str, int]:
        if is_fixed:
            raw, at = data[at : at + size], at + size
            if len(raw) != size:
                raise Misfit("the data end too early")
        else:
            raw, at = _read_bytes(data, at)
        if kind.logical == "decimal":
            _check_digits(int.from_bytes(raw, "big", signed=True), kind)
        return bytes_json(kind, raw), at

    return read


def _check_digits(unscaled: int, kind: AvroType) -> None:
    # Compared by bits first: an endless number would take endless time to print.
    if unscaled.bit_length() > 4 * kind.precision or abs(unscaled) >= 10**kind.precision:
        raise Misfit(f"a decimal of more than {kind.precision} digits")


def _read_enum(kind: AvroType) -> Read:
    symbols = kind.symbols

    def read(data: bytes, at: int) -> tuple[str, int]:
        index, at = _read_long(data, at)
        if not 0 <= index < len(symbols):
            raise Misfit("a symbol that the enum does not have")
        return symbols[index], at

    return read


def _read_union(branches: list[Read]) -> Read:
    def read(data: bytes, at: int) -> tuple[Any, int]:
        index, at = _read_long(data, at)
        if not 0 <= index < len(branches):
            raise Misfit("a branch that the union does not have")
        return branches[index](data, at)

    return read


def _read_count(data: bytes, at: int) -> tuple[int, int]:
    """Return how many items a block has. Each takes a byte or more, so that a count beyond the data is a lie."""
    count, at = _read_long(data, at)
    if count < 0:
        count = -count
        _, at = _read_long(data, at)  # the block's size in bytes, which only those need who skip it
    if count > len(data) - at:
        raise Misfit("the data end too early")
    return count, at


def _read_array(read_item: Read) -> Read:
    def read(data: bytes, at: int) -> tuple[list[Any], int]:
        items: list[Any] = []
        count, at = _read_count(data, at)
        while count:
            try:
                for _ in range(count):
                    item, at = read_item(data, at)
                    items.append(item)
            except Misfit as exc:
                exc.path.insert(0, str(len(items)))
                raise
            count, at = _read_count(data, at)
        return items, at

    return read


def _read_map(read_item: Read) -> Read:
    def read(data: bytes, at: int) -> tuple[dict[str, Any], int]:
        items: dict[str, Any] = {}
        count, at = _read_count(data, at)
        while count:
            for _ in range(count):
                name, at = _read_string(data, at)
                try:
                    items[name], at = read_item(data, at)
                except Misfit as exc:
                    exc.path.insert(0, name)
                    raise
            count, at = _read_count(data, at)
        return items, at

    return read


# --- writing


class _Writers:
    def __init__(self) -> None:
        self._records: dict[int, Write] = {}
        self._readers = _Readers()

    def of(self, kind: AvroType) -> Write:
        """Return what writes a type from its JSON value."""
        word = kind.kind
        if word in _PLAIN_WRITERS and not kind.logical:
            return _PLAIN_WRITERS[word]
        if word in ("int", "long"):
            return _write_logical_number(kind)
        if word in ("bytes", "fixed"):
            return _write_binary(kind)
        if word == "string":
            return _write_uuid
        if word == "enum":
            return _write_enum(kind)
        if word == "union":
            return self._union(kind)
        if word == "record":
            return self._record(kind)
        assert kind.items is not None
        return _write_array(self.of(kind.items)) if word == "array" else _write_map(self.of(kind.items))

    def _record(self, kind: AvroType) -> Write:
        if (found := self._records.get(id(kind))) is not None:
            return found
        fields: list[tuple[str, Write]] = []
        defaults = {
            one.name: default_json(one.type, one.default) for one in kind.fields if one.default is not MISSING
        }

        def write(out: bytearray, value: Any) -> None:
            if value.__class__ is not dict:
                raise Misfit("not an object")
            n_left = len(value)
            name = ""
            try:
                for name, write_field in fields:
                    if name in value:
                        n_left -= 1
                        write_field(out, value[name])
                    elif name in defaults:
                        write_field(out, defaults[name])
                    else:
                        raise Misfit("is missing")
            except Misfit as exc:
                exc.path.insert(0, name)
                raise
            if n_left:
                known = {one for one, _ in fields}
                raise Misfit("is not in the schema", next(one for one in value if one not in known))

        self._records[id(kind)] = write  # before its fields: they may hold it again
        fields += [(one.name, self.of(one.type)) for one in kind.fields]
        return write

    def _union(self, kind: AvroType) -> Write:
        numbers = [(bytes(_long(i)), self.of(b)) for i, b in enumerate(kind.branches) if b.kind != "null"]
        shapes = [_shape(branch) for branch in kind.branches if branch.kind != "null"]
        null = next((bytes(_long(i)) for i, b in enumerate(kind.branches) if b.kind == "null"), None)

        def write_null(out: bytearray, value: Any) -> bool:
            if value is None and null is not None:
                out += null
                return True
            return False

        if len(numbers) == 1:
            index, write_branch = numbers[0]

            def write_one(out: bytearray, value: Any) -> None:
                if not write_null(out, value):
                    out += index
                    write_branch(out, value)

            return write_one
        read = self._readers.of(kind)

        def write(out: bytearray, value: Any) -> None:
            """Take the first branch that gives the very value back; else the first that it fits at all."""
            if write_null(out, value):
                return
            fitting = b""
            for (index, write_branch), shape in zip(numbers, shapes):
                if shape is not None and not shape(value):
                    continue
                tried = bytearray(index)
                try:
                    write_branch(tried, value)
                except Misfit:
                    continue
                if _is_same(read(bytes(tried), 0)[0], value):
                    out += tried
                    return
                fitting = fitting or bytes(tried)
            if not fitting:
                raise Misfit(f"none of {kind}")
            out += fitting

        return write


def _shape(kind: AvroType) -> Callable[[Any], bool] | None:
    """Return whether a value has a record's fields, for a record: what has others is not tried, however deep it is."""
    if kind.kind != "record":
        return None
    known = {one.name for one in kind.fields}
    needed = {one.name for one in kind.fields if one.default is MISSING}
    return lambda value: value.__class__ is dict and needed <= value.keys() <= known


def _is_same(one: Any, other: Any) -> bool:
    return one.__class__ is other.__class__ and _SORTED.encode(one) == _SORTED.encode(other)


def _long(number: int) -> bytearray:
    out = bytearray()
    number = (number << 1) ^ (number >> 63)
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return out


def _whole(value: Any, low: int, high: int) -> int:
    if value.__class__ is float and value.is_integer():
        value = int(value)  # 1.0 is an integer in JSON Schema, too
    if value.__class__ is not int:
        raise Misfit("not an integer")
    if not low <= value <= high:
        raise Misfit(f"a number of more than {32 if high == INT_RANGE[1] else 64} bits")
    return int(value)


def _write_int(out: bytearray, value: Any) -> None:
    out += _long(_whole(value, *INT_RANGE))


def _write_long(out: bytearray, value: Any) -> None:
    out += _long(_whole(value, *LONG_RANGE))


def _write_null(out: bytearray, value: Any) -> None:
    if value is not None:
        raise Misfit("not null")


def _write_boolean(out: bytearray, value: Any) -> None:
    if value.__class__ is not bool:
        raise Misfit("neither true nor false")
    out.append(value)


def _write_float(out: bytearray, value: Any) -> None:
    out += packed_float(_number(value))


def _write_double(out: bytearray, value: Any) -> None:
    out += _DOUBLE.pack(_number(value))


def _number(value: Any) -> float:
    if value.__class__ is not float and value.__class__ is not int:
        raise Misfit("not a number")
    try:
        return float(value)
    except OverflowError as exc:
        raise Misfit("a number beyond 64 bits") from exc


def _write_string(out: bytearray, value: Any) -> None:
    raw = _text(value).encode()
    out += _long(len(raw))
    out += raw


def _text(value: Any) -> str:
    if value.__class__ is not str:
        raise Misfit("not text")
    return str(value)


_PLAIN_WRITERS: Final[dict[str, Write]] = {
    "null": _write_null,
    "boolean": _write_boolean,
    "int": _write_int,
    "long": _write_long,
    "float": _write_float,
    "double": _write_double,
    "string": _write_string,
}


def _write_uuid(out: bytearray, value: Any) -> None:
    _uuid(value)
    _write_string(out, value)


def _uuid(value: Any) -> uuid.UUID:
    text = _text(value)
    try:
        if len(text) == 36:
            return uuid.UUID(text)
    except ValueError:
        pass
    raise Misfit("no UUID such as 123e4567-e89b-12d3-a456-426614174000")


def _write_logical_number(kind: AvroType) -> Write:
    low, high = INT_RANGE if kind.kind == "int" else LONG_RANGE
    word, _, unit = kind.logical.rpartition("-")
    parse = _TEXT_NUMBERS.get(word, date_number)
    nanos = UNITS.get(unit, 1)

    def write(out: bytearray, value: Any) -> None:
        try:
            number = parse(_text(value)) // nanos  # finer parts than the type has are cut off
        except ValueError as exc:
            raise Misfit(str(exc)) from exc
        if not low <= number <= high:
            raise Misfit("a time beyond what the type holds")
        out += _long(number)

    return write


def _write_binary(kind: AvroType) -> Write:
    def write(out: bytearray, value: Any) -> None:
        raw = _binary(kind, value)
        if kind.kind == "bytes":
            out += _long(len(raw))
        elif len(raw) != kind.size:
            raise Misfit(f"not {kind.size} bytes")
        out += raw

    return write


def _binary(kind: AvroType, value: Any) -> bytes:
    if kind.logical == "decimal":
        return _decimal(kind, _text(value))
    if kind.logical == "uuid":
        return _uuid(value).bytes
    text = _text(value)
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Misfit("not base64") from exc
    if base64.b64encode(raw).decode() != text:
        raise Misfit("not base64")  # a last digit whose spare bits are set: two texts would be the same bytes
    return raw


def _decimal(kind: AvroType, text: str) -> bytes:
    if _DECIMAL.fullmatch(text) is None or len(text) > kind.precision + 1000:
        raise Misfit("no decimal such as '12.50'")
    whole, _, decimals = text.partition(".")
    if len(decimals.rstrip("0")) > kind.scale:
        raise Misfit(f"a decimal with more than {kind.scale} decimals")
    unscaled = int(whole + decimals[: kind.scale].ljust(kind.scale, "0"))
    _check_digits(unscaled, kind)
    n_bytes = kind.size or (unscaled + (unscaled < 0)).bit_length() // 8 + 1
    return unscaled.to_bytes(n_bytes, "big", signed=True)


def _write_enum(kind: AvroType) -> Write:
    symbols = {symbol: bytes(_long(index)) for index, symbol in enumerate(kind.symbols)}

    def write(out: bytearray, value: Any) -> None:
        found = symbols.get(value) if value.__class__ is str else None
        if found is None:
            raise Misfit("a symbol that the enum does not have")
        out += found

    return write


def _write_array(write_item: Write) -> Write:
    def write(out: bytearray, value: Any) -> None:
        if value.__class__ is not list:
            raise Misfit("not a list")
        if value:
            out += _long(len(value))
            for index, item in enumerate(value):
                try:
                    write_item(out, item)
                except Misfit as exc:
                    exc.path.insert(0, str(index))
                    raise
        out.append(0)

    return write


def _write_map(write_item: Write) -> Write:
    def write(out: bytearray, value: Any) -> None:
        if value.__class__ is not dict:
            raise Misfit("not an object")
        if value:
            out += _long(len(value))
            for name, item in value.items():
                _write_string(out, name)
                try:
                    write_item(out, item)
                except Misfit as exc:
                    exc.path.insert(0, name)
                    raise
        out.append(0)

    return write
