"""Lists: items, tuples, lengths, what must be contained, whether an item may stand twice."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from blueprints.compatible.answer import EMPTY, Answer, unknown
from blueprints.compatible.document import Undecidable
from blueprints.compatible.node import ANY, Node, Part
from blueprints.compatible.shape import NOTHING, Opaques, checked, counted
from blueprints.compatible.values import mark, marks

if TYPE_CHECKING:
    from blueprints.compatible.search import Search

LONGEST = 200  # items of a list that is made up


@dataclass(frozen=True, slots=True)
class Contains:
    """From `low` to `high` items at or after `start` are of a node."""

    start: int
    node: Node
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class Array:
    """Lists of `low` to `high` items: a node for each of the first, and one for the rest."""

    prefix: tuple[Node, ...] = ()
    rest: Node = ANY
    low: int = 0
    high: int | None = None
    is_unique: bool = False
    is_repeated: bool = False
    contains: tuple[Contains, ...] = ()
    excluded: frozenset[Hashable] = frozenset()
    opaque: Opaques = NOTHING
    kind: ClassVar[str] = "array"

    def at(self, index: int) -> Node:
        """Return the node of the item at a place."""
        return self.prefix[index] if index < len(self.prefix) else self.rest

    def longest(self, search: Search) -> int | None:
        """Return how many items there can be: up to the first for which there is no value."""
        high = self.high
        for index in range(len(self.prefix) + 1):
            if high is not None and high <= index:
                return high
            if search.find(self.at(index)).is_empty:
                return index
        return high

    def holds(self, value: Any, search: Search) -> bool | None:
        if len(value) < self.low or (self.high is not None and len(value) > self.high):
            return False
        is_repeated = len(marks(value)) < len(value)
        if (self.is_unique and is_repeated) or (self.is_repeated and not is_repeated):
            return False
        if mark(value) in self.excluded:
            return False
        answers = {search.allows(self.at(index), item) for index, item in enumerate(value)}
        for one in self.contains:
            held = [search.allows(one.node, item) for item in value[one.start :]]
            sure, perhaps = held.count(True), len(held) - held.count(False)
            if perhaps < one.low or (one.high is not None and sure > one.high):
                return False
            if sure < one.low or (one.high is not None and perhaps > one.high):
                answers.add(None)
        return False if False in answers else None if None in answers else True

    def find(self, search: Search, given: Mapping[int, Any] = {}) -> Answer:
        """Return a list of this shape; `given` says what some of its items are."""
        if self.is_unique and self.is_repeated:
            return EMPTY
        high = self.longest(search)
        low = max(self.low, 2 if self.is_repeated else 0, 1 + max(given, default=-1))
        chosen: dict[int, Any] = dict(given)
        for one in self.contains:
            answer = self._place(one, high, chosen, search)
            if not answer.is_found:
                return answer
        low = max(low, 1 + max(chosen, default=-1))
        if high is not None and low > high:
            return (
                EMPTY
                if not chosen or high < self.low
                else unknown("whether a list can hold all that it must")
            )
        if low > LONGEST:
            return unknown(f"whether there is a list of {low} items")
        if self.is_repeated and not chosen:
            answer = self._twice(high, search)
            if not answer.is_found:
                return answer
            chosen = answer.value
            low = max(low, 1 + max(chosen))
        made: list[Any] = []
        for index in range(low):
            answer = self._item(index, made, chosen, search)
            if not answer.is_found:
                return answer
            made.append(answer.value)
        return checked(self, made, search)

    def _item(self, index: int, made: list[Any], chosen: Mapping[int, Any], search: Search) -> Answer:
        if index in chosen:
            return Answer("found", chosen[index])
        node = self.at(index)
        taken = [*made, *chosen.values()] if self.is_unique else []
        for value in taken:
            node = node & search.literal(value).negated()
        for one in self.contains:
            if one.high is not None and index >= one.start:
                fewer = node & one.node.negated()
                node = fewer if search.find(fewer).is_found else node
        answer = search.find(node)
        if answer.is_empty and (taken or self.contains):
            is_uniform = not self.prefix and not self.contains
            return (
                EMPTY if is_uniform and not chosen else unknown("whether enough different items can be found")
            )
        return answer

    def _place(self, one: Contains, high: int | None, chosen: dict[int, Any], search: Search) -> Answer:
        """Choose the items that one demand asks for."""
        needed = one.low - sum(search.allows(one.node, chosen[i]) is True for i in chosen if i >= one.start)
        end = max(one.start, len(self.prefix), *chosen, 0) + max(needed, 0) + 1
        doubt = ""
        places = 0
        for index in range(one.start, end if high is None else min(end, high)):
            if index in chosen:
                places += 1
                continue
            if needed <= 0:
                break
            node = self.at(index) & one.node
            if self.is_unique:
                for value in chosen.values():
                    node = node & search.literal(value).negated()
            answer = search.find(node)
            if answer.is_found:
                chosen[index], needed = answer.value, needed - 1
                places += 1
            elif not answer.is_empty:
                doubt = answer.why
        if needed <= 0:
            return Answer("found")
        is_sure = not doubt and not self.is_unique and places < one.low and len(self.contains) == 1
        if is_sure or (not doubt and not any(i >= one.start for i in chosen)):
            return EMPTY
        return unknown(doubt or "whether a list can hold all that it must")

    def _twice(self, high: int | None, search: Search) -> Answer:
        """Return two places and the same value for both."""
        end = len(self.prefix) + 2
        doubt = ""
        for second in range(1, end if high is None else min(end, high)):
            for first in range(second):
                answer = search.find(self.at(first) & self.at(second))
                if answer.is_found:
                    return Answer("found", {first: answer.value, second: answer.value})
                doubt = doubt or answer.why
        return unknown(doubt) if doubt else EMPTY


def _unless_empty(shape: Array, search: Search) -> list[Array]:
    return [] if shape.find(search).is_empty else [shape]


def _length(search: Search, shape: Array, part: Part, word: str, keywords: Mapping[str, Any]) -> list[Array]:
    new = counted(shape, int(keywords[word]), word == "minItems", part.negated)
    if new is None:
        return []
    return [new] if new is shape or not part.negated else _unless_empty(new, search)


def _unique(search: Search, shape: Array, part: Part, word: str, keywords: Mapping[str, Any]) -> list[Array]:
    if not keywords[word]:
        return [] if part.negated else [shape]
    if part.negated:
        return _unless_empty(replace(shape, is_repeated=True, low=max(shape.low, 2)), search)
    return [] if shape.is_repeated else [replace(shape, is_unique=True)]


def _prefix(search: Search, shape: Array, part: Part, word: str, keywords: Mapping[str, Any]) -> list[Array]:
    nodes = [Node([part.of(schema)]) for schema in keywords[word]]
    if not part.negated:
        count = max(len(shape.prefix), len(nodes))
        met = [shape.at(i) & nodes[i] if i < len(nodes) else shape.at(i) for i in range(count)]
        return [replace(shape, prefix=tuple(met))]
    left: list[Array] = []
    for index, node in enumerate(nodes):
        prefix = [shape.at(i) for i in range(max(len(shape.prefix), index + 1))]
        prefix[index] = prefix[index] & node.negated()
        if (shape.high is None or shape.high > index) and not search.find(prefix[index]).is_empty:
            new = replace(shape, prefix=tuple(prefix), low=max(shape.low, index + 1))
            left += _unless_empty(new, search)
    return left


def _items(search: Search, shape: Array, part: Part, word: str, keywords: Mapping[str, Any]) -> list[Array]:
    start = len(keywords.get("prefixItems", ()))
    node = Node([part.of(keywords[word])])
    return _from(search, shape, start, node.negated(), True) if part.negated else [_each(shape, start, node)]


def _each(shape: Array, start: int, node: Node) -> Array:
    """Return lists whose items at and after a place are of one more node."""
    prefix = [shape.at(i) for i in range(max(len(shape.prefix), start))]
    met = tuple(item if i < start else item & node for i, item in enumerate(prefix))
    return replace(shape, prefix=met, rest=shape.rest & node)


def _from(search: Search, shape: Array, start: int, node: Node, is_some: bool) -> list[Array]:
    one = Contains(start, node, 1, None)
    return _unless_empty(replace(shape, contains=(*shape.contains, one)), search)


def _contains(
    search: Search, shape: Array, part: Part, word: str, keywords: Mapping[str, Any]
) -> list[Array]:
    node = Node([part.of(keywords[word])])
    low, most = int(keywords.get("minContains", 1)), keywords.get("maxContains")
    high = None if most is None else int(most)
    if not part.negated:
        if low == 0 and high is None:
            return [shape]
        return [replace(shape, contains=(*shape.contains, Contains(0, node, low, high)))]
    left: list[Array] = []
    if low == 1:
        left += _unless_empty(_each(shape, 0, node.negated()), search)
    elif low > 1:
        left += _unless_empty(
            replace(shape, contains=(*shape.contains, Contains(0, node, 0, low - 1))), search
        )
    if high is not None:
        more = Contains(0, node, high + 1, None)
        left += _unless_empty(replace(shape, contains=(*shape.contains, more)), search)
    return left


def _unevaluated(
    search: Search, shape: Array, part: Part, word: str, keywords: Mapping[str, Any]
) -> list[Array]:
    others = {"contains", "$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "not", "dependentSchemas"}
    if "items" in keywords:
        return [] if part.negated else [shape]
    if others & keywords.keys():
        raise Undecidable("what 'unevaluatedItems' is about")
    return _items(search, shape, part, word, keywords)


RULES: Mapping[str, Callable[[Search, Array, Part, str, Mapping[str, Any]], list[Array]]] = {
    "minItems": _length,
    "maxItems": _length,
    "uniqueItems": _unique,
    "prefixItems": _prefix,
    "items": _items,
    "contains": _contains,
    "unevaluatedItems": _unevaluated,
}
