"""Types: an expression held against what is known of the data, by the engine's own checker.

The engine checks a text in which every path is a variable of the path's type, because it has no types for objects that
are not Protobuf messages; what it says is brought back to the places of the expression. Numbers of different kinds may
be compared, as the engine compares them when it evaluates; everything else is as strict as CEL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from blueprints.cel.data import SCALARS, WANTED, Data, Fault, Gives, unwanted_kind
from blueprints.cel.functions import FUNCTIONS, METHODS, name_at, problems
from blueprints.cel.guards import Guards
from blueprints.cel.known import Knowledge
from blueprints.cel.syntax import explained, place_of
from blueprints.cel.tree import (
    MAX_LENGTH,
    Call,
    Constant,
    ListOf,
    Loop,
    MapOf,
    Name,
    Node,
    Select,
    engine,
    parsed,
    walk,
)
from blueprints.field_types import FieldType
from blueprints.suggest import did_you_mean

MAX_DEPTH: Final = 3  # lists in lists; deeper they are checked when they are evaluated
MAX_ROUNDS: Final = (
    8  # each takes at least one complaint away; more are never needed by an expression that is read
)

_TYPES: Final = {"boolean": "Bool", "integer": "Int64", "number": "Double", "string": "String"}
_PRECEDENCE: Final = {
    "_?_:_": 1, "_||_": 2, "_&&_": 3, "_==_": 4, "_!=_": 4, "_<_": 4, "_<=_": 4, "_>_": 4, "_>=_": 4, "@in": 4,
    "_+_": 5, "_-_": 5, "_*_": 6, "_/_": 6, "_%_": 6, "!_": 7, "-_": 7,
}  # fmt: skip
_PRIMARY: Final = 8
_EQUALITY: Final = ("_==_", "_!=_")
_COMPARISONS: Final = (*_EQUALITY, "_<_", "_<=_", "_>_", "_>=_")
_PLURALS: Final = {"string": "text", "int": "whole numbers", "double": "numbers", "bool": "truths"}
_LITERALS: Final = {
    "null": "null", "bool": "true", "int": "1", "uint": "1u", "double": "1.0", "string": "'s'", "bytes": "b's'",
}  # fmt: skip
_VERBS: Final = {
    "+": ("add", "and"), "-": ("subtract", "from"), "*": ("multiply", "by"), "/": ("divide", "by"),
    "%": ("divide", "by"), "in": ("find", "in"), **dict.fromkeys(("<", "<=", ">", ">="), ("compare", "with")),
}  # fmt: skip
_WORDS: Final = {
    "string": "text", "int": "a whole number", "uint": "an unsigned number", "double": "a number",
    "bool": "true or false", "null_type": "null", "bytes": "bytes", "dyn": "anything", "timestamp": "a time",
    "google.protobuf.Timestamp": "a time", "google.protobuf.Duration": "a duration", "duration": "a duration",
}  # fmt: skip


def faults(
    text: str,
    data: Sequence[Data],
    gives: Gives,
    *,
    has_attributes: bool = True,
    then: str = "",
    takes_null: bool = False,
) -> list[Fault]:
    """Return what is wrong with an expression over data, in the order of the text; the same for several data once.

    Without data, nothing is known of the fields. `then`: what becomes of an event whose field is absent or null;
    `takes_null`: a null that it gives is of use.
    """
    if len(text) > MAX_LENGTH:
        return [Fault(0, 1, "bad-expression", f"an expression has at most {MAX_LENGTH:,} characters")]
    try:
        tree = parsed(text)
    except RuntimeError as exc:
        at, length, message = explained(text, str(exc))
        return [Fault(at, length, "bad-expression", message)]
    found = [Fault(*problem[:2], "bad-expression", problem.message) for problem in problems(text, tree)]
    for one in data or [Data()]:
        found += _Check(text, tree, one, has_attributes).faults(gives, then, takes_null)
    return sorted(dict.fromkeys(found))


class _Check:
    def __init__(self, text: str, tree: Node, data: Data, has_attributes: bool) -> None:
        self._text, self._tree, self._data = text, tree, data
        self._knowledge = Knowledge(text, data, has_attributes)
        self._knowledge.learn(tree, {})
        self._loose: dict[int, str] = {}

    def faults(self, gives: Gives, then: str, takes_null: bool) -> list[Fault]:
        knowledge = self._knowledge
        found = list(knowledge.faults)
        if knowledge.is_misread:
            return found
        found += self._type_faults(self._tree, gives)
        found += self._strange_words()
        if self._data.is_certain and not any(fault.severity == "error" for fault in found):
            guards = Guards(knowledge, then)
            guards.visit(self._tree, takes_null=takes_null)
            found += guards.faults
        return found

    # --- the engine's checker

    def _type_faults(self, tree: Node, gives: Gives) -> list[Fault]:
        found, result = self._checked(tree)
        if result is not None and gives != "any":
            found += self._result_faults(tree, result, gives)
        return found

    def _checked(self, tree: Node) -> tuple[list[Fault], str | None]:
        """Return what the engine's checker says of a tree, and the type of its result, or None where it is wrong."""
        cel = engine()
        found: list[Fault] = []
        result = text = None
        for _ in range(MAX_ROUNDS):
            text = _Text(self._knowledge, self._loose)
            text.write(tree)
            written, found, n_loose = "".join(text.pieces), [], len(self._loose)
            try:
                result = cel.NewEnv(variables=text.types(cel)).compile(written).return_type().name()
                break
            except RuntimeError as exc:
                for line in str(exc).split("\n"):
                    fault = self._complaint(line, written, text.nodes)
                    if fault is not None:
                        found.append(fault)
            if len(self._loose) == n_loose:
                break
        for index in text.indexes if text is not None else ():
            found += self._index_faults(index)
        return found, result

    def _complaint(self, line: str, written: str, nodes: dict[int, Node]) -> Fault | None:
        place = place_of(written, line)
        if place is None:
            return None
        node = nodes.get(place[0])
        if node is None or "undeclared reference" in place[1]:
            return None  # functions are told already
        overload = _OVERLOAD.search(place[1])
        if overload is not None and "*error*" in overload[2]:
            return None  # of a part that is told already
        if overload is not None and isinstance(node, Call):
            wrapper = self._loosened(node, _types_of(overload[2]))
            if wrapper:
                self._loose[id(node)] = wrapper
                return None
        message = _overloaded(node, place[1])
        if not message:
            return None
        if isinstance(node, Call) and node.function in (*METHODS, *FUNCTIONS):
            return Fault(name_at(self._text, node), len(node.function), "bad-expression", message)
        return Fault(node.at, _length(node), "bad-expression", message)

    def _loosened(self, node: Call, types: list[str]) -> str:
        """Return what makes the checker take what the engine evaluates: numbers of two kinds, and null, compared.

        Branches of two kinds of numbers are numbers, but only where that makes no difference to what is done with them.
        """
        if id(node) in self._loose:
            return ""
        if node.function in _COMPARISONS and len(types) == 2:
            is_null = node.function in _EQUALITY and "null_type" in types
            return "dyn" if is_null or _numeric(types[0]) == _numeric(types[1]) else ""
        if node.function == "@in" and len(types) == 2:
            return "dyn" if f"list({_numeric(types[0])})" == _numeric(types[1]) else ""
        if node.function == "_?_:_" and len(types) == 3 and _bare(types[0]) in ("bool", "dyn"):
            parent = self._knowledge.parents.get(id(node))
            is_compared = isinstance(parent, Call) and parent.function in (*_COMPARISONS, "@in", "_?_:_")
            if parent is not None and not is_compared:
                return ""
            if "null_type" in types[1:]:
                return "dyn"
            return "double" if {_numeric(kind) for kind in types[1:]} == {"number"} else ""
        return ""

    def _index_faults(self, node: Call) -> list[Fault]:
        """Return what is wrong with the index of a path, which the path's variable stands for."""
        over, index = self._knowledge.of(node.args[0]), node.args[1]
        is_list = over is not None and over.type.core == {"array"}
        found, given = self._checked(index)
        if given is None or given in ("DYN", *(("INT", "UINT") if is_list else ("STRING",))):
            return found
        asked = "an item of a list is asked by a whole number" if is_list else "a field is asked by text"
        return [*found, Fault(node.at, 1, "bad-expression", f"{asked}, not by {_result_told(given)}")]

    def _result_faults(self, tree: Node, result: str, gives: Gives) -> list[Fault]:
        wanted, told = WANTED[gives]
        known = self._knowledge.of(tree)
        if known is not None and known.type.core:
            unwanted = unwanted_kind(known.told, known.type, gives)
            return [Fault(0, len(self._text), "bad-expression", unwanted)] if unwanted else []
        inner = re.match(r"LIST<(.*)>$", result)
        if inner is not None and "LIST" in wanted and inner[1] in {*SCALARS, "DYN"}:
            return []
        if (
            result == "DYN"
            and isinstance(tree, Call)
            and self._loose.get(id(tree)) == "dyn"
            and len(tree.args) == 3
        ):
            # One branch is null, and does not tell what the other is.
            branches = [branch for branch in tree.args[1:] if not _is_null(branch)]
            return [fault for branch in branches for fault in self._type_faults(branch, gives)]
        if result == "DYN" or result in wanted:
            return []
        message = f"it gives {_result_told(result)}, but {told} is wanted"
        return [Fault(0, len(self._text), "bad-expression", message)]

    # --- words that a field never has

    def _strange_words(self) -> list[Fault]:
        found = []
        for node in walk(self._tree):
            if not isinstance(node, Call) or node.function not in (*_EQUALITY, "@in"):
                continue
            one, other = node.args
            if node.function == "@in":
                asked, words = one, other.items if isinstance(other, ListOf) else ()
            else:
                asked, words = (one, (other,)) if isinstance(other, Constant) else (other, (one,))
            known = self._knowledge.of(asked)
            values = known.type.values if known is not None else None
            if known is None or values is None or not all(isinstance(value, str) for value in values):
                continue
            for word in words:
                if not isinstance(word, Constant) or word.kind != "string" or word.value in values:
                    continue
                hint = did_you_mean(word.value, values) or f"; it is {_one_of(values)}"
                message = f"'{known.told}' is never '{word.value}'{hint}"
                found.append(Fault(word.at, len(word.value) + 2, "bad-expression", message, "warning"))
        return found


