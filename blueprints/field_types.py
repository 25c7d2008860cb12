"""What a contract says of a value, looked into field by field: its kinds, its words, what may be absent.

A JSON Schema is taken apart into alternatives as far as it is looked into, references followed; what it does not say
stays unknown, and nothing is concluded from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

MAX_ALTERNATIVES = 64  # of one value; a schema with more is not understood by its readers either
MAX_DEPTH = 24  # references and combinations on the way to one value

_KIND_OF = {
    bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object",
    type(None): "null",
}  # fmt: skip
_TOLD = {
    "null": "null", "boolean": "true or false", "integer": "a whole number", "number": "a number",
    "string": "text", "array": "a list", "object": "an object",
}  # fmt: skip


class Alternative(NamedTuple):
    """One way that a value may be. `kinds`: none stands for any.

    `root`: where its references begin. `others`: what fields that are not listed are: schemas, True (said to be
    allowed), False, or None (nothing said).
    """

    kinds: frozenset[str] = frozenset()
    listed: Mapping[str, tuple[Any, ...]] = {}
    required: frozenset[str] = frozenset()
    says_required: bool = False
    others: tuple[Any, ...] | bool | None = None
    items: tuple[Any, ...] = ()
    first_items: tuple[Any, ...] = ()
    values: tuple[Any, ...] | None = None
    root: Any = True

    @property
    def may_be_object(self) -> bool:
        return not self.kinds or "object" in self.kinds


ANYTHING = Alternative()

_KEYWORDS = frozenset(
    [
        "const", "enum", "properties", "type", "items", "prefixItems", "additionalProperties", "unevaluatedProperties",
        "patternProperties", "then", "else", "dependentSchemas", "required",
    ]
)  # fmt: skip
"""What tells one alternative from anything at all."""


class FieldOf(NamedTuple):
    """A field of an object: its type; whether the contract says that it may be absent; whether it lists it."""

    type: FieldType
    may_be_absent: bool = False
    is_listed: bool = True


class FieldType:
    """What is known of a value. `root`: where references begin."""

    def __init__(self, root: Any, schemas: Iterable[Any]) -> None:
        self._root, self._schemas = root, tuple(schemas)

    @classmethod
    def of(cls, schema: Any) -> FieldType:
        """Return the type of what a whole schema describes."""
        return cls(schema, (schema,))

    @classmethod
    def any_of(cls, types: Sequence[FieldType]) -> FieldType:
        """Return the type of what is of one of these; nothing is known where there are none."""
        if len(types) == 1:
            return types[0]
        found = [one for kind in types for one in kind.alternatives]
        merged = cls(True, ())
        merged.__dict__["alternatives"] = found if 0 < len(found) <= MAX_ALTERNATIVES else [ANYTHING]
        return merged

    @cached_property
    def alternatives(self) -> list[Alternative]:
        found = [ANYTHING]
        for schema in self._schemas:
            found = _both(found, _apart(self._root, schema, 0))
        return found

    @property
    def kinds(self) -> frozenset[str]:
        """JSON's kinds, `integer` told from `number`; none where anything may come."""
        if not self.alternatives or any(not one.kinds for one in self.alternatives):
            return frozenset()
        return frozenset().union(*(one.kinds for one in self.alternatives))

    @property
    def core(self) -> frozenset[str]:
        """The kinds but for null."""
        return self.kinds - {"null"}

    @property
    def is_nullable(self) -> bool:
        """Whether the contract says that it may be null."""
        return "null" in self.kinds

    @property
    def values(self) -> tuple[Any, ...] | None:
        """The only values that it may have, but for null; None where the contract does not list them."""
        found: list[Any] = []
        for one in self.alternatives:
            if one.kinds == {"null"}:
                continue
            if one.values is None:
                return None
            found += [value for value in one.values if value is not None]
        return tuple(found) or None

    @property
    def names(self) -> list[str]:
        """The fields that the contract lists."""
        return list(dict.fromkeys(name for one in self.alternatives for name in one.listed))

    def field(self, name: str) -> FieldOf | None:
        """Return a field of an object, or None where there is none of that name.

        A contract that lists fields and says nothing of others has no others: a name that it does not list is far
        likelier a mistake than a field that nobody wrote down. One that says that others come is believed.
        """
        objects = [one for one in self.alternatives if one.may_be_object]
        found: list[FieldType] = []
        is_listed = may_be_absent = is_unknown = False
        for one in objects:
            if name in one.listed:
                is_listed = True
                found.append(FieldType(one.root, one.listed[name]))
                # Where nothing at all is said to be required, nothing is known of what may be absent.
                may_be_absent |= name not in one.required and one.says_required
            elif one.others is True or (one.others is None and not one.listed):
                is_unknown = True
            elif isinstance(one.others, tuple):
                found.append(FieldType(one.root, one.others))
            elif one.kinds:
                may_be_absent |= any(name in other.listed for other in objects)
        if is_unknown and not found:
            return FieldOf(UNKNOWN, is_listed=False)
        if not found:
            return None
        return FieldOf(FieldType.any_of([*found, UNKNOWN] if is_unknown else found), may_be_absent, is_listed)

    def item(self, index: int | None = None) -> FieldType:
        """Return an item of a list; of any place where no index is given."""
        found: list[FieldType] = []
        for one in self.alternatives:
            if one.kinds and "array" not in one.kinds:
                continue
            if index is not None and 0 <= index < len(one.first_items):
                found.append(FieldType(one.root, (one.first_items[index],)))
                continue
            if not one.items or (index is None and one.first_items):
                return UNKNOWN
            found.append(FieldType(one.root, one.items))
        return FieldType.any_of(found) if found else UNKNOWN

    @property
    def told(self) -> str:
        """The kinds in words: `a number or null`."""
        kinds = self.kinds - ({"integer"} if "number" in self.kinds else set())
        return " or ".join(words for kind, words in _TOLD.items() if kind in kinds and kind != "null") + (
            (" or null" if self.core else "null") if self.is_nullable else ""
        )


