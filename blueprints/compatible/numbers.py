"""Numbers: ranges, multiples, whole numbers. Decided exactly, in fractions."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor, lcm
from typing import TYPE_CHECKING, Any, ClassVar

from blueprints.compatible.answer import EMPTY, Answer, unknown
from blueprints.compatible.shape import NOTHING, Opaques, checked
from blueprints.compatible.values import exact, mark, written

if TYPE_CHECKING:
    from blueprints.compatible.search import Search

TRIED = 1_000  # multiples looked at before it is left undecided
ONE = Fraction(1)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers between two bounds that are multiples of some and of others not."""

    low: Fraction | None = None
    low_open: bool = False
    high: Fraction | None = None
    high_open: bool = False
    multiples: frozenset[Fraction] = frozenset()
    not_multiples: frozenset[Fraction] = frozenset()
    excluded: frozenset[Hashable] = frozenset()
    opaque: Opaques = NOTHING
    kind: ClassVar[str] = "number"

    def within(self, number: Fraction) -> bool:
        if self.low is not None and (number < self.low or (self.low_open and number == self.low)):
            return False
        if self.high is not None and (number > self.high or (self.high_open and number == self.high)):
            return False
        return not any(number % step for step in self.multiples) and all(
            number % step for step in self.not_multiples
        )

    def holds(self, value: Any, search: Search) -> bool | None:
        return self.within(exact(value)) and mark(value) not in self.excluded

    def find(self, search: Search) -> Answer:
        step = self.step
        if step is not None and any(step % other == 0 for other in self.not_multiples):
            return EMPTY
        if self.low is not None and self.high is not None:
            if self.low > self.high or (self.low == self.high and (self.low_open or self.high_open)):
                return EMPTY
            if self.low == self.high and not self._allows(self.low):
                return EMPTY
        tried, is_whole = (self._points(), False) if step is None else self._multiples(step)
        for number in tried:
            if self._allows(number):
                value = written(number)
                if value is not None:
                    return checked(self, value, search)
                is_whole = False
        return EMPTY if is_whole else unknown("whether there is a number in its range")

    @property
    def step(self) -> Fraction | None:
        """The number of which all must be multiples."""
        found: Fraction | None = None
        for one in self.multiples:
            found = one if found is None else _common(found, one)
        return found

    def _allows(self, number: Fraction) -> bool:
        return self.within(number) and (self.kind, number) not in self.excluded

    def _multiples(self, step: Fraction) -> tuple[Iterator[Fraction], bool]:
        """Return the multiples next to zero, and whether these are all."""
        low = None if self.low is None else ceil(self.low / step)
        high = None if self.high is None else floor(self.high / step)
        near = max(low, 0) if low is not None else 0
        near = min(near, high) if high is not None else near
        most = TRIED + len(self.excluded)

        def around() -> Iterator[Fraction]:
            for offset in range(most):
                for place in (near + offset, near - offset) if offset else (near,):
                    if (low is None or place >= low) and (high is None or place <= high):
                        yield place * step

        return around(), low is not None and high is not None and high - low < most

    def _points(self) -> Iterator[Fraction]:
        low = self.low if self.low is not None else (self.high or Fraction(0)) - 10
        high = self.high if self.high is not None else (self.low or Fraction(0)) + 10
        yield from (Fraction(0), ONE, Fraction(1, 2), Fraction(3, 2), low, high, low + 1, high - 1)
        if low < high:
            yield from (low + Fraction(1, 2), high - Fraction(1, 2))
            for parts in (2, 4, 10, 64, 1000, 4096, 2**20):
                width = (high - low) / parts
                for index in (1, parts // 2, parts - 1):
                    value = low + width * index
                    yield value
                    yield exact(round(float(value), 6)) if abs(value) < 1e300 else value


def _common(one: Fraction, other: Fraction) -> Fraction:
    """Return the least number that both divide."""
    over = one.denominator * other.denominator
    return Fraction(lcm(one.numerator * other.denominator, other.numerator * one.denominator), over)


def bounded(shape: Numbers, word: str, bound: Fraction) -> Numbers:
    """Return a shape with one more bound; the very same where that changes nothing."""
    is_open = word.startswith("exclusive")
    if word.lower().endswith("minimum"):
        if shape.low is not None and (
            bound < shape.low or (bound == shape.low and (shape.low_open or not is_open))
        ):
            return shape
        return replace(shape, low=bound, low_open=is_open)
    if shape.high is not None and (
        bound > shape.high or (bound == shape.high and (shape.high_open or not is_open))
    ):
        return shape
    return replace(shape, high=bound, high_open=is_open)


_OPPOSITE = {
    "minimum": "exclusiveMaximum",
    "maximum": "exclusiveMinimum",
    "exclusiveMinimum": "maximum",
    "exclusiveMaximum": "minimum",
}


def apply(shape: Numbers, word: str, value: Any, negated: bool) -> list[Numbers]:
    """Return a shape that also keeps, or breaks, one keyword."""
    number = exact(value)
    if word == "multipleOf":
        steps = shape.not_multiples if negated else shape.multiples
        if number in steps:
            return [shape]
        if negated:
            return [replace(shape, not_multiples=shape.not_multiples | {number})]
        return [replace(shape, multiples=shape.multiples | {number})]
    bound = bounded(shape, _OPPOSITE[word] if negated else word, number)
    crossed = bound.low is not None and bound.high is not None and bound.low > bound.high
    return [] if crossed else [bound]
