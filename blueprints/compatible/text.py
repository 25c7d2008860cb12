"""Text: lengths, patterns and formats. Lengths and patterns are decided; formats by name and by example."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from blueprints.compatible import automaton
from blueprints.compatible.answer import EMPTY, Answer, unknown
from blueprints.compatible.formats import EXAMPLES, LENGTHS, UNCHECKED, implies
from blueprints.compatible.shape import NOTHING, Opaque, Opaques, checked, with_opaque
from blueprints.compatible.values import mark

if TYPE_CHECKING:
    from blueprints.compatible.search import Search

WALK_STEPS = 50  # what walking patterns side by side costs of the steps that there are
LONGEST = 5_000  # characters of a text that is made up


@dataclass(frozen=True, slots=True)
class Text:
    """Texts between two lengths that match some patterns and formats, and others not."""

    low: int = 0
    high: int | None = None
    patterns: frozenset[str] = frozenset()
    not_patterns: frozenset[str] = frozenset()
    formats: frozenset[str] = frozenset()
    not_formats: frozenset[str] = frozenset()
    excluded: frozenset[Hashable] = frozenset()
    opaque: Opaques = NOTHING
    kind: ClassVar[str] = "string"

    def holds(self, value: Any, search: Search) -> bool | None:
        if len(value) < self.low or (self.high is not None and len(value) > self.high):
            return False
        answers = [
            *(search.proof.matches(pattern, value) for pattern in self.patterns),
            *(_not(search.proof.matches(pattern, value)) for pattern in self.not_patterns),
            *(
                value in EXAMPLES.get(name, ()) or search.proof.has_format(name, value)
                for name in self.formats
            ),
            *(_not(search.proof.has_format(name, value)) for name in self.not_formats),
        ]
        if False in answers or mark(value) in self.excluded:
            return False
        return None if None in answers else True

    def find(self, search: Search) -> Answer:
        low, high = self.low, self.high
        for name in self.formats:
            if any(implies(name, other) for other in self.not_formats):
                return EMPTY
            at_least, at_most = LENGTHS.get(name, (0, None))
            low = max(low, at_least)
            high = at_most if high is None else high if at_most is None else min(high, at_most)
        if (high is not None and low > high) or self.patterns & self.not_patterns:
            return EMPTY
        is_proved = False
        for value in self._candidates(low, high, search):
            if value is None:
                is_proved = True
            elif self.holds(value, search):
                return checked(self, value, search)
        return EMPTY if is_proved else unknown(self._question())

    def _candidates(self, low: int, high: int | None, search: Search) -> Iterator[str | None]:
        """Yield texts that may do; None where it is proved that none does."""
        if self.patterns or self.not_patterns:
            texts = frozenset(str(one[1]) for one in self.excluded if isinstance(one, tuple))
            is_open = False
            search.spend(WALK_STEPS)
            for text in automaton.shortest(self.patterns, self.not_patterns, low, high, texts):
                is_open = True
                if text is not None:
                    yield text
            if not is_open:
                yield None
                return
        for name in self.formats:
            for example in EXAMPLES.get(name, ()):
                yield example
                if len(example) < low <= LONGEST:
                    yield example + "a" * (low - len(example))
        if low <= LONGEST:
            for text in ("x", "", " ", "0", "a", "b", "-", "é", "\\", "%", "a b", "A1"):
                yield text + "x" * (low - len(text)) if len(text) < low else text
            if not (self.patterns or self.not_patterns or self.formats or self.not_formats):
                for index in range(len(self.excluded) + 1):
                    yield f"{index}".rjust(max(low, 1), "x")
                if high == 0 and ("string", "") in self.excluded:
                    yield None

    def _question(self) -> str:
        asked = [f"match '{_short(pattern)}'" for pattern in sorted(self.not_patterns)]
        asked += [f"have the format '{name}'" for name in sorted(self.not_formats)]
        of = [f"that match '{_short(pattern)}'" for pattern in sorted(self.patterns)]
        of += [f"of the format '{name}'" for name in sorted(self.formats)]
        if not asked:
            return f"whether there are strings {' and '.join(of)}" if of else "which strings are meant"
        return f"whether all strings {' and '.join([*of, ''])}{' or '.join(asked)}".replace(
            " and match", " match"
        )


def _short(pattern: str) -> str:
    return pattern if len(pattern) <= 40 else pattern[:39] + "…"


def _not(answer: bool | None) -> bool | None:
    return None if answer is None else not answer


def apply(shape: Text, word: str, value: Any, negated: bool) -> list[Text]:
    """Return a shape that also keeps, or breaks, one keyword."""
    if word in ("minLength", "maxLength"):
        least, most = (int(value), None) if word == "minLength" else (0, int(value))
        if negated:
            least, most = (0, int(value) - 1) if word == "minLength" else (int(value) + 1, None)
        low = max(shape.low, least)
        high = most if shape.high is None else shape.high if most is None else min(most, shape.high)
        if high is not None and low > high:
            return []
        return [shape] if (low, high) == (shape.low, shape.high) else [replace(shape, low=low, high=high)]
    if word == "pattern":
        if negated:
            return (
                [] if value in shape.patterns else [replace(shape, not_patterns=shape.not_patterns | {value})]
            )
        return [] if value in shape.not_patterns else [replace(shape, patterns=shape.patterns | {value})]
    if value in UNCHECKED:
        return [] if negated else [shape]
    if value not in EXAMPLES:
        why = f"whether all strings have the format '{_short(value)}'"
        known = with_opaque(shape, Opaque(("format", value), negated, why))
        return [] if known is None else [known]
    if negated:
        if any(implies(name, value) for name in shape.formats):
            return []
        return [replace(shape, not_formats=shape.not_formats | {value})]
    return [replace(shape, formats=shape.formats | {value})]
