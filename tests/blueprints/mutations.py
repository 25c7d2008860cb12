"""Seeded mistakes in blueprints that are right: one mistake each, with the lines at which it can be said to lie.

What counts as naming the mutated line, said once for all kinds:
- a line that was changed, moved or repeated: that line (of a value over several lines, any of them);
- something taken out: the level that it stood in, from its name to its end, or where what it was joined to stands;
- a name that others refer to: its own line, or one of theirs.
- a bracket that is not closed: also the line where it was opened.

Long, because a kind of mistake is a few lines and there are sixteen.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from blueprints.model import BLUEPRINT, CONTRACT, DEAD_LETTERS, DEFAULTS, STREAMLET, TOPIC
from blueprints.source import MappingNode, Node, ScalarNode, SequenceNode, parse
from tests.blueprints.bases import BASES, Base


@dataclass(frozen=True)
class Mutant:
    """A blueprint with one mistake. `lines`: where it lies, 1-based in the mutated text."""

    kind: str
    base: Base
    text: str
    lines: frozenset[int]
    what: str

    def is_named_by(self, file: str, line: int) -> bool:
        """Return whether a place is one where the mistake lies."""
        if file == "under.yaml":  # where an overlay takes an edge away, the file below misses it
            return self.kind in ("missing_edge", "wrong_type")
        return line in self.lines

    def __str__(self) -> str:
        return f"{self.base.name}: {self.kind}: {self.what}"


@dataclass(frozen=True)
class Site:
    """An entry of a mapping, or an item of a list (no key): its path, and where it stands in the text."""

    path: tuple[str | int, ...]
    key: ScalarNode | None
    node: Node
    siblings: tuple[str, ...]
    start: int
    """Where the entry begins in the text: its key, or the item itself."""
    value: int
    """Where its value begins."""
    end: int
    """Where its value ends."""
    is_flow: bool

    @property
    def level(self) -> str:
        return "" if len(self.path) < 2 else str(self.path[0])

    @property
    def name(self) -> str:
        return str(self.path[-1])


class Text:
    """A text with the sites in it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = text.splitlines(keepends=True)
        self.offsets = [0]
        for line in self.lines:
            self.offsets.append(self.offsets[-1] + len(line))
        self.root = parse(text, "a.yaml").root
        self.sites: list[Site] = []
        self._collect(self.root, (), False)

    def at(self, line: int, column: int) -> int:
        return self.offsets[line - 1] + column - 1

    def line(self, offset: int) -> int:
        return self.text.count("\n", 0, offset) + 1

    def _end(self, node: Node) -> int:
        """Return where a value ends: its last character but one."""
        begin = self.at(node.mark.line, node.mark.column)
        if isinstance(node, ScalarNode):
            opening = self.text[begin : begin + 1]
            if opening in "'\"":
                return self.text.index(opening, begin + 1) + 1
            if node.mark.end_column:
                return self.at(node.mark.line, node.mark.end_column)
            return begin + len(node.raw)
        if self.text[begin] in "[{":
            depth = 0
            quote = ""
            for index in range(begin, len(self.text)):
                char = self.text[index]
                if quote:
                    quote = "" if char == quote else quote
                elif char in "'\"":
                    quote = char
                elif char in "[{":
                    depth += 1
                elif char in "]}":
                    depth -= 1
                    if depth == 0:
                        return index + 1
        children = node.items if isinstance(node, SequenceNode) else [e.value for e in node.entries.values()]
        return max([begin, *(self._end(c) for c in children if self._is_after(c, begin))])

    def _is_after(self, node: Node, begin: int) -> bool:
        """Return whether a node stands below; what an alias names stands elsewhere."""
        return self.at(node.mark.line, node.mark.column) >= begin

    def _collect(self, node: Node, path: tuple[str | int, ...], is_flow: bool) -> None:
        begin = self.at(node.mark.line, node.mark.column)
        is_flow = is_flow or self.text[begin : begin + 1] in "[{"
        if isinstance(node, SequenceNode):
            for index, item in enumerate(node.items):
                where = self.at(item.mark.line, item.mark.column)
                self.sites.append(
                    Site((*path, index), None, item, (), where, where, self._end(item), is_flow)
                )
                self._collect(item, (*path, index), is_flow)
        elif isinstance(node, MappingNode):
            for name, (key, value) in node.entries.items():
                start = self.at(key.mark.line, key.mark.column)
                where = self.at(value.mark.line, value.mark.column)
                anchor = re.match(r"&\w+\s", self.text[where:])
                where += anchor.end() if anchor and isinstance(value, ScalarNode) else 0
                here = (*path, name)
                if where < start:  # an alias: what it names is mutated where it stands
                    continue
                names = tuple(node.entries)
                self.sites.append(Site(here, key, value, names, start, where, self._end(value), is_flow))
                self._collect(value, here, is_flow)


