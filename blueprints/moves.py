"""Fixes that move what is written: an entry under another key or a level up, a port to the other list.

What is moved is moved letter by letter, with the comment behind it. Whatever cannot be moved without a doubt (anchors
and aliases, texts of several lines, values that mean something else in braces) is left to its author.
"""

from __future__ import annotations

import re

from blueprints.diagnostics import Edit, Fix
from blueprints.source import MappingNode, Node, ScalarNode, SequenceNode

STEP = "  "  # what is written anew is indented by this more than what it stands under

_UNMOVABLE = re.compile(r"(^|[\s,\[{:-])[&*!]|[|>][-+0-9]*[ \t]*(#.*)?\r?\n|\t")
_FLOW_SIGNS = re.compile(r"[,\[\]{}]|: | #")


def under(text: str, outer: MappingNode, name: str, key: str) -> Fix | None:
    """Return the fix that moves an entry of a mapping under another key of it, which is made where it is missing."""
    if name not in outer.spans or not _is_movable(text, outer, name):
        return None
    file, (begin, end) = outer.mark.file, outer.spans[name]
    title = f"move '{name}' under '{key}'"
    inner = outer.get(key)
    if inner is None and key not in outer.entries:
        if outer.is_flow:
            wrapped = Edit(file, begin, end, f"{key}: {{ {text[begin:end]} }}")
            return Fix(title, (wrapped,)) if _fits_braces(outer, name) else None
        indent = _indent(text, begin)
        if indent is None or "\n" in text[begin:end]:
            return None
        return Fix(title, (Edit(file, begin, begin, f"{key}:{_newline(text)}{indent}{STEP}"),))
    if not isinstance(inner, MappingNode) or not inner.spans or inner.mark.file != file:
        return None
    return _moved(
        title, text, outer, name, inner, at=max(end for _, end in inner.spans.values()), is_after=True
    )


def up(text: str, outer: MappingNode, key: str, name: str) -> Fix | None:
    """Return the fix that moves an entry out of the mapping under a key, to stand beside that key."""
    inner = outer.get(key)
    if not isinstance(inner, MappingNode) or name not in inner.spans or key not in outer.spans:
        return None
    if not _is_movable(text, inner, name) or name in outer.entries or inner.mark.file != outer.mark.file:
        return None
    file, title = outer.mark.file, f"move '{name}' out of '{key}'"
    if len(inner.entries) == 1:  # nothing is left under the key: the entry takes its place
        begin, end = inner.spans[name]
        whole = outer.spans[key]
        if outer.is_flow and not inner.is_flow:
            return None
        if text[begin:end].count("\n") or "#" in text[whole[0] : begin] or "#" in text[end : whole[1]]:
            return None
        return Fix(title, (Edit(file, *whole, text[begin:end]),))
    return _moved(title, text, inner, name, outer, at=outer.spans[key][0], is_after=False)


def to_list(text: str, topic: MappingNode, wrong: str, index: int, right: str) -> Fix | None:
    """Return the fix that moves a port from one list of a topic to the other, which is made where it is missing."""
    mine, other = topic.get(wrong), topic.get(right)
    if not isinstance(mine, SequenceNode) or wrong not in topic.spans or not mine.is_flow:
        return None
    file, (begin, end) = topic.mark.file, mine.spans[index]
    word = text[begin:end]
    if re.search(r"[\n&*]", word):
        return None
    title = f"move '{word}' to '{right}'"
    edits = [_without(text, file, mine.spans, index)]
    if len(mine.spans) == 1:
        cut = _whole_lines(text, *topic.spans[wrong])
        if topic.is_flow:
            edits = [_without(text, file, list(topic.spans.values()), list(topic.spans).index(wrong))]
        elif cut is not None:
            edits = [Edit(file, *cut, "")]
    if other is None and right not in topic.entries:
        after = topic.spans[wrong][1]
        if topic.is_flow:
            edits.append(Edit(file, after, after, f", {right}: [{word}]"))
        else:
            indent = _indent(text, topic.spans[wrong][0])
            line_end = _line_end(text, after)
            if indent is None or line_end is None:
                return None
            edits.append(Edit(file, line_end, line_end, f"{_newline(text)}{indent}{right}: [{word}]"))
    elif isinstance(other, SequenceNode) and other.is_flow and other.spans and other.mark.file == file:
        last = other.spans[-1][1]
        edits.append(Edit(file, last, last, f", {word}"))
    else:
        return None
    return Fix(title, tuple(sorted(edits)))


