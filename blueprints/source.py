"""A blueprint's text as nodes that know their place: file, line and column of every key and value.

YAML 1.2 core rules: `on`, `no` and `1:30` are text. No custom tags, no merge keys, one document. Depth, the number of
values and what aliases expand to are capped on the event stream, before anything is built from it. Past 400 lines
because the caps, the places and the words for broken YAML are about the same stream of events.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from yaml._yaml import (
    CParser,
)  # libyaml's: the parser written in Python takes seconds for what this takes 30 ms

from blueprints.diagnostics import BlueprintError, Diagnostic, Mark
from blueprints.files import TooLarge, read_bytes

MAX_FILE_BYTES = 1 << 20  # 1 MiB: a hundred times the largest blueprint seen; read whole in a millisecond
MAX_DEPTH = 64  # nested values; the deepest real option lies at nine
MAX_VALUES = 20_000  # values after aliases are expanded; the slowest file takes a fifth of a second


class Document(NamedTuple):
    """A kind of file, with its caps and the words of messages."""

    noun: str = "blueprint"
    is_what: str = "a blueprint is a mapping: name, streamlets, topics"
    max_bytes: int = MAX_FILE_BYTES
    max_values: int = MAX_VALUES
    when_empty: str = "'streamlets new NAME' writes a first blueprint"

    @property
    def a_noun(self) -> str:
        return f"{'an' if self.noun[0] in 'aeiou' else 'a'} {self.noun}"


BLUEPRINT_FILE = Document()
OVERLAY_FILE = Document(
    "overlay",
    "an overlay is a mapping: name, streamlets, topics",
    when_empty="leave it out, or write what it changes",
)

_CORE_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")}
_TAG_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,), "float": (int, float), "bool": (bool,), "null": (type(None),),
}  # fmt: skip
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
# Among them the signs that turn the direction of text: what is read would not be what is seen.
_INT = re.compile(r"[-+]?[0-9]{1,400}\Z")
_BASED = re.compile(r"0(o[0-7]{1,400}|x[0-9a-fA-F]{1,400})\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]{1,400}(\.[0-9]*)?)([eE][-+]?[0-9]{1,9})?\Z")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}

# What libyaml says, and what its user can do about it.
_PROBLEMS = {
    "mapping values are not allowed in this context": "a second ': ' on one line, or a wrong indent; "
    "quote the value or put it on its own line",
    "found character that cannot start any token": "a character that cannot begin a value; "
    "indent by spaces, not tabs, and quote values that begin with @, ` or %",
    "did not find expected key": "a key or the end of the block was expected here; check the indent and the quotes",
    "did not find expected '-' indicator": "a list item '- ' was expected here; check the indent",
    "did not find expected node content": "a value was expected here; a comma too many, or a bracket not closed",
    "did not find expected ',' or '}'": "this brace is not closed, or a ',' is missing in it",
    "did not find expected ',' or ']'": "this bracket is not closed, or a ',' is missing in it",
    "found unexpected end of stream": "this quote is not closed",
    "could not find expected ':'": "a key without ': '; write 'key: value'",
    "found undefined alias": "an alias to an anchor that is not defined before it",
    "found invalid Unicode character escape code": "an escape of no character; write the character itself",
    "found undefined tag handle": "a blueprint has no custom tags; a value that begins with '!' needs quotes",
    "found incompatible YAML document": "this is YAML 1.2; leave the %YAML line out",
    "found unknown directive name": "a line that begins with '%' is a directive; quote the value, or leave it out",
    "found duplicate %YAML directive": "a second %YAML line; leave both out",
    "did not find expected <document start>": "text after the end of the document; "
    "everything of a mapping begins in the same column",
}

_OPENED = ("while parsing a flow mapping", "while parsing a flow sequence", "while scanning a quoted scalar")


class Entry(NamedTuple):
    """A key of a mapping and its value."""

    key: ScalarNode
    value: Node


@dataclass(slots=True, eq=False)
class ScalarNode:
    """A single value. `raw` as written, `text` with the environment filled in, `value` as YAML 1.2 resolves it.

    `plain`: written without quotes. `variables`: the environment variables that are named; `filled`: what the
    environment gave for them; `is_unset`: one of them has no value; `is_default`: the blueprint gives one of them a
    value of its own, taken or not. Messages show `raw`, never `text`: what comes from the environment may be a secret,
    and so may what is written out, so that not even a `repr` shows it.
    """

    mark: Mark
    raw: str = field(repr=False)
    text: str = field(repr=False)
    value: Any = field(repr=False)
    plain: bool = True
    end_line: int = 0
    variables: tuple[str, ...] = ()
    is_unset: bool = False
    is_default: bool = False
    filled: tuple[str, ...] = field(default=(), repr=False)
    clear: str | None = field(default=None, repr=False)

    @property
    def in_clear(self) -> str:
        """What stands in the file: as written, defaults in their places, each other variable a GAP."""
        return self.raw if self.clear is None else self.clear


@dataclass(slots=True, eq=False)
class MappingNode:
    """Keys and values in the file's order; of a repeated key the first stands.

    `spans`: the characters of each entry, from its key to the end of its value; none where it is not of one file.
    """

    mark: Mark
    entries: dict[str, Entry] = field(default_factory=dict)
    is_flow: bool = False
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)

    def get(self, key: str) -> Node | None:
        """Return the value of a key, or None when it is absent."""
        entry = self.entries.get(key)
        return entry.value if entry else None


@dataclass(slots=True, eq=False)
class SequenceNode:
    """A list of values. `spans`: the characters of each item."""

    mark: Mark
    items: list[Node] = field(default_factory=list)
    is_flow: bool = False
    spans: list[tuple[int, int]] = field(default_factory=list)


Node = ScalarNode | MappingNode | SequenceNode


@dataclass(slots=True)
class Source:
    """A file as it was read: its nodes, its lines for frames, and what was found while reading.

    `hidden`: lines that hold a secret in clear, with the column from which on nothing may be shown. `shared`: the parts
    of the text, from and to, that aliases repeat elsewhere; a fix of one place is none of the others.
    """

    file: str
    root: MappingNode
    lines: list[str]
    diagnostics: list[Diagnostic]
    hidden: dict[int, int] = field(default_factory=dict)
    text: str = ""
    shared: tuple[tuple[int, int], ...] = ()


def resolve(text: str) -> Any:
    """Return the value of a plain scalar by the core schema of YAML 1.2."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "+-.0123456789":
        if _INT.match(text):
            return int(text)
        if _BASED.match(text):
            return int(text, 0)
        if _FLOAT.match(text):
            return float(text)
    return text


