"""A finding of the rules of Avro and Protobuf: what was written under one schema and cannot be read under another."""

from __future__ import annotations

from typing import NamedTuple


class Unreadable(NamedTuple):
    """A field that is not read as it was written, and why. An empty path is the event's data as a whole."""

    path: tuple[str, ...]
    reason: str

    @property
    def field(self) -> str:
        """The path as text: `legs[].origin`."""
        return ".".join(self.path).replace(".[", "[")

    def __str__(self) -> str:
        return f"field '{self.field}' {self.reason}" if self.path else f"the data {self.reason}"
