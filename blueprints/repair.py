"""Which line of broken YAML is at fault: the one whose smallest repair makes the rest a blueprint again.

A parser notices a wrong indent, a missing colon or an open quote lines after it was made. So each line nearby is
repaired as its writer might have meant it and the part around it is parsed again; of the repairs after which it parses,
the one is believed that leaves the fewest things that no blueprint has.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from blueprints.source import MappingNode, Node, ScalarNode, SequenceNode

MAX_TEXT = 1 << 16  # characters of the part that is tried: 64 KiB parse in 10 ms
MAX_TRIED = 1 << 20  # characters parsed in all trials together: a quarter of a second at worst
BEFORE, AFTER = 6, 2  # lines around the noticed one that are tried whatever they look like
MAX_LINES = 80  # lines that a bracket or a block may be open over
STEP = 2  # columns that a level is usually indented by
SUSPECTS = 8  # lines with a misplaced field that are tried
MAX_QUOTED = 400  # lines that are searched for a quote that is not closed
OPEN_QUOTE = "this quote is not closed"

_KEY = re.compile(r"(\s*(?:- )*)((?:[\w.${}/-]+)|\"[^\"]*\"|'[^']*')")
_INNER = re.compile(r"(: +)[\w-]+: ")
_BLANK = re.compile(r"\s*(#.*)?\Z")


@dataclass(frozen=True, slots=True)
class Fault:
    """A line (1-based), the column in it, and what is wrong there."""

    line: int
    column: int
    message: str


@dataclass(frozen=True, slots=True)
class _Repair:
    line: int  # index in the part
    text: str
    column: int
    message: str
    cost: int


Builds = Callable[[str], tuple[Node, int] | None]
"""A text's root and the count of its repeated keys, or None where it does not parse."""


def find(text: str, noticed: int, opened: int, builds: Builds) -> Fault | None:
    """Return the line that is at fault, or None where no small repair helps.

    `noticed`, `opened`: lines (1-based) where the parser gave up and where it was busy with what it could not finish.
    """
    lines = text.split("\n")
    noticed, opened = min(noticed, len(lines)) - 1, min(opened, len(lines)) - 1
    first, last = _part(lines, min(noticed, opened), noticed)
    part = lines[first:last]
    size = sum(map(len, part)) + len(part)
    if size > MAX_TEXT:
        return None
    tried, best = 0, None
    usual = Counter(_indent(line) for line in lines if not _BLANK.match(line))
    for repair in _repairs(part, noticed - first, opened - first, usual):
        tried += size
        if tried > MAX_TRIED:
            break
        built = builds("\n".join([*part[: repair.line], repair.text, *part[repair.line + 1 :]]))
        if built is None:
            continue
        root, repeated = built
        rank = (oddities(root) + 2 * repeated, repair.cost, abs(repair.line - (noticed - first)))
        if best is None or rank < best[0]:
            best = (rank, repair)
    if best is None:
        return None
    found = best[1]
    return Fault(first + found.line + 1, found.column + 1, found.message)


def misindented(lines: list[str], suspects: list[int], builds: Builds) -> tuple[Fault, str] | None:
    """Return the line whose indent makes the lines after it mean something else, and the text with it mended.

    For a text that parses, and has many fields where none are. `suspects`: lines (1-based) with such fields. None where
    no single line explains them all.
    """
    before = builds("\n".join(lines))
    if before is None or sum(map(len, lines)) > MAX_TEXT:
        return None
    worst = oddities(before[0]) + 2 * before[1]
    usual = Counter(_indent(line) for line in lines if not _BLANK.match(line))
    tried, best = 0, None
    before_them = [
        max((i for i in range(line - 1) if not _BLANK.match(lines[i])), default=0) for line in suspects
    ]
    for index in dict.fromkeys([*before_them[:SUSPECTS], *(line - 1 for line in suspects[:SUSPECTS])]):
        if not 0 <= index < len(lines) or _BLANK.match(lines[index]):
            continue
        for repair in _indents(lines, index, usual):
            tried += sum(map(len, lines))
            if tried > MAX_TRIED:
                break
            text = "\n".join([*lines[:index], repair.text, *lines[index + 1 :]])
            built = builds(text)
            if built is None:
                continue
            rank = (oddities(built[0]) + 2 * built[1], repair.cost)
            if rank[0] + 3 <= worst and not rank[0] and (best is None or rank < best[0]):
                best = (rank, repair, text)
    if best is None:
        return None
    _, found, text = best
    return Fault(found.line + 1, _indent(lines[found.line]) + 1, found.message), text


