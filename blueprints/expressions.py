"""Conditions and keys: CEL, evaluated by Google's C++ engine behind one small class.

The names in an expression are the fields of the mapping it is evaluated over: `carrier == 'UA' && delay > 15.0`.
Numbers compare across kinds (`delay > 15`); arithmetic wants the same kind on both sides (`delay + 5.0`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

MAX_LENGTH = 2_000  # characters; the parser refuses nesting by itself, this bounds what it is given

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_STRING = r"""[rRbB]{0,2}(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')"""
_TOKEN = re.compile(
    rf"{_STRING}|//[^\n]*|(\.\s*)?([A-Za-z_][A-Za-z0-9_]*)(\s*\()?|[0-9][0-9a-zA-Z.]*", re.DOTALL
)
_LEXEME = re.compile(
    rf"(?P<string>{_STRING})|(?P<gap>\s+|//[^\n]*)|[A-Za-z_][A-Za-z0-9_]*|[0-9][0-9a-zA-Z.]*|&&|\|\||[=!<>]=|.",
    re.DOTALL,
)
_NOT_FIELDS = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "bool",
        "bytes",
        "double",
        "int",
        "list",
        "map",
        "null_type",
        "string",
        "type",
        "uint",
    ]
)
_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (?:Syntax error: )?([^\n]*)")


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
    return _FIELD.match(text) is not None and text not in ("true", "false", "null", "in")


def parse(text: str) -> None:
    """Return when the text is CEL. Raises: ExpressionError, with the place inside the text, when it is not."""
    Expression(text)


def free_names(text: str) -> list[str]:
    """Return the names that an expression takes from the event: identifiers that are no functions and no kinds."""
    names: dict[str, None] = {}
    for found in _TOKEN.finditer(text):
        after_dot, name, is_call = found[1], found[2], found[3]
        if name and not after_dot and not is_call and name not in _NOT_FIELDS:
            names[name] = None
    return list(names)


def same_key(one: str, other: str) -> bool:
    """Return whether two keys give the same value for every event: the same expression, however it is spelt.

    Gaps, comments, the kind of quotes, parentheses around the whole, and `event.data.` before a field do not count.
    """
    return one == other or _spelling(one) == _spelling(other)


def _spelling(text: str) -> list[str]:
    lexemes: list[str] = []
    for found in _LEXEME.finditer(text):
        if found["gap"] is not None:
            continue
        lexeme = found[0]
        if found["string"] is not None and "\\" not in lexeme and lexeme[0] == "'" and '"' not in lexeme:
            inner = lexeme.strip("'")
            lexeme = f'"{inner}"' if "\n" not in inner else lexeme
        lexemes.append(lexeme)
        if lexemes[-4:] == ["event", ".", "data", "."] and lexemes[-5:-4] != ["."]:
            del lexemes[-4:]
    while _is_enclosed(lexemes):
        lexemes = lexemes[1:-1]
    return lexemes


def _is_enclosed(lexemes: list[str]) -> bool:
    if len(lexemes) < 3 or lexemes[0] != "(" or lexemes[-1] != ")":
        return False
    depth = 0
    for lexeme in lexemes[:-1]:
        depth += (lexeme == "(") - (lexeme == ")")
        if depth == 0:
            return False
    return True


@functools.lru_cache(maxsize=1_000)  # 2 ms each; blueprint tests build their streamlets anew for every case
def _compile(text: str) -> Any:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"an expression has at most {MAX_LENGTH:,} characters", 1, 1)
    from cel_expr_python import (
        cel,  # its first environment takes 150 ms, which a blueprint without CEL does not pay
    )

    try:
        environment = cel.NewEnv(variables=dict.fromkeys(free_names(text), cel.Type.DYN))
        return environment.compile(text)
    except RuntimeError as exc:
        raise _translated(str(exc), text) from exc


def _translated(message: str, text: str) -> ExpressionError:
    found = _ERROR.search(message)
    if not found or int(found[1]) > text.count("\n") + 1:  # the engine counts from -1 where it knows no place
        if "recursion" in message:
            return ExpressionError("nested too deeply", 1, 1)
        return ExpressionError(_reason(message, text), 1, 1)
    line, column, reason = int(found[1]), int(found[2]), re.sub(r" \[[A-Z_]+\]$", "", found[3])
    if unknown := re.match(r"undeclared reference to '(\w+)'", reason):
        called = text.split("\n")[line - 1][: column - 1].rstrip().endswith(unknown[1])
        reason = f"there is no function '{unknown[1]}' for these arguments"
        column -= len(unknown[1]) if called else 0
    elif overload := re.match(r"found no matching overload for '(\w+?)' applied to '(.*)'", reason):
        reason = f"'{overload[1].strip('_')}' cannot be applied to {overload[2]}"
    elif overload := re.match(r"found no matching overload for '_?([^']+?)_?' applied to '(.*)'", reason):
        reason = f"'{overload[1]}' cannot be applied to {overload[2]}"
    reason = re.sub(r"expecting \{.*\}", "a value was expected", reason)
    reason = re.sub(r"(mismatched|extraneous) input '<EOF>'", "it ends too early;", reason)
    reason = re.sub(
        r"(mismatched|extraneous) input ('.*?') expecting <EOF>", r"\2 does not belong here", reason
    )
    reason = re.sub(r"(mismatched|extraneous) input ('.*?')", r"\2 does not belong here;", reason)
    reason = re.sub(r"token recognition error at: (.*)", r"\1 is not CEL", reason)
    reason = re.sub(r"no viable alternative at input (.*)", r"\1 does not belong here", reason)
    where = f"column {column}" if line == 1 else f"line {line}, column {column}"
    return ExpressionError(f"{where}: {reason}", line, column)


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
