"""The source line of a problem with a caret below its place."""

from __future__ import annotations

import unicodedata

from blueprints.diagnostics import Mark
from blueprints.source import Source

WIDTH = 100  # characters of a line that are shown; a terminal is seldom wider


def frame(mark: Mark, source: Source) -> str:
    """Return the line and the caret below it. What follows a secret in clear is not shown."""
    if not 1 <= mark.line <= len(source.lines):
        return ""
    line = source.lines[mark.line - 1]
    hidden_from = source.hidden.get(mark.line)
    if hidden_from is not None:
        line = line[: hidden_from - 1] + "***"
    start = max(0, mark.column - 1)
    first = max(0, start - WIDTH // 2) if len(line) > WIDTH else 0
    shown = line[first : first + WIDTH]
    if not shown.strip():
        return ""
    caret_at = min(start - first, len(shown))
    length = mark.end_column - mark.column if mark.end_column > mark.column else 1
    marked = shown[caret_at : caret_at + length]
    pad = "".join("\t" if char == "\t" else " " * _columns(char) for char in shown[:caret_at])
    carets = "^" * max(1, sum(map(_columns, marked)))
    shown = "".join(char if char.isprintable() or char == "\t" else "�" for char in shown)
    gutter = f"{mark.line:>5} | "
    return f"{gutter}{shown}\n{' ' * (len(gutter) - 2)}| {pad}{carets}"


def cropped(shown: str, width: int) -> list[str]:
    """Return a frame's two lines for a terminal of so many columns: tabs as spaces, the caret in sight."""
    if not shown:
        return []
    line, carets = shown.split("\n")
    at = carets.index("| ") + 2
    gutters, room = (line[:at], carets[:at]), max(width - at, 20)
    cells: list[str] = []  # what stands in each column; nothing in the second one of a wide character
    for char in line[at:]:
        if char == "\t":
            wide = 8 - (at + len(cells)) % 8
            cells += [" "] * wide
        elif (wide := _columns(char)) == 0 and cells:
            cells[-1] += char
        else:
            cells += [char, ""][:wide]
    before = carets[at:].rstrip("^")
    start, column = 0, 0
    for char in before:
        column += 8 - (at + column) % 8 if char == "\t" else 1
    start, length = column, len(carets[at:]) - len(before)
    if max(len(cells), start + length) > room:
        first = max(0, min(start - room // 3, max(len(cells), start + length) - room))
        last = first + room
        ahead, behind = ("…" if first else ""), ("…" if last < len(cells) else "")
        shown_cells = cells[first + len(ahead) : last - len(behind)]
        if shown_cells and shown_cells[0] == "":  # half of a wide character
            shown_cells[0] = " "
        cells = [*ahead, *shown_cells, *behind]
        start = max(0, start - first)
        length = min(length, room - start)
    return [gutters[0] + "".join(cells), gutters[1] + " " * start + "^" * max(1, length)]


def _columns(char: str) -> int:
    """Return the columns that a character takes on a terminal."""
    if char.isascii():
        return 1
    return 0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
