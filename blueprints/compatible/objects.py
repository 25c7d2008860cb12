"""Objects: fields, which must be there, which others may be, and what depends on what."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from blueprints.compatible.answer import EMPTY, Answer, unknown
from blueprints.compatible.document import Undecidable
from blueprints.compatible.naming import named
from blueprints.compatible.node import ANY, NEVER, Node, Part
from blueprints.compatible.shape import NOTHING, Opaques, checked, counted
from blueprints.compatible.unevaluated import spoken_of
from blueprints.compatible.values import is_small, mark

if TYPE_CHECKING:
    from blueprints.compatible.search import Search

MOST = 200  # fields of an object that is made up
MOST_PATTERNS = 5  # of names; each doubles the sets of patterns that a name may match


@dataclass(frozen=True, slots=True)
class Others:
    """What fields are of that have none of these names and match none of these patterns."""

    names: frozenset[str]
    patterns: tuple[str, ...]
    node: Node


@dataclass(frozen=True, slots=True)
class Some:
    """There is a field with this value that has none of the names, none of the patterns, and a name of `name`."""

    value: Node
    names: frozenset[str] = frozenset()
    patterns: tuple[str, ...] = ()
    matching: str | None = None
    name: Node = ANY


@dataclass(frozen=True, slots=True)
class Object:
    """Objects of `low` to `high` fields. `is_open`: the schema says that there may be more than those it lists."""

    fields: Mapping[str, Node] = field(default_factory=dict)
    patterns: tuple[tuple[str, Node], ...] = ()
    others: tuple[Others, ...] = ()
    required: tuple[str, ...] = ()
    low: int = 0
    high: int | None = None
    names: Node = ANY
    some: tuple[Some, ...] = ()
    is_open: bool = False
    excluded: frozenset[Hashable] = frozenset()
    opaque: Opaques = NOTHING
    kind: ClassVar[str] = "object"

    def at(self, name: str, search: Search) -> Node:
        """Return the node of a field, whether it is listed or not. Raises: Undecidable."""
        node = self.fields.get(name, ANY)
        for pattern, of in self.patterns:
            if _matches(pattern, name, search):
                node = node & of
        for rest in self.others:
            if name not in rest.names and not any(_matches(p, name, search) for p in rest.patterns):
                node = node & rest.node
        return node

    def may_have(self, name: str, search: Search) -> bool:
        """Return whether a field of this name can be there."""
        if self.names.parts and search.allows(self.names, name) is False:
            return False
        return not search.find(self.at(name, search)).is_empty

    def holds(self, value: Any, search: Search) -> bool | None:
        if len(value) < self.low or (self.high is not None and len(value) > self.high):
            return False
        if any(name not in value for name in self.required) or mark(value) in self.excluded:
            return False
        answers = {search.allows(self.at(name, search), item) for name, item in value.items()}
        if self.names.parts:
            answers |= {search.allows(self.names, name) for name in value}
        for some in self.some:
            held = {_is_some(some, name, item, search) for name, item in value.items()}
            answers.add(True if True in held else None if None in held else False)
        return False if False in answers else None if None in answers else True

    def find(self, search: Search, given: Mapping[str, Any] = {}) -> Answer:
        """Return an object of this shape; `given` says what some of its fields are."""
        made: dict[str, Any] = dict(given)
        if self.high is not None and len(self.required) > self.high:
            return EMPTY
        doubt: Answer | None = None
        for name in self.required:
            if name in made:
                continue
            if self.names.parts and search.allows(self.names, name) is False:
                return EMPTY
            answer = search.find(self.at(name, search))
            if answer.is_empty:
                return EMPTY
            if answer.is_found:
                made[name] = answer.value
            else:
                doubt = doubt or answer
        for some in self.some:
            if any(_is_some(some, name, value, search) for name, value in made.items()):
                continue
            answer = self._more(made, search, some)
            if answer.is_empty and len(self.some) > 1 and len(made) > len(self.required):
                answer = unknown("whether an object can have all that it must")
            if not answer.is_found:
                return answer
        while len(made) < self.low and doubt is None:
            if len(made) >= MOST:
                return unknown(f"whether there is an object of {self.low} fields")
            answer = self._more(made, search)
            if not answer.is_found:
                return answer if not self.some else unknown("whether an object can have all that it must")
        if given and doubt is None and not self.opaque and is_small(made):
            return Answer("found", made)  # a validator will look at it
        return doubt or checked(self, made, search)

    def _more(self, made: dict[str, Any], search: Search, some: Some | None = None) -> Answer:
        """Add a field, such as is asked for. Empty: there can be no other."""
        doubt = ""
        for name in self.candidates(made, search, some):
            if name is None:
                doubt = doubt or "which names a field may have"
                continue
            if self.names.parts and search.allows(self.names, name) is False:
                continue
            node = self.at(name, search)
            if some is not None:
                if not is_named(some, name, search):
                    continue
                node = node & some.value
            answer = search.find(node)
            if answer.is_found:
                made.pop(name, None)
                made[name] = answer.value
                return answer
            if not answer.is_empty:
                doubt = doubt or answer.why
        return unknown(doubt) if doubt else EMPTY

    def candidates(self, made: Mapping[str, Any], search: Search, some: Some | None) -> Iterator[str | None]:
        """Yield names that stand for all that a field may have; None where some are not stood for."""
        listed = [*self.fields, *self.required, *(n for rest in self.others for n in sorted(rest.names))]
        listed = list(dict.fromkeys([*listed, *(sorted(some.names) if some is not None else ())]))
        yield from (name for name in listed if some is not None or name not in made)
        # Names that are not listed differ only by the patterns that they match: one stands for each set of these.
        patterns = [pattern for pattern, _ in self.patterns]
        patterns += [pattern for rest in self.others for pattern in rest.patterns]
        names = self.names
        if some is not None:
            patterns += [*some.patterns, *([some.matching] if some.matching is not None else [])]
            names = names & some.name
        patterns = list(dict.fromkeys(patterns))
        if len(patterns) > MOST_PATTERNS:
            yield None
            return
        shapes = [shape for shape in search.shapes(names) if shape.kind == "string"]
        for chosen in range(1 << len(patterns)):
            matched = {pattern for index, pattern in enumerate(patterns) if chosen >> index & 1}
            for shape in shapes:
                yield from named(shape, matched, set(patterns) - matched, (*listed, *made), search)


def closed(shape: Object) -> Object:
    """Return what a writer writes: the fields that are listed, unless the schema says that there may be more."""
    listed = frozenset([*shape.fields, *shape.required])
    needs_more = shape.some or shape.low > len(listed) or shape.names.parts
    if shape.is_open or needs_more or not (shape.fields or shape.patterns):
        return shape
    rest = Others(listed, tuple(pattern for pattern, _ in shape.patterns), NEVER)
    return replace(shape, others=(*shape.others, rest))


def _matches(pattern: str, name: str, search: Search) -> bool:
    answer = search.proof.matches(pattern, name)
    if answer is None:
        raise Undecidable(f"whether '{name}' matches '{pattern}'")
    return answer


def is_named(some: Some, name: str, search: Search) -> bool:
    if name in some.names or any(_matches(pattern, name, search) for pattern in some.patterns):
        return False
    if some.matching is not None and not _matches(some.matching, name, search):
        return False
    return not some.name.parts or search.allows(some.name, name) is True


def _is_some(some: Some, name: str, value: Any, search: Search) -> bool | None:
    return search.allows(some.value, value) if is_named(some, name, search) else False


def _unless_empty(shape: Object, search: Search) -> list[Object]:
    return [] if shape.find(search).is_empty else [shape]


def require(search: Search, shape: Object, names: Iterable[str]) -> list[Object]:
    """Return objects that have these fields; the very same where they have them anyway."""
    new = [name for name in dict.fromkeys(names) if name not in shape.required]
    if not new:
        return [shape]
    left = replace(shape, required=(*shape.required, *new))
    return [left] if all(left.may_have(name, search) for name in new) else []


def forbid(search: Search, shape: Object, name: str) -> list[Object]:
    """Return objects without this field; the very same where they never have it."""
    if name in shape.required:
        return []
    if not shape.may_have(name, search):
        return [shape]
    return [replace(shape, fields={**shape.fields, name: NEVER})]


def _required(
    search: Search, shape: Object, part: Part, word: str, keywords: Mapping[str, Any]
) -> list[Object]:
    if not part.negated:
        return require(search, shape, keywords[word])
    left: list[Object] = []
    for name in dict.fromkeys(keywords[word]):
        absent = forbid(search, shape, name)
        if absent and absent[0] is shape:
            return absent
        left += absent
    return left


def _count(search: Search, shape: Object, part: Part, word: str, keywords: Mapping[str, Any]) -> list[Object]:
    new = counted(shape, int(keywords[word]), word == "minProperties", part.negated)
    if new is None:
        return []
    return [new] if new is shape or not part.negated else _unless_empty(new, search)


def _fields(
    search: Search, shape: Object, part: Part, word: str, keywords: Mapping[str, Any]
) -> list[Object]:
    nodes = {name: Node([part.of(schema)]) for name, schema in keywords[word].items()}
    if not part.negated:
        met = {
            name: shape.fields[name] & node if name in shape.fields else node for name, node in nodes.items()
        }
        new = replace(shape, fields={**shape.fields, **met})
        met_before = shape.others or shape.patterns
        touched = (n for n in met if n in new.required and (met_before or n in shape.fields))
        return [new] if all(new.may_have(name, search) for name in touched) else []
    left: list[Object] = []
    for name, node in nodes.items():
        search.spend()
        schema = keywords[word][name]
        if schema is True or schema == {}:
            continue
        here = shape.at(name, search)
        is_tag = (
            name in shape.required
            and isinstance(schema, Mapping)
            and not {"const", "enum"}.isdisjoint(schema)
        )
        if is_tag and search.find(here & node).is_empty:
            return [shape]  # another alternative
        if search.find(here & node.negated()).is_empty:
            continue
        wrong = {**shape.fields, name: shape.fields.get(name, ANY) & node.negated()}
        left += require(search, replace(shape, fields=wrong), [name])
    return left


def _patterned(
    search: Search, shape: Object, part: Part, word: str, keywords: Mapping[str, Any]
) -> list[Object]:
    nodes = [(pattern, Node([part.of(schema)])) for pattern, schema in keywords[word].items()]
    if not part.negated:
        new = replace(shape, patterns=(*shape.patterns, *nodes))
        return [new] if all(new.may_have(name, search) for name in new.required) else []
    left: list[Object] = []
    for pattern, node in nodes:
        some = Some(node.negated(), matching=pattern)
        left += _unless_empty(replace(shape, some=(*shape.some, some)), search)
    return left


def _others(
    search: Search, shape: Object, part: Part, word: str, keywords: Mapping[str, Any]
) -> list[Object]:
    names, patterns = keywords.get("properties", {}), keywords.get("patternProperties", {})
    return _rest(search, shape, part, keywords[word], frozenset(names), tuple(patterns))


def _rest(
    search: Search, shape: Object, part: Part, schema: Any, names: frozenset[str], patterns: tuple[str, ...]
) -> list[Object]:
    node = Node([part.of(schema)])
    if part.negated:
        if schema is True or schema == {}:
            return []
        some = Some(node.negated(), names, patterns)
        return _unless_empty(replace(shape, some=(*shape.some, some)), search)
    is_open = shape.is_open or (part.is_writers and schema is not False)
    new = replace(shape, others=(*shape.others, Others(names, patterns, node)), is_open=is_open)
    return [new] if all(new.may_have(name, search) for name in new.required) else []


def _named(search: Search, shape: Object, part: Part, word: str, keywords: Mapping[str, Any]) -> list[Object]:
    node = Node([part.of(keywords[word])])
    if part.negated:
        some = Some(ANY, name=node.negated())
        return _unless_empty(replace(shape, some=(*shape.some, some)), search)
    new = replace(shape, names=shape.names & node)
    return [new] if all(new.may_have(name, search) for name in new.required) else []


def _dependent(
    search: Search, shape: Object, part: Part, word: str, keywords: Mapping[str, Any]
) -> list[Object]:
    shapes = [shape]
    left: list[Object] = []
    for name, needed in keywords[word].items():
        if part.negated:
            for having in require(search, shape, [name]):
                for one in needed:
                    left += forbid(search, having, one)
            continue
        new: list[Object] = []
        for one in shapes:
            absent = forbid(search, one, name)
            new += absent
            if not (absent and absent[0] is one):
                new += require(search, one, [name, *needed])
        shapes = new
    return left if part.negated else shapes


def _unevaluated(
    search: Search, shape: Object, part: Part, word: str, keywords: Mapping[str, Any]
) -> list[Object]:
    known = spoken_of(part, keywords)
    if known is None:
        return [] if part.negated else [shape]
    return _rest(search, shape, part, keywords[word], frozenset(known[0]), tuple(known[1]))


RULES: Mapping[str, Callable[[Search, Object, Part, str, Mapping[str, Any]], list[Object]]] = {
    "required": _required,
    "minProperties": _count,
    "maxProperties": _count,
    "properties": _fields,
    "patternProperties": _patterned,
    "additionalProperties": _others,
    "propertyNames": _named,
    "dependentRequired": _dependent,
    "unevaluatedProperties": _unevaluated,
}
