"""Whether data written under one Avro schema can be read under another: Avro's own resolution of writer and reader.

Stricter than the specification in one thing: a timestamp in milliseconds that is read as one in microseconds resolves,
as a number, and means another time; here two different logical types do not fit.

Source: Apache Avro 1.12 specification, schema resolution; agrees with `avro.compatibility` and with what fastavro
really reads (tests/blueprints/contracts/test_avro_rules.py, which lists where the two are wrong).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from blueprints.contracts.avro import MISSING, AvroField, AvroType
from blueprints.contracts.unreadable import Unreadable

_PROMOTED: Final[Mapping[str, tuple[str, ...]]] = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
    "bytes": ("string",),
}

Path = tuple[str, ...]


def avro_misfits(writer: AvroType, reader: AvroType) -> list[Unreadable]:
    """Return where data of the writer's schema cannot be read under the reader's; nothing when all can."""
    return list(_Resolution().resolve(writer, reader, ()))


class _Resolution:
    def __init__(self) -> None:
        self.resolved: set[tuple[int, int]] = set()

    def resolve(self, writer: AvroType, reader: AvroType, path: Path) -> Iterator[Unreadable]:
        pair = (id(writer), id(reader))
        if pair in self.resolved:
            return  # resolved already, or being resolved further up
        self.resolved.add(pair)
        if writer.kind == "union":
            for branch in writer.branches:
                yield from self.resolve(branch, reader, path)
        elif reader.kind == "union":
            yield from self._into_union(writer, reader, path)
        else:
            yield from self._one(writer, reader, path)

    def _into_union(self, writer: AvroType, reader: AvroType, path: Path) -> Iterator[Unreadable]:
        near: list[Unreadable] = []
        for branch in reader.branches:
            before = set(self.resolved)
            found = list(self.resolve(writer, branch, path))
            if not found:
                return
            self.resolved = before
            if branch.kind == writer.kind and branch.short_name == writer.short_name:
                near = found
        yield from near or [Unreadable(path, f"may be {_a(writer)}, but {reader} is wanted")]

    def _one(self, writer: AvroType, reader: AvroType, path: Path) -> Iterator[Unreadable]:
        if writer.kind != reader.kind:
            if reader.kind not in _PROMOTED.get(writer.kind, ()):
                yield Unreadable(path, f"may be {_a(writer)}, but {_a(reader)} is wanted")
            elif writer.logical and reader.logical:
                yield _meant(writer, reader, path)
            return
        if writer.name and not _is_named(writer, reader):
            yield Unreadable(path, f"is {writer}, but {reader} is wanted: rename it, or give it the alias")
            return
        if writer.logical and reader.logical:
            is_same = (writer.logical, writer.precision, writer.scale) == (
                reader.logical,
                reader.precision,
                reader.scale,
            )
            if not is_same:
                yield _meant(writer, reader, path)
                return
        if writer.kind == "fixed" and writer.size != reader.size:
            yield Unreadable(path, f"has {writer.size} bytes, but {reader.size} are wanted")
        elif writer.kind == "enum":
            if reader.default is None:
                strange = [symbol for symbol in writer.symbols if symbol not in reader.symbols]
                if strange:
                    yield Unreadable(path, f"may be {' or '.join(strange)}, which the enum no longer has")
        elif writer.kind == "record":
            yield from self._fields(writer, reader, path)
        elif writer.items is not None and reader.items is not None:
            step = "[]" if writer.kind == "array" else "*"
            yield from self.resolve(writer.items, reader.items, (*path, step))

    def _fields(self, writer: AvroType, reader: AvroType, path: Path) -> Iterator[Unreadable]:
        written = {one.name: one for one in writer.fields}
        for wanted in reader.fields:
            found = _written(written, wanted)
            if found is not None:
                yield from self.resolve(found.type, wanted.type, (*path, wanted.name))
            elif wanted.default is MISSING:
                yield Unreadable((*path, wanted.name), "is not written, and has no default")


def _written(written: Mapping[str, AvroField], wanted: AvroField) -> AvroField | None:
    return next((written[name] for name in (wanted.name, *wanted.aliases) if name in written), None)


def _is_named(writer: AvroType, reader: AvroType) -> bool:
    return writer.short_name == reader.short_name or writer.name in reader.aliases


def _meant(writer: AvroType, reader: AvroType, path: Path) -> Unreadable:
    return Unreadable(path, f"is {_a(_shown(writer))}, but is read as {_a(_shown(reader))}")


def _shown(kind: AvroType) -> str:
    if kind.logical == "decimal":
        return f"decimal of {kind.precision} digits, {kind.scale} of them decimals"
    return kind.logical or str(kind)


def _a(what: Any) -> str:
    text = str(what)
    if text == "null":
        return text
    return f"{'an' if text[0] in 'aeiou' and not text.startswith('union') else 'a'} {text}"


def canonical(kind: AvroType) -> Any:
    """Return what decides how bytes are laid out and what they mean: names, order, types; no docs, aliases, defaults.

    Two schemas that are equal in it read each other's data without either knowing the other.
    """
    seen: set[str] = set()

    def of(one: AvroType) -> Any:
        if one.name and one.name in seen:
            return one.name
        seen.add(one.name)
        logical = (one.logical, one.precision, one.scale)
        fields = tuple((field.name, of(field.type)) for field in one.fields)
        inner = of(one.items) if one.items is not None else tuple(map(of, one.branches))
        return one.kind, one.name, logical, fields, one.symbols, one.size, inner

    return of(kind)
