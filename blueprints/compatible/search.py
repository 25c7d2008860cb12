"""Whether there is a value that a writer allows and a reader refuses: schemas are taken apart into shapes of one kind
each, which are met with one another until nothing is left, or a value is found.

Recursion ends because a value that needs itself inside itself is never the smallest: a question met again while it is
being answered is taken as "none". Answers that rest on that are kept only once the outer question is answered so too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from typing import Any, cast

from blueprints.compatible import arrays, numbers, objects, text
from blueprints.compatible.answer import EMPTY, Answer, unknown
from blueprints.compatible.arrays import Array
from blueprints.compatible.document import Document, Undecidable
from blueprints.compatible.forms import Forms
from blueprints.compatible.node import Node, Part
from blueprints.compatible.numbers import Numbers
from blueprints.compatible.objects import Object
from blueprints.compatible.proof import Proof
from blueprints.compatible.shape import Finite, Opaque, Shape, with_opaque
from blueprints.compatible.text import Text
from blueprints.compatible.values import KINDS, kind_of, mark, marks

STEPS = 40_000  # keywords met with shapes; some 0.5 s, which only a schema made to hang reaches
GLANCES = 8  # to a step
FEW = 16  # constants of a tag, and shapes, that are looked at one by one
_NEVER_MET = 1 << 30

ALL: tuple[Shape, ...] = (
    Finite("null", (None,)),
    Finite("boolean", (False, True)),
    Numbers(),
    Text(),
    Array(),
    Object(),
)
_WHOLE: Mapping[str, Shape] = {shape.kind: shape for shape in ALL}

Handler = Callable[["Search", Any, Part, str, Mapping[str, Any]], "list[Any]"]


class Exhausted(Exception):
    """The comparison took more steps than it may."""


class Search:
    """One comparison: its answers so far and the steps that it may still take."""

    def __init__(self, steps: int = STEPS) -> None:
        self.proof = Proof(self.spend)
        self._left = steps * GLANCES
        self._known: dict[Hashable, Answer] = {}
        self._assumed: dict[Hashable, int] = {}  # answered "none" because of an outer question: its depth
        self._active: dict[Hashable, int] = {}
        self._lowest = _NEVER_MET
        self._level: set[Hashable] = set()  # schemas being taken apart for the same value
        self._writers: dict[Hashable, list[Shape]] = {}
        self._allowed: dict[Hashable, bool | None] = {}
        self._tags: dict[Hashable, Mapping[str, frozenset[Hashable]]] = {}
        self._forms = Forms()
        self._own = Document(True)
        self._made: dict[Hashable, Part] = {}

    def keep(self, part: Part) -> Part:
        """Return a part with a schema made here, which must live as long as its identity is compared."""
        key = (json.dumps(part.schema, sort_keys=True), part.is_writers)
        return self._made.setdefault(key, part)

    def literal(self, value: Any) -> Node:
        """Return the node that allows one value only."""
        return Node([self.keep(Part(self._own, {"const": value}))])

    def spend(self, steps: int = 1) -> None:
        self.glance(steps * GLANCES)

    def glance(self, count: int = 1) -> None:
        """Count what is much less than a step."""
        self._left -= count
        if self._left < 0:
            raise Exhausted

    def find(self, node: Node) -> Answer:
        """Return a value that a node allows, or that there is none."""
        key = node.key
        if key in self._known:
            return self._known[key]
        if key in self._assumed:
            self._lowest = min(self._lowest, self._assumed[key])
            return EMPTY
        if key in self._active:
            self._lowest = min(self._lowest, self._active[key])
            return EMPTY
        self.spend()
        if self._contradicts(node):
            self._known[key] = EMPTY
            return EMPTY
        depth, before = len(self._active), list(self._assumed)
        outer, self._lowest = self._lowest, _NEVER_MET
        level, self._level = self._level, set()
        self._active[key] = depth
        try:
            answer = self.find_in(self.shapes(node))
        except Undecidable as exc:
            answer = unknown(str(exc))
        finally:
            del self._active[key]
            self._level = level
            lowest, self._lowest = self._lowest, outer
        if answer.is_empty and lowest < depth:
            self._assumed[key] = lowest
            self._lowest = min(outer, lowest)
            return answer
        for other in [other for other in self._assumed if other not in before]:
            del self._assumed[other]
            if answer.is_empty:
                self._known[other] = EMPTY
        self._known[key] = answer
        return answer

    def _contradicts(self, node: Node) -> bool:
        """Return whether a node asks for a schema and against one that says the same."""
        against = [self._forms.of(part) for part in node.parts if part.negated]
        if not against or len(against) == len(node.parts):
            return False
        return any(
            form is not None and form in against
            for form in (self._forms.of(part) for part in node.parts if not part.negated)
        )

    def _is_other(self, shapes: list[Shape], part: Part, schema: Mapping[str, Any]) -> bool:
        """Return whether all shapes are objects with other tags than a schema asks for. It is what tells apart the
        alternatives of a discriminated union, and much quicker than to compare them."""
        if len(shapes) > FEW or not all(isinstance(shape, Object) for shape in shapes):
            return False
        try:
            tags = self._tags_of(part, schema)
        except Undecidable:
            return False
        return bool(tags) and all(self._has_other(cast(Object, shape), tags) for shape in shapes)

    def _has_other(self, shape: Object, tags: Mapping[str, frozenset[Hashable]]) -> bool:
        for name, accepted in tags.items():
            if name in shape.required and name in shape.fields:
                for one in shape.fields[name].parts:
                    if not one.negated and isinstance(one.schema, dict) and not one.schema.get("$ref"):
                        values = _constants(one.document.keywords(one.schema))
                        if values and values.isdisjoint(accepted):
                            return True
        return False

    def _tags_of(self, part: Part, schema: Mapping[str, Any]) -> Mapping[str, frozenset[Hashable]]:
        key = (id(part.document), id(schema))
        if key not in self._tags:
            self._tags[key] = {}
            document, words = part.document, part.document.keywords(schema)
            if list(words) == ["$ref"]:
                target = document.target("$ref", words["$ref"])
                if isinstance(target, Mapping):
                    self._tags[key] = self._tags_of(part, target)
            else:
                fields = words.get("properties", {}).items()
                found = {
                    name: _constants(document.keywords(of)) for name, of in fields if isinstance(of, dict)
                }
                self._tags[key] = {name: values for name, values in found.items() if values}
        return self._tags[key]

    def find_in(self, shapes: list[Shape]) -> Answer:
        """Return a value of one of several shapes."""
        doubt: Answer | None = None
        for shape in sorted(shapes, key=lambda shape: KINDS.index(shape.kind)):
            answer = shape.find(self)
            if answer.is_found:
                return answer
            if not answer.is_empty:
                doubt = doubt or answer
        return doubt or EMPTY

    def allows(self, node: Node, value: Any) -> bool | None:
        """Return whether a node allows a value; None where that is not known."""
        key = (node.key, mark(value))
        if key not in self._allowed:
            self._allowed[key] = self._allows(node, value)
        return self._allowed[key]

    def _allows(self, node: Node, value: Any) -> bool | None:
        left: list[Shape] = [Finite(kind_of(value), (value,))]
        level, self._level = self._level, set()
        try:
            for part in node.parts:
                left = self.restrict(left, part)
        finally:
            self._level = level
        if not left:
            return False
        return None if all(shape.opaque for shape in left) else True

    def shapes(self, node: Node) -> list[Shape]:
        """Return the alternatives of a node. An object that lists its fields is written with no others, unless the
        writer's schema says more of them; what a reader accepts is open."""
        writers = [part for part in node.parts if part.is_writers]
        shapes = list(ALL)
        if writers:
            key = frozenset(part.key for part in writers)
            if key in self._writers:
                shapes = self._writers[key]
            else:
                lowest, self._lowest = self._lowest, _NEVER_MET
                for part in writers:
                    shapes = self.restrict(shapes, part)
                shapes = [objects.closed(shape) if isinstance(shape, Object) else shape for shape in shapes]
                if self._lowest == _NEVER_MET:
                    self._writers[key] = shapes
                self._lowest = min(lowest, self._lowest)
        for part in node.parts:
            if not part.is_writers:
                shapes = self.restrict(shapes, part)
        return shapes

    def restrict(self, shapes: list[Shape], part: Part) -> list[Shape]:
        """Return what is left of shapes by one more schema."""
        if not shapes:
            return shapes
        self.glance(len(shapes))
        schema = part.schema
        if isinstance(schema, tuple):
            if part.negated:
                return [left for one in schema for left in self.restrict(shapes, one.flipped())]
            for one in schema:
                shapes = self.restrict(shapes, one)
            return shapes
        if isinstance(schema, bool):
            return shapes if schema != part.negated else []
        if not isinstance(schema, dict | Mapping):
            return _doubted(shapes, part, "", schema, "what a schema means that is none")
        if part.key in self._level:
            raise Undecidable("what a schema means that refers to itself")
        try:
            keywords = part.document.keywords(schema)
        except Undecidable as exc:
            return _doubted(shapes, part, "", schema, str(exc))
        if self._is_other(shapes, part, schema):
            return shapes if part.negated else []
        self.spend(len(shapes))
        self._level.add(part.key)
        try:
            if not part.negated:
                for word in keywords:
                    shapes = self._apply(shapes, part, word, keywords)
                return shapes
            return [left for shape in shapes for left in self._broken(shape, part, keywords)]
        finally:
            self._level.discard(part.key)

    def _broken(self, shape: Shape, part: Part, keywords: Mapping[str, Any]) -> list[Shape]:
        """Return what of a shape breaks at least one keyword; the shape itself where all of it does."""
        left: list[Shape] = []
        for word in keywords:
            broken = self._apply([shape], part, word, keywords)
            if len(broken) == 1 and broken[0] is shape:
                return broken
            left += broken
        return left

    def _apply(self, shapes: list[Shape], part: Part, word: str, keywords: Mapping[str, Any]) -> list[Shape]:
        try:
            return self._kept(shapes, part, word, keywords)
        except Undecidable as exc:
            kind = _HANDLERS[word][0] if word in _HANDLERS else None
            touched = [shape for shape in shapes if kind in (None, shape.kind)]
            others = [] if part.negated else [shape for shape in shapes if kind not in (None, shape.kind)]
            return others + _doubted(touched, part, word, keywords[word], str(exc))

    def _kept(self, shapes: list[Shape], part: Part, word: str, keywords: Mapping[str, Any]) -> list[Shape]:
        from blueprints.compatible import alternatives  # its rules ask this search in their turn

        if word in alternatives.RULES:
            return alternatives.RULES[word](self, shapes, part, keywords)
        if word not in _HANDLERS:
            return [] if part.negated else shapes  # read beside another keyword
        kind, handler = _HANDLERS[word]
        left: list[Shape] = []
        for shape in shapes:
            if shape.kind != kind:
                if not part.negated:
                    left.append(shape)
            elif isinstance(shape, Finite):
                left += self._of_few(shape, part, word, keywords)
            else:
                self.spend()
                left += handler(self, shape, part, word, keywords)
        return left

    def _of_few(self, shape: Finite, part: Part, word: str, keywords: Mapping[str, Any]) -> list[Shape]:
        """Return which of a few values keep, or break, one keyword."""
        positive = part.flipped() if part.negated else part
        kept = _HANDLERS[word][1](self, _WHOLE[shape.kind], positive, word, keywords)
        sure, unsure = [], []
        for value in shape.values:
            self.spend()
            answers = [False if s is None else _sure(s, value, self) for s in kept]
            answer = True if True in answers else None if None in answers else False
            if answer is None:
                unsure.append(value)
            elif answer != part.negated:
                sure.append(value)
        left: list[Shape] = [replace(shape, values=tuple(sure))] if sure else []
        if len(sure) == len(shape.values):
            return [shape]
        if unsure:
            key = ("few", part.key, word)
            doubt = Opaque(key, part.negated, "whether a constant is allowed")
            few = with_opaque(replace(shape, values=tuple(unsure)), doubt)
            left += [few] if few is not None else []
        return left


