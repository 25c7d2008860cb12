"""An expression as the engine checks it: every path is written as a variable of the type that its contract gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from blueprints.cel.known import Knowledge
from blueprints.cel.tree import Call, Constant, ListOf, Loop, MapOf, Name, Node, Select
from blueprints.field_types import FieldType

MAX_DEPTH: Final = 3  # lists in lists; deeper they are checked when they are evaluated

_TYPES: Final = {"boolean": "Bool", "integer": "Int64", "number": "Double", "string": "String"}
_PRECEDENCE: Final = {
    "_?_:_": 1, "_||_": 2, "_&&_": 3, "_==_": 4, "_!=_": 4, "_<_": 4, "_<=_": 4, "_>_": 4, "_>=_": 4, "@in": 4,
    "_+_": 5, "_-_": 5, "_*_": 6, "_/_": 6, "_%_": 6, "!_": 7, "-_": 7,
}  # fmt: skip
_PRIMARY: Final = 8
_LITERALS: Final = {
    "null": "null", "bool": "true", "int": "1", "uint": "1u", "double": "1.0", "string": "'s'", "bytes": "b's'",
}  # fmt: skip


class CheckedText:
    """An expression as the engine checks it: pieces of text, the node of each place that it may complain of."""

    def __init__(self, knowledge: Knowledge, loose: Mapping[int, str]) -> None:
        """`loose`: nodes whose operands are wrapped, by identity, with the function that does it."""
        self._knowledge, self._loose = knowledge, loose
        self.pieces: list[str] = []
        self.nodes: dict[int, Node] = {}
        self.indexes: list[Call] = []
        self._length = 0
        self._variables: dict[str, str] = {}
        self._loops: dict[str, str] = {}

    def types(self, cel: Any) -> dict[str, Any]:
        """Return the variables with their types."""
        return {name: _made(cel, kind) for kind, name in self._variables.items()}

    def _put(self, piece: str, node: Node | None = None) -> None:
        if node is not None:
            self.nodes[self._length] = node
        self.pieces.append(piece)
        self._length += len(piece)

    def _variable(self, kind: str) -> str:
        return self._variables.setdefault(kind, f"v{len(self._variables)}")

    def write(self, node: Node, least: int = 0) -> None:
        """Write a node; in brackets where it binds less than `least`."""
        known = self._knowledge.of(node)
        if isinstance(node, Select) and node.is_test and (known is not None or node.operand is None):
            self._put("true")
        elif known is not None and not isinstance(node, Loop):
            self._collect_indexes(node)
            self._put(self._variable(kind_of(known.type)), node)
        elif isinstance(node, Constant):
            self._put(_LITERALS[node.kind], node)
        elif isinstance(node, Name):
            self._put(self._loops.get(node.name, node.name), node)
        elif isinstance(node, Select):
            if node.is_test:
                self._put("has(")
            self.write(node.operand, _PRIMARY)
            self._put(".", node)
            self._put(f"{node.field})" if node.is_test else node.field)
        elif isinstance(node, ListOf):
            self._put("[", node)
            self._separated(node.items)
            self._put("]")
        elif isinstance(node, MapOf):
            self._put("{", node)
            for at, (key, value) in enumerate(node.entries):
                self._put(", " if at else "")
                self.write(key)
                self._put(": ")
                self.write(value)
            self._put("}")
        elif isinstance(node, Loop):
            self._loop(node)
        else:
            precedence = _PRECEDENCE.get(node.function, _PRIMARY)
            if precedence < least:
                self._put("(")
            self._call(node, precedence)
            if precedence < least:
                self._put(")")

    def _collect_indexes(self, node: Node) -> None:
        """Keep what stands in the brackets of a path, which one variable is written for."""
        while isinstance(node, Select | Call):
            if isinstance(node, Call):
                if self._knowledge.of(node) is None:
                    return
                if not isinstance(node.args[1], Constant):
                    self.indexes.append(node)
                node = node.args[0]
            else:
                node = node.operand

    def _loop(self, node: Loop) -> None:
        self.write(node.over, _PRIMARY)
        self._put(".")
        self._put(node.macro)
        self._put("(", node)
        before = self._loops.get(node.variable)
        self._loops[node.variable] = f"i{len(self.nodes)}"
        self._put(self._loops[node.variable])
        for part in (node.condition, node.body):
            if part is not None:
                self._put(", ")
                self.write(part)
        self._put(")")
        if before is None:
            del self._loops[node.variable]
        else:
            self._loops[node.variable] = before

    def _call(self, node: Call, precedence: int) -> None:
        function, args = node.function, node.args
        wrapper = self._loose.get(id(node), "")
        if function == "_?_:_":
            self.write(args[0], precedence + 1)
            self._put(" ")
            self._put("? ", node)
            self._operand(args[1], precedence + 1, wrapper)
            self._put(" : ")
            self._operand(args[2], precedence, wrapper)
        elif function == "_[_]":
            self.write(args[0], _PRIMARY)
            self._put("[", node)
            self.write(args[1])
            self._put("]")
        elif function in ("!_", "-_"):
            self._put(function[0], node)
            self.write(args[0], precedence + 1)
        elif precedence < _PRIMARY:
            # Chains of the logical operators come as a balanced tree: brackets would only add depth.
            is_chain = function in ("_&&_", "_||_")
            self._operand(args[0], precedence, wrapper)
            self._put(" ")
            self._put("in " if function == "@in" else f"{function.strip('_')} ", node)
            self.write(args[1], precedence if is_chain else precedence + 1)
        else:
            if node.target is not None:
                self.write(node.target, _PRIMARY)
                self._put(".")
            self._put(function)
            self._put("(", node)
            self._separated(args)
            self._put(")")

    def _operand(self, node: Node, least: int, wrapper: str) -> None:
        if wrapper:
            self._put(f"{wrapper}(")
            self.write(node)
            self._put(")")
        else:
            self.write(node, least)

    def _separated(self, nodes: Sequence[Node]) -> None:
        for at, node in enumerate(nodes):
            self._put(", " if at else "")
            self.write(node)


def kind_of(given: FieldType, depth: int = 0) -> str:
    """Return the engine's type of what a contract says of a value, as the name of one of `_made`'s."""
    core = given.core
    if not core:
        return "null" if given.is_nullable and given.kinds else "dyn"
    if core == {"integer", "number"}:
        core = frozenset({"number"})
    if len(core) > 1:
        return "dyn"
    (kind,) = core
    if kind in _TYPES:
        return f"{kind}?" if given.is_nullable else kind
    if given.is_nullable or depth >= MAX_DEPTH:
        return "dyn"
    return f"array {kind_of(given.item(), depth + 1)}" if kind == "array" else "object"


def _made(cel: Any, kind: str) -> Any:
    kinds = cel.Type
    if kind.startswith("array "):
        return kinds.List(_made(cel, kind.removeprefix("array ")))
    if kind.endswith("?"):  # the engine's wrappers are a value or null
        return kinds(f"google.protobuf.{_TYPES[kind[:-1]]}Value")
    return {
        "boolean": kinds.BOOL, "integer": kinds.INT, "number": kinds.DOUBLE, "string": kinds.STRING,
        "null": kinds.NULL, "object": kinds.Map(kinds.STRING, kinds.DYN),
    }.get(kind, kinds.DYN)  # fmt: skip
