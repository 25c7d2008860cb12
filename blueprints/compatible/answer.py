"""Whether there is a value that some schemas allow: one, none, or it cannot be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Answer:
    """`found`: `value` is one. `empty`: there is none. `unknown`: `why` goes on after "it cannot be told"."""

    state: Literal["found", "empty", "unknown"]
    value: Any = None
    why: str = ""

    @property
    def is_found(self) -> bool:
        return self.state == "found"

    @property
    def is_empty(self) -> bool:
        return self.state == "empty"


EMPTY = Answer("empty")


def found(value: Any) -> Answer:
    return Answer("found", value)


def unknown(why: str) -> Answer:
    return Answer("unknown", None, why)
