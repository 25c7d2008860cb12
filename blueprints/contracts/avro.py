"""Avro schemas: a schema file's JSON as types, every name resolved and every default checked.

Read by ourselves because a message must say where in the schema it is wrong, and because an error must not wait for
a library that is not installed. What cannot have a value, or could have any number of them in no bytes, is refused.

Source: Apache Avro 1.12 specification; accepts what fastavro and Apache's own library accept (tests/blueprints).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from blueprints.suggest import did_you_mean

PRIMITIVES: Final = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
COMPLEX: Final = ("record", "enum", "array", "map", "fixed")
MAX_DEPTH: Final = 100  # levels of a schema; deeper ones are no one's, and would exhaust the reader's stack
MAX_PRECISION: Final = 1_000  # digits of a decimal; Python writes no number of more than 4,300 as text
MISSING: Final = object()
INT_RANGE: Final = (-(1 << 31), (1 << 31) - 1)
LONG_RANGE: Final = (-(1 << 63), (1 << 63) - 1)

_LOGICAL_ON: Final[Mapping[str, tuple[str, ...]]] = {
    "decimal": ("bytes", "fixed"),
    "uuid": ("string", "fixed"),
    "date": ("int",),
    "time-millis": ("int",),
    "time-micros": ("long",),
    "timestamp-millis": ("long",),
    "timestamp-micros": ("long",),
    "timestamp-nanos": ("long",),
    "local-timestamp-millis": ("long",),
    "local-timestamp-micros": ("long",),
    "local-timestamp-nanos": ("long",),
}
"""Logical types that mean something here; by the specification any other is its underlying type."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class SchemaError(ValueError):
    """A schema is wrong. The text says where in it, and what."""


@dataclass(eq=False, slots=True)
class AvroField:
    """A field of a record. `default` is the schema's JSON, or MISSING."""

    name: str
    type: AvroType
    default: Any = MISSING
    aliases: tuple[str, ...] = ()
    doc: str = ""


@dataclass(eq=False, slots=True)
class AvroType:
    """A type. `kind` is Avro's word; `name` the full name of a record, enum or fixed; `items` of arrays and maps."""

    kind: str
    logical: str = ""
    precision: int = 0
    scale: int = 0
    name: str = ""
    aliases: tuple[str, ...] = ()
    doc: str = ""
    fields: tuple[AvroField, ...] = ()
    symbols: tuple[str, ...] = ()
    default: str | None = None
    size: int = 0
    items: AvroType | None = None
    branches: tuple[AvroType, ...] = ()

    @property
    def short_name(self) -> str:
        """The name without its namespace."""
        return self.name.rpartition(".")[2]

    def __str__(self) -> str:
        if self.kind == "union":
            return " or ".join(map(str, self.branches))
        shown = f"{self.kind} '{self.short_name}'" if self.name else self.kind
        return f"{shown} ({self.logical})" if self.logical else shown

    @property
    def within(self) -> tuple[AvroType, ...]:
        """The types that a value of this one is made of."""
        inner = (self.items,) if self.items is not None else self.branches
        return inner or tuple(one.type for one in self.fields)


def all_types(root: AvroType) -> Iterator[AvroType]:
    """Yield the types of a schema, each once, as they are first met."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        found = waiting.pop()
        if id(found) not in seen:
            seen.add(id(found))
            yield found
            waiting += reversed(found.within)


def parse_avro(schema: Any) -> AvroType:
    """Return the type of a schema's JSON value. Raises: SchemaError."""
    root = _Parser().parse(schema, "", "the schema", 0)
    records = [found for found in all_types(root) if found.kind == "record"]
    _refuse_endless(records)
    _refuse_free_items(root, records)
    return root


