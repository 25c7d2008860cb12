"""What a place in an event must keep: several schemas at once, of the writer and of the reader, some negated.

"Does all that W allows fit R" is asked as "is there a value of W and not R"; a node is such a question.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from blueprints.compatible.document import Document


@dataclass(frozen=True, eq=False)
class Part:
    """One schema at one place. `schema` may be a tuple of parts: all of them. `is_writers`: it says what is written."""

    document: Document
    schema: Any
    is_writers: bool = False
    negated: bool = False

    @cached_property
    def key(self) -> Hashable:
        if isinstance(self.schema, tuple):
            return (tuple(part.key for part in self.schema), self.negated)
        if isinstance(self.schema, bool):
            return (self.schema != self.negated, self.is_writers)
        return (id(self.schema), self.is_writers, self.negated)

    def of(self, schema: Any) -> Part:
        """Return another schema of the same document and side, not negated."""
        return Part(self.document, schema, self.is_writers)

    def flipped(self) -> Part:
        return replace(self, negated=not self.negated)


class Node:
    """All of several parts; none is any value."""

    __slots__ = ("key", "parts")

    def __init__(self, parts: Iterable[Part] = ()) -> None:
        kept = {part.key: part for part in parts}
        self.parts = tuple(kept.values())
        self.key = frozenset(kept)

    def __and__(self, other: Node) -> Node:
        if not other.parts:
            return self
        return Node((*self.parts, *other.parts)) if self.parts else other

    def negated(self) -> Node:
        """Return what this node does not allow."""
        if len(self.parts) == 1:
            return Node([self.parts[0].flipped()])
        return Node([Part(_NOWHERE, self.parts, negated=True)])

    def of_writer(self) -> bool:
        return any(part.is_writers for part in self.parts)


_NOWHERE = Document(True)
ANY = Node()
NEVER = Node([Part(_NOWHERE, False)])