def _level(path: tuple[str | int, ...]) -> tuple[str, ...] | None:
    """Return the names that the language knows at the level of a path's last part; None where names are free."""
    if len(path) == 1:
        return tuple(BLUEPRINT.names())
    top = path[0]
    if len(path) == 2:
        level = {"dead-letters": DEAD_LETTERS, "defaults": DEFAULTS}.get(str(top))
        return tuple(level.names()) if level else None
    if len(path) == 3 and top in ("streamlets", "topics", "contracts"):
        return tuple({"streamlets": STREAMLET, "topics": TOPIC, "contracts": CONTRACT}[str(top)].names())
    return None


_FREE_OPTIONS = ("inputs", "outputs", "headers")


def _is_option(path: tuple[str | int, ...]) -> bool:
    """Return whether a path names an option that a streamlet knows."""
    if len(path) < 4 or path[0] != "streamlets" or path[2] != "with":
        return False
    return not any(part in _FREE_OPTIONS for part in path[3:-1]) and isinstance(path[-1], str)


def _misspelt(rng: random.Random, word: str) -> str:
    at = rng.randrange(len(word))
    kind = rng.randrange(5)
    if kind == 0 and len(word) > 2:
        return word[:at] + word[at + 1 :]
    if kind == 1:
        return word[:at] + rng.choice("qzxj") + word[at:]
    if kind == 2:
        return word[:at] + rng.choice("qzxj") + word[at + 1 :]
    if kind == 3 and at + 1 < len(word) and word[at] != word[at + 1]:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word + rng.choice("qzxj")


Made = tuple[str, frozenset[int], str] | None


def _replaced(
    text: Text, start: int, end: int, new: str, what: str = "", extra: set[int] | None = None
) -> Made:
    """Return the text with a part replaced, and the lines that the new part stands on."""
    changed = text.text[:start] + new + text.text[end:]
    if changed == text.text:
        return None
    first = text.line(start)
    last = first + new.count("\n")
    old = text.text[start:end]
    lines = frozenset(range(first, last + 1)) | frozenset(extra or ())
    return changed, lines, what or f"line {first}: {old[:60]!r} → {new[:60]!r}"


def _users(text: Text, *names: str) -> list[int]:
    """Return the lines of the ports of streamlets, and of what names a contract."""
    lines = []
    for site in text.sites:
        if isinstance(site.node, ScalarNode) and site.path[0] == "topics":
            word = site.node.raw.partition(".")[0] if site.key is None else site.node.raw
            if word in names and (site.key is None or site.name == "contract"):
                lines.append(text.line(site.start))
    return lines


def misspelt_key(rng: random.Random, text: Text) -> Made:
    """A field of the language, or an option."""
    sites = [s for s in text.sites if s.key is not None and (_level(s.path) or _is_option(s.path))]
    site = rng.choice(sites)
    assert site.key is not None
    length = len(site.key.raw)
    start = site.start + (text.text[site.start] in "'\"")
    return _replaced(text, start, start + length, _misspelt(rng, site.key.raw))


def misspelt_name(rng: random.Random, text: Text) -> Made:
    """A streamlet's or contract's name where it is given, so that what refers to it finds nothing."""
    sites = [s for s in text.sites if len(s.path) == 2 and s.path[0] in ("streamlets", "contracts")]
    sites = [s for s in sites if _users(text, s.name)]
    if not sites:
        return None
    site = rng.choice(sites)
    return _replaced(
        text,
        site.start,
        site.start + len(site.name),
        _misspelt(rng, site.name),
        extra={*_users(text, site.name)},
    )


def misspelt_port(rng: random.Random, text: Text) -> Made:
    sites = [s for s in text.sites if s.path[-2:-1] and s.path[-2] in ("producers", "consumers")]
    if not sites:
        return None
    site = rng.choice(sites)
    assert isinstance(site.node, ScalarNode)
    word = rng.choice(site.node.raw.split("."))
    at = site.start + site.node.raw.index(word)
    return _replaced(text, at, at + len(word), _misspelt(rng, word))


