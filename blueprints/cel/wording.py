"""The engine's complaints about types in our words, with what to write instead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from blueprints.cel.functions import FUNCTIONS, METHODS
from blueprints.cel.tree import Call, Constant, Name, Node, Select

EQUALITY: Final = ("_==_", "_!=_")
COMPARISONS: Final = (*EQUALITY, "_<_", "_<=_", "_>_", "_>=_")
_PLURALS: Final = {"string": "text", "int": "whole numbers", "double": "numbers", "bool": "truths"}
_VERBS: Final = {
    "+": ("add", "and"), "-": ("subtract", "from"), "*": ("multiply", "by"), "/": ("divide", "by"),
    "%": ("divide", "by"), "in": ("find", "in"), **dict.fromkeys(("<", "<=", ">", ">="), ("compare", "with")),
}  # fmt: skip
_WORDS: Final = {
    "string": "text", "int": "a whole number", "uint": "an unsigned number", "double": "a number",
    "bool": "true or false", "null_type": "null", "bytes": "bytes", "dyn": "anything", "timestamp": "a time",
    "google.protobuf.Timestamp": "a time", "google.protobuf.Duration": "a duration", "duration": "a duration",
}  # fmt: skip
OVERLOAD = re.compile(r"found no matching overload for '([^']*)' applied to '(.*)'")


def types_of(applied: str) -> list[str]:
    """Return the types in `(list(int), map(string, dyn))`."""
    found, depth = [""], 0
    for char in applied[1:-1]:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            found.append("")
        else:
            found[-1] += char
    return [one.strip() for one in found if one.strip()]


def bare(kind: str) -> str:
    return kind.removeprefix("wrapper(").removesuffix(")") if kind.startswith("wrapper(") else kind


def numeric(kind: str) -> str:
    """Return a type with every kind of number, and null beside it, taken for one."""
    kind = re.sub(r"wrapper\((\w+)\)", r"\1", kind)
    return re.sub(r"\b(int|uint|double)\b", "number", kind)


def _told(kind: str) -> str:
    inner = bare(kind)
    if inner != kind:
        return f"{_told(inner)} or null"
    if kind.startswith("list("):
        inner = bare(kind.removeprefix("list(").removesuffix(")"))
        return f"a list of {_PLURALS[inner]}" if inner in _PLURALS else "a list"
    if kind.startswith("map("):
        return "an object"
    return _WORDS.get(kind, "a type" if kind.startswith("type") else "a value")


def result_told(result: str) -> str:
    head = result.partition("<")[0]
    return _told(
        {"LIST": "list(", "MAP": "map(", "NULL": "null_type", "TYPE": "type"}.get(head, head.lower())
    )


def overloaded(node: Node, reason: str) -> str:
    """Return the engine's complaint about types in our words; nothing where it is about something else."""
    found = OVERLOAD.search(reason)
    if found is None:
        if "cannot be the operand of a select operation" in reason:
            kind = re.search(r"type '(.*?)'", reason)
            return f"{_told(kind[1]) if kind else 'this'} has no fields"
        if "range of comprehension" in reason or "expression of type" in reason:
            kind = re.search(r"type '(.*?)'", reason)
            return f"{_told(kind[1]) if kind else 'this'} is no list" if kind else ""
        return ""
    function, types = found[1], types_of(found[2])
    told = [_told(kind) for kind in types]
    sign = {"@in": "in", "_[_]": "[ ]", "_?_:_": "? :"}.get(function, function.strip("_"))
    if function == "_?_:_" and len(told) == 3:
        if bare(types[0]) not in ("bool", "dyn"):
            return f"the condition before '?' is {told[0]}, but true or false is wanted"
        return f"one branch is {told[1]}, the other {told[2]}; both have to be the same{_number_hint(node, types[1:])}"
    if function in EQUALITY and len(told) == 2:
        return f"{told[0]} is never equal to {told[1]}{_equality_hint(node, types)}"
    if function in ("_&&_", "_||_"):
        wrong = next((one for kind, one in zip(types, told) if bare(kind) not in ("bool", "dyn")), told[0])
        return f"'{sign}' joins what is true or false, not {wrong}"
    if function == "!_":
        return f"'!' is put before what is true or false, not before {told[0]}"
    if len(told) == 2 and set(map(bare, types)) == {"int", "double"} and sign in "+-*/":
        return f"'{sign}' wants whole numbers on both sides, or none{_number_hint(node, types)}"
    if sign == "%" and "double" in map(bare, types):
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
        isinstance(a, Call) and a.function in COMPARISONS[2:] for a in node.args
    ):
        return "; write a < b && b < c"
    return ""


def one_of(values: Sequence[Any]) -> str:
    told = [f"'{value}'" for value in values[:8]] + (["…"] if len(values) > 8 else [])
    return told[0] if len(told) == 1 else f"one of {', '.join(told)}"


def _number_hint(node: Node, types: list[str]) -> str:
    """Return what makes the kinds of two numbers, or text and a number, the same."""
    kinds = [bare(kind) for kind in types]
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
    kinds = [bare(kind) for kind in types]
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
