"""The tree of an expression, each node with its place in the text.

The engine parses; it hands its tree out in the wire format of Protobuf only (cel.expr.ParsedExpr), which is read here.
Macros come expanded into loops and are told apart again, because everything later thinks in what was written.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

MAX_LENGTH = 2_000  # characters; the parser refuses nesting by itself, this bounds what it is given

_ACCUMULATED = "@result"
Fields = Mapping[int, Sequence[Any]]


class Constant(NamedTuple):
    """A literal. `kind`: null, bool, int, uint, double, string or bytes."""

    at: int
    kind: str
    value: Any


class Name(NamedTuple):
    """A field, a variable of a macro, or a type's name."""

    at: int
    name: str


class Select(NamedTuple):
    """`operand.field`; `is_test`: it stands in has(). `at` is the dot, in has() a place near it."""

    at: int
    operand: Node
    field: str
    is_test: bool


class Call(NamedTuple):
    """A function, a method (`target`), or an operator under the engine's name, as `_&&_`."""

    at: int
    function: str
    target: Node | None
    args: tuple[Node, ...]


class ListOf(NamedTuple):
    """`[a, b]`."""

    at: int
    items: tuple[Node, ...]


class MapOf(NamedTuple):
    """`{key: value}`; with `name` a message, which no event holds."""

    at: int
    name: str
    entries: tuple[tuple[Node, Node], ...]


class Loop(NamedTuple):
    """`over.macro(variable, condition, body)`: all, exists, exists_one, filter or map; map alone may lack the former,
    the others lack the latter."""

    at: int
    macro: str
    variable: str
    over: Node
    condition: Node | None
    body: Node | None


Node = Constant | Name | Select | Call | ListOf | MapOf | Loop


def engine() -> Any:
    """Return the module of the engine."""
    # Its first environment takes 100 ms, most of it Protobuf's, which a blueprint without CEL does not pay.
    from cel_expr_python import cel

    return cel


@functools.cache
def _environment() -> Any:
    return engine().NewEnv(variables={})


def compiled(text: str) -> Any:
    """Return what evaluates a text, not checked. Raises: RuntimeError, in the engine's words, where it is no CEL.

    The engine's checker would refuse to compare numbers of two kinds, which it compares when it evaluates.
    """
    return _environment().compile(text, disable_check=True)


def parsed(text: str) -> Node:
    """Return the tree of a text. Raises: as `compiled` does."""
    serialized = compiled(text).serialize()
    document = _fields(_fields(serialized)[2][0])
    places: dict[int, int] = {}
    for entry in _fields(document[3][0]).get(4, ()):
        pair = _fields(entry)
        places[pair.get(1, (0,))[0]] = pair.get(2, (0,))[0]
    return _Reader(places).node(document[2][0])


def children(node: Node) -> Iterator[Node]:
    """Yield the nodes directly below a node, in the order of the text."""
    if isinstance(node, Select):
        yield node.operand
    elif isinstance(node, Call):
        if node.target is not None:
            yield node.target
        yield from node.args
    elif isinstance(node, ListOf):
        yield from node.items
    elif isinstance(node, MapOf):
        for key, value in node.entries:
            yield key
            yield value
    elif isinstance(node, Loop):
        yield node.over
        if node.condition is not None:
            yield node.condition
        if node.body is not None:
            yield node.body


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all below it."""
    yield node
    for child in children(node):
        yield from walk(child)


def _fields(raw: bytes) -> Fields:
    """Return the fields of a message by number: whole numbers, doubles as 8 bytes, everything else as bytes."""
    found: dict[int, list[Any]] = {}
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        value: Any
        if tag & 7 == 0:
            value, at = _varint(raw, at)
        elif tag & 7 == 1:
            value, at = raw[at : at + 8], at + 8
        else:
            size, at = _varint(raw, at)
            value, at = raw[at : at + size], at + size
        found.setdefault(tag >> 3, []).append(value)
    return found


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


class _Reader:
    def __init__(self, places: Mapping[int, int]) -> None:
        self._places = places

    def node(self, raw: bytes) -> Node:
        fields = _fields(raw)
        at = self._places.get(fields.get(2, (0,))[0], 0)
        for number, read in (
            (3, _constant), (4, _name), (5, self._select), (6, self._call), (7, self._list), (8, self._map),
            (9, self._loop),
        ):  # fmt: skip
            if number in fields:
                return read(at, _fields(fields[number][0]))
        return Constant(at, "null", None)

    def _select(self, at: int, fields: Fields) -> Node:
        return Select(at, self.node(fields[1][0]), _text(fields, 2), bool(fields.get(3, (0,))[0]))

    def _call(self, at: int, fields: Fields) -> Node:
        target = self.node(fields[1][0]) if 1 in fields else None
        return Call(at, _text(fields, 2), target, tuple(map(self.node, fields.get(3, ()))))

    def _list(self, at: int, fields: Fields) -> Node:
        return ListOf(at, tuple(map(self.node, fields.get(1, ()))))

    def _map(self, at: int, fields: Fields) -> Node:
        entries = [_fields(entry) for entry in fields.get(2, ())]
        pairs = [(self.node(e[3][0]), self.node(e[4][0])) for e in entries if 3 in e]
        return MapOf(at, _text(fields, 1), tuple(pairs))

    def _loop(self, at: int, fields: Fields) -> Node:
        variable, over = _text(fields, 1), self.node(fields[2][0])
        start, step = self.node(fields[4][0]), self.node(fields[6][0])
        assert isinstance(step, Call)
        if step.function in ("_&&_", "_||_"):
            macro = "all" if step.function == "_&&_" else "exists"
            return Loop(at, macro, variable, over, step.args[1], None)
        if isinstance(start, Constant):
            return Loop(at, "exists_one", variable, over, step.args[0], None)
        condition = None
        if step.function == "_?_:_":
            condition, added = step.args[0], step.args[1]
            assert isinstance(added, Call)
            step = added
        added_list = step.args[1]
        assert isinstance(added_list, ListOf)
        body = added_list.items[0]
        if condition is not None and isinstance(body, Name) and body.name == variable:
            return Loop(at, "filter", variable, over, condition, None)
        return Loop(at, "map", variable, over, condition, body)


def _constant(at: int, fields: Fields) -> Node:
    for number, kind in (
        (1, "null"), (2, "bool"), (3, "int"), (4, "uint"), (5, "double"), (6, "string"), (7, "bytes"),
    ):  # fmt: skip
        if number not in fields:
            continue
        value = fields[number][0]
        if kind == "null":
            value = None
        elif kind == "bool":
            value = bool(value)
        elif kind == "int":
            value = value - (1 << 64) if value >= 1 << 63 else value
        elif kind == "double":
            value = struct.unpack("<d", value)[0]
        elif kind == "string":
            value = value.decode("utf-8", "replace")
        return Constant(at, kind, value)
    return Constant(at, "null", None)


def _name(at: int, fields: Fields) -> Node:
    return Name(at, _text(fields, 1))


def _text(fields: Fields, number: int) -> str:
    return str(fields.get(number, (b"",))[0], "utf-8")