def _constants(schema: Mapping[str, Any]) -> frozenset[Hashable]:
    """Return the marks of the few values that a schema names, or nothing."""
    if "const" in schema:
        return marks([schema["const"]])
    values = schema.get("enum")
    return marks(values) if isinstance(values, list) and len(values) <= FEW else frozenset()


def _doubted(shapes: list[Shape], part: Part, word: str, value: Any, why: str) -> list[Shape]:
    """Return shapes with a demand that is not understood; the same demand is known again in another document."""
    text = json.dumps(value, sort_keys=True, default=str)
    where = id(part.document) if "Ref" in text or "$ref" in text or word.endswith("ef") else 0
    if word.startswith("unevaluated"):
        where = id(part.schema)  # what stands beside it decides what it means
    doubt = Opaque((word, text, where), part.negated, why)
    return [left for shape in shapes if (left := with_opaque(cast(Any, shape), doubt)) is not None]


def _sure(shape: Shape, value: Any, search: Search) -> bool | None:
    holds = shape.holds(value, search)
    return None if holds and shape.opaque else holds


def without(shape: Shape, values: tuple[Any, ...]) -> Shape | None:
    """Return a shape less some values of its kind; the very same where it has none of them."""
    barred = marks(value for value in values if kind_of(value) == shape.kind)
    if isinstance(shape, Finite):
        kept = tuple(value for value in shape.values if mark(value) not in barred)
        return shape if len(kept) == len(shape.values) else replace(shape, values=kept) if kept else None
    return shape if barred <= shape.excluded else replace(cast(Any, shape), excluded=shape.excluded | barred)


def only(shape: Shape, values: tuple[Any, ...], search: Search) -> Shape | None:
    """Return a shape of a few values only."""
    known = {mark(value): value for value in reversed(values) if kind_of(value) == shape.kind}
    if isinstance(shape, Finite):
        kept = [value for value in shape.values if mark(value) in known]
    else:
        kept = [value for value in reversed(known.values()) if shape.holds(value, search) is not False]
    return Finite(shape.kind, tuple(kept), opaque=shape.opaque) if kept else None


def _plain(apply: Callable[[Any, str, Any, bool], list[Any]]) -> Handler:
    return lambda search, shape, part, word, keywords: apply(shape, word, keywords[word], part.negated)


_HANDLERS: dict[str, tuple[str, Handler]] = {
    **dict.fromkeys(
        ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        ("number", _plain(numbers.apply)),
    ),
    **dict.fromkeys(("minLength", "maxLength", "pattern", "format"), ("string", _plain(text.apply))),
    **{word: ("array", handler) for word, handler in arrays.RULES.items()},
    **{word: ("object", handler) for word, handler in objects.RULES.items()},
}