def plain(node: Node | None) -> Any:
    """Return a node as plain Python: dict, list, str, int, float, bool or None."""
    if isinstance(node, MappingNode):
        return {key: plain(entry.value) for key, entry in node.entries.items()}
    if isinstance(node, SequenceNode):
        return [plain(item) for item in node.items]
    return None if node is None else node.value


def scalars(node: Node) -> Iterator[ScalarNode]:
    """Yield every value below a node, in the file's order; keys are not values."""
    if isinstance(node, ScalarNode):
        yield node
    else:
        children = node.items if isinstance(node, SequenceNode) else [e.value for e in node.entries.values()]
        for child in children:
            yield from scalars(child)


def read(path: Path, shown_as: str | None = None, document: Document = BLUEPRINT_FILE) -> Source:
    """Return a file's nodes. Raises: BlueprintError (`missing-file`, `yaml-syntax`), never anything else."""
    name = shown_as if shown_as is not None else os.fspath(path)
    try:
        raw = read_bytes(path, document.max_bytes, may_be_pipe=True)
    except TooLarge as exc:
        most = f"more than {document.max_bytes >> 20} MiB"
        if exc.size is not None:
            _fail(Mark(name, 1, 1), f"the file has {exc.size:,} bytes; {most} is refused unread")
        _fail(Mark(name, 1, 1), f"{most}; {document.a_noun} of this size is refused")
    except (OSError, ValueError) as exc:
        reason = (getattr(exc, "strerror", None) or str(exc) or type(exc).__name__).lower()
        raise BlueprintError(
            [Diagnostic(Mark(name, 1, 1), "missing-file", f"the {document.noun} cannot be read: {reason}")]
        ) from exc
    return parse(raw, name, document)