_OVERLOAD = re.compile(r"found no matching overload for '([^']*)' applied to '(.*)'")


class _Text:
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


def _length(node: Node) -> int:
    if isinstance(node, Call):
        return {"@in": 2, "_?_:_": 1, "_[_]": 1}.get(node.function, len(node.function.strip("_")) or 1)
    return 1


def _types_of(applied: str) -> list[str]:
    """Return the types in `(list(int), map(string, dyn))`."""
    found, depth = [""], 0
    for char in applied[1:-1]:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            found.append("")
        else:
            found[-1] += char
    return [one.strip() for one in found if one.strip()]


def _bare(kind: str) -> str:
    return kind.removeprefix("wrapper(").removesuffix(")") if kind.startswith("wrapper(") else kind


def _numeric(kind: str) -> str:
    """Return a type with every kind of number, and null beside it, taken for one."""
    kind = re.sub(r"wrapper\((\w+)\)", r"\1", kind)
    return re.sub(r"\b(int|uint|double)\b", "number", kind)


def _told(kind: str) -> str:
    bare = _bare(kind)
    if bare != kind:
        return f"{_told(bare)} or null"
    if kind.startswith("list("):
        inner = _bare(kind.removeprefix("list(").removesuffix(")"))
        return f"a list of {_PLURALS[inner]}" if inner in _PLURALS else "a list"
    if kind.startswith("map("):
        return "an object"
    return _WORDS.get(kind, "a type" if kind.startswith("type") else "a value")


