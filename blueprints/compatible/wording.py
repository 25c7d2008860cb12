"""Shapes in words: "an integer of at least 3", "'a' or 'b'", "any string"."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

from blueprints.compatible.arrays import Array
from blueprints.compatible.numbers import Numbers
from blueprints.compatible.objects import Object
from blueprints.compatible.shape import Finite, Shape
from blueprints.compatible.text import Text
from blueprints.compatible.values import written

LISTED = 5  # values of an enum, or alternatives, that are told
WIDEST = 40  # characters of a value or a pattern in a reason

_NOUNS = {"null": "null", "boolean": "a boolean", "array": "a list", "object": "an object"}


def either(words: Iterable[str]) -> str:
    """Return words joined: each once, the first few."""
    kept = list(dict.fromkeys(words))
    return " or ".join([*kept[:LISTED], *(["…"] if len(kept) > LISTED else [])])


def noun(shape: Shape, is_full: bool = False) -> str:
    """Return what a shape is. `is_full`: with its bounds, where the kind alone does not tell two shapes apart."""
    if isinstance(shape, Finite):
        if shape.kind == "boolean" and len(shape.values) == 2:
            return _NOUNS["boolean"]
        return either(value_text(value) for value in shape.values)
    if isinstance(shape, Numbers):
        is_whole = any(step.denominator == 1 for step in shape.multiples)
        return ("an integer" if is_whole else "a number") + (_range(shape) if is_full else "")
    if isinstance(shape, Text):
        return _text(shape, is_full)
    if isinstance(shape, Array) and is_full:
        if shape.high == 0:
            return "an empty list"
        if shape.is_repeated:
            return "a list with an item twice"
        return (
            "a list"
            + _count(shape.low, shape.high, "item")
            + (" of different items" if shape.is_unique else "")
        )
    if isinstance(shape, Object) and is_full:
        return "an empty object" if shape.high == 0 else "an object" + _count(shape.low, shape.high, "field")
    return _NOUNS[shape.kind]


def nouns(shapes: Sequence[Shape], is_full: bool = False) -> str:
    """Return what several shapes are; constants side by side."""
    return either(noun(shape, is_full) for shape in shapes) or "nothing"


def value_text(value: Any) -> str:
    """Return a value as it is written, cut where it is long; text in single quotes."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


def _range(shape: Numbers) -> str:
    words = []
    if shape.low is not None and shape.low == shape.high:
        return f" {_number(shape.low)}"
    if shape.low is not None:
        words.append(f"{'above' if shape.low_open else 'of at least'} {_number(shape.low)}")
    if shape.high is not None:
        words.append(f"{'below' if shape.high_open else 'of at most'} {_number(shape.high)}")
    steps = [step for step in sorted(shape.multiples) if step != 1]
    words += [f"that is a multiple of {_number(step)}" for step in steps]
    words += [f"that is no multiple of {_number(step)}" for step in sorted(shape.not_multiples) if step != 1]
    return " " + " and ".join(words) if words else ""


def _number(number: Fraction) -> str:
    value = written(number)
    return str(number if value is None else value)


def _text(shape: Text, is_full: bool) -> str:
    formats = sorted(shape.formats)
    words = either(f"a {name}" if name[0] not in "aeio" else f"an {name}" for name in formats)
    if not is_full:
        return words or "a string"
    if shape.high == 0:
        return "an empty string"
    more = _count(shape.low, shape.high, "character")
    if shape.not_patterns:
        more += f" that does not match {_patterns(shape.not_patterns, 'or')}"
    elif shape.patterns:
        more += f" that matches {_patterns(shape.patterns, 'and')}"
    return (words or ("a string" if more else "any string")) + more


def _patterns(patterns: Iterable[str], joint: str) -> str:
    return f" {joint} ".join(value_text(pattern) for pattern in sorted(patterns))


def _count(low: int, high: int | None, of: str) -> str:
    if high is not None and low == high:
        return f" of {low} {of}{'' if low == 1 else 's'}"
    words = [f"at least {low}"] if low else []
    words += [f"at most {high}"] if high is not None else []
    last = high if high is not None else low
    return f" of {' and '.join(words)} {of}{'' if last == 1 else 's'}" if words else ""
