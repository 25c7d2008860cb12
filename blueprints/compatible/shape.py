"""Shapes: what a schema allows, taken apart into alternatives of one kind of value each."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from blueprints.compatible.answer import EMPTY, Answer, found, unknown
from blueprints.compatible.values import is_small, mark, marks

if TYPE_CHECKING:
    from blueprints.compatible.arrays import Array
    from blueprints.compatible.objects import Object
    from blueprints.compatible.search import Search


@dataclass(frozen=True, slots=True)
class Opaque:
    """A demand that is not understood. Two that are the same, one of them negated, leave nothing."""

    key: Hashable
    negated: bool
    why: str

    def opposite(self) -> Opaque:
        return replace(self, negated=not self.negated)


Opaques = frozenset[Opaque]
NOTHING: Opaques = frozenset()


class Shape(Protocol):
    """An alternative: values of one kind that keep all of several demands."""

    @property
    def kind(self) -> str: ...

    @property
    def excluded(self) -> frozenset[Hashable]:
        """The marks of values that are not allowed."""
        ...

    @property
    def opaque(self) -> Opaques: ...

    def find(self, search: Search) -> Answer:
        """Return a value of this shape, or that there is none."""
        ...

    def holds(self, value: Any, search: Search) -> bool | None:
        """Return whether a value of this kind is of this shape, opaque demands aside; None where that is not known."""
        ...


S = TypeVar("S", bound="Shape")
C = TypeVar("C", "Array", "Object")


@dataclass(frozen=True, slots=True)
class Finite:
    """One of a few values of one kind: constants, enums, null, true and false."""

    kind: str
    values: tuple[Any, ...]
    excluded: frozenset[Hashable] = frozenset()
    opaque: Opaques = NOTHING

    def find(self, search: Search) -> Answer:
        if not self.values:
            return EMPTY
        return checked(self, self.values[0], search)

    def holds(self, value: Any, search: Search) -> bool | None:
        return mark(value) in marks(self.values)


def checked(shape: Shape, value: Any, search: Search) -> Answer:
    """Return a value that was made for a shape as found, if nothing opaque is left."""
    if not is_small(value):
        return unknown("whether all fits of a value as large as it must be")
    for one in shape.opaque:
        return unknown(one.why)
    if shape.holds(value, search):
        return found(value)
    return unknown("whether there is such a value")


def counted(shape: C, count: int, is_least: bool, is_negated: bool) -> C | None:
    """Return a shape of so many parts at least, or at most; itself where that is nothing new; None: none is left."""
    if is_least != is_negated:
        low, high = (count + 1 if is_negated else count), None
    else:
        low, high = 0, (count - 1 if is_negated else count)
    low = max(shape.low, low)
    high = shape.high if high is None else high if shape.high is None else min(high, shape.high)
    if (low, high) == (shape.low, shape.high):
        return shape
    return None if high is not None and low > high else replace(shape, low=low, high=high)


def with_opaque(shape: S, opaque: Opaque) -> S | None:
    """Return the shape with one more demand; None where its opposite stands already."""
    if opaque.opposite() in shape.opaque:
        return None
    return replace(shape, opaque=shape.opaque | {opaque})  # type: ignore[type-var]
