"""Numbers as their contract declares them: JSON writes 3.0 as `3`, and CEL does not divide one as the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from blueprints.field_types import FieldType

MAX_DEPTH = 8  # a contract may refer to itself; what lies deeper is taken as it is written

Fix = Callable[[Any], Any]
"""A decoded value → the same with its numbers of the declared kinds; lists and objects are changed in place."""


def fix_for(kind: FieldType, depth: int = 0) -> Fix | None:
    """Return what makes numbers of the kinds that a contract declares, or None where there is nothing to do.

    Where `number` is allowed, whole numbers become doubles; where `integer` alone is, doubles without a fraction become
    whole numbers. What is against the contract stays as it is.
    """
    kinds = kind.kinds
    if not kinds or depth > MAX_DEPTH:
        return None
    fixes: dict[type, Fix] = {}
    if "number" in kinds:
        fixes[int] = _double
    elif "integer" in kinds:
        fixes[float] = _whole
    if "object" in kinds:
        fields = {
            name: fix
            for name in kind.names
            if (found := kind.field(name)) is not None and (fix := fix_for(found.type, depth + 1)) is not None
        }
        others = None if kind.names else kind.field("")
        rest = None if others is None else fix_for(others.type, depth + 1)
        if fields or rest is not None:
            fixes[dict] = _object(fields, rest)
    if "array" in kinds and (item := fix_for(kind.item(), depth + 1)) is not None:
        fixes[list] = _list(item)
    if not fixes:
        return None

    def fixed(value: Any) -> Any:
        of_kind = fixes.get(value.__class__)
        return value if of_kind is None else of_kind(value)

    return fixed


def _double(value: int) -> Any:
    try:
        return float(value)
    except OverflowError:
        return value


def _whole(value: float) -> Any:
    return int(value) if value.is_integer() else value


def _object(fields: dict[str, Fix], rest: Fix | None) -> Fix:
    def fix(value: dict[str, Any]) -> dict[str, Any]:
        if rest is not None:
            for name, inner in value.items():
                value[name] = rest(inner)
        for name, one in fields.items():
            if name in value:
                value[name] = one(value[name])
        return value

    return fix


def _list(item: Fix) -> Fix:
    def fix(value: list[Any]) -> list[Any]:
        value[:] = map(item, value)
        return value

    return fix
