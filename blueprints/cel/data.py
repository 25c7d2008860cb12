"""What an expression is evaluated over and what is wanted of it; and a field's name alone, which needs no more.

Light on purpose: a blueprint whose keys and inputs are plain names loads nothing else of this folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from blueprints.field_types import UNKNOWN, FieldType
from blueprints.suggest import did_you_mean

Gives = Literal["bool", "scalar", "number", "string", "id", "time", "values", "any"]
"""What is wanted of an expression. `scalar`: text, a number, or true or false. `values`: those, or a list of them.
`id`: text or a whole number. `time`: text or a number."""

SCALARS: Final = frozenset({"BOOL", "INT", "UINT", "DOUBLE", "STRING"})
WANTED: Final[dict[str, tuple[frozenset[str], str]]] = {
    "bool": (frozenset({"BOOL"}), "true or false"),
    "scalar": (SCALARS, "text, a number, or true or false"),
    "number": (frozenset({"INT", "UINT", "DOUBLE"}), "a number"),
    "string": (frozenset({"STRING"}), "text"),
    "id": (frozenset({"STRING", "INT", "UINT"}), "text or a whole number"),
    "time": (frozenset({"STRING", "INT", "UINT", "DOUBLE"}), "text or a number"),
    "values": (SCALARS | {"LIST"}, "a number, text, true or false, or a list of them"),
}
"""The engine's types that may be given, and how they are told."""
_KINDS: Final = {
    "boolean": "BOOL", "integer": "INT", "number": "DOUBLE", "string": "STRING", "array": "LIST", "object": "MAP",
}  # fmt: skip

MAX_NAMES: Final = 8  # fields that a message lists; a contract may have hundreds


class Fault(NamedTuple):
    """A problem of an expression: its place and length in the text, in characters, a lint code, what and what next."""

    at: int
    length: int
    code: str
    message: str
    severity: Literal["error", "warning"] = "error"


class Data(NamedTuple):
    """What an expression is evaluated over: the type of the data, and its name for messages.

    `is_certain`: what may be absent or null arrives so; False where it may have been sorted out before.
    """

    name: str = "the data"
    type: FieldType = UNKNOWN
    is_certain: bool = True


def field_faults(
    name: str, data: Sequence[Data], gives: Gives, *, then: str, takes_null: bool = False
) -> list[Fault]:
    """Return what is wrong with an expression that is a field's name alone, the same for several data once.

    `then`: what becomes of an event whose field is absent or null; `takes_null`: a null is of use.
    """
    found = []
    for one in data:
        code, severity, message = _field_fault(name, one, gives, then, takes_null)
        if message:
            found.append(Fault(0, len(name), code, message, severity))
    return sorted(dict.fromkeys(found))


def _field_fault(
    name: str, data: Data, gives: Gives, then: str, takes_null: bool
) -> tuple[str, Literal["error", "warning"], str]:
    core, unknown = data.type.core, "unknown-field-in-expression"
    if core and "object" not in core:
        return "bad-expression", "error", f"{data.name} are {data.type.told}, and have no field '{name}'"
    field = data.type.field(name)
    names = data.type.names
    if field is None:
        hint = did_you_mean(name, names) or told_names(names)
        return unknown, "error", f"there is no field '{name}' in {data.name}{hint}"
    if not field.is_listed and names and is_close(name, names):
        return unknown, "warning", f"{data.name} does not list '{name}'{did_you_mean(name, names)}"
    unwanted = unwanted_kind(name, field.type, gives)
    if unwanted:
        return "bad-expression", "error", unwanted
    if data.is_certain and field.may_be_absent:
        return "bad-expression", "warning", f"'{name}' may be absent, {then}"
    if data.is_certain and field.type.is_nullable and field.type.core and not takes_null:
        return "bad-expression", "warning", f"'{name}' may be null, {then}"
    return "", "error", ""


def unwanted_kind(told: str, kind: FieldType, gives: Gives) -> str:
    """Return that a field is of kinds none of which is wanted, or nothing."""
    if gives == "any" or not kind.core:
        return ""
    wanted, words = WANTED[gives]
    if any(_KINDS[one] in wanted for one in kind.core):
        return ""
    return f"'{told}' is {kind.told}, but {words} is wanted"


def told_names(names: Sequence[str]) -> str:
    """Return `; there are carrier, delay`, or nothing."""
    if not names:
        return ""
    more = " …" if len(names) > MAX_NAMES else ""
    return f"; there {'is' if len(names) == 1 else 'are'} {', '.join(names[:MAX_NAMES])}{more}"


def is_close(name: str, names: Sequence[str]) -> bool:
    """Return whether a name that is allowed is so near to one of these that it is more likely misspelt."""
    import difflib  # 10 ms that a blueprint without a mistake does not pay

    near = [other for other in names if abs(len(other) - len(name)) <= 1]
    return bool(difflib.get_close_matches(name, near, n=1, cutoff=0.75))
