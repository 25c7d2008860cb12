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
    reader's refuses, as a validator has confirmed; `place` is where in it the field is.
    """

    path: tuple[str, ...]
    reason: str
    witness: Any
    place: tuple[str | int, ...] = ()

    @property
    def field(self) -> str:
        """The path as text: `legs[].origin`."""
        return _field(self.path)

    @property
    def example(self) -> str:
        """The witness on one line of some 80 characters: the way to the field, and "…" for what stands beside it."""
        return _shown(self.witness, self.place, WIDEST)


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


def _shown(value: Any, place: tuple[str | int, ...], widest: int) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if not place:
        return text if len(text) <= widest else _begun(value, text, widest)
    step, rest = place[0], place[1:]
    if isinstance(value, dict) and step in value:
        name = json.dumps(step, ensure_ascii=False)
        inner = _shown(value[str(step)], rest, max(widest - len(name) - 8, 12))
        return f"{{{name}: {inner}{', …' if len(value) > 1 else ''}}}"
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        inner = _shown(value[step], rest, max(widest - 8, 12))
        return f"[{'…, ' if step else ''}{inner}{', …' if len(value) > step + 1 else ''}]"
    return text if len(text) <= widest else _begun(value, text, widest)


def _begun(value: Any, text: str, widest: int) -> str:
    """Return the first fields of an object, whole; of anything else its first characters."""
    if isinstance(value, dict):
        shown = ""
        for name, one in value.items():
            more = f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(one, ensure_ascii=False)}, "
            if len(shown) + len(more) > widest - 4:
                break
            shown += more
        return f"{{{shown}…}}"
    return text[: widest - 1] + "…"
