"""Places inside a value: where a character of what YAML made of a scalar stands in the file.

Each style is read once more, by its own rules for quotes, escapes and folded lines. What comes out is compared with
what the parser made of it: where the two differ, there is no place inside, and the scalar's own is taken.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from blueprints.source import ScalarNode

Place = tuple[int, int]
"""Line and column, 1-based."""

_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")
_HEADER = re.compile(r"[|>]([+-]?)([1-9]?)([+-]?)")
_ESCAPES = {
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "\t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b",
    " ": " ", '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029",
}  # fmt: skip
_CODES = {"x": 2, "u": 4, "U": 8}


def place_inside(node: ScalarNode, lines: Sequence[str], at: int) -> Place | None:
    """Return where the character `at` of a scalar's value stands; just behind its last one for the end of the value.

    None where the environment filled something in, or the place cannot be told.
    """
    if node.variables or not 0 <= at <= len(node.raw) or not 0 < node.mark.line <= len(lines):
        return None
    first = lines[node.mark.line - 1]
    found = _PROPERTIES.match(first, node.mark.column - 1)
    column = found.end() if found else node.mark.column - 1
    sign = first[column : column + 1]
    if sign in ("|", ">"):
        made = _block(lines, node.mark.line, column, node.raw, sign == ">")
    elif sign in ("'", '"'):
        made = _flow(lines, node.mark.line, column + 1, sign, len(node.raw))
    else:
        made = _flow(lines, node.mark.line, column, "", len(node.raw))
    if made is None or "".join(char for char, _ in made[: len(node.raw)]) != node.raw:
        return None
    if at < len(node.raw):
        return made[at][1]
    if not made:
        return node.mark.line, column + 1
    line, last = made[len(node.raw) - 1][1]
    return line, last + 1


Made = list[tuple[str, Place]]


def _flow(lines: Sequence[str], line: int, column: int, quote: str, length: int) -> Made | None:
    """Return the characters of a plain or quoted scalar, with their places; None where it does not end."""
    made: Made = []
    breaks = 0
    while line <= len(lines):
        text = lines[line - 1]
        end_of_text = len(text.rstrip())
        while column < len(text):
            char = text[column]
            place = (line, column + 1)
            if quote and char == quote:
                if quote == "'" and text[column + 1 : column + 2] == "'":
                    made.append(("'", place))
                    column += 2
                    continue
                return made
            if quote == '"' and char == "\\":
                if column + 1 >= len(text):  # the line goes on without a gap
                    break
                escaped = text[column + 1]
                size = _CODES.get(escaped, 0)
                code = text[column + 2 : column + 2 + size]
                made.append((chr(int(code, 16)) if size else _ESCAPES.get(escaped, "?"), place))
                column += 2 + size
                continue
            if column >= end_of_text:
                break  # blanks before a line's end are none of the value's
            made.append((char, place))
            column += 1
            if not quote and len(made) == length:
                return made
        is_joined = quote == '"' and text.endswith("\\") and column + 1 >= len(text) and column < len(text)
        end = (line, len(text) + 1)
        breaks, line, column = 0, line + 1, 0
        while line <= len(lines) and not lines[line - 1].strip():
            breaks, line = breaks + 1, line + 1
        if line <= len(lines):
            column = len(lines[line - 1]) - len(lines[line - 1].lstrip())
        if not is_joined or breaks:
            made += [("\n", end)] * breaks if breaks else [(" ", end)]
        if not quote and len(made) > length:
            return made
    return made if not quote else None


def _block(lines: Sequence[str], line: int, column: int, raw: str, is_folded: bool) -> Made | None:
    """Return the characters of a literal or folded block, with their places."""
    header = _HEADER.match(lines[line - 1], column)
    body = lines[line:]
    content = [text for text in body if text.strip()]
    if header is None or not content:
        return None
    indent = len(content[0]) - len(content[0].lstrip(" "))
    if header[2]:
        parent = len(lines[line - 1]) - len(lines[line - 1].lstrip(" "))
        indent = parent + int(header[2])
    made: Made = []
    was_text = False  # the last line with text was one that may be folded
    empty = 0
    for number, text in enumerate(body, line + 1):
        if len(made) >= len(raw):
            break
        if text.strip() and len(text) - len(text.lstrip(" ")) < indent:
            break
        inside = text[indent:]
        if not inside.strip() and not (inside and not is_folded):
            empty += 1
            continue
        is_more = inside[:1] in (" ", "\t")
        if made or empty:
            end = (number - 1, len(lines[number - 2]) + 1)
            if is_folded and was_text and not is_more:
                made += [("\n", end)] * empty if empty else [(" ", end)]
            else:
                made += [("\n", end)] * (empty + (1 if made else 0))
        empty = 0
        made += [(char, (number, indent + at + 1)) for at, char in enumerate(inside)]
        was_text = not is_more
    last = (made[-1][1][0], made[-1][1][1] + 1) if made else (line, 1)
    made += [("\n", last)] * max(0, len(raw) - len(made))  # what the chomping leaves at the end
    return made