def parse(raw: bytes | str, file: str, document: Document = BLUEPRINT_FILE) -> Source:
    """Return the nodes of a text. Raises: BlueprintError (`yaml-syntax`)."""
    if isinstance(raw, str):
        text = raw
    else:
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as exc:
            before = raw[: exc.start].decode("utf-8-sig", "replace")
            line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
            _fail(
                Mark(file, line, column), f"byte 0x{raw[exc.start]:02x} is not UTF-8; save the file as UTF-8"
            )
    if found := _UNPRINTABLE.search(text):
        before = text[: found.start()]
        mark = Mark(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        _fail(mark, f"control character U+{ord(found[0]):04X} is not allowed")
    return _Builder(text, file, document).build()


def _fail(mark: Mark, message: str) -> Any:
    raise BlueprintError([Diagnostic(mark, "yaml-syntax", message)])


@dataclass(slots=True)
class _Anchor:
    """A finished anchored node, how many values it holds and how deep it is."""

    node: Node
    values: int
    height: int
    place: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class _Open:
    """A collection whose end has not been seen."""

    node: MappingNode | SequenceNode
    anchor: str | None
    values_before: int
    start: int
    height: int = 0
    key: ScalarNode | None = None
    key_start: int = 0


def _index(mark: Any) -> int:
    """Return the characters before a place; a parsed event always has its places."""
    return int(mark.index)


def built(text: str) -> tuple[Node, int] | None:
    """Return the root of a part of a blueprint and how many keys in it are repeated; None where it does not parse."""
    builder = _Builder(text, "", may_repair=False)
    try:
        source = builder.build()
    except BlueprintError:
        return None
    return source.root, len(source.diagnostics)


class _Builder:
    def __init__(
        self, text: str, file: str, document: Document = BLUEPRINT_FILE, may_repair: bool = True
    ) -> None:
        self.text, self.file, self.document, self.may_repair = text, file, document, may_repair
        self.lines = text.splitlines()
        self.diagnostics: list[Diagnostic] = []
        self.hidden: dict[int, int] = {}
        self.anchors: dict[str, _Anchor | None] = {}
        self.stack: list[_Open] = []
        self.values = 0
        self.root: Node | None = None
        self.shared: list[tuple[int, int]] = []
        self.end = 0  # where the last value ended; a block ends there too, whatever its event says

    def mark(self, event: Any) -> Mark:
        """Return the place of an event; for a value in one line also where it is spelt."""
        start: Any = event.start_mark
        end: Any = event.end_mark
        width = end.column + 1 if end.line == start.line else 0
        if not isinstance(event, yaml.ScalarEvent) or width == 0:
            return Mark(self.file, start.line + 1, start.column + 1, width)
        quote = event.style if event.style in ("'", '"') else ""
        from_, to = end.index - len(quote) - len(event.value), end.index - len(quote)
        is_exact = self.text[from_:to] == event.value and "${" not in event.value
        if not is_exact or (quote and self.text[from_ - 1 : from_] != quote):
            from_ = to = -1
        return Mark(self.file, start.line + 1, start.column + 1, width, from_, to)

    def build(self) -> Source:
        parser = CParser(self.text)
        try:
            while True:
                event = parser.get_event()
                if event is None or isinstance(event, yaml.StreamEndEvent):
                    break
                self.take(event)
        except yaml.MarkedYAMLError as exc:
            message = _PROBLEMS.get(exc.problem or "", exc.problem or "not YAML")
            place, noticed = exc.problem_mark or exc.context_mark, None
            if exc.context_mark and exc.context in _OPENED:  # the fault is where it was opened and not closed
                place, noticed = exc.context_mark, exc.problem_mark
            line = min(place.line + 1, max(1, len(self.lines))) if place else 1
            column = place.column + 1 if place and line == place.line + 1 else 1
            if noticed and line < noticed.line + 1 <= len(self.lines):
                message += f" (noticed at line {noticed.line + 1})"
            self.blame(exc, line, column, message)
        except yaml.YAMLError as exc:
            _fail(Mark(self.file, 1, 1), f"not YAML: {str(exc).splitlines()[0]}")
        finally:
            parser.dispose()
        if self.root is None or (isinstance(self.root, ScalarNode) and self.root.value is None):
            _fail(Mark(self.file, 1, 1), f"the file is empty; {self.document.when_empty}")
        if not isinstance(self.root, MappingNode):
            mark = self.root.mark if self.root else Mark(self.file, 1, 1)
            _fail(mark, self.document.is_what)
        assert isinstance(self.root, MappingNode)
        shared = tuple(dict.fromkeys(self.shared))
        return Source(self.file, self.root, self.lines, self.diagnostics, self.hidden, self.text, shared)

    def blame(self, exc: yaml.MarkedYAMLError, line: int, column: int, message: str) -> None:
        """Report broken YAML: at the line whose repair mends it, where that is another than the parser says."""
        from blueprints.repair import find  # the cost of a search, for those only who need it

        noticed = exc.problem_mark.line + 1 if exc.problem_mark else line
        opened = exc.context_mark.line + 1 if exc.context_mark and exc.context in _OPENED else noticed
        if self.may_repair and (fault := find(self.text, noticed, opened, built)) and fault.line != line:
            line, column = fault.line, fault.column
            message = fault.message + (f" (noticed at line {noticed})" if noticed > line else "")
        _fail(Mark(self.file, line, column), message)

    def take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self.check_tag(event, self.mark(event))
            self.add(self.scalar(event), event)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            mark = self.mark(event)
            self.check_tag(event, mark)
            if len(self.stack) >= MAX_DEPTH:
                _fail(mark, f"nested deeper than {MAX_DEPTH} levels")
            is_mapping = isinstance(event, yaml.MappingStartEvent)
            node: MappingNode | SequenceNode = MappingNode(mark) if is_mapping else SequenceNode(mark)
            node.is_flow = bool(event.flow_style)
            if self.stack and self.stack[-1].key is None and isinstance(self.stack[-1].node, MappingNode):
                _fail(mark, "a key must be text, not a list or a mapping; a value like {{ x }} needs quotes")
            if event.anchor:
                self.anchors[event.anchor] = None
            self.stack.append(_Open(node, event.anchor, self.values, _index(event.start_mark)))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            done = self.stack.pop()
            self.count(1, done.node.mark)
            if done.node.is_flow:
                self.end = _index(event.end_mark)
            place = (done.start, self.end)
            self.place(done.node, done.height, done.start)
            if done.anchor:
                values = self.values - done.values_before
                self.anchors[done.anchor] = _Anchor(done.node, values, done.height, place)
        elif isinstance(event, yaml.AliasEvent):
            self.alias(event)
        elif isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            _fail(
                self.mark(event),
                f"a second document; {self.document.a_noun} is one document ('---' only at its start)",
            )

    def check_tag(self, event: Any, mark: Mark) -> None:
        if event.tag and event.tag != "!" and event.tag not in _CORE_TAGS:
            # Not shown: it may be a password that begins with '!' and lacks its quotes.
            _fail(
                mark, f"{self.document.a_noun} has no custom tags; a value that begins with '!' needs quotes"
            )

    def scalar(self, event: Any) -> ScalarNode:
        tag = (event.tag or "").rpartition(":")[2]
        is_plain = event.style in (None, "") and tag in ("", "int", "float", "bool", "null")
        value = resolve(event.value) if is_plain or tag in ("int", "float", "bool", "null") else event.value
        node = ScalarNode(
            self.mark(event), event.value, event.value, value, is_plain, event.end_mark.line + 1
        )
        if tag in _TAG_TYPES and type(value) not in _TAG_TYPES[tag]:
            _fail(node.mark, f"the tag '!!{tag}' does not fit this value")
        return node

    def alias(self, event: Any) -> None:
        mark = self.mark(event)
        if event.anchor not in self.anchors and not self.may_repair:
            # Its anchor may lie before the part that is tried.
            self.place(ScalarNode(mark, "", "", {}, False), 0, _index(event.start_mark))
            return
        if event.anchor not in self.anchors:
            _fail(
                mark, "no such anchor is defined before this alias; a value that begins with '*' needs quotes"
            )
        anchor = self.anchors[event.anchor]
        if anchor is None:
            _fail(mark, "this alias stands inside its own anchor")
        assert anchor is not None
        if len(self.stack) + anchor.height > MAX_DEPTH:
            _fail(mark, f"nested deeper than {MAX_DEPTH} levels once aliases are expanded")
        self.count(anchor.values, mark)
        self.shared.append(anchor.place)
        self.end = event.end_mark.index
        self.place(anchor.node, anchor.height, event.start_mark.index)

    def add(self, node: ScalarNode, event: Any) -> None:
        self.count(1, node.mark)
        start = event.start_mark.index
        self.end = start + len(
            self.text[start : event.end_mark.index].rstrip()
        )  # a block's ends with its lines
        self.place(node, 0, start)
        if event.anchor:
            self.anchors[event.anchor] = _Anchor(node, 1, 0, (start, self.end))

    def count(self, values: int, mark: Mark) -> None:
        self.values += values
        if self.values > self.document.max_values:
            most = f"more than {self.document.max_values:,} values once aliases are expanded"
            _fail(mark, f"{most}; {self.document.a_noun} is smaller")

    def hide(self, node: Node) -> None:
        for scalar in scalars(node):
            for line in range(scalar.mark.line, max(scalar.mark.line, scalar.end_line) + 1):
                column = scalar.mark.column if line == scalar.mark.line else 1
                self.hidden[line] = min(column, self.hidden.get(line, column))

    def place(self, node: Node, height: int, start: int) -> None:
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        parent.height = max(parent.height, height + 1)
        if isinstance(parent.node, SequenceNode):
            parent.node.items.append(node)
            parent.node.spans.append((start, self.end))
        elif parent.key is None:
            if not isinstance(node, ScalarNode):
                _fail(node.mark, "a key must be text, not a list or a mapping")
            assert isinstance(node, ScalarNode)
            if node.text == "<<" and node.plain:
                _fail(
                    node.mark,
                    "merge keys ('<<') are not YAML 1.2; write the fields out, or use an alias as the value",
                )
            parent.key, parent.key_start = node, start
        else:
            key, parent.key = parent.key, None
            first = parent.node.entries.get(key.text)
            if first is None:
                parent.node.entries[key.text] = Entry(key, node)
                parent.node.spans[key.text] = (parent.key_start, self.end)
                return
            self.hide(node)  # it is in no tree, so nobody will ask whether it was a secret
            self.diagnostics.append(
                Diagnostic(
                    key.mark,
                    "duplicate-key",
                    f"'{key.text}' is already set at line {first.key.mark.line}; remove one of the two",
                    related=((first.key.mark, "set here first"),),
                )
            )
