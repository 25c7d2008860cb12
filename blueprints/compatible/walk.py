"""From "not all of it fits" to the fields that do not: writer and reader are walked side by side.

A writer's schema says what is written: a field that is always there is required in it, whatever its default, and what
an object does not list it does not have, unless the schema says so. Where it leaves open what is written (any value,
any other field), nothing is known, so nothing is decided.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from blueprints.compatible import objects
from blueprints.compatible.answer import Answer
from blueprints.compatible.arrays import Array
from blueprints.compatible.document import Document, Undecidable
from blueprints.compatible.glance import fits_at_a_glance
from blueprints.compatible.node import ANY, Node, Part
from blueprints.compatible.objects import Object, Some
from blueprints.compatible.search import STEPS, Exhausted, Search
from blueprints.compatible.shape import Finite, Shape
from blueprints.compatible.verdict import Compatibility, Misfit, Undecided
from blueprints.compatible.wording import LISTED, either, noun, nouns, value_text

Path = tuple[str, ...]
Place = tuple[str | int, ...]
Embed = Callable[[Any], Any]
_NO_EVENT = object()
MOST_TIMES = 5  # places at which the same difference is told
WALKED_STEPS = 20  # what a place costs of the steps that there are: some 2,000 places
HOPS = 16  # references followed one after another


def compare(writer: Any, reader: Any, steps: int = STEPS) -> Compatibility:
    """Return the fields that the writer may write and the reader refuses, and those that cannot be decided.

    `steps` bounds the work; what is not decided by then is undecided.
    """
    if fits_at_a_glance(writer, reader):
        return Compatibility()
    walk = _Walk(writer, reader, steps)
    try:
        walk.go(walk.writer, walk.reader, (), (), lambda value: value)
        if not walk.found and not walk.search.find(walk.writer & walk.reader.negated()).is_empty:
            walk.doubt((), "whether all of it fits")
    except Exhausted:
        walk.doubt((), "whether all of it fits: there is too much to compare")
    except RecursionError:
        walk.doubt((), "whether all of it fits: it is nested too deeply")
    return walk.result()


def misfits(writer: Any, reader: Any) -> tuple[Misfit, ...]:
    """Return the fields that the writer may write and the reader refuses; nothing when none is known."""
    return compare(writer, reader).misfits


class _Walk:
    def __init__(self, writer: Any, reader: Any, steps: int) -> None:
        self.search = Search(steps)
        self.roots = writer, reader
        self.writer = Node([Part(Document(writer), writer, is_writers=True)])
        self.reader = Node([Part(Document(reader), reader)])
        self.misfits: dict[Path, Misfit] = {}
        self.doubts: dict[Path, Undecided] = {}
        self._walked: set[Hashable] = set()  # places under way; met again, they are of a recursive model
        self._met: list[Hashable] = []
        self._told = 0  # how often something was reported, the same twice too
        self._constant: dict[Hashable, bool] = {}
        self._times: dict[Hashable, int] = {}
        self._agreed: dict[Hashable, tuple[Mapping[str, Node], tuple[Object, Object]]] = {}

    def result(self) -> Compatibility:
        doubts = (doubt for path, doubt in self.doubts.items() if path not in self.misfits)
        return Compatibility(tuple(self.misfits.values()), tuple(doubts))

    @property
    def found(self) -> bool:
        return bool(self.misfits or self.doubts)

    def doubt(self, path: Path, why: str) -> None:
        self._told += 1
        self.doubts.setdefault(path, Undecided(path, why))

    def report(self, path: Path, reason: str, value: Any, place: Place, embed: Embed) -> None:
        """Call a field incompatible, once an event shows it; else it is in doubt."""
        event = embed(value) if value is not _NO_EVENT else _NO_EVENT
        self.search.spend(WALKED_STEPS)
        if event is _NO_EVENT or not self.search.proof.is_shown(*self.roots, event, place):
            self.doubt(path, f"whether it fits: it {reason}, but no event was found that shows it")
            return
        self._told += 1
        known = self.misfits.get(path)
        if known is None:
            self.misfits[path] = Misfit(path, reason, event, place)
        elif reason not in known.reason.split("; "):
            self.misfits[path] = replace(known, reason=_joined(known.reason, reason))

    def go(self, writer: Node, reader: Node, path: Path, place: Place, embed: Embed) -> None:
        """Report what of one place does not fit."""
        try:
            writer, reader = _followed(writer), _followed(reader)
        except Undecidable as exc:
            self.doubt(path, str(exc))
            return
        if self.search.find(writer & reader.negated()).is_empty:
            return
        key = (writer.key, reader.key)
        if key in self._walked:
            self._met.append(key)  # reported further up
            return
        self._times[key] = self._times.get(key, 0) + 1
        if self._times[key] > MOST_TIMES:
            self._met.append(key)  # reported often enough
            return
        self.search.spend(WALKED_STEPS)
        self._walked.add(key)
        before, self._met, outer = self._told, [], self._met
        try:
            accepted = self.search.shapes(reader)
            if accepted and _is_anything(writer):
                wanted = nouns(accepted)
                self.doubt(path, f"whether it is {wanted}: the writer's contract leaves open what it is")
                return
            self._alternatives(writer, reader, path, place, embed)
            if key in self._met and before == self._told:
                self._alternatives(writer, reader, path, place, embed, is_deep=False)
        except Undecidable as exc:
            self.doubt(path, str(exc))
        finally:
            self._walked.discard(key)
            self._met = outer + [other for other in self._met if other != key]

    def _alternatives(
        self, writer: Node, reader: Node, path: Path, place: Place, embed: Embed, is_deep: bool = True
    ) -> None:
        """Hold each alternative of the writer against those of the reader; further in first, where that is asked."""
        search = self.search
        accepted = search.shapes(reader)
        strange: list[str] = []
        example: Answer | None = None
        is_full = False
        for shape in search.shapes(writer):
            left = [shape]
            for part in reader.negated().parts:
                left = search.restrict(left, part)
            answer = search.find_in(left)
            if answer.is_empty:
                continue
            alike = [other for other in accepted if other.kind == shape.kind]
            if alike and is_deep and self._deeper(shape, alike, path, place, embed):
                continue
            if not answer.is_found:
                self.doubt(path, answer.why)
                continue
            example = example or answer
            is_full = is_full or bool(alike)
            refused = [one for one in left if one.find(search).is_found]
            strange += [
                noun(one, bool(alike)) for one in (refused if isinstance(shape, Finite) or alike else [shape])
            ]
        if example is None:
            return
        wanted, refused_words = nouns(accepted, is_full), either(strange)
        if not accepted:
            reason = "is written, but is not accepted" if path else "is not accepted"
        elif len(accepted) > LISTED or not set(strange).isdisjoint(noun(one, is_full) for one in accepted):
            reason = f"may be {value_text(example.value)}, which is not accepted"
        else:
            reason = f"may be {refused_words}, but {wanted} is wanted"
        self.report(path, reason, example.value, place, embed)

    def _deeper(self, shape: Shape, alike: Sequence[Shape], path: Path, place: Place, embed: Embed) -> bool:
        """Return whether what does not fit was found further in."""
        before, met = self._told, len(self._met)
        if isinstance(shape, Object):
            others = [other for other in alike if isinstance(other, Object)]
            fitting = [other for other in others if not self._tags(shape, other)]
            if len(fitting) == 1:
                self._objects(shape, fitting[0], path, place, embed)
            elif others and not fitting:
                self._strange_tag(shape, others, path, place, embed)
        elif isinstance(shape, Array) and len(alike) == 1 and isinstance(alike[0], Array):
            self._arrays(shape, alike[0], path, place, embed)
        return len(self._met) > met or before != self._told

    def _tags(self, shape: Object, other: Object) -> list[str]:
        """Return the fields whose constants tell two objects apart."""
        search = self.search
        return [
            name
            for name in shape.required
            if name in other.fields
            and self._is_constant(other.fields[name])
            and search.find(shape.at(name, search) & other.at(name, search)).is_empty
        ]

    def _is_constant(self, node: Node) -> bool:
        if node.key not in self._constant:
            shapes = self.search.shapes(node)
            self._constant[node.key] = bool(shapes) and all(isinstance(one, Finite) for one in shapes)
        return self._constant[node.key]

    def _strange_tag(
        self, shape: Object, others: Sequence[Object], path: Path, place: Place, embed: Embed
    ) -> None:
        tags = [self._tags(shape, other) for other in others]
        shared = [name for name in tags[0] if all(name in more for more in tags[1:])]
        if not shared:
            return
        name, search = shared[0], self.search
        at = shape.at(name, search)
        wanted = [one for other in others for one in search.shapes(other.at(name, search))]
        reason = f"may be {nouns(search.shapes(at), True)}, but {nouns(wanted)} is wanted"
        answer = search.find(at)
        if answer.is_found:
            inner = self._object_around(shape, others[0], name, embed)
            self.report((*path, name), reason, answer.value, (*place, name), inner)

    def _objects(self, shape: Object, other: Object, path: Path, place: Place, embed: Embed) -> None:
        search = self.search
        for name in other.required:
            absent = objects.forbid(search, shape, name)
            if absent and (name not in shape.required):
                is_written = shape.may_have(name, search)
                reason = "is wanted, but may be absent" if is_written else "is wanted, but is not written"
                answer = self._agreeing(absent[0], other, name).find(search)
                if not answer.is_found:
                    answer = absent[0].find(search)
                value = answer.value if answer.is_found else _NO_EVENT
                if not answer.is_empty:
                    self.report((*path, name), reason, value, place, embed)
        loose = []
        for name in dict.fromkeys([*shape.fields, *other.fields]):
            if not shape.may_have(name, search):
                continue
            written, read = shape.at(name, search), other.at(name, search)
            if name not in shape.fields and _is_anything(written):
                if (*path, name) not in self.misfits and not search.find(written & read.negated()).is_empty:
                    loose.append(name)
                continue
            self.go(
                written, read, (*path, name), (*place, name), self._object_around(shape, other, name, embed)
            )
        if loose:
            names = either(f"'{name}'" for name in loose)
            self.doubt(
                path,
                f"whether {names} can be read: the writer's contract leaves open which other fields there are",
            )
        for name in self._unlisted(shape, other):
            written, read = shape.at(name, search), other.at(name, search)
            if _is_anything(written):
                if not loose and not search.find(written & read.negated()).is_empty:
                    self.doubt(path, "which other fields there are, and not all are accepted")
                continue
            self.go(
                written, read, (*path, "*"), (*place, name), self._object_around(shape, other, name, embed)
            )

    def _unlisted(self, shape: Object, other: Object) -> list[str]:
        """Return names that stand for those that neither lists."""
        listed = {*shape.fields, *other.fields}
        chosen = []
        asked = [
            Some(ANY, matching=pattern)
            for pattern in dict.fromkeys(p for p, _ in (*shape.patterns, *other.patterns))
        ]
        for some in [*asked, Some(ANY)]:
            for name in shape.candidates({}, self.search, some):
                if name is None or name in listed or not objects.is_named(some, name, self.search):
                    continue
                if shape.may_have(name, self.search):
                    chosen.append(name)
                    break
        return list(dict.fromkeys(chosen))

    def _arrays(self, shape: Array, other: Array, path: Path, place: Place, embed: Embed) -> None:
        first = max(len(shape.prefix), len(other.prefix))
        longest = shape.longest(self.search)
        for index in range(first + 1):
            if longest is not None and index >= longest:
                break
            step = f"[{index}]" if index < first else "[]"
            inner = self._list_around(shape, index, embed)
            self.go(shape.at(index), other.at(index), (*path, step), (*place, index), inner)

    def _object_around(self, shape: Object, other: Object, name: str, embed: Embed) -> Embed:
        """Return what puts a field's value into an event that fits but for it."""

        def around(value: Any) -> Any:
            self.search.spend(len(shape.fields) // 8)
            for tried in (self._agreeing(shape, other, name), shape):
                answer = tried.find(self.search, {name: value})
                if answer.is_found:
                    return embed(answer.value)
            return _NO_EVENT

        return around

    def _agreeing(self, shape: Object, other: Object, but: str) -> Object:
        """Return the writer's object with what its fields, but for one, have in common with the reader's."""
        key = (id(shape), id(other))
        if key not in self._agreed:
            self._agreed[key] = self._in_common(shape, other), (shape, other)
        fields = dict(self._agreed[key][0])
        if but in shape.fields:
            fields[but] = shape.fields[but]
        else:
            fields.pop(but, None)
        return replace(shape, fields=fields)

    def _in_common(self, shape: Object, other: Object) -> Mapping[str, Node]:
        fields = dict(shape.fields)
        for name in shape.required:
            own = shape.fields.get(name, ANY)
            both = own & other.at(name, self.search)
            if self.search.find(shape.at(name, self.search) & both).is_found:
                fields[name] = both
        return fields

    def _list_around(self, shape: Array, index: int, embed: Embed) -> Embed:
        def around(value: Any) -> Any:
            answer = shape.find(self.search, {index: value})
            return embed(answer.value) if answer.is_found else _NO_EVENT

        return around


def _joined(known: str, more: str) -> str:
    """Return two reasons in one: "may be 1 or 2, but 3 is wanted" where they want the same."""
    *others, last = known.split("; ")
    one, other = last.partition(", but "), more.partition(", but ")
    if one[2] and one[2] == other[2] and one[0].startswith("may be ") and other[0].startswith("may be "):
        items = either([*one[0].removeprefix("may be ").split(" or "), other[0].removeprefix("may be ")])
        return "; ".join([*others, f"may be {items}, but {one[2]}"])
    return f"{known}; {more}"


def _followed(node: Node) -> Node:
    """Return a node with references followed that stand alone, so that a recursive model is known again."""
    return Node(map(_target, node.parts))


def _target(part: Part) -> Part:
    for _ in range(HOPS):
        schema = part.schema
        if not isinstance(schema, Mapping) or list(part.document.keywords(schema)) != ["$ref"]:
            return part
        part = replace(part, schema=part.document.target("$ref", schema["$ref"]))
    return part


def _is_anything(node: Node) -> bool:
    """Return whether a writer's schema leaves open what there is."""
    for part in node.parts:
        if part.negated or isinstance(part.schema, tuple):
            return False
        if isinstance(part.schema, Mapping) and part.document.keywords(part.schema):
            return False
        if part.schema is False:
            return False
    return True