@dataclass
class _Parser:
    known: dict[str, AvroType] = field(default_factory=dict)

    def parse(self, schema: Any, namespace: str, where: str, depth: int) -> AvroType:
        if depth > MAX_DEPTH:
            raise SchemaError(f"{where}: nested deeper than {MAX_DEPTH} levels")
        if isinstance(schema, str):
            return self._by_name(schema, namespace, where)
        if isinstance(schema, list):
            return self._union(schema, namespace, where, depth)
        if not isinstance(schema, dict):
            raise SchemaError(f"{where}: {_json_word(schema)} is no type: a name, a list or an object is")
        kind = schema.get("type")
        if kind is None:
            raise SchemaError(f"{where}: 'type' is missing")
        if not isinstance(kind, str):
            return self.parse(
                kind, namespace, where, depth + 1
            )  # {"type": {"type": …}}, as many tools write it
        if kind in COMPLEX:
            return self._complex(kind, schema, namespace, where, depth)
        if kind in PRIMITIVES:
            return self._logical(AvroType(kind), schema, where)
        return self._by_name(kind, namespace, where)

    def _by_name(self, name: str, namespace: str, where: str) -> AvroType:
        if name in PRIMITIVES:
            return AvroType(name)
        full = name if "." in name or not namespace else f"{namespace}.{name}"
        found = self.known.get(full)
        if found is None:
            hint = did_you_mean(name, [*PRIMITIVES, *self.known, *(n.rpartition(".")[2] for n in self.known)])
            if name in COMPLEX:
                hint = f'; write it as an object: {{"type": "{name}", …}}'
            raise SchemaError(f"{where}: there is no type '{name}'{hint or ' defined before it'}")
        return found

    def _union(self, schema: list[Any], namespace: str, where: str, depth: int) -> AvroType:
        if not schema:
            raise SchemaError(f"{where}: a union without types")
        branches: list[AvroType] = []
        seen: set[str] = set()
        for one in schema:
            branch = self.parse(one, namespace, where, depth + 1)
            if branch.kind == "union":
                raise SchemaError(f"{where}: a union in a union")
            if (label := branch.name or branch.kind) in seen:
                raise SchemaError(f"{where}: '{label}' is twice in a union")
            seen.add(label)
            branches.append(branch)
        return AvroType("union", branches=tuple(branches))

    def _complex(
        self, kind: str, schema: Mapping[str, Any], namespace: str, where: str, depth: int
    ) -> AvroType:
        if kind in ("array", "map"):
            inner = "items" if kind == "array" else "values"
            if inner not in schema:
                raise SchemaError(f"{where}: {kind} without '{inner}'")
            below = f"{where}, the {inner} of a {kind}".replace("a array", "an array")
            return AvroType(kind, items=self.parse(schema[inner], namespace, below, depth + 1))
        made, namespace = self._named(kind, schema, namespace, where)
        what = f"{kind} '{made.short_name}'"
        if kind == "record":
            made.fields = tuple(self._fields(schema.get("fields"), namespace, what, depth))
        elif kind == "enum":
            made.symbols = _symbols(schema.get("symbols"), what)
            made.default = schema.get("default")
            if made.default is not None and made.default not in made.symbols:
                raise SchemaError(f"{what}: its default is none of its symbols")
        else:
            size = schema.get("size")
            if not isinstance(size, int) or isinstance(size, bool) or size < 0:
                raise SchemaError(f"{what}: 'size' must be a number of bytes")
            made.size = size
            self._logical(made, schema, what)
        return made

    def _named(
        self, kind: str, schema: Mapping[str, Any], namespace: str, where: str
    ) -> tuple[AvroType, str]:
        """Return the new type, known by its name from here on, and the namespace inside it."""
        name = schema.get("name")
        if not isinstance(name, str) or not all(map(_NAME.fullmatch, name.split("."))):
            wrong = "without a name" if name is None else "whose name is no Avro name (letters, digits and _)"
            raise SchemaError(f"{where}: {kind} {wrong}")
        if "." in name:
            namespace = name.rpartition(".")[0]
        elif "namespace" in schema:
            given = schema["namespace"]
            namespace = given if isinstance(given, str) else ""
            if namespace and not all(map(_NAME.fullmatch, namespace.split("."))):
                raise SchemaError(f"{where}: the namespace of {kind} '{name}' is no Avro name")
        short = name.rpartition(".")[2]
        full = f"{namespace}.{short}" if namespace else short
        if short in PRIMITIVES:
            raise SchemaError(f"{where}: '{short}' is Avro's own name and cannot name a {kind}")
        if full in self.known:
            raise SchemaError(f"{where}: '{full}' is defined twice")
        aliases = tuple(
            one if "." in one or not namespace else f"{namespace}.{one}" for one in _names(schema, "aliases")
        )
        made = AvroType(kind, name=full, aliases=aliases, doc=_doc(schema))
        self.known[full] = made
        return made, namespace

    def _fields(self, fields: Any, namespace: str, what: str, depth: int) -> Iterator[AvroField]:
        if not isinstance(fields, list):
            raise SchemaError(f"{what}: 'fields' must be a list")
        seen: set[str] = set()
        for number, one in enumerate(fields):
            name = one.get("name") if isinstance(one, dict) else None
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise SchemaError(f"{what}: field number {number + 1} has no name that Avro allows")
            where = f"{what}, field '{name}'"
            if name in seen:
                raise SchemaError(f"{where}: there are two fields of this name")
            seen.add(name)
            if "type" not in one:
                raise SchemaError(f"{where}: 'type' is missing")
            kind = self.parse(one["type"], namespace, where, depth + 1)
            default = one.get("default", MISSING)
            if default is not MISSING and default_problem(kind, default):
                raise SchemaError(f"{where}: its default {default_problem(kind, default)}")
            yield AvroField(name, kind, default, tuple(_names(one, "aliases")), _doc(one))

    def _logical(self, made: AvroType, schema: Mapping[str, Any], where: str) -> AvroType:
        logical = schema.get("logicalType")
        if not isinstance(logical, str) or made.kind not in _LOGICAL_ON.get(logical, ()):
            return made
        if logical == "uuid" and made.kind == "fixed" and made.size != 16:
            return made
        if logical == "decimal":
            precision, scale = schema.get("precision"), schema.get("scale", 0)
            if type(precision) is not int or not 1 <= precision <= MAX_PRECISION:
                raise SchemaError(f"{where}: a decimal needs a 'precision' from 1 to {MAX_PRECISION}")
            if type(scale) is not int or not 0 <= scale <= precision:
                raise SchemaError(f"{where}: the 'scale' of a decimal is from 0 to its precision")
            if made.kind == "fixed" and precision > len(str((1 << max(0, 8 * made.size - 1)) - 1)) - 1:
                raise SchemaError(f"{where}: {precision} digits do not fit in {made.size} bytes")
            made.precision, made.scale = precision, scale
        made.logical = logical
        return made