def _result_told(result: str) -> str:
    head = result.partition("<")[0]
    return _told(
        {"LIST": "list(", "MAP": "map(", "NULL": "null_type", "TYPE": "type"}.get(head, head.lower())
    )


def _overloaded(node: Node, reason: str) -> str:
    """Return the engine's complaint about types in our words; nothing where it is about something else."""
    found = _OVERLOAD.search(reason)
    if found is None:
        if "cannot be the operand of a select operation" in reason:
            kind = re.search(r"type '(.*?)'", reason)
            return f"{_told(kind[1]) if kind else 'this'} has no fields"
        if "range of comprehension" in reason or "expression of type" in reason:
            kind = re.search(r"type '(.*?)'", reason)
            return f"{_told(kind[1]) if kind else 'this'} is no list" if kind else ""
        return ""
    function, types = found[1], _types_of(found[2])
    told = [_told(kind) for kind in types]
    sign = {"@in": "in", "_[_]": "[ ]", "_?_:_": "? :"}.get(function, function.strip("_"))
    if function == "_?_:_" and len(told) == 3:
        if _bare(types[0]) not in ("bool", "dyn"):
            return f"the condition before '?' is {told[0]}, but true or false is wanted"
        return f"one branch is {told[1]}, the other {told[2]}; both have to be the same{_number_hint(node, types[1:])}"
    if function in _EQUALITY and len(told) == 2:
        return f"{told[0]} is never equal to {told[1]}{_equality_hint(node, types)}"
    if function in ("_&&_", "_||_"):
        wrong = next((one for kind, one in zip(types, told) if _bare(kind) not in ("bool", "dyn")), told[0])
        return f"'{sign}' joins what is true or false, not {wrong}"
    if function == "!_":
        return f"'!' is put before what is true or false, not before {told[0]}"
    if len(told) == 2 and set(map(_bare, types)) == {"int", "double"} and sign in "+-*/":
        return f"'{sign}' wants whole numbers on both sides, or none{_number_hint(node, types)}"
    if sign == "%" and "double" in map(_bare, types):
        return "'%' is for whole numbers; write int(x) % n"
    if len(told) == 2 and sign in _VERBS:
        verb, between = _VERBS[sign]
        one, other = (told[1], told[0]) if sign == "-" else (told[0], told[1])
        return f"'{sign}' cannot {verb} {one} {between} {other}{_number_hint(node, types)}{_chain_hint(node)}"
    if sign == "-":
        return f"'-' is put before numbers, not before {told[0]}"
    if sign in METHODS or sign in FUNCTIONS:
        usage = (
            METHODS[sign][1]
            if isinstance(node, Call) and node.target is not None
            else FUNCTIONS.get(sign, ("", sign))[1]
        )
        return f"{usage} cannot be used with {' and '.join(told)}"
    return f"{sign} does not take {' and '.join(told) or 'nothing'}"


