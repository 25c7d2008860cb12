"""JSON values as JSON Schema sees them: their kinds, and which are the same."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

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


def same(one: Any, other: Any) -> bool:
    """Return whether two values are one: 1 is 1.0 and is not true."""
    kind = kind_of(one)
    if kind != kind_of(other):
        return False
    if kind == "array":
        return len(one) == len(other) and all(map(same, one, other))
    if kind == "object":
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    return bool(one == other)


def among(value: Any, values: Sequence[Any]) -> bool:
    """Return whether a value is one of several."""
    return any(same(value, other) for other in values)


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