def _part(lines: list[str], earliest: int, noticed: int) -> tuple[int, int]:
    """Return the part that is tried, as a slice: from a line at the left edge to another one past the fault."""
    edges = [i for i, line in enumerate(lines) if line[:1] not in ("", " ", "\t", "#", "}", "]")]
    before = [i for i in edges if i < min(earliest + 1, noticed)]
    first = before[-2] if len(before) > 1 else 0
    after = [i for i in edges if i > noticed + 1]
    if lines[first].startswith(("{", "[")) or any(line.startswith(("{", "[")) for line in lines[: first + 1]):
        return 0, len(lines)
    return first, after[0] if after else len(lines)


def _repairs(part: list[str], noticed: int, opened: int, usual: Counter[int]) -> Iterator[_Repair]:
    """Yield what may be repaired: first near where the fault was noticed, then where it was opened."""
    near = [i for i in range(noticed, noticed - BEFORE - 1, -1) if 0 <= i < len(part)]
    near += [i for i in range(noticed + 1, noticed + AFTER + 1) if i < len(part)]
    above = _block_above(part, noticed)
    reach = range(max(0, min(opened, noticed)), min(len(part), noticed + 1))
    spanned = list(reach)[:MAX_LINES]
    every = dict.fromkeys([*near, *above, max(0, opened), *spanned])
    for index in every:
        if not _BLANK.match(part[index]):
            yield from _colons(part[index], index)
            yield from _closers(part[index], index)
    for index in range(noticed - 1, max(-1, noticed - MAX_QUOTED), -1):
        if index < len(part) and index not in every and not _BLANK.match(part[index]):
            # A quote that is not closed ends at the next one, lines below.
            yield from (repair for repair in _closers(part[index], index) if repair.message == OPEN_QUOTE)
    for index in dict.fromkeys([*near, *above]):
        if not _BLANK.match(part[index]):
            yield from _indents(part, index, usual)


def _block_above(part: list[str], noticed: int) -> list[int]:
    """Return the lines that begin the entries of the block that ends before a line."""
    if noticed >= len(part):
        return []
    limit = _indent(part[noticed])
    found: list[int] = []
    for index in range(noticed - 1, -1, -1):
        if _BLANK.match(part[index]):
            continue
        if _indent(part[index]) < limit:
            found.append(index)  # or it is this line that stands too far out
            break
        if _indent(part[index]) > limit or found:
            found.append(index)
    inner = [i for i in found if _indent(part[i]) >= limit]
    least = min((_indent(part[i]) for i in inner), default=0)
    return [i for i in reversed(found) if i not in inner or _indent(part[i]) == least][:5]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _indents(part: list[str], index: int, usual: Counter[int]) -> Iterator[_Repair]:
    line = part[index]
    here, bare = _indent(line), line.lstrip(" \t")
    around = [i for i in range(max(0, index - 5), min(len(part), index + 6)) if i != index]
    indents = {_indent(part[i]) for i in around if not _BLANK.match(part[i])}
    before = next((i for i in range(index - 1, -1, -1) if not _BLANK.match(part[i])), None)
    if before is not None:
        indents |= {0, _indent(part[before]) + STEP, _indent(part[before])}
    has_tab = "\t" in line[:here]
    key = _KEY.match(bare)
    alike = {
        _indent(other)
        for i, other in enumerate(part)
        if key and i != index and other.lstrip(" ").startswith(f"{key[2]}:")
    }
    for indent in sorted(indents, key=lambda width: (abs(width - here), width)):
        if indent == here and not has_tab:
            continue
        if has_tab:
            message = f"indented by a tab; indent by spaces, not tabs: {indent} fit here"
        else:
            message = (
                f"indented by {here} where {indent} {'fits' if indent == 1 else 'fit'}; check the indent"
            )
        # An indent that no other line has is seldom meant.
        cost = abs(indent - here) + (0 if usual[here] < 2 or has_tab else 3)
        above = (_indent(part[i]) for i in range(index - 1, -1, -1) if not _BLANK.match(part[i]))
        parent = next((width for width in above if width < indent), indent - STEP)
        cost += 2 * (indent - parent != STEP)
        # The same key stands elsewhere as it should.
        cost += 3 * ((here in alike) - (indent in alike))
        yield _Repair(index, " " * indent + bare, 0 if has_tab else here, message, cost)


@cache
def _words() -> frozenset[str]:
    from blueprints.model import LEVELS

    return frozenset(field.name for level in LEVELS for field in level.fields)