def _moved(
    title: str, text: str, source: MappingNode, name: str, target: MappingNode, at: int, is_after: bool
) -> Fix | None:
    """Return the fix that cuts an entry out of a mapping and puts it before or after a place in another one."""
    file, (begin, end) = source.mark.file, source.spans[name]
    moved = text[begin:end]
    if target.is_flow:
        if "\n" in moved or not _fits_braces(source, name):
            return None
        put = Edit(file, at, at, f", {moved}" if is_after else f"{moved}, ")
    cut: Edit | None
    if source.is_flow:
        cut = _without(text, file, list(source.spans.values()), list(source.spans).index(name))
        lines = [moved]
    else:
        line = _whole_lines(text, begin, end)
        if line is None:
            return None
        cut = Edit(file, *line, "")
        lines = text[slice(*line)].rstrip("\r\n").splitlines()
    if not target.is_flow:
        # The first key of the target tells its indent; a target on its key's own line has none to follow.
        indent = _indent(text, min(start for start, _ in target.spans.values()))
        shifted = None if indent is None else _shifted(lines, indent)
        if shifted is None or ("\n" in moved and source.is_flow):
            return None
        newline = _newline(text)
        if is_after:
            place = _line_end(text, at)
            if place is None:
                return None
            put = Edit(file, place, place, newline + newline.join(shifted))
        else:
            place = text.rfind("\n", 0, at) + 1
            put = Edit(file, place, place, newline.join(shifted) + newline)
    elif not source.is_flow and "#" in "".join(lines)[len(moved) :]:
        return None  # a comment cannot come along into braces
    return Fix(title, tuple(sorted((cut, put))))


def _is_movable(text: str, mapping: MappingNode, name: str) -> bool:
    return not _UNMOVABLE.search(text[slice(*mapping.spans[name])] + "\n")


def _fits_braces(mapping: MappingNode, name: str) -> bool:
    """Return whether an entry means the same between braces."""
    value: Node = mapping.entries[name].value
    if isinstance(value, ScalarNode):
        return value.mark.start >= 0 and not (value.plain and _FLOW_SIGNS.search(value.raw))
    return value.is_flow


def _indent(text: str, at: int) -> str | None:
    """Return the white space before a place in its line; None where anything else stands there."""
    before = text[text.rfind("\n", 0, at) + 1 : at]
    return before if not before.strip(" ") else None


def _line_end(text: str, at: int) -> int | None:
    """Return where the line of a place ends, its break left out; None where more than a comment follows."""
    found = re.compile(r"[ ]*(#[^\r\n]*)?(?=\r?\n|\Z)").match(text, at)
    return found.end() if found else None


def _whole_lines(text: str, begin: int, end: int) -> tuple[int, int] | None:
    """Return the lines of an entry that has them to itself, the last break included."""
    line_end = _line_end(text, end)
    if _indent(text, begin) is None or line_end is None:
        return None
    found = re.compile(r"\r?\n").match(text, line_end)
    return text.rfind("\n", 0, begin) + 1, found.end() if found else line_end


def _shifted(lines: list[str], indent: str) -> list[str] | None:
    """Return lines with the first one at an indent and the others as far from it as they were."""
    by = len(indent) - (len(lines[0]) - len(lines[0].lstrip(" ")))
    shifted = []
    for line in lines:
        spaces = len(line) - len(line.lstrip(" "))
        if line.strip() and spaces + by < len(indent):
            return None
        shifted.append(" " * max(0, spaces + by) + line.lstrip(" ") if line.strip() else line)
    return shifted


def _without(text: str, file: str, spans: list[tuple[int, int]], index: int) -> Edit:
    """Return the edit that takes an item out of brackets or braces, with one comma."""
    begin, end = spans[index]
    if index + 1 < len(spans):
        return Edit(file, begin, spans[index + 1][0], "")
    if index:
        return Edit(file, spans[index - 1][1], end, "")
    return Edit(file, begin, end, "")


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
