"""The JSON of Avro data, as JSON Schema: what an event of an Avro topic looks like inside the application.

Records are objects, unions are the value itself without a tag, enums are text; bytes and fixed are base64; decimals
are text with all their decimals; dates and times are ISO 8601 text, timestamps with `Z`, local ones without. The
fraction of a second has 0, 3, 6 or 9 digits. NaN and infinities are in no event, since JSON has none.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from blueprints.contracts.avro import (
    INT_RANGE,
    LONG_RANGE,
    MISSING,
    AvroField,
    AvroType,
    all_types,
    default_problem,
)
from blueprints.contracts.times import date_text, local_text, time_text, timestamp_text

UNITS: Final[Mapping[str, int]] = {"millis": 1_000_000, "micros": 1_000, "nanos": 1}  # in nanoseconds
_BASE64: Final = {"type": "string", "contentEncoding": "base64"}
_TEXTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "date": {"type": "string", "format": "date"},
    "uuid": {"type": "string", "format": "uuid"},
    # Strictly these formats have an offset from UTC. But Python's types say the same of times without one, and a
    # schema that told them apart would refuse the very type that reads them.
    "time": {"type": "string", "format": "time"},
    "local-timestamp": {"type": "string", "format": "date-time"},
    "timestamp": {"type": "string", "format": "date-time"},
}


def avro_json_schema(root: AvroType, is_written: bool = False) -> dict[str, Any]:
    """Return a type as JSON Schema 2020-12: of the events as they are read; or of what may be written, `is_written`.

    What is written may lack fields with a default. The width of its numbers and the digits of its decimals are not
    held against a writer whose type has no such bound: an event beyond them is refused when it is written.
    """
    return _Schemas(root, is_written).whole()


class _Schemas:
    def __init__(self, root: AvroType, is_written: bool) -> None:
        self.root, self.is_written = root, is_written
        uses = Counter(id(inner) for one in all_types(root) for inner in one.within if inner.name)
        names = Counter(one.short_name for one in all_types(root) if one.name)
        # What is used once is written where it is used; a root that is used again must have a name, too.
        self.labels = {
            id(one): one.short_name if names[one.short_name] == 1 else one.name
            for one in all_types(root)
            if one.name and one.kind != "fixed" and uses[id(one)] > (0 if one is root else 1)
        }

    def whole(self) -> dict[str, Any]:
        schema = self.schema(self.root)
        defined = {
            label: self.bare(one)
            for one in all_types(self.root)
            if (label := self.labels.get(id(one))) is not None
        }
        if self.root.name:
            schema = {"title": self.root.short_name, **schema}
        return {**schema, "$defs": defined} if defined else schema

    def schema(self, kind: AvroType) -> dict[str, Any]:
        label = self.labels.get(id(kind))
        return {"$ref": f"#/$defs/{label}"} if label is not None else self.bare(kind)

    def bare(self, kind: AvroType) -> dict[str, Any]:
        """Return the schema of a type, not as a reference to its definition."""
        word = kind.kind
        if kind.logical:
            return self.logical(kind)
        if word in ("int", "long"):
            low, high = INT_RANGE if word == "int" else LONG_RANGE
            return {"type": "integer", **({} if self.is_written else {"minimum": low, "maximum": high})}
        if word in ("float", "double"):
            return {"type": "number"}
        if word == "bytes":
            return dict(_BASE64)
        if word == "fixed":
            length = 4 * ((kind.size + 2) // 3)
            return {**_BASE64, "minLength": length, "maxLength": length}
        if word == "enum":
            return _described({"type": "string", "enum": list(kind.symbols)}, kind.doc)
        if word == "union":
            branches = [self.schema(branch) for branch in kind.branches]
            return branches[0] if len(branches) == 1 else {"anyOf": branches}
        if word == "record":
            return self.record(kind)
        if kind.items is not None:
            inner = self.schema(kind.items)
            return (
                {"type": "array", "items": inner}
                if word == "array"
                else {"type": "object", "additionalProperties": inner}
            )
        return {"type": word}  # null, boolean and string are called the same

    def record(self, kind: AvroType) -> dict[str, Any]:
        required = [one.name for one in kind.fields if not self.is_written or one.default is MISSING]
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {one.name: self.field(one) for one in kind.fields},
            "additionalProperties": False,
        }
        return _described({**schema, "required": required} if required else schema, kind.doc)

    def field(self, one: AvroField) -> dict[str, Any]:
        schema = _described(self.schema(one.type), one.doc)
        return (
            schema if one.default is MISSING else {**schema, "default": default_json(one.type, one.default)}
        )

    def logical(self, kind: AvroType) -> dict[str, Any]:
        if kind.logical == "decimal":
            if self.is_written:
                return {"type": "string"}
            whole = (
                f"(0|[1-9][0-9]{{0,{kind.precision - kind.scale - 1}}})"
                if kind.precision > kind.scale
                else "0"
            )
            fraction = rf"\.[0-9]{{{kind.scale}}}" if kind.scale else ""
            return {"type": "string", "pattern": f"^-?{whole}{fraction}$"}
        found = _TEXTS.get(kind.logical) or _TEXTS[kind.logical.rpartition("-")[0]]
        return dict(found)


def default_json(kind: AvroType, default: Any) -> Any:
    """Return what an event has for a default of the schema."""
    word = kind.kind
    if word == "union":
        return default_json(next(b for b in kind.branches if not default_problem(b, default)), default)
    if word in ("bytes", "fixed"):
        return bytes_json(kind, default.encode("latin-1"))
    if word in ("int", "long") and kind.logical:
        return number_json(kind, default)
    if word in ("float", "double"):
        return float(default)
    if word == "record":
        return {one.name: default_json(one.type, default.get(one.name, one.default)) for one in kind.fields}
    if word == "array" and kind.items is not None:
        return [default_json(kind.items, item) for item in default]
    if word == "map" and kind.items is not None:
        return {name: default_json(kind.items, item) for name, item in default.items()}
    return default


def number_json(kind: AvroType, number: int) -> str:
    """Return the text of a date or time. Raises: ValueError where it lies outside of the years 1 to 9999."""
    if kind.logical == "date":
        return date_text(number)
    word, _, unit = kind.logical.rpartition("-")
    nanos = number * UNITS[unit]
    return {"time": time_text, "timestamp": timestamp_text, "local-timestamp": local_text}[word](nanos)


def bytes_json(kind: AvroType, data: bytes) -> str:
    """Return the text of bytes, of a decimal or of a UUID."""
    if kind.logical == "decimal":
        return decimal_text(int.from_bytes(data, "big", signed=True), kind.scale)
    if kind.logical == "uuid":
        digits = data.hex()
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    return base64.b64encode(data).decode()


def decimal_text(unscaled: int, scale: int) -> str:
    """Return a decimal with all its decimals: `-0.50`."""
    digits = str(abs(unscaled)).rjust(scale + 1, "0")
    text = f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits
    return f"-{text}" if unscaled < 0 else text


def _described(schema: dict[str, Any], doc: str) -> dict[str, Any]:
    return {**schema, "description": doc} if doc and "$ref" not in schema else schema
