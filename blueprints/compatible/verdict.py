"""What is found when a writer's schema is held against a reader's: nothing where all fits, else field by field."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

WIDEST = 80  # characters of a witness in a message: a line stays a line


@dataclass(frozen=True, slots=True)
class Misfit:
    """A field that the writer may write and the reader refuses.

    `path`: empty for the event's data as a whole. `witness`: a made-up event that the writer's schema allows and the
    reader's refuses.
    """

    path: tuple[str, ...]
    reason: str
    witness: Any

    @property
    def field(self) -> str:
        """The path as text: `legs[].origin`."""
        return _field(self.path)

    @property
    def example(self) -> str:
        """The witness as JSON on one line, cut at 80 characters."""
        text = json.dumps(self.witness, ensure_ascii=False)
        return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


@dataclass(frozen=True, slots=True)
class Undecided:
    """A field of which it cannot be told whether all that is written is accepted, and what could not be told."""

    path: tuple[str, ...]
    reason: str

    @property
    def field(self) -> str:
        """The path as text: `legs[].origin`."""
        return _field(self.path)


@dataclass(frozen=True, slots=True)
class Compatibility:
    """Every field that does not fit or is not decided; the others fit."""

    misfits: tuple[Misfit, ...] = ()
    undecided: tuple[Undecided, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether everything that may be written is known to be accepted."""
        return not self.misfits and not self.undecided


def _field(path: tuple[str, ...]) -> str:
    return ".".join(path).replace(".[", "[")
