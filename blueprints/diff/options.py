"""Changes of options: held against each other with their defaults filled in and their units understood.

An option says by `x-state` in its JSON Schema what becomes of the small state when it changes; any other is safe.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from blueprints.diff.change import Change, Effect, Side
from blueprints.options import OptionPath, Schema, candidates_at, child_candidates, expand
from blueprints.plan import StreamletPlan
from blueprints.units import Duration, Rate, Share, Size, UnitError

_ABSENT = object()
_DIGITS = 12  # significant ones: 0.1s and 100ms are the same number, whatever binary fractions make of them


def compare(old: Side, new: Side, before: StreamletPlan, after: StreamletPlan) -> Iterator[Change]:
    """Yield the options that changed. Both sides name the same streamlet's type."""
    schemas = [side.streamlets[one.name].schema for side, one in ((old, before), (new, after))]
    values = [_filled(schema, one.options) for schema, one in zip(schemas, (before, after))]
    for path in _differences(values[0], values[1], ()):
        was, now = (_at(one, path) for one in values)
        whole = (("streamlets", one.name, "with", *path) for one in (before, after))
        old_path, new_path = whole
        reason = _state(schemas[1], path)
        yield Change(
            "+" if was is _ABSENT else "-" if now is _ABSENT else "~",
            _dotted(new_path),
            Effect.STATE if reason else Effect.SAFE,
            reason,
            None if was is _ABSENT else _shown(old, was, old_path),
            None if now is _ABSENT else _shown(new, now, new_path),
            new.mark(*new_path),
        )
    yield from _files(old, new, before, after, schemas[1])


def _files(
    old: Side, new: Side, before: StreamletPlan, after: StreamletPlan, schema: Schema
) -> Iterator[Change]:
    """Yield the files beside the blueprints that have one name and another content."""
    seen: set[str] = set()
    for text, path in _strings(after.options, ()):
        if text in seen or _at(before.options, path) != text:
            continue
        seen.add(text)
        digests = [_digest(side.plan.base_dir / text) for side in (old, new)]
        if None not in digests and digests[0] != digests[1]:
            reason = _state(schema, path)
            whole = ("streamlets", after.name, "with", *path)
            why = f"the file {text} has another content" + (f": {reason}" if reason else "")
            effect = Effect.STATE if reason else Effect.SAFE
            yield Change("~", _dotted(whole), effect, why, mark=new.mark(*whole))


def _digest(path: Path) -> str | None:
    """Return a hash of a file's content, or None where there is no such file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):
        return None


def _strings(value: Any, path: OptionPath) -> Iterator[tuple[str, OptionPath]]:
    if isinstance(value, str) and 0 < len(value) < 256:
        yield value, path
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield from _strings(one, (*path, name))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _strings(one, (*path, index))


def _filled(schema: Schema, options: Mapping[str, Any]) -> Any:
    return _value(schema, expand(schema, [schema]), options)


def _value(root: Schema, candidates: list[Schema], value: Any) -> Any:
    """Return a value with defaults filled in and quantities as numbers with what they measure."""
    if isinstance(value, Mapping):
        filled = dict(value)
        for schema in candidates:
            for name, described in schema.get("properties", {}).items():
                if (
                    name not in filled
                    and isinstance(described, Mapping)
                    and described.get("default") is not None
                ):
                    filled[name] = described["default"]
        return {
            name: _value(root, child_candidates(root, candidates, name), one) for name, one in filled.items()
        }
    if isinstance(value, list):
        return [_value(root, child_candidates(root, candidates, at), one) for at, one in enumerate(value)]
    patterns = {schema.get("pattern") for schema in candidates}
    for of in (Duration, Size, Rate, Share):
        if isinstance(value, str) and of.json_schema()["pattern"] in patterns:
            try:
                return _Quantity(float(f"{float(of.parse(value)):.{_DIGITS}g}"), value)
            except UnitError:
                return value
    return value


class _Quantity:
    """A quantity: equal to another by its number, shown as it was written."""

    def __init__(self, number: float, text: str) -> None:
        self.number, self.text = number, text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Quantity) and self.number == other.number

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.text


def _differences(was: Any, now: Any, path: OptionPath) -> Iterator[OptionPath]:
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for name in dict.fromkeys([*was, *now]):
            yield from _differences(was.get(name, _ABSENT), now.get(name, _ABSENT), (*path, name))
    elif (
        was is not now
        and (type(was) is not type(now) or was != now)
        and not (was in (None, _ABSENT) and now in (None, _ABSENT))
    ):
        yield path


def _at(value: Any, path: OptionPath) -> Any:
    for part in path:
        if not isinstance(value, Mapping | list):
            return _ABSENT
        try:
            value = value[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return _ABSENT
    return value


def _state(schema: Schema, path: OptionPath) -> str:
    """Return what becomes of the small state when an option changes, or nothing."""
    for length in range(1, len(path) + 1):
        for candidate in candidates_at(schema, path[:length]):
            if candidate.get("x-state"):
                return str(candidate["x-state"])
    return ""


def _shown(side: Side, value: Any, path: OptionPath) -> str:
    return side.shown(_plain(value), *path)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, _Quantity) else value


def _dotted(path: OptionPath) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
