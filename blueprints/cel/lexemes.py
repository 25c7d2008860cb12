"""The lexemes of an expression with their places: for what must be known before, or without, the engine."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_PREFIX = "[rRbB]{0,2}"
_STRING = rf"{_PREFIX}(?:\"{{3}}.*?\"{{3}}|'{{3}}.*?'{{3}}|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')"
_SIGNS = (
    r"===|!==|&amp;|&gt;|&lt;|=~|!~|<>|=<|=>|[=!<>]=|&&|\|\||\?\?|\?:|\?\.(?![0-9])|\.\?"
    r"|\*\*|\+\+|\+=|-=|:=|->|/\*|\.\.|\$\{"
)


@functools.cache
def _lexeme() -> re.Pattern[str]:
    # Compiled where it is needed: that takes longer than all else a blueprint without CEL asks of this file.
    return re.compile(
        rf"(?P<gap>\s+|//[^\n]*)|(?P<string>{_STRING})|(?P<unclosed>{_PREFIX}[\"'].*)"
        r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
        r"|(?P<number>0x[0-9a-fA-F]+u?|[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+(?:[eE][+-]?[0-9]+)?u?)"
        rf"|(?P<sign>{_SIGNS})|(?P<word>[^\W\d_]\w*)|(?P<other>.)",
        re.DOTALL,
    )


_OPENS, _CLOSES = "([{", ")]}"

TYPE_NAMES: Final = frozenset(
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"]
)
"""Names that CEL has for types; a field of such a name is reached by `event.data` alone."""


class Lexeme(NamedTuple):
    """A piece of the text. `kind`: string, unclosed, name, number, sign, word (letters that are no name) or other."""

    kind: str
    text: str
    at: int

    @property
    def end(self) -> int:
        return self.at + len(self.text)

    @property
    def ends_value(self) -> bool:
        """Whether a value may end here."""
        if self.kind == "name":
            return self.text != "in"
        return self.kind in ("string", "number", "word") or self.text in _CLOSES

    @property
    def begins_value(self) -> bool:
        """Whether a value may begin here."""
        if self.kind == "name":
            return self.text != "in"
        return self.kind in ("string", "unclosed", "number", "word") or self.text in "([{!-"


class Problem(NamedTuple):
    """What is wrong in an expression: the place and length in its text, in characters, and what to do."""

    at: int
    length: int
    message: str


def lexemes(text: str) -> Iterator[Lexeme]:
    """Yield the lexemes of a text without gaps and comments."""
    for found in _lexeme().finditer(text):
        kind = found.lastgroup or "other"
        if kind != "gap":
            yield Lexeme("sign" if kind == "other" else kind, found[0], found.start())


def end_of_brackets(text: str, at: int) -> int | None:
    """Return the place after the bracket that closes the one at a place, or None."""
    depth = 0
    for lexeme in lexemes(text[at:]):
        if lexeme.kind == "sign":
            depth += (lexeme.text in _OPENS) - (lexeme.text in _CLOSES)
            if depth == 0:
                return at + lexeme.end
    return None