def _chain_hint(node: Node) -> str:
    if isinstance(node, Call) and any(
        isinstance(a, Call) and a.function in _COMPARISONS[2:] for a in node.args
    ):
        return "; write a < b && b < c"
    return ""


def _is_null(node: Node) -> bool:
    return isinstance(node, Constant) and node.kind == "null"


def _one_of(values: Sequence[Any]) -> str:
    told = [f"'{value}'" for value in values[:8]] + (["…"] if len(values) > 8 else [])
    return told[0] if len(told) == 1 else f"one of {', '.join(told)}"


def _number_hint(node: Node, types: list[str]) -> str:
    """Return what makes the kinds of two numbers, or text and a number, the same."""
    kinds = [_bare(kind) for kind in types]
    if not isinstance(node, Call) or len(kinds) != 2:
        return ""
    parts = node.args[-2:]
    if set(kinds) == {"int", "double"} and node.function != "_%_":
        whole = parts[kinds.index("int")]
        if isinstance(whole, Constant):
            return f"; write {whole.value}.0"
        return f"; write double({_source(whole)})"
    if "string" in kinds and set(kinds) & {"int", "double", "bool"} and node.function == "_+_":
        return f"; write string({_source(parts[1 - kinds.index('string')])})"
    return ""


def _equality_hint(node: Node, types: list[str]) -> str:
    if not isinstance(node, Call) or len(node.args) != 2:
        return ""
    kinds = [_bare(kind) for kind in types]
    for at, constant in enumerate(node.args):
        if not isinstance(constant, Constant):
            continue
        if constant.kind == "string" and kinds[1 - at] in ("int", "double", "bool"):
            if re.fullmatch(r"-?[0-9.]+|true|false", constant.value):
                return f"; write {constant.value}"
        elif kinds[1 - at] == "string" and constant.kind in ("int", "bool"):
            value = str(constant.value).lower()
            return f"; write '{value}'"
    return ""


def _source(node: Node) -> str:
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Select):
        return f"{_source(node.operand)}.{node.field}"
    if isinstance(node, Constant):
        return str(node.value).lower() if node.kind == "bool" else str(node.value)
    return "…"
