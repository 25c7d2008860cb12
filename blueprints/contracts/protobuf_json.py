"""The JSON of Protobuf messages, as JSON Schema: what an event of a Protobuf topic looks like inside the application.

It is Protobuf's canonical JSON with two differences, both because an event is data for Python: 64-bit integers are
numbers, not text (they are exact here), and a field that has no presence is always there, with its zero. Enum values
that the schema does not have, NaN and infinities are in no event. Writing takes what the canonical mapping lets a
parser take: either name of a field, 64-bit integers as text, null for what is not set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from blueprints.contracts.avro import INT_RANGE, LONG_RANGE
from blueprints.contracts.protobuf import reachable

UINT_RANGE: Final = (0, (1 << 32) - 1)
ULONG_RANGE: Final = (0, (1 << 64) - 1)

# The numbers of descriptor.proto's FieldDescriptorProto.Type: part of the format, so that they never change.
DOUBLE, FLOAT, INT64, UINT64, INT32, FIXED64, FIXED32, BOOL, STRING = range(1, 10)
GROUP, MESSAGE, BYTES, UINT32, ENUM, SFIXED32, SFIXED64, SINT32, SINT64 = range(10, 19)

RANGES: Final[Mapping[int, tuple[int, int]]] = {
    **dict.fromkeys((INT32, SFIXED32, SINT32), INT_RANGE),
    **dict.fromkeys((INT64, SFIXED64, SINT64), LONG_RANGE),
    **dict.fromkeys((UINT32, FIXED32), UINT_RANGE),
    **dict.fromkeys((UINT64, FIXED64), ULONG_RANGE),
}
GOOGLE: Final = "google.protobuf."
WRAPPERS: Final = tuple(
    f"{GOOGLE}{word}Value"
    for word in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)
NULL: Final = f"{GOOGLE}NullValue"
_DIGITS: Final = {"type": "string", "pattern": "^-?[0-9]+$"}
_WELL_KNOWN: Final[Mapping[str, Mapping[str, Any]]] = {
    f"{GOOGLE}Timestamp": {"type": "string", "format": "date-time"},
    f"{GOOGLE}Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    f"{GOOGLE}Struct": {"type": "object"},
    f"{GOOGLE}Value": {},
    f"{GOOGLE}ListValue": {"type": "array"},
    f"{GOOGLE}Empty": {"type": "object", "additionalProperties": False},
}


def is_map(field: Any) -> bool:
    """Return whether a field is a map."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def protobuf_json_schema(root: Any, is_written: bool = False) -> dict[str, Any]:
    """Return a message as JSON Schema 2020-12: of the events as they are read; or of what may be written.

    The width of integers is not held against a writer: an event beyond it is refused when it is written. That only
    one field of a oneof is set is not in the schema; an event with two is refused.
    """
    schemas = _Schemas(root, is_written)
    schema = {"title": root.name, **schemas.of_message(root)}
    defined = {label: schemas.bare(message) for message, label in schemas.named()}
    return {**schema, "$defs": defined} if defined else schema


class _Schemas:
    def __init__(self, root: Any, is_written: bool) -> None:
        self.root, self.is_written = root, is_written
        self.messages = reachable(root)
        uses = Counter(f.message_type.full_name for m in self.messages for f in m.fields if f.message_type)
        names = Counter(message.name for message in self.messages)
        # What is used once is written where it is used; a root that is used again must have a name, too.
        self.labels = {
            message.full_name: message.name if names[message.name] == 1 else message.full_name
            for message in self.messages
            if not message.full_name.startswith(GOOGLE)
            and not message.GetOptions().map_entry
            and uses[message.full_name] > (0 if message is root else 1)
        }

    def named(self) -> list[tuple[Any, str]]:
        return [(m, self.labels[m.full_name]) for m in self.messages if m.full_name in self.labels]

    def of_message(self, message: Any) -> dict[str, Any]:
        label = self.labels.get(message.full_name)
        return {"$ref": f"#/$defs/{label}"} if label is not None else self.bare(message)

    def bare(self, message: Any) -> dict[str, Any]:
        """Return the schema of a message, not as a reference to its definition."""
        if message.full_name in WRAPPERS:
            return self.value(message.fields_by_name["value"])
        if (known := _WELL_KNOWN.get(message.full_name)) is not None:
            return dict(known)
        properties: dict[str, Any] = {}
        required: list[str] = []
        for field in message.fields:
            schema = self.field(field)
            properties[field.json_name] = schema
            if self.is_written:
                properties[field.name] = schema
            if field.is_required or (not self.is_written and not field.has_presence):
                required.append(field.json_name)
        schema = {"type": "object", "properties": properties, "additionalProperties": False}
        return {**schema, "required": required} if required else schema

    def field(self, field: Any) -> dict[str, Any]:
        if is_map(field):
            schema: dict[str, Any] = {
                "type": "object",
                "additionalProperties": self.value(field.message_type.fields_by_name["value"]),
            }
        elif field.is_repeated:
            schema = {"type": "array", "items": self.value(field)}
        else:
            schema = self.value(field)
        if not self.is_written or field.is_required or not schema:
            return schema
        return {"anyOf": [schema, {"type": "null"}]}

    def value(self, field: Any) -> dict[str, Any]:
        """Return the schema of one value of a field."""
        kind = field.type
        if kind in (MESSAGE, GROUP):
            return self.of_message(field.message_type)
        if kind == ENUM:
            if field.enum_type.full_name == NULL:
                return {"type": "null"}
            return {"type": "string", "enum": [value.name for value in field.enum_type.values]}
        if kind in RANGES:
            low, high = RANGES[kind]
            if not self.is_written:
                return {"type": "integer", "minimum": low, "maximum": high}
            return (
                {"anyOf": [{"type": "integer"}, dict(_DIGITS)]}
                if high > UINT_RANGE[1]
                else {"type": "integer"}
            )
        if kind in (DOUBLE, FLOAT):
            return {"type": "number"}
        if kind == BYTES:
            return {"type": "string", "contentEncoding": "base64"}
        return {"type": "boolean" if kind == BOOL else "string"}
