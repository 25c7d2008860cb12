"""Schemas that say the same in the same words: what is asked for and against at once leaves nothing, at no cost."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from typing import Any

from blueprints.compatible.document import SCHEMA_LISTS, SCHEMA_MAPS, SCHEMAS, Undecidable
from blueprints.compatible.node import Part


class Forms:
    """Numbers for schemas: equal ones for those that say the same."""

    def __init__(self) -> None:
        self._known: dict[Hashable, int | None] = {}
        self._numbers: dict[Hashable, int] = {}

    def of(self, part: Part) -> int | None:
        """Return a number that schemas share which say the same in the same words, whatever their notes and
        definitions; None for one that holds itself."""
        schema, document = part.schema, part.document
        if isinstance(schema, tuple):
            return None
        key = (id(document), schema if isinstance(schema, bool) else id(schema))
        if key not in self._known:
            self._known[key] = None  # what is met again while it is looked at holds itself
            self._known[key] = self._formed(part)
        return self._known[key]

    def _formed(self, part: Part) -> int | None:
        if not isinstance(part.schema, bool | Mapping):
            return None
        said: list[tuple[str, Hashable]] = []
        try:
            words = part.document.keywords(part.schema) if isinstance(part.schema, dict | Mapping) else {}
            if part.schema is False:
                words = {"not": True}
            for word, value in words.items():
                if word in ("$ref", "$dynamicRef"):
                    value = part.document.target(word, value)
                    if len(words) == 1:
                        return self.of(part.of(value))
                    word = "$ref"
                form = self._form_of(part, word, value)
                if form is None:
                    return None
                said.append((word, form))
        except Undecidable:
            return None
        return self._numbers.setdefault(tuple(said), len(self._numbers))

    def _form_of(self, part: Part, word: str, value: Any) -> Hashable | None:
        if word in SCHEMAS:
            return self.of(part.of(value))
        if word in SCHEMA_LISTS:
            below = [self.of(part.of(schema)) for schema in value]
            return None if None in below else tuple(below)
        if word in SCHEMA_MAPS:
            named = {name: self.of(part.of(schema)) for name, schema in value.items()}
            return None if None in named.values() else frozenset(named.items())
        if word == "required":
            return frozenset(value)
        return json.dumps(value, sort_keys=True)
