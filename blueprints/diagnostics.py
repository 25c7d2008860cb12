"""Diagnostics: what is wrong in a blueprint, where, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["error", "warning"]

MAX_PROBLEMS = 500  # of one kind, errors or warnings: nobody reads more, and a broken generator writes 10,000
MAX_MESSAGE = 600  # characters; what is longer quotes too much


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a file: 1-based line and column; `end_column` is exclusive, or 0 when unknown.

    `start`, `end`: of a single value, the characters of the text that spell it, its quotes left out; -1 where what is
    written is not what is meant letter by letter (escapes, several lines, variables), so that nothing may respell it.
    """

    file: str
    line: int
    column: int
    end_column: int = 0
    start: int = field(default=-1, compare=False, repr=False)
    end: int = field(default=-1, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """Characters `start` to `end` of a file's text, its byte order mark not counted, and what is to stand there."""

    file: str
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """What would mend a problem, beyond doubt: a title such as "write 'threshold'", and edits that do not overlap."""

    title: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem. `str()` is the line that `verify` prints: `file:line:column: severity code: message`.

    `frame`: the source line with a caret below the place, for a terminal; empty where there is nothing to show.
    `fix`: what would mend it, where that is beyond doubt.
    """

    mark: Mark
    code: str
    message: str
    severity: Severity = "error"
    related: tuple[tuple[Mark, str], ...] = field(default=())
    frame: str = field(default="", compare=False, repr=False)
    fix: Fix | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.mark}: {self.severity} {self.code}: {self.message}"


class BlueprintError(Exception):
    """A blueprint that cannot be run: all its diagnostics, in the file's order."""

    def __init__(self, diagnostics: list[Diagnostic]) -> None:
        super().__init__("\n".join(map(str, diagnostics)))
        self.diagnostics = diagnostics
