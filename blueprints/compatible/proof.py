"""The second opinion: a validator of JSON Schema, which is asked before anything is called incompatible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from blueprints.compatible import automaton


class Proof:
    """What a validator says. It is imported when it is first asked: 10 ms that a blueprint that fits does not pay."""

    def __init__(self, spend: Callable[[int], None]) -> None:
        self._spend = spend
        self._validators: dict[tuple[str, Any], Any] = {}

    def matches(self, pattern: str, text: str) -> bool | None:
        """Return whether a text matches a pattern; None where no validator can tell."""
        self._spend(1 + len(text) // 16)
        known = automaton.matches(pattern, text)
        return known if known is not None else self._holds(("pattern", pattern), text)

    def has_format(self, name: str, text: str) -> bool | None:
        """Return whether a text has a format that validators know."""
        return self._holds(("format", name), text)

    def is_shown(self, writer: Any, reader: Any, event: Any, place: Sequence[str | int]) -> bool:
        """Return whether the writer's schema allows an event and the reader's refuses it, at this place."""
        wrote, reads = self._of(("writer", id(writer)), writer), self._of(("reader", id(reader)), reader)
        if wrote is None or reads is None or not wrote.is_valid(event):
            return False
        for error in reads.iter_errors(event):
            path = list(error.instance_path)
            if all(a == b for a, b in zip(path, place, strict=False)):
                return True
        return False

    def _holds(self, keyword: tuple[str, str], text: str) -> bool | None:
        validator = self._of(keyword, dict([keyword]))
        return None if validator is None else bool(validator.is_valid(text))

    def _of(self, key: tuple[str, Any], schema: Any) -> Any:
        import jsonschema_rs  # here, for the reason above

        if key not in self._validators:
            try:
                made = jsonschema_rs.validator_for(schema, validate_formats=True, offline=True)
            except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError, TypeError):
                made = None
            self._validators[key] = made
        return self._validators[key]
