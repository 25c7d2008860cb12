"""JSON values as JSON Schema sees them: their kinds, and what tells which are the same."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from fractions import Fraction
from typing import Any

MOST_PARTS = 1_000  # of a value that is made up: one whose halves are the same twice grows beyond all bounds
KINDS = ("null", "boolean", "number", "string", "array", "object")


def kind_of(value: Any) -> str:
    """Return the kind of a value; a whole number is a number."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def mark(value: Any) -> Hashable:
    """Return what two values share if they are one and the same: 1 is 1.0 and is not true."""
    kind = kind_of(value)
    if kind == "array":
        return (kind, *map(mark, value))
    if kind == "object":
        return (kind, frozenset((name, mark(one)) for name, one in value.items()))
    return (kind, value)


def marks(values: Iterable[Any]) -> frozenset[Hashable]:
    """Return the marks of several values, to ask whether another is among them."""
    return frozenset(map(mark, values))


def is_small(value: Any) -> bool:
    """Return whether a value has at most so many parts as one may look at again and again."""
    waiting, count = [value], 0
    while waiting:
        one = waiting.pop()
        count += 1
        if count > MOST_PARTS:
            return False
        if isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, dict):
            waiting.extend(one.values())
    return True


def exact(number: float) -> Fraction:
    """Return a number as it is written: 0.1 is a tenth."""
    return Fraction(number) if isinstance(number, int) else Fraction(repr(number))


def written(number: Fraction) -> int | float | None:
    """Return a number as JSON writes it, or None where no float is exactly that."""
    if number.denominator == 1:
        return int(number)
    try:
        value = float(number)
    except OverflowError:
        return None
    return value if exact(value) == number else None
