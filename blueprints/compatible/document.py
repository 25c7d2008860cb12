"""One JSON Schema document: its dialect read as 2020-12, and where its references lead.

References stay inside the document: a contract is whole in one file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urldefrag

# Keywords that decide what is valid, cheap and telling ones first: the order in which they are tried.
ORDER = (
    *("type", "const", "enum", "$ref", "$dynamicRef"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "format", "pattern"),
    *(
        "properties",
        "required",
        "minProperties",
        "maxProperties",
        "patternProperties",
        "additionalProperties",
    ),
    *("propertyNames", "dependentRequired", "minItems", "maxItems", "uniqueItems", "prefixItems", "items"),
    *("contains", "allOf", "oneOf", "anyOf", "not", "if", "dependentSchemas"),
    *("unevaluatedProperties", "unevaluatedItems"),
)
_COMPANIONS = ("minContains", "maxContains", "then", "else")  # read by the keyword beside which they stand
SCHEMAS = frozenset(
    (
        *("$ref", "additionalProperties", "propertyNames", "items", "contains", "not", "if", "then", "else"),
        *("unevaluatedProperties", "unevaluatedItems"),
    )
)
"""Keywords whose value is a schema; then those of lists and of mappings of schemas."""
SCHEMA_LISTS = frozenset(["prefixItems", "allOf", "anyOf", "oneOf"])
SCHEMA_MAPS = frozenset(["properties", "patternProperties", "dependentSchemas"])
_SINCE = {
    "const": 6, "contains": 6, "propertyNames": 6, "exclusiveMinimum": 4, "if": 7, "dependentRequired": 2019,
    "dependentSchemas": 2019, "minContains": 2019, "maxContains": 2019, "unevaluatedProperties": 2019,
    "unevaluatedItems": 2019, "prefixItems": 2020, "$dynamicRef": 2020,
}  # fmt: skip
_DIALECTS = {
    "http://json-schema.org/draft-04/schema": 4,
    "http://json-schema.org/draft-06/schema": 6,
    "http://json-schema.org/draft-07/schema": 7,
    "https://json-schema.org/draft/2019-09/schema": 2019,
    "https://json-schema.org/draft/2020-12/schema": 2020,
}
_HOPS = 64  # references followed one after another; a longer chain is a loop


class Undecidable(Exception):
    """What a schema says cannot be compared; the text goes on after "it cannot be told"."""


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _count(value: Any) -> bool:
    return _number(value) and value >= 0 and value == int(value)


def _schema(value: Any) -> bool:
    return isinstance(value, bool | Mapping)


def _schemas(value: Any) -> bool:
    return isinstance(value, list) and all(map(_schema, value))


def _named_schemas(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_schema, value.values()))


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


_SOUND: dict[str, Callable[[Any], bool]] = {
    "type": lambda value: _text(value) or _texts(value),
    "enum": lambda value: isinstance(value, list),
    "uniqueItems": lambda value: isinstance(value, bool),
    "multipleOf": lambda value: _number(value) and value > 0,
    "required": _texts,
    "dependentRequired": lambda value: isinstance(value, Mapping) and all(map(_texts, value.values())),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _number),
    **dict.fromkeys(("$ref", "$dynamicRef", "format", "pattern"), _text),
    **dict.fromkeys(("properties", "patternProperties", "dependentSchemas"), _named_schemas),
    **dict.fromkeys(("prefixItems", "allOf", "anyOf", "oneOf"), _schemas),
    **dict.fromkeys(("additionalProperties", "propertyNames", "items", "contains", "not", "if"), _schema),
    **dict.fromkeys(("then", "else", "unevaluatedProperties", "unevaluatedItems"), _schema),
    **{
        f"{bound}{of}": _count
        for bound in ("min", "max")
        for of in ("Length", "Properties", "Items", "Contains")
    },
}


class Document:
    """A schema with all that it refers to."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self._read: dict[int, Mapping[str, Any]] = {}
        self._anchors: dict[str, list[Any]] | None = None
        self._inner_ids = 0
        named = root.get("$schema") if isinstance(root, Mapping) else None
        self.dialect = _DIALECTS.get(str(named).rstrip("#"), 0) if named else 2020

    def keywords(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what decides what is valid, as 2020-12 would write it. Raises: Undecidable."""
        found = self._read.get(id(schema))
        if found is None:
            found = self._read[id(schema)] = self._as_2020(schema)
        return found

    def _as_2020(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        if not self.dialect:
            raise Undecidable("what a schema of another dialect means")
        if self.dialect != 2020:
            schema = _translated(schema, self.dialect)
        found = {}
        for word in (*ORDER, *_COMPANIONS):
            if word in schema:
                value = schema[word]
                if word in _SOUND and not _SOUND[word](value):
                    raise Undecidable(f"what a malformed '{word}' means")
                found[word] = value
        return found

    def target(self, keyword: str, reference: str) -> Any:
        """Return the schema that a reference leads to. Raises: Undecidable where it leads out, or nowhere."""
        base, fragment = urldefrag(reference)
        own = self.root.get("$id", "") if isinstance(self.root, Mapping) else ""
        anchors = self._index() if fragment[:1] not in ("", "/") or base or own else {}
        if base and base != str(own).rstrip("#"):
            raise Undecidable(f"what '{reference}' refers to, outside the schema")
        if self._inner_ids:
            raise Undecidable(f"what '{reference}' refers to, in a schema made of several")
        if fragment and not fragment.startswith("/"):
            places = anchors.get(fragment, [])
            if len(places) != 1:
                raise Undecidable(f"what '{reference}' refers to")
            return places[0]
        if keyword == "$recursiveRef" and "$recursiveAnchor" in str(self.root):
            raise Undecidable("what a '$recursiveRef' refers to")
        found: Any = self.root
        for part in unquote(fragment).split("/")[1:]:
            step = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and step in found:
                found = found[step]
            elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
                found = found[int(step)]
            else:
                raise Undecidable(f"what '{reference}' refers to: there is nothing")
        if not _schema(found):
            raise Undecidable(f"what '{reference}' refers to: it is no schema")
        return found

    def _index(self) -> Mapping[str, list[Any]]:
        if self._anchors is None:
            self._anchors = {}
            for schema in _mappings(self.root):
                for word in ("$anchor", "$dynamicAnchor"):
                    if isinstance(name := schema.get(word), str):
                        self._anchors.setdefault(name, []).append(schema)
                if schema is not self.root and isinstance(schema.get("$id"), str):
                    self._inner_ids += 1
        return self._anchors


def _mappings(root: Any) -> Iterator[Mapping[str, Any]]:
    waiting = [root]
    while waiting:
        found = waiting.pop()
        if isinstance(found, Mapping):
            yield found
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)


def _translated(schema: Mapping[str, Any], dialect: int) -> Mapping[str, Any]:
    """Return a schema of an older dialect in the words of 2020-12."""
    if dialect < 2019 and "$ref" in schema:
        return {"$ref": schema["$ref"]}  # what stands beside a reference was not read
    new = {word: value for word, value in schema.items() if _SINCE.get(word, 0) <= dialect}
    if "$recursiveRef" in new:
        new["$ref"] = new.pop("$recursiveRef")
    if dialect == 4:
        for bound in ("minimum", "maximum"):
            exclusive = "exclusive" + bound.capitalize()
            if new.pop(exclusive, False) is True and bound in new:
                new[exclusive] = new.pop(bound)
    if isinstance(new.get("items"), list):
        new["prefixItems"] = new.pop("items")
        if "additionalItems" in new:
            new["items"] = new["additionalItems"]
    if dialect < 2019 and isinstance(new.get("dependencies"), Mapping):
        names = {name: value for name, value in new["dependencies"].items() if isinstance(value, list)}
        schemas = {name: value for name, value in new["dependencies"].items() if not isinstance(value, list)}
        new |= {"dependentRequired": names, "dependentSchemas": schemas}
    return new
