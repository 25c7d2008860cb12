"""The functions that CEL knows, and what was meant by those that it does not."""

from __future__ import annotations

from typing import Final

from blueprints.cel.lexemes import Problem
from blueprints.cel.tree import Call, Name, Node, Select, walk
from blueprints.suggest import did_you_mean

_PARTS_OF_A_TIME: Final = (
    "getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours", "getMinutes",
    "getSeconds", "getMilliseconds",
)  # fmt: skip

METHODS: Final = {
    "size": (0, "x.size()"),
    "contains": (1, "text.contains(part)"),
    "startsWith": (1, "text.startsWith(start)"),
    "endsWith": (1, "text.endsWith(end)"),
    "matches": (1, "text.matches(pattern)"),
    **{name: (0, f"timestamp(x).{name}()") for name in _PARTS_OF_A_TIME},
}
"""Methods: the number of their arguments, and how they are written. Parts of a time also take a time zone."""

FUNCTIONS: Final = {
    **{
        name: (1, f"{name}(x)")
        for name in (
            "size", "int", "uint", "double", "string", "bytes", "bool", "dyn", "type", "timestamp", "duration",
        )
    },
    "matches": (2, "matches(text, pattern)"),
}  # fmt: skip

MACROS: Final = {
    "has": "has(x.field)",
    "all": "list.all(item, condition)",
    "exists": "list.exists(item, condition)",
    "exists_one": "list.exists_one(item, condition)",
    "filter": "list.filter(item, condition)",
    "map": "list.map(item, value)",
}

# What other languages call it; the cure is a whole sentence, because most have no counterpart.
_MEANT: Final = {
    **dict.fromkeys(("len", "length", "count"), "write size(x)"),
    **dict.fromkeys(
        ("lower", "upper", "toLowerCase", "toUpperCase", "lowerAscii", "upperAscii"),
        "CEL changes no letters; x.matches('(?i)^abc$') compares without regard to case",
    ),
    **dict.fromkeys(
        ("now", "today", "time", "date"),
        "an expression gives the same for the same event, so it has no clock; event.time is the event's",
    ),
    **dict.fromkeys(("includes", "include", "indexOf"), "write text.contains(part), or item in list"),
    **dict.fromkeys(("regex", "regexp", "match", "test", "regexp_like"), "write text.matches(pattern)"),
    **dict.fromkeys(("str", "toString", "to_string", "text"), "write string(x)"),
    **dict.fromkeys(("float", "number", "Number", "parseFloat"), "write double(x)"),
    **dict.fromkeys(("parseInt", "integer"), "write int(x)"),
    **dict.fromkeys(("boolean",), "write bool(x)"),
    **dict.fromkeys(("any", "some"), "write list.exists(item, condition)"),
    **dict.fromkeys(("every",), "write list.all(item, condition)"),
    **dict.fromkeys(("exist", "defined", "exists_field", "isset"), "write has(x.field)"),
    **dict.fromkeys(("isnull", "isNull", "is_null"), "write x == null"),
    **dict.fromkeys(("coalesce", "ifnull", "nvl", "getOrDefault", "get"), "write has(x.y) ? x.y : other"),
    **dict.fromkeys(("if", "iif", "IF"), "write condition ? one : other"),
    **dict.fromkeys(("not", "NOT"), "write !x"),
    **dict.fromkeys(("and", "AND"), "write a && b"),
    **dict.fromkeys(("or", "OR"), "write a || b"),
    **dict.fromkeys(("concat", "join"), "write a + b"),
    **dict.fromkeys(
        ("split", "substring", "substr", "slice", "replace", "trim", "strip"),
        "CEL takes no text apart; a streamlet of your own can, before this one",
    ),
    **dict.fromkeys(
        ("abs", "round", "floor", "ceil", "sqrt", "log", "exp", "pow", "sum", "min", "max", "avg", "greatest", "least"),
        "CEL has + - * / % and comparisons; a streamlet of your own can compute more, before this one",
    ),
    **dict.fromkeys(("hash", "md5", "random", "rand", "uuid"), "CEL has none of the kind"),
}  # fmt: skip


def problems(text: str, tree: Node) -> list[Problem]:
    """Return the calls in a tree that name no function, or give it what it does not take, in the order of the text."""
    found = []
    for node in walk(tree):
        if isinstance(node, Call) and node.function[:1] not in ("_", "@", "!", "-"):
            message = _wrong(node)
            if message:
                found.append(Problem(name_at(text, node), len(node.function), message))
    return sorted(found)


def name_at(text: str, call: Call) -> int:
    """Return the place of a function's name; a tree has that of its bracket."""
    before = text[: call.at].rstrip()
    return len(before) - len(call.function) if before.endswith(call.function) else call.at


def _wrong(call: Call) -> str:
    name, n = call.function, len(call.args)
    method, function = METHODS.get(name), FUNCTIONS.get(name)
    if name in MACROS:
        return f"{name} is written {MACROS[name]}"
    if call.target is None:
        if function is not None:
            return "" if n == function[0] else f"{name} takes {_values(function[0])}: {function[1]}"
        if method is not None:
            return f"{name} belongs to a value: {method[1]}"
    else:
        if method is not None:
            if n == method[0] or (name in _PARTS_OF_A_TIME and n == 1):
                return ""
            return f"{name} takes {_values(method[0])}: {method[1]}"
        if function is not None:
            return f"{name} is written {function[1]}"
        if isinstance(call.target, Name | Select) and (inner := _dotted(call.target)) in (
            "math",
            "strings",
            "lists",
        ):
            return f"there is no function '{inner}.{name}'{_hint(name)}"
    return f"there is no function '{name}'{_hint(name)}"


def _hint(name: str) -> str:
    meant = _MEANT.get(name) or _MEANT.get(name.lower())
    if meant:
        return f"; {meant}"
    known = [*METHODS, *FUNCTIONS, *MACROS]
    return (
        did_you_mean(name, known) or f"; there are {', '.join(dict.fromkeys([*FUNCTIONS, *METHODS][:16]))} …"
    )


def _dotted(node: Node) -> str:
    return node.name if isinstance(node, Name) else ""


def _values(n: int) -> str:
    return ("nothing in brackets", "one value", "two values")[n]
