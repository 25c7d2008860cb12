"""Contracts: the schema of the events on a port, and what checks events against it."""

from __future__ import annotations

from typing import Any, Protocol


class Contract(Protocol):
    """The schema of the events on a port.

    Checked where an event enters the application and where a user's code returns one; trusted in between.
    """

    @property
    def name(self) -> str:
        """The contract's name: a model's class name, or the name the blueprint gives it."""
        ...

    def json_schema(self) -> dict[str, Any]:
        """Return the contract as JSON Schema 2020-12, self-contained."""
        ...

    def decode(self, data: bytes | None) -> Any:
        """Return the object of an event's data, checked. Raises: Rejected (`against-contract`), naming the field."""
        ...

    def encode(self, value: Any) -> bytes:
        """Return a value as an event's data, checked. Raises: Broken when the value breaks the contract."""
        ...
