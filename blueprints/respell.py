"""What a value that was refused can only have meant, as a fix; None wherever there is a doubt.

A bare number is never given a unit, and what comes from the environment is never touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from blueprints.diagnostics import Edit, Fix, Mark
from blueprints.source import Node, ScalarNode, resolve
from blueprints.suggest import certain
from blueprints.units import Duration, Rate, Share, Size, UnitError

Quantity = type[Duration] | type[Size] | type[Rate] | type[Share]

_FLAGS: Final = {
    **dict.fromkeys(("yes", "on", "true"), "true"),
    **dict.fromkeys(("no", "off", "false"), "false"),
}
_SAFE = re.compile(
    r"[A-Za-z0-9_./%+-]+\Z"
)  # means the same with and without quotes, in a block and in braces

_UNITS: Final[dict[str, dict[str, str]]] = {
    Duration.what: {
        **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
        **dict.fromkeys(("min", "mins", "minute", "minutes"), "m"),
        **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
        **dict.fromkeys(("d", "day", "days"), "d"),
        **dict.fromkeys(("w", "wk", "week", "weeks"), "w"),
        **dict.fromkeys(("ms", "msec", "msecs", "millis", "millisecond", "milliseconds"), "ms"),
        **dict.fromkeys(("us", "usec", "usecs", "micros", "microsecond", "microseconds"), "us"),
        **dict.fromkeys(("ns", "nsec", "nanos", "nanosecond", "nanoseconds"), "ns"),
    },
    Size.what: {
        **dict.fromkeys(("b", "byte", "bytes"), "B"),
        **{unit.lower(): unit for unit in ("MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB")},
    },
    Rate.what: {
        **dict.fromkeys(("/s", "/sec", "/second"), "/s"),
        **dict.fromkeys(("/min", "/minute"), "/m"),
        **dict.fromkeys(("/h", "/hr", "/hour"), "/h"),
        **dict.fromkeys(("/d", "/day"), "/d"),
    },
    Share.what: {"percent": "%"},
}
"""Spellings of units, in small letters. Not here, because it could be either: M (minutes, months), KB (1000, 1024)."""


def respelling(mark: Mark, text: str, title: str = "", is_key: bool = False) -> Fix | None:
    """Return the fix that writes another word at a place, in the same quotes; None where that cannot be done."""
    if mark.start < 0 or mark.start == mark.end or not _SAFE.match(text):
        return None
    if not is_key and not isinstance(resolve(text), str):
        return None
    return Fix(title or f"write '{text}'", (Edit(mark.file, mark.start, mark.end, text),))


def name(mark: Mark, word: str, names: Iterable[str], is_key: bool = False, prefix: str = "") -> Fix | None:
    """Return the fix of a misspelt name; `prefix`: what stands before it in the same value."""
    meant = certain(word, names)
    return None if meant is None else respelling(mark, prefix + meant, is_key=is_key)


def as_word(node: Node, words: Iterable[str]) -> Fix | None:
    """Return the fix of a misspelt one of several words."""
    return name(node.mark, node.raw, words) if isinstance(node, ScalarNode) else None


def as_flag(node: Node) -> Fix | None:
    """Return the fix of `yes`, `off` or `"true"`."""
    if not isinstance(node, ScalarNode):
        return None
    meant = _FLAGS.get(node.raw.strip().lower())
    return None if meant is None else _rewritten(node, meant)


def as_whole(node: Node, minimum: float = float("-inf"), maximum: float = float("inf")) -> Fix | None:
    """Return the fix of a whole number in quotes."""
    if not isinstance(node, ScalarNode) or node.plain or not re.fullmatch(r"-?[0-9]{1,15}", node.raw):
        return None
    return _rewritten(node, node.raw) if minimum <= int(node.raw) <= maximum else None


def as_text(node: Node) -> Fix | None:
    """Return the fix of a number where text is wanted: it is put in quotes."""
    if not isinstance(node, ScalarNode) or not node.plain or type(node.value) not in (int, float):
        return None
    return _rewritten(node, f'"{node.raw}"')


def as_quantity(node: Node, of: Quantity) -> Fix | None:
    """Return the fix of a unit that is misspelt."""
    found = re.fullmatch(r"\s*([0-9.]+)\s*(\D+?)\s*", node.raw) if isinstance(node, ScalarNode) else None
    if found is None:
        return None
    unit = _UNITS[of.what].get(found[2].lower().replace(" ", ""))
    if unit is None:
        return None
    try:
        of.parse(found[1] + unit)
    except UnitError:
        return None
    return respelling(node.mark, found[1] + unit)


def as_option(node: Node, candidates: Sequence[Mapping[str, Any]]) -> Fix | None:
    """Return the fix of an option's value, by the JSON Schemas of what is accepted in its place."""
    if not isinstance(node, ScalarNode) or node.variables:
        return None
    words = [word for schema in candidates for word in (*schema.get("enum", ()), schema.get("const"))]
    texts = [word for word in words if isinstance(word, str)]
    types = {schema.get("type") for schema in candidates if "enum" not in schema and "const" not in schema}
    patterns = {schema.get("pattern") for schema in candidates}
    fixes = [as_word(node, texts)] if texts and "string" not in types else []
    fixes += [
        as_quantity(node, of)
        for of in (Duration, Size, Rate, Share)
        if of.json_schema()["pattern"] in patterns
    ]
    if not types & {"string", "number"}:
        fixes += [as_flag(node)] if "boolean" in types else []
        fixes += [as_whole(node)] if "integer" in types else []
    if types <= {"string", "null", None} and "string" in types and not patterns - {None}:
        fixes.append(as_text(node))
    certain_ones = [fix for fix in fixes if fix is not None]
    return certain_ones[0] if len(certain_ones) == 1 else None


def _rewritten(node: ScalarNode, text: str) -> Fix | None:
    """Return the fix that writes a value anew, its quotes included."""
    mark, quotes = node.mark, 0 if node.plain else 1
    if mark.start < 0:
        return None
    return Fix(f"write {text}", (Edit(mark.file, mark.start - quotes, mark.end + quotes, text),))