_WORDS = {
    "delivery": ("exactly-once", "at-least-once"),
    "on-invalid": ("dead-letter", "drop", "stop"),
    "start": ("earliest", "latest"),
    "compacted": ("true", "false"),
    "external": ("true", "false"),
    "follow": ("true", "false"),
    "protocol": ("v2", "onnx"),
    "dataset": ("nycflights13",),
    "detector": ("ks",),
    "balance": ("least-outstanding", "round-robin"),
    "per": ("all", "partition"),
    "correction": ("bonferroni", "fdr"),
    "mode": ("all", "request", "response"),
    "use": ("score", "detect", "filter", "file", "file-sink", "console", "replay", "ewma", "votes"),
    "format": ("json", "cloudevents"),
    "contract": ("reading", "warm", "departure"),
    "json-schema": ("contracts/reading.json", "contracts/departure.json"),
    "reference": ("reference.npz",),
    "rate": ("max",),
}


def _worded(text: Text) -> list[Site]:
    return [
        s
        for s in text.sites
        if isinstance(s.node, ScalarNode) and s.node.raw in _WORDS.get(s.name, ()) and s.key is not None
    ]


def misspelt_value(rng: random.Random, text: Text) -> Made:
    """One word of several that are allowed, a file, or a streamlet."""
    sites = _worded(text)
    if not sites:
        return None
    site = rng.choice(sites)
    assert isinstance(site.node, ScalarNode)
    start = site.value + (text.text[site.value] in "'\"")
    return _replaced(text, start, start + len(site.node.raw), _misspelt(rng, site.node.raw))


def wrong_word(rng: random.Random, text: Text) -> Made:
    """A word that is right somewhere else."""
    sites = [s for s in _worded(text) if s.name not in ("json-schema", "reference", "path")]
    if not sites:
        return None
    site = rng.choice(sites)
    assert isinstance(site.node, ScalarNode)
    others = sorted({w for words in _WORDS.values() for w in words} - set(_WORDS[site.name]))
    new = rng.choice(others)
    start = site.value + (text.text[site.value] in "'\"")
    return _replaced(text, start, start + len(site.node.raw), new)


_ANYTHING = ("name", "description", "model", "version", "runbook", "dashboard", "type", "topic", "prefix")
"""Fields whose value may be nearly any text."""
_NULL_IS_FINE = ("with", "version", "runbook", "dashboard", "features", "timeout", "limit", "pod")


def wrong_type(rng: random.Random, text: Text) -> Made:
    sites = [
        s
        for s in text.sites
        if s.key is not None
        and (_level(s.path) or _is_option(s.path))
        and (s.is_flow or "\n" not in text.text[s.value : s.end])
    ]
    site = rng.choice(sites)
    if site.name in _ANYTHING:
        new = rng.choice(["[[x]]", "{ a: b }", "[7]"])
    elif site.name in ("path", "where", "key", "json-schema", "python"):
        new = rng.choice(["[[x]]", "{ a: b }", "[7]", "17", "true"])
    else:
        new = rng.choice(["-1", "[[x]]", "{ a: b }", "x y", "''", "1.5.5", ".nan", "null", "[7]", "3.7"])
    if new == "null" and (site.name in _NULL_IS_FINE or site.path[0] == "contracts"):
        return None
    if site.path[-2:-1] == ("pod",) or site.name in ("pod", "fields", "include") or "headers" in site.path:
        return None
    return _replaced(text, site.value, site.end, new)


def _entry_span(text: Text, site: Site) -> tuple[int, int] | None:
    """Return the part of the text that goes when an entry or an item goes: whole lines, or up to the comma."""
    start, end = site.start, site.end
    if site.is_flow and site.path and not _begins_line_block(text, site):
        after = re.match(r"\s*,[ ]?", text.text[end:])
        if after:
            return start, end + after.end()
        before = re.search(r",\s*$", text.text[:start])
        return (start - len(before[0]), end) if before else (start, end)
    first = text.line(start)
    last = text.line(max(start, end - 1))
    return text.offsets[first - 1], text.offsets[last]


def _begins_line_block(text: Text, site: Site) -> bool:
    """Return whether an entry is of a block mapping, though its value may be of flow style."""
    line = text.lines[text.line(site.start) - 1]
    before = line[: site.start - text.offsets[text.line(site.start) - 1]]
    after = text.text[site.end :].split("\n", 1)[0].partition("#")[0]
    return not before.strip() and not after.strip().startswith((",", "}", "]"))


