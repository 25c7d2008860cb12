"""Whether everything that one JSON Schema allows to be written is accepted by another: required fields, types, enums,
nullability, arrays and nesting. What these cannot tell is taken to fit.

A writer's schema says what is written: a field that is always there is required in it, whatever its default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from blueprints.compatible.verdict import Compatibility, Misfit

Schema = Mapping[str, Any]

_COMBINING = ("anyOf", "oneOf", "allOf", "$ref", "enum", "const")


def compare(writer: Schema, reader: Schema) -> Compatibility:
    """Return the fields that the writer may write and the reader refuses, and those that cannot be decided."""
    return Compatibility(tuple(_Comparison(writer, reader).compare(writer, reader, ())))


def misfits(writer: Schema, reader: Schema) -> tuple[Misfit, ...]:
    """Return the fields that the writer may write and the reader refuses; nothing when none is known."""
    return compare(writer, reader).misfits


class _Comparison:
    def __init__(self, writer: Schema, reader: Schema) -> None:
        self.writer, self.reader = writer, reader
        self.compared: set[tuple[int, int]] = set()

    def compare(self, writer: Any, reader: Any, path: tuple[str, ...]) -> Iterator[Misfit]:
        writer, reader = _followed(self.writer, writer), _followed(self.reader, reader)
        if not isinstance(writer, Mapping) or not isinstance(reader, Mapping) or not reader or not writer:
            if reader is False:
                yield _misfit(path, "is not accepted")
            return  # `true`, `{}` and what could not be followed say nothing
        pair = (id(writer), id(reader))
        if pair in self.compared:
            return  # a recursive model: being compared further up
        self.compared.add(pair)
        for alternative in _alternatives(self.writer, writer):
            yield from self._against_any(alternative, reader, path)

    def _against_any(self, writer: Schema, reader: Schema, path: tuple[str, ...]) -> Iterator[Misfit]:
        """Compare one alternative of the writer with those of the reader: one that accepts it is enough."""
        accepting = _alternatives(self.reader, reader)
        outcomes = []
        for alternative in accepting:
            before = set(self.compared)
            found = list(self._one(writer, alternative, path))
            if not found:
                return
            self.compared = before
            outcomes.append(found)
        if len(outcomes) == 1:
            yield from outcomes[0]
            return
        same_type = [
            found for found in outcomes if not any(m.path == path and " but " in m.reason for m in found)
        ]
        if len(same_type) == 1:
            yield from same_type[0]
        else:
            wanted = " or ".join(dict.fromkeys(_describe(alternative) for alternative in accepting))
            yield _misfit(path, f"may be {_describe(writer)}, but {wanted} is wanted")

    def _one(self, writer: Schema, reader: Schema, path: tuple[str, ...]) -> Iterator[Misfit]:
        if values := _values(reader):
            written = _values(writer)
            if written is None:
                if writer.get("type") == "null" and None not in values:
                    yield _misfit(path, f"may be null, but {_listed(values)} is wanted")
                elif not (writer.get("type") == "boolean" and True in values and False in values):
                    yield _misfit(
                        path, f"may be any {_describe(writer)[2:].strip()}, but {_listed(values)} is wanted"
                    )
                return
            strange = [value for value in written if not any(_same(value, known) for known in values)]
            if strange:
                yield _misfit(path, f"may be {_listed(strange)}, but {_listed(values)} is wanted")
            return
        types, wanted = _types(writer), _types(reader)
        if types and wanted and not types <= wanted | ({"integer"} if "number" in wanted else set()):
            yield _misfit(path, f"may be {_describe(writer)}, but {_describe(reader)} is wanted")
            return
        if "object" in types and (not wanted or "object" in wanted):
            yield from self._objects(writer, reader, path)
        if "array" in types and (not wanted or "array" in wanted):
            yield from self._arrays(writer, reader, path)

    def _objects(self, writer: Schema, reader: Schema, path: tuple[str, ...]) -> Iterator[Misfit]:
        written = writer.get("properties", {})
        accepted = reader.get("properties", {})
        required = set(writer.get("required", ()))
        is_open = writer.get("additionalProperties", True) is not False and not written
        for name in reader.get("required", ()):
            if name not in written:
                reason = "may be absent" if is_open else "is not written"
                yield _misfit((*path, name), f"is wanted, but {reason}")
            elif name not in required:
                yield _misfit((*path, name), "is wanted, but may be absent")
        rest = reader.get("additionalProperties", True)
        for name, schema in written.items():
            if name in accepted:
                yield from self.compare(schema, accepted[name], (*path, name))
            elif rest is False:
                yield _misfit((*path, name), "is written, but is not accepted")
            elif isinstance(rest, Mapping):
                yield from self.compare(schema, rest, (*path, name))
        more = writer.get("additionalProperties")
        if isinstance(more, Mapping) and isinstance(rest, Mapping):
            yield from self.compare(more, rest, (*path, "*"))

    def _arrays(self, writer: Schema, reader: Schema, path: tuple[str, ...]) -> Iterator[Misfit]:
        if "items" in writer and "items" in reader:
            yield from self.compare(writer["items"], reader["items"], (*path, "[]"))
        ours, theirs = writer.get("prefixItems", ()), reader.get("prefixItems", ())
        for index, (written, wanted) in enumerate(zip(ours, theirs, strict=False)):
            yield from self.compare(written, wanted, (*path, f"[{index}]"))


def _followed(root: Schema, schema: Any) -> Any:
    """Return what a chain of references leads to; an empty schema where it leads nowhere."""
    for _ in range(32):
        if not isinstance(schema, Mapping):
            return schema
        if len(schema.get("allOf", ())) == 1 and "properties" not in schema:
            schema = schema["allOf"][0]
        elif "$ref" in schema:
            target: Any = root
            for part in str(schema["$ref"]).removeprefix("#").split("/")[1:]:
                target = (
                    target.get(part.replace("~1", "/").replace("~0", "~"))
                    if isinstance(target, Mapping)
                    else None
                )
            schema = target
        else:
            return schema
    return {}


def _alternatives(root: Schema, schema: Schema) -> list[Schema]:
    """Return the alternatives of a schema, each with one type; a schema without any is its own."""
    found: list[Schema] = []
    for word in ("anyOf", "oneOf"):
        for branch in schema.get(word, ()):
            followed = _followed(root, branch)
            if isinstance(followed, Mapping):
                found += _alternatives(root, followed)
    if found:
        return found
    named = schema.get("type")
    if isinstance(named, Sequence) and not isinstance(named, str) and "enum" not in schema:
        return [{**schema, "type": name} for name in named]
    return [schema]


def _types(schema: Schema) -> set[str]:
    named = schema.get("type")
    if isinstance(named, str):
        return {named}
    if named:
        return set(named)
    if "properties" in schema:
        return {"object"}
    return {_type_of(value) for value in _values(schema) or ()}


def _type_of(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _values(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    return list(schema["enum"]) if "enum" in schema else None


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _listed(values: Sequence[Any]) -> str:
    shown = [repr(value) for value in values[:5]] + (["…"] if len(values) > 5 else [])
    return " or ".join(shown)


def _describe(schema: Schema) -> str:
    types = sorted(_types(schema))
    words = {"integer": "an integer", "object": "an object", "array": "a list", "null": "null"}
    return " or ".join(words.get(name, f"a {name}") for name in types) or "any value"


def _misfit(path: tuple[str, ...], reason: str) -> Misfit:
    return Misfit(path, reason, None)