def default_problem(kind: AvroType, default: Any) -> str:
    """Return why a default's JSON is none of its type, or nothing."""
    if kind.kind == "union":
        problems = [default_problem(branch, default) for branch in kind.branches]
        return "" if not all(problems) else f"is none of {kind}"
    fits = _fits(kind, default)
    if fits is None:
        assert kind.items is not None or kind.kind == "record"
        if kind.kind == "record":
            for one in kind.fields:
                if one.name not in default and one.default is MISSING:
                    return f"lacks the field '{one.name}'"
                if one.name in default and (problem := default_problem(one.type, default[one.name])):
                    return f"{problem} in '{one.name}'"
            return ""
        assert kind.items is not None
        parts = default.values() if isinstance(default, dict) else default
        return next(filter(None, (default_problem(kind.items, part) for part in parts)), "")
    return "" if fits else f"is no {kind}"


def _fits(kind: AvroType, default: Any) -> bool | None:
    """Return whether a default fits; None where it depends on its parts."""
    word = kind.kind
    if word in ("record", "map"):
        return None if isinstance(default, dict) else False
    if word == "array":
        return None if isinstance(default, list) else False
    if word in ("int", "long"):
        low, high = INT_RANGE if word == "int" else LONG_RANGE
        return type(default) is int and low <= default <= high
    if word in ("float", "double"):
        return type(default) in (int, float) and -1.8e308 < default < 1.8e308
    if word in ("bytes", "fixed"):
        is_bytes = isinstance(default, str) and all(ord(char) < 256 for char in default)
        return is_bytes and (word == "bytes" or len(default) == kind.size)
    if word == "enum":
        return default in kind.symbols
    return isinstance(default, {"null": type(None), "boolean": bool, "string": str}[word])


def _symbols(symbols: Any, what: str) -> tuple[str, ...]:
    if not isinstance(symbols, list) or not symbols:
        raise SchemaError(f"{what}: 'symbols' must be a list of names")
    for symbol in symbols:
        if not isinstance(symbol, str) or not _NAME.fullmatch(symbol):
            raise SchemaError(f"{what}: a symbol is no Avro name (letters, digits and _)")
    if len(set(symbols)) < len(symbols):
        raise SchemaError(f"{what}: a symbol is there twice")
    return tuple(symbols)


def _names(schema: Mapping[str, Any], word: str) -> list[str]:
    found = schema.get(word)
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _doc(schema: Mapping[str, Any]) -> str:
    doc = schema.get("doc")
    return doc if isinstance(doc, str) else ""


def _json_word(value: Any) -> str:
    return {type(None): "null", bool: "a boolean"}.get(type(value), "a number")


def _refuse_endless(records: list[AvroType]) -> None:
    """Refuse records that hold another of themselves in every value, and that another, for ever."""
    finite: set[int] = set()

    def ends(kind: AvroType) -> bool:
        if kind.kind == "union":
            return any(map(ends, kind.branches))
        return kind.kind != "record" or id(kind) in finite

    while grown := [r for r in records if id(r) not in finite and all(ends(one.type) for one in r.fields)]:
        finite.update(map(id, grown))
    for found in records:
        if id(found) not in finite:
            raise SchemaError(f"record '{found.short_name}' contains itself without an end: make it nullable")


def _refuse_free_items(root: AvroType, records: list[AvroType]) -> None:
    """Refuse lists of what takes no bytes: a few bytes could then claim any number of items."""
    free: set[int] = set()

    def is_free(kind: AvroType) -> bool:
        return kind.kind == "null" or (kind.kind == "fixed" and kind.size == 0) or id(kind) in free

    while grown := [r for r in records if id(r) not in free and all(is_free(one.type) for one in r.fields)]:
        free.update(map(id, grown))
    for found in all_types(root):
        if found.kind == "array" and found.items is not None and is_free(found.items):
            raise SchemaError(f"an array of {found.items}, which takes no bytes, is not supported")
