"""Names for made-up fields: such as match some patterns and not others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from blueprints.compatible.shape import Finite, Shape
from blueprints.compatible.text import Text
from blueprints.compatible.values import marks

if TYPE_CHECKING:
    from blueprints.compatible.search import Search

FRESH = ("extra", "more", "other")  # names of made-up fields


def named(
    shape: Shape, matched: set[str], unmatched: set[str], but: tuple[str, ...], search: Search
) -> Iterator[str | None]:
    """Yield a name that matches some patterns and not others; None where it is not known whether there is one."""
    if isinstance(shape, Finite):
        for name in shape.values:
            if name not in but:
                answers = {search.proof.matches(pattern, name) for pattern in matched}
                answers |= {_not(search.proof.matches(pattern, name)) for pattern in unmatched}
                if False not in answers:
                    yield None if None in answers or shape.opaque else name
        return
    assert isinstance(shape, Text)
    text = replace(
        shape,
        patterns=shape.patterns | matched,
        not_patterns=shape.not_patterns | unmatched,
        excluded=shape.excluded | marks(but),
    )
    if not text.patterns and not text.opaque:
        for name in FRESH:
            if text.holds(name, search):
                yield name
                return
    answer = text.find(search)
    if answer.is_found:
        yield answer.value
    elif not answer.is_empty:
        yield None


def _not(answer: bool | None) -> bool | None:
    return None if answer is None else not answer