def _level_lines(text: Text, site: Site) -> set[int]:
    """Return the lines of the level that an entry stands in, from the level's name to its end."""
    for other in text.sites:
        if other.path == site.path[:-1]:
            return set(range(text.line(other.start), text.line(other.end) + 1))
    return {1}


def _span(text: Text, site: Site) -> range:
    return range(text.line(site.start), text.line(site.end) + 1)


def _taken_out(text: Text, site: Site, near: set[int]) -> Made:
    span = _entry_span(text, site)
    if span is None:
        return None
    start, end = span
    gone = text.text[start:end].count("\n")
    first = text.line(start)
    changed = text.text[:start] + text.text[end:]
    for anchor in re.findall(r"&(\w+)", text.text[start:end]):  # and where it is missed
        near |= {text.line(found.start()) for found in re.finditer(rf"\*{anchor}\b", text.text)}
    lines = frozenset(
        line if line < first else max(first - 1, line - gone) if line < first + gone else line - gone
        for line in near
    )
    return changed, lines, f"line {first}: {text.text[start:end].strip()[:60]!r} taken out"


def missing_edge(rng: random.Random, text: Text) -> Made:
    """A producer or a consumer, a topic, or a streamlet is gone."""
    kind = rng.choice(["port", "side", "topic", "streamlet"])
    wanted = {
        "port": lambda s: s.key is None and s.path[0] == "topics",
        "side": lambda s: s.name in ("producers", "consumers") and len(s.path) == 3,
        "topic": lambda s: len(s.path) == 2 and s.path[0] == "topics",
        "streamlet": lambda s: len(s.path) == 2 and s.path[0] == "streamlets" and _users(text, s.name),
    }[kind]
    sites = [s for s in text.sites if wanted(s)]
    if not sites:
        return None
    site = rng.choice(sites)
    near = set(_users(text, site.name)) if kind == "streamlet" else _level_lines(text, site)
    if kind == "port":
        near = {line for s in text.sites if s.path == site.path[:2] for line in _span(text, s)}
    elif kind == "topic":
        near = set()
    elif kind == "streamlet":
        near |= {text.line(s.start) for s in text.sites if s.path == ("streamlets",)}
    below = [s for s in text.sites if s.path[: len(site.path)] == site.path and s.key is None]
    for port in below:  # what it was joined to stands where its streamlet is named
        assert isinstance(port.node, ScalarNode) or kind == "streamlet"
        if isinstance(port.node, ScalarNode):
            owner = port.node.raw.partition(".")[0]
            near |= {line for s in text.sites if s.path == ("streamlets", owner) for line in _span(text, s)}
    return _taken_out(text, site, near)


def missing_field(rng: random.Random, text: Text) -> Made:
    """Something that must be there is gone: a field, an option, a contract that is named."""
    needed = {
        (1, "name"), (1, "streamlets"), (3, "use"), (4, "path"), (4, "model"), (4, "servers"), (4, "inputs"),
        (4, "outputs"), (4, "reference"), (4, "where"), (4, "dataset"), (6, "url"),
    }  # fmt: skip
    sites = [s for s in text.sites if (len(s.path), s.name) in needed and s.key is not None]
    sites += [s for s in text.sites if len(s.path) == 2 and s.path[0] == "contracts" and _users(text, s.name)]
    sites = [s for s in sites if len(s.siblings) > 1 or s.path[0] == "contracts"]
    if not sites:
        return None
    site = rng.choice(sites)
    near = set(_users(text, site.name)) if site.path[0] == "contracts" else _level_lines(text, site)
    if len(site.path) == 1:
        inside = [s.name for s in text.sites if s.path[:1] == site.path and len(s.path) == 2]
        near = {1, *_users(text, *inside)} | {text.line(s.start) for s in text.sites if len(s.path) == 1}
    return _taken_out(text, site, near)


def _block_lines(text: Text) -> list[int]:
    """Return the indexes of lines that begin an entry or an item of a block."""
    return sorted(
        {
            text.line(s.start) - 1
            for s in text.sites
            if _begins_line_block(text, s) or (s.key is None and not s.is_flow)
        }
    )


