"""Alternatives: types, constants, references, allOf, anyOf, oneOf, not and if-then-else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from blueprints.compatible.node import Part
from blueprints.compatible.numbers import ONE, Numbers
from blueprints.compatible.shape import Finite, Shape
from blueprints.compatible.values import exact, kind_of

if TYPE_CHECKING:
    from blueprints.compatible.search import Search

Rule = Callable[["Search", "list[Shape]", Part, Mapping[str, Any]], "list[Shape]"]


def _type(search: Search, shapes: list[Shape], part: Part, keywords: Mapping[str, Any]) -> list[Shape]:
    given = keywords["type"]
    names = {given} if isinstance(given, str) else set(given)
    left: list[Shape] = []
    for shape in shapes:
        if shape.kind in names:
            left += [] if part.negated else [shape]
        elif shape.kind == "number" and "integer" in names:
            left += _whole(shape, part.negated)
        elif part.negated:
            left.append(shape)
    return left


def _whole(shape: Shape, negated: bool) -> list[Shape]:
    if isinstance(shape, Finite):
        kept = tuple(value for value in shape.values if (exact(value).denominator == 1) != negated)
        return [shape] if len(kept) == len(shape.values) else [replace(shape, values=kept)] if kept else []
    if not isinstance(shape, Numbers):
        return [shape]
    is_whole = any(step.denominator == 1 for step in shape.multiples)
    if negated:
        return [] if is_whole else [replace(shape, not_multiples=shape.not_multiples | {ONE})]
    if ONE in shape.not_multiples:
        return []
    return [shape] if is_whole else [replace(shape, multiples=shape.multiples | {ONE})]


def _constant(search: Search, shapes: list[Shape], part: Part, keywords: Mapping[str, Any]) -> list[Shape]:
    return _among(search, shapes, (keywords["const"],), part.negated)


def _enum(search: Search, shapes: list[Shape], part: Part, keywords: Mapping[str, Any]) -> list[Shape]:
    return _among(search, shapes, tuple(keywords["enum"]), part.negated)


def _among(search: Search, shapes: list[Shape], values: tuple[Any, ...], negated: bool) -> list[Shape]:
    from blueprints.compatible.search import only, without

    search.spend(len(values) // 4)
    kinds = {kind_of(value) for value in values}
    left: list[Shape] = []
    for shape in shapes:
        if shape.kind not in kinds:
            left += [shape] if negated else []
            continue
        kept = without(shape, values) if negated else only(shape, values, search)
        left += [kept] if kept is not None else []
    return left


def _reference(word: str) -> Rule:
    def follow(search: Search, shapes: list[Shape], part: Part, keywords: Mapping[str, Any]) -> list[Shape]:
        target = part.document.target(word, keywords[word])
        return search.restrict(shapes, replace(part, schema=target))

    return follow


def _all_of(search: Search, shapes: list[Shape], part: Part, keywords: Mapping[str, Any]) -> list[Shape]:
    return search.restrict(shapes, replace(part, schema=tuple(map(part.of, keywords["allOf"]))))


def _any_of(search: Search, shapes: list[Shape], part: Part, keywords: Mapping[str, Any]) -> list[Shape]:
    branches = list(map(part.of, keywords["anyOf"]))
    if part.negated:
        return _none_of(search, shapes, branches)
    return [left for branch in branches for left in search.restrict(shapes, branch)]


def _one_of(search: Search, shapes: list[Shape], part: Part, keywords: Mapping[str, Any]) -> list[Shape]:
    branches = list(map(part.of, keywords["oneOf"]))
    left: list[Shape] = []
    if not part.negated:
        for branch in branches:
            chosen = search.restrict(shapes, branch)
            left += _none_of(search, chosen, [other for other in branches if other is not branch])
        return left
    left = _none_of(search, shapes, branches)
    for shape in shapes:
        held = [(branch, kept) for branch in branches if (kept := search.restrict([shape], branch))]
        for index, (_, kept) in enumerate(held):
            for other, _ in held[index + 1 :]:
                left += search.restrict(kept, other)
    return left


def _none_of(search: Search, shapes: list[Shape], branches: list[Part]) -> list[Shape]:
    """Return what none of several schemas allows. One of them alone often leaves nothing: that is tried first."""
    left: list[Shape] = []
    for shape in shapes:
        touching = [branch for branch in branches if search.restrict([shape], branch)]
        if not touching:
            left.append(shape)
            continue
        outside = [search.restrict([shape], branch.flipped()) for branch in touching]
        if not all(outside):
            continue
        rest = outside[0]
        for branch in touching[1:]:
            rest = search.restrict(rest, branch.flipped())
        left += rest
    return left


def _not(search: Search, shapes: list[Shape], part: Part, keywords: Mapping[str, Any]) -> list[Shape]:
    return search.restrict(shapes, replace(part, schema=keywords["not"], negated=not part.negated))


def _if(search: Search, shapes: list[Shape], part: Part, keywords: Mapping[str, Any]) -> list[Shape]:
    condition = part.of(keywords["if"])
    left: list[Shape] = []
    for word, held in (("then", condition), ("else", condition.flipped())):
        branch = part.of(keywords.get(word, True))
        if part.negated:
            branch = branch.flipped()
        left += search.restrict(search.restrict(shapes, held), branch)
    return left


def _dependent(search: Search, shapes: list[Shape], part: Part, keywords: Mapping[str, Any]) -> list[Shape]:
    """A field that is there brings its schema with it."""
    left: list[Shape] = []
    for name, schema in keywords["dependentSchemas"].items():
        new: list[Shape] = []
        for shape in shapes:
            if shape.kind != "object":
                new += [] if part.negated else [shape]
                continue
            has = part.of({"required": [name], "type": "object"})
            there = search.restrict([shape], search.keep(has))
            branch = part.of(schema)
            if part.negated:
                left += search.restrict(there, branch.flipped())
            else:
                new += search.restrict([shape], search.keep(has).flipped())
                new += search.restrict(there, branch)
        shapes = shapes if part.negated else new
    return left if part.negated else shapes


RULES: Mapping[str, Rule] = {
    "type": _type,
    "const": _constant,
    "enum": _enum,
    "$ref": _reference("$ref"),
    "$dynamicRef": _reference("$dynamicRef"),
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
    "if": _if,
    "dependentSchemas": _dependent,
}