def _colons(line: str, index: int) -> Iterator[_Repair]:
    for begin in [0, *(found.end() for found in re.finditer(r"[{,]\s*", line))]:
        key = _KEY.match(line, begin)
        if not key:
            continue
        rest = line[key.end() :]
        if rest.startswith(": ") or rest == ":":
            continue
        column = key.start(2)
        # Only a word of the language is shown: any other may be the value of a secret.
        name = f"'{key[2]}' is a key" if key[2] in _words() else "a key"
        if (inner := _INNER.match(rest)) and begin == 0:
            repaired = line[: key.end() + inner.end(1)] + "{ " + rest[inner.end(1) :]
            yield _Repair(index, repaired, column, "a second key on the line of another; a '{' is missing", 3)
        if rest.startswith(":"):
            repaired = line[: key.end() + 1] + " " + rest[1:]
            yield _Repair(index, repaired, column, "no blank after the colon; write 'key: value'", 1)
        elif rest[:1] in ("", " ", "{", "["):
            repaired = line[: key.end()] + ": " + rest.lstrip()
            yield _Repair(index, repaired, column, f"{name} without ': '; write 'key: value'", 2)


_OPENS = {"[": "]", "{": "}"}


def _closers(line: str, index: int) -> Iterator[_Repair]:
    """Yield the line with the quote or bracket that it lacks."""
    stack: list[tuple[str, int]] = []
    stray: list[int] = []
    quote, quoted_at = "", 0
    end = len(line)
    for at, char in enumerate(line):
        if quote:
            quote = "" if char == quote and line[at - 1] != "\\" else quote
        elif char in "'\"" and (line[:at].rstrip()[-1:] in ("", ":", ",", "[", "{", "-")):
            quote, quoted_at = char, at
        elif char == "#" and (at == 0 or line[at - 1] in " \t"):
            end = at
            break
        elif char in _OPENS:
            stack.append((char, at))
        elif char in "]}":
            if stack and _OPENS[stack[-1][0]] == char:
                stack.pop()
            elif len(stack) > 1 and _OPENS[stack[-2][0]] == char:
                # The inner one is not closed before the outer one is.
                inner, where = stack[-1]
                repaired = line[:at].rstrip() + _OPENS[inner] + line[at:]
                yield _Repair(index, repaired, where, f"{_noun(inner)} is not closed", 1)
                stack = stack[:-2]
            else:
                stray.append(at)
        elif char in "'\"":
            repaired = line[:at] + line[at + 1 :]
            yield _Repair(index, repaired, at, "a quote that nothing opens", 2)
    body = line[:end].rstrip()
    if quote:
        for place in [m.start() for m in re.finditer(r"\s*[,\]}]|\s*\Z", line[quoted_at:end])]:
            where = quoted_at + place
            if where > quoted_at:
                repaired = line[:where] + quote + line[where:]
                yield _Repair(index, repaired, quoted_at, OPEN_QUOTE, 1)
    for char, at in reversed(stack):
        repaired = body + _OPENS[char] + ("" if not body.endswith(",") else ",") + line[end:]
        if body.endswith(","):
            repaired = body[:-1].rstrip() + _OPENS[char] + "," + line[end:]
        yield _Repair(index, repaired, at, f"{_noun(char)} is not closed", 1)
        yield _Repair(index, line[:at] + line[at + 1 :], at, f"{_noun(char)} too many", 3)
    for at in stray:
        yield _Repair(index, line[:at] + line[at + 1 :], at, f"'{line[at]}' closes nothing", 2)
        opening = "[" if line[at] == "]" else "{"
        for found in re.finditer(r"[:,{\[-]\s+", line[:at]):
            repaired = line[: found.end()] + opening + line[found.end() :]
            yield _Repair(index, repaired, at, f"'{line[at]}' closes nothing; write '{opening}' before it", 1)


def _noun(char: str) -> str:
    return "this bracket" if char == "[" else "this brace"


def oddities(root: Node) -> int:
    """Return how many things are in a text that no blueprint has: unknown fields, headings without anything below."""
    from blueprints.model import BLUEPRINT

    return _odd_level(root, BLUEPRINT)


def _odd_level(node: Node, level: object) -> int:
    from blueprints.fields import Level, Named

    if not isinstance(node, MappingNode):
        return 4 + _odd_text(node)
    assert isinstance(level, Level)
    fields = {field.name: field for field in level.fields}
    count = 0
    for name, (_, value) in node.entries.items():
        field = fields.get(name)
        if field is None:
            count += 2 + _odd_text(value)
        elif isinstance(field.kind, Named):
            if not isinstance(value, MappingNode):
                count += 4
            else:
                count += sum(_odd_level(entry.value, field.kind.level) for entry in value.entries.values())
        elif isinstance(field.kind, Level):
            count += _odd_level(value, field.kind)
        else:
            count += _odd_text(value)
    if level.where != "at the top":  # a part of a blueprint has a part of its fields
        count += sum(2 for field in level.fields if field.is_required and field.name not in node.entries)
    return count


def _odd_text(node: Node) -> int:
    """Return how many values are empty, or run over several lines without quotes."""
    if isinstance(node, ScalarNode):
        return int(node.plain and (not node.raw or node.end_line > node.mark.line))
    children = node.items if isinstance(node, SequenceNode) else [e.value for e in node.entries.values()]
    return sum(map(_odd_text, children))
