"""Conditions and keys: CEL, evaluated by Google's C++ engine behind one small class.

The names in an expression are the fields of the mapping it is evaluated over: `carrier == 'UA' && delay > 15.0`.
`event` has the event's attributes, and the whole data as `event.data`. Numbers compare across kinds (`delay > 15`);
arithmetic wants the same kind on both sides (`delay + 5.0`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from blueprints.cel.lexemes import TYPE_NAMES, Lexeme, lexemes

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_NO_FIELDS = frozenset(["true", "false", "null", "in"])


class ExpressionError(ValueError):
    """An expression that cannot be read, with the place inside it, 1-based; or that fails on a value (column 0)."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.line, self.column = line, column


class Expression:
    """A compiled CEL expression. Raises: ExpressionError, with the column, where it is no CEL."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._field = (
            text if is_field(text) else None
        )  # keys mostly are one field; the engine takes 6 µs for it
        self._compiled = None if self._field else _compile(text)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """Return the value of the expression over these fields, as plain Python.

        Raises: ExpressionError where a field is missing or of the wrong kind; the message holds no value of a field.
        """
        if self._field is not None:
            try:
                return values[self._field]
            except KeyError:
                raise ExpressionError(f"there is no field '{self._field}'") from None
        assert self._compiled is not None
        try:
            result = self._compiled.eval(data=values)
        except RuntimeError as exc:  # a value that CEL has no kind for, such as an integer beyond 64 bits
            raise ExpressionError(_reason(str(exc), self.text)) from exc
        value = result.plain_value()
        if isinstance(value, str) and result.type().name() == "ERROR":  # the engine gives errors as text
            raise ExpressionError(_reason(value, self.text))
        return value


def is_field(text: str) -> bool:
    """Return whether the expression is the name of a field and nothing else."""
    return _FIELD.match(text) is not None and text not in _NO_FIELDS


def parse(text: str) -> None:
    """Return when the text is CEL. Raises: ExpressionError, with the place inside the text, when it is not."""
    Expression(text)


def free_names(text: str) -> list[str]:
    """Return the names that an expression takes from the event: identifiers that are no functions and no kinds."""
    names: dict[str, None] = {}
    found = list(lexemes(text))
    for at, lexeme in enumerate(found):
        if lexeme.kind != "name" or lexeme.text in _NO_FIELDS or lexeme.text in TYPE_NAMES:
            continue
        is_call = at + 1 < len(found) and found[at + 1].text == "("
        if not is_call and not (at and found[at - 1].text == "." and _is_selected(found, at - 1)):
            names[lexeme.text] = None
    return list(names)


def _is_selected(found: list[Lexeme], dot: int) -> bool:
    return dot > 0 and found[dot - 1].ends_value


def asks_for_data(text: str) -> bool:
    """Return whether an expression takes the data as a whole, by `event.data` or by all of `event`."""
    found = list(lexemes(text))
    for at, lexeme in enumerate(found):
        if lexeme.text != "event" or lexeme.kind != "name" or (at and found[at - 1].text == "."):
            continue
        after = [one.text for one in found[at + 1 : at + 3]]
        if after[:1] != ["."] or after[1:] == ["data"]:
            return True
    return False


def same_key(one: str, other: str) -> bool:
    """Return whether two keys give the same value for every event: the same expression, however it is spelt.

    Gaps, comments, the kind of quotes, parentheses around the whole, and `event.data.` before a field do not count.
    """
    return one == other or _spelling(one) == _spelling(other)


def _spelling(text: str) -> list[str]:
    spelt: list[str] = []
    for lexeme in lexemes(text):
        said = lexeme.text
        if lexeme.kind == "string" and "\\" not in said and said[0] == "'" and '"' not in said:
            inner = said.strip("'")
            said = f'"{inner}"' if "\n" not in inner else said
        spelt.append(said)
        if spelt[-4:] == ["event", ".", "data", "."] and spelt[-5:-4] != ["."]:
            del spelt[-4:]
    while _is_enclosed(spelt):
        spelt = spelt[1:-1]
    return spelt


def _is_enclosed(spelt: list[str]) -> bool:
    if len(spelt) < 3 or spelt[0] != "(" or spelt[-1] != ")":
        return False
    depth = 0
    for said in spelt[:-1]:
        depth += (said == "(") - (said == ")")
        if depth == 0:
            return False
    return True


@functools.lru_cache(
    maxsize=1_000
)  # some ms each; blueprint tests build their streamlets anew for every case
def _compile(text: str) -> Any:
    # Here, because keys and inputs mostly are plain names.
    from blueprints.cel.tree import compiled
    from blueprints.cel.typed import faults

    for fault in faults(text, (), "any"):
        if fault.severity == "error":
            raise ExpressionError(f"{told_place(text, fault.at)}: {fault.message}", *place(text, fault.at))
    return compiled(text)


def place(text: str, at: int) -> tuple[int, int]:
    """Return the line and column, 1-based, of a place in a text."""
    before = text[:at]
    return before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1


def told_place(text: str, at: int) -> str:
    """Return `column 3`, or `line 2, column 3` in a text of several lines."""
    line, column = place(text, at)
    return f"line {line}, column {column}" if "\n" in text.strip("\n") else f"column {column}"


def _reason(message: str, text: str) -> str:
    """Return what the engine says of a failed evaluation, without its status codes and without an event's values."""
    message = message.split("\n")[0]
    message = re.sub(r"^[A-Z_]+: | \[[A-Z_]+\]$", "", message)
    if missing := re.match(r'No value with name "(.*?)" found', message):
        return f"there is no field '{missing[1]}'"
    if missing := re.match(r'Key not found in map : "?(.*?)"?$', message):
        return f"there is no field '{missing[1]}'" if missing[1] in text else "there is no such field"
    if overload := re.match(r"No matching overloads found : _?(.*?)_?\((.*)\)", message):
        return f"'{overload[1]}' cannot be applied to ({overload[2]})"
    if re.search(r"out of range|Non-CEL value", message):
        field = re.search(r"for '([^']*)'", message)
        return f"the value of '{field[1] if field else '?'}' is of no kind that CEL knows"
    if "regular expression" in message:
        return "the regular expression is not valid"
    return "the value has no such field" if "SELECT" in message else message
