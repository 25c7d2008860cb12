"""Whether data written under one Protobuf message can be read under another: by number, and without a value changed.

A field that the reader does not have is skipped, by Protobuf's rules. What is read as another number, another text or
one of several is a misfit, though a parser accepts it.

Source: Protocol Buffers language guide, updating a message type; agrees with what the library really reads
(tests/blueprints/contracts/test_protobuf_rules.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from google.protobuf import descriptor_pb2

from blueprints.contracts.protobuf_json import (
    BOOL,
    BYTES,
    DOUBLE,
    ENUM,
    FIXED32,
    FIXED64,
    FLOAT,
    GROUP,
    INT32,
    INT64,
    MESSAGE,
    SFIXED32,
    SFIXED64,
    SINT32,
    SINT64,
    STRING,
    UINT32,
    UINT64,
)
from blueprints.contracts.unreadable import Unreadable

_NAMES: Final[Mapping[int, str]] = {
    DOUBLE: "double", FLOAT: "float", INT64: "int64", UINT64: "uint64", INT32: "int32", FIXED64: "fixed64",
    FIXED32: "fixed32", BOOL: "bool", STRING: "string", GROUP: "group", MESSAGE: "message", BYTES: "bytes",
    UINT32: "uint32", ENUM: "enum", SFIXED32: "sfixed32", SFIXED64: "sfixed64", SINT32: "sint32", SINT64: "sint64",
}  # fmt: skip

_WIRE: Final[Mapping[int, int]] = {
    **dict.fromkeys((INT32, INT64, UINT32, UINT64, BOOL, ENUM, SINT32, SINT64), 0),
    **dict.fromkeys((FIXED64, SFIXED64, DOUBLE), 1),
    **dict.fromkeys((STRING, BYTES, MESSAGE), 2),
    GROUP: 3,
    **dict.fromkeys((FIXED32, SFIXED32, FLOAT), 5),
}

_KEEPS: Final[Mapping[int, tuple[int, ...]]] = {
    INT32: (INT64,),
    UINT32: (UINT64, INT64),
    SINT32: (SINT64,),
    BOOL: (INT32, INT64, UINT32, UINT64),
    STRING: (BYTES,),
    MESSAGE: (BYTES,),
}
"""Type → types that read every value of it as the same: the same wire type, and room for it."""

Path = tuple[str, ...]


def protobuf_misfits(writer: Any, reader: Any) -> list[Unreadable]:
    """Return where data of the writer's message are not what the reader's reads; nothing when all are.

    Both are descriptors, as `find_message` returns them.
    """
    return list(_Comparison().messages(writer, reader, ()))


class _Comparison:
    def __init__(self) -> None:
        self.compared: set[tuple[str, str]] = set()

    def messages(self, writer: Any, reader: Any, path: Path) -> Iterator[Unreadable]:
        pair = (writer.full_name, reader.full_name)
        if pair in self.compared:
            return  # compared already, or being compared further up
        self.compared.add(pair)
        written = {field.number: field for field in writer.fields}
        wanted = {field.number: field for field in reader.fields}
        for number, field in written.items():
            below = (*path, field.name)
            if number in wanted:
                yield from self._fields(field, wanted[number], below)
            elif (moved := reader.fields_by_name.get(field.name)) is not None:
                reason = f"had the number {number} and has {moved.number}: what was written is not read"
                yield Unreadable(below, reason)
        for number, field in wanted.items():
            if field.is_required and not (number in written and written[number].is_required):
                yield Unreadable((*path, field.name), "is required, but may be absent")
            if number not in written and _is_reserved(writer, number):
                reason = f"has the number {number}, which was reserved: an older field had it"
                yield Unreadable((*path, field.name), reason)
        yield from _joined(written, reader, path)

    def _fields(self, writer: Any, reader: Any, path: Path) -> Iterator[Unreadable]:
        if writer.is_repeated and not reader.is_repeated:
            yield Unreadable(path, "is a list, but one is wanted: all but one would be lost")
            return
        kind, wanted = writer.type, reader.type
        if kind == wanted == ENUM:
            known = reader.enum_type.values_by_number
            strange = [value.name for value in writer.enum_type.values if value.number not in known]
            if strange:
                yield Unreadable(path, f"may be {' or '.join(strange)}, which the enum no longer has")
        elif kind == wanted:
            if kind in (MESSAGE, GROUP):
                yield from self.messages(writer.message_type, reader.message_type, path)
        elif wanted not in _KEEPS.get(kind, ()) and not _is_number_of(writer, wanted):
            reason = f"is {_NAMES[kind]}, but is read as {_NAMES[wanted]}: {_why(kind, wanted)}"
            yield Unreadable(path, reason)


def _is_number_of(enum: Any, wanted: int) -> bool:
    """Return whether all values of an enum are read as the same numbers of a type."""
    if enum.type != ENUM:
        return False
    has_negative = min(enum.enum_type.values_by_number) < 0
    return wanted in (INT32, INT64) or (wanted in (UINT32, UINT64) and not has_negative)


def _why(kind: int, wanted: int) -> str:
    if _WIRE[kind] != _WIRE[wanted]:
        return "it is not read at all"
    if _WIRE[kind] == 2:
        return "not all of it is such"
    if wanted == ENUM:
        return "it may be a value that the enum does not have"
    return "it would be another number"


def _is_reserved(message: Any, number: int) -> bool:
    described = descriptor_pb2.DescriptorProto()
    message.CopyToProto(described)
    return any(span.start <= number < span.end for span in described.reserved_range)


def _joined(written: Mapping[int, Any], reader: Any, path: Path) -> Iterator[Unreadable]:
    """Yield the oneofs that join what could be set together: only the last of it would be kept."""
    for oneof in reader.oneofs:
        apart: dict[Any, str] = {}
        for field in oneof.fields:
            before = written.get(field.number)
            if before is not None:
                group = before.containing_oneof
                apart.setdefault(before.number if group is None else group.name, before.name)
        if len(apart) > 1:
            both = " and ".join(f"'{name}'" for name in list(apart.values())[:2])
            yield Unreadable(
                (*path, oneof.name), f"joins {both}, which could both be set: only one would be kept"
            )
