"""Which fields `unevaluatedProperties` is about, where that does not depend on the event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blueprints.compatible.document import Undecidable
from blueprints.compatible.node import Part

DEEPEST = 8  # schemas in schemas for the same object; deeper is left undecided
_CHOOSING = ("anyOf", "oneOf", "if", "dependentSchemas", "$dynamicRef")


def spoken_of(part: Part, keywords: Mapping[str, Any], depth: int = 0) -> tuple[set[str], set[str]] | None:
    """Return the names and patterns that are spoken of wherever a schema applies; None where all are."""
    if any(word in keywords for word in _CHOOSING) or depth > DEEPEST:
        raise Undecidable("which fields 'unevaluatedProperties' is about")
    if "additionalProperties" in keywords or (depth and "unevaluatedProperties" in keywords):
        return None
    names, patterns = set(keywords.get("properties", ())), set(keywords.get("patternProperties", ()))
    below = list(keywords.get("allOf", ()))
    if "$ref" in keywords:
        below.append(part.document.target("$ref", keywords["$ref"]))
    for schema in below:
        if isinstance(schema, Mapping):
            more = spoken_of(part, part.document.keywords(schema), depth + 1)
            if more is None:
                return None
            names |= more[0]
            patterns |= more[1]
    return names, patterns