def wrong_indent(rng: random.Random, text: Text) -> Made:
    """One line is moved in or out by one to four columns, or is indented by tabs."""
    lines = _block_lines(text)
    if not lines:
        lines = list(range(len(text.lines)))
    number = rng.choice(lines)
    line = text.lines[number]
    width = len(line) - len(line.lstrip(" "))
    by = rng.choice([-4, -3, -2, -1, 1, 2, 3, 4, 0])
    if by == 0:
        if not width:
            return None
        new = rng.choice(["\t" * max(1, width // 2), " " * (width - 1) + "\t"]) + line.lstrip(" ")
    elif width + by < 0:
        return None
    else:
        new = " " * (width + by) + line.lstrip(" ")
    changed = "".join([*text.lines[:number], new, *text.lines[number + 1 :]])
    return changed, frozenset({number + 1}), f"line {number + 1}: indent {width} → {new[:20]!r}"


def repeated_key(rng: random.Random, text: Text) -> Made:
    sites = [s for s in text.sites if s.key is not None and len(s.path) > 1]
    site = rng.choice(sites)
    entry = text.text[site.start : site.end]
    first = text.line(site.start)
    if text.lines[first - 1].lstrip().startswith("- "):
        return None  # a second item of a list is none too many
    height = entry.count("\n")
    if site.is_flow and not _begins_line_block(text, site):
        return _replaced(text, site.end, site.end, f", {entry}", f"line {first}: {entry[:40]!r} repeated")
    begin, end = text.offsets[first - 1], text.offsets[first + height]
    block = text.text[begin:end]
    changed = text.text[:end] + block + text.text[end:]
    # Either of the two is as wrong as the other.
    lines = frozenset(range(first, first + 2 * (height + 1)))
    return changed, lines, f"line {first}: {entry[:40]!r} repeated"


def swapped_sides(rng: random.Random, text: Text) -> Made:
    """`producers` and `consumers` of a topic change places, or a port stands on the wrong side."""
    sites = [s for s in text.sites if s.name in ("producers", "consumers") and len(s.path) == 3]
    if not sites:
        return None
    site = rng.choice(sites)
    other = "consumers" if site.name == "producers" else "producers"
    partner = next((s for s in sites if s.path == (*site.path[:-1], other)), None)
    new = {"producers": "consumers", "consumers": "producers"}
    if partner is None:
        return _replaced(text, site.start, site.start + 9, new[site.name], extra={text.line(site.end)})
    first, second = sorted((site, partner), key=lambda s: s.start)
    changed = (
        text.text[: first.start]
        + new[first.name]
        + text.text[first.start + 9 : second.start]
        + new[second.name]
        + text.text[second.start + 9 :]
    )
    lines = frozenset(
        line for s in (first, second) for line in range(text.line(s.start), text.line(s.end) + 1)
    )
    return changed, lines, f"line {text.line(first.start)}: sides swapped"


def swapped_ports(rng: random.Random, text: Text) -> Made:
    """An outlet and an inlet change places."""
    ports = [
        s for s in text.sites if s.key is None and s.path[0] == "topics" and isinstance(s.node, ScalarNode)
    ]
    outs = [s for s in ports if "producers" in s.path]
    ins = [s for s in ports if "consumers" in s.path]
    if not outs or not ins:
        return None
    first, second = sorted((rng.choice(outs), rng.choice(ins)), key=lambda s: s.start)
    one, two = text.text[first.start : first.end], text.text[second.start : second.end]
    changed = (
        text.text[: first.start] + two + text.text[first.end : second.start] + one + text.text[second.end :]
    )
    lines = frozenset({text.line(first.start), text.line(second.start)})
    return changed, lines, f"line {text.line(first.start)}: {one} ↔ {two}"


_QUANTITY = re.compile(r"(\d+)(ms|s|m|h|d|w|GiB|MiB|KiB|kB|/s|%)$")


def wrong_unit(rng: random.Random, text: Text) -> Made:
    sites = [
        s for s in text.sites if isinstance(s.node, ScalarNode) and _QUANTITY.match(s.node.raw) and s.key
    ]
    if not sites:
        return None
    site = rng.choice(sites)
    assert isinstance(site.node, ScalarNode)
    found = _QUANTITY.match(site.node.raw)
    assert found
    number, unit = found[1], found[2]
    wrong = "MiB" if unit[0] in "mshdw/%" else "d"
    new = rng.choice(
        [
            number, f"'{number}'", f"{number}.5", f"{number}{unit}{unit}", f"{number}{wrong}", f"-{number}{unit}",
            f"0{unit}", f"{number} parsec", unit, f"{number},5{unit}", f"{number}{unit.swapcase()}x",
        ]
    )  # fmt: skip
    if site.is_flow and "," in new:
        return None
    return _replaced(text, site.value, site.end, new)


def unclosed(rng: random.Random, text: Text) -> Made:
    """The quote or bracket that closes, or the one that opens, is gone; or one too many is there."""
    places = [i for i, char in enumerate(text.text) if char in "'\"[]{}" and not _in_comment(text, i)]
    if not places:
        return None
    at = rng.choice(places)
    opener = {text.line(s.value) for s in text.sites if s.end == at + 1 or s.value == at}
    if rng.random() < 0.2:
        return _replaced(text, at, at, text.text[at], f"line {text.line(at)}: {text.text[at]!r} doubled")
    # What is not closed is told where it was opened.
    return _replaced(text, at, at + 1, "", f"line {text.line(at)}: {text.text[at]!r} removed", opener)


def _in_comment(text: Text, at: int) -> bool:
    line = text.line(at) - 1
    return "#" in text.lines[line][: at - text.offsets[line]]


def removed_colon(rng: random.Random, text: Text) -> Made:
    sites = [s for s in text.sites if s.key is not None]
    site = rng.choice(sites)
    assert site.key is not None
    at = text.text.index(":", site.start + len(site.key.raw))
    if rng.random() < 0.7 or text.text[at + 1 : at + 2] != " ":
        return _replaced(text, at, at + 1, "", f"line {text.line(at)}: ':' after {site.name!r} removed")
    return _replaced(text, at + 1, at + 2, "", f"line {text.line(at)}: blank after '{site.name}:' removed")


def moved_a_level(rng: random.Random, text: Text) -> Made:
    """An option stands beside `use`, a streamlet's field under `with`, a topic's field at the top …"""
    options = [s for s in text.sites if _is_option(s.path) and len(s.path) == 4 and len(s.siblings) > 1]
    deeper = [
        s for s in text.sites if _is_option(s.path) and len(s.path) == 5 and isinstance(s.path[-2], str)
    ]
    fields = [
        s
        for s in text.sites
        if len(s.path) == 3 and s.path[0] == "streamlets" and s.name not in ("use", "with")
    ]
    topics = [s for s in text.sites if len(s.path) == 3 and s.path[0] == "topics" and s.key]
    site = rng.choice([*options, *deeper, *fields, *topics])
    span = _entry_span(text, site)
    if span is None:
        return None
    entry = text.text[site.start : site.end]
    if "\n" in entry:
        return None
    if site in fields:
        target = (*site.path[:2], "with")
    elif site in topics:
        target = (*site.path[:1],) if rng.random() < 0.5 else ()
    else:
        target = site.path[:-2]
    rest = text.text[: span[0]] + text.text[span[1] :]
    try:
        after = Text(rest)
    except Exception:  # nothing is left in the level that it was taken from
        return None
    inside = [s for s in after.sites if s.path[:-1] == target and s.key is not None]
    if not inside or site.name in inside[0].siblings:
        return None
    first = inside[0]
    new = f"{entry}, " if first.is_flow and not _begins_line_block(after, first) else ""
    if not new:
        column = first.start - after.offsets[after.line(first.start) - 1]
        new = entry + "\n" + " " * column
    made = _replaced(after, first.start, first.start, new)
    if made is None:
        return None
    where = after.line(first.start)
    return (
        made[0],
        frozenset({where}),
        f"line {where}: '{site.name}' moved to {'.'.join(map(str, target)) or 'the top'}",
    )


KINDS: tuple[Callable[[random.Random, Text], Made], ...] = (
    misspelt_key, misspelt_name, misspelt_port, misspelt_value, wrong_word, wrong_type, missing_edge, missing_field,
    wrong_indent, repeated_key, swapped_sides, swapped_ports, wrong_unit, unclosed, removed_colon, moved_a_level,
)  # fmt: skip

_TEXTS = {base.name: Text(base.text) for base in BASES}


def mutants(seed: int, count: int) -> Iterator[Mutant]:
    """Yield so many mutants, the kinds and the blueprints in turn, no text twice."""
    rng = random.Random(seed)
    seen: set[str] = set()
    made = turn = 0
    while made < count:
        base = BASES[turn % len(BASES)]
        kind = KINDS[(turn // len(BASES)) % len(KINDS)]
        turn += 1
        for _ in range(20):
            found = kind(rng, _TEXTS[base.name])
            if found is not None and found[0] not in seen and found[0] != base.text:
                seen.add(found[0])
                made += 1
                yield Mutant(kind.__name__, base, *found)
                break