UNKNOWN = FieldType(True, ())
"""A value of which nothing is known."""


def _apart(root: Any, schema: Any, depth: int) -> list[Alternative]:
    """Return the alternatives of a schema; none where nothing is allowed."""
    if schema is False:
        return []
    if not isinstance(schema, Mapping) or not schema or depth > MAX_DEPTH:
        return [ANYTHING]
    found = _own(root, schema) if _KEYWORDS & schema.keys() else [ANYTHING]
    if "$ref" in schema:
        found = _both(found, _apart(root, _target(root, schema["$ref"]), depth + 1))
    for part in schema.get("allOf", ()):
        found = _both(found, _apart(root, part, depth + 1))
    for word in ("anyOf", "oneOf"):
        if word in schema:
            found = _both(found, [one for part in schema[word] for one in _apart(root, part, depth + 1)])
    return found if len(found) <= MAX_ALTERNATIVES else [ANYTHING]


def _target(root: Any, reference: Any) -> Any:
    target = root
    if not str(reference).startswith("#"):
        return True
    for part in str(reference)[1:].split("/")[1:]:
        if not isinstance(target, Mapping):
            return True
        target = target.get(part.replace("~1", "/").replace("~0", "~"), True)
    return target


def _own(root: Any, schema: Mapping[str, Any]) -> list[Alternative]:
    values = (schema["const"],) if "const" in schema else schema.get("enum")
    listed = schema.get("properties", {})
    named = schema.get("type")
    if named is not None:
        kinds = frozenset([named] if isinstance(named, str) else named)
    elif values is not None:
        kinds = frozenset(_KIND_OF.get(type(value), "null") for value in values)
    elif listed:
        kinds = frozenset(["object"])  # what else may come is not what the author had in mind
    else:
        kinds = frozenset(["array"]) if "items" in schema or "prefixItems" in schema else frozenset()
    others: Any = schema.get("additionalProperties", schema.get("unevaluatedProperties"))
    if schema.get("patternProperties") or any(w in schema for w in ("then", "else", "dependentSchemas")):
        others = True  # fields come from elsewhere in the schema; which, is not told here
    elif isinstance(others, Mapping):
        others = (others,) if others else True
    whole = Alternative(
        kinds,
        {name: (below,) for name, below in listed.items()},
        frozenset(schema.get("required", ())),
        "required" in schema,
        others,
        (schema["items"],) if isinstance(schema.get("items"), Mapping) else (),
        tuple(schema.get("prefixItems", ())),
        None if values is None else tuple(values),
        root,
    )
    if len(kinds) <= 1:
        return [whole]
    # Each kind by itself, because "object or null" is asked for its fields and for its null.
    return [
        whole._replace(kinds=frozenset([kind]), values=_of_kind(whole.values, kind)) for kind in sorted(kinds)
    ]


def _of_kind(values: tuple[Any, ...] | None, kind: str) -> tuple[Any, ...] | None:
    if values is None:
        return None
    return tuple(v for v in values if _KIND_OF.get(type(v)) == kind or (kind, type(v)) == ("number", int))


def _is_anything(alternatives: list[Alternative]) -> bool:
    return len(alternatives) == 1 and alternatives[0] is ANYTHING


def _both(ones: list[Alternative], others: list[Alternative]) -> list[Alternative]:
    """Return what is allowed by one of each."""
    if _is_anything(ones):
        return others
    if _is_anything(others):
        return ones
    if len(ones) * len(others) > MAX_ALTERNATIVES:
        return [ANYTHING]
    return [both for one in ones for other in others if (both := _merged(one, other)) is not None]


def _merged(one: Alternative, other: Alternative) -> Alternative | None:
    kinds = one.kinds & other.kinds
    for mine, theirs in ((one.kinds, other.kinds), (other.kinds, one.kinds)):
        if "integer" in mine and "number" in theirs:
            kinds |= {"integer"}
    if not one.kinds or not other.kinds:
        kinds = one.kinds | other.kinds
    elif not kinds:
        return None
    listed = {
        name: (*one.listed.get(name, ()), *other.listed.get(name, ()))
        for name in dict.fromkeys([*one.listed, *other.listed])
    }
    values = one.values if other.values is None else other.values
    if one.values is not None and other.values is not None:
        values = tuple(value for value in one.values if value in other.values)
    return Alternative(
        kinds,
        listed,
        one.required | other.required,
        one.says_required or other.says_required,
        _others(one.others, other.others),
        (*one.items, *other.items),
        one.first_items or other.first_items,
        values,
        one.root,
    )


def _others(one: Any, other: Any) -> Any:
    if one is False or other is False:
        return False
    if isinstance(one, tuple) and isinstance(other, tuple):
        return (*one, *other)
    if one is None or one is True:
        return other if other is not None else one
    return one
