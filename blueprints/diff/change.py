"""A change between two blueprints, what it does to an application that runs, and the two sides that are compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any, Literal

from blueprints.diagnostics import Mark
from blueprints.lint.draft import Draft, StreamletDraft
from blueprints.options import locate, node_at
from blueprints.plan import Plan
from blueprints.source import MappingNode, Node, ScalarNode, SequenceNode
from blueprints.units import Duration, Size

Sign = Literal["+", "-", "~"]

WIDEST = 60  # characters of a value that are shown


class Effect(IntEnum):
    """What a change does, the harmless first."""

    SAFE = 0
    DRAIN = 1
    PARTITIONS = 2
    STATE = 3
    ORPHANS = 4

    @property
    def words(self) -> str:
        """What people read."""
        return _WORDS[self]

    @property
    def slug(self) -> str:
        """What programs read, and `--fail-on` takes."""
        return self.name.lower()


_WORDS = {
    Effect.SAFE: "safe",
    Effect.DRAIN: "needs a drain",
    Effect.PARTITIONS: "changes partitions or keys",
    Effect.STATE: "resets state",
    Effect.ORPHANS: "orphans a topic or group",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `path`: of the blueprint, as `topics.payloads.partitions`; `before`, `after`: as people write them,
    None where there is nothing, never a secret; `why`: what it does and what next; `mark`: where it is in the new
    blueprint, or of what was removed, where it was in the old one."""

    sign: Sign
    path: str
    effect: Effect
    why: str = ""
    before: str | None = None
    after: str | None = None
    mark: Mark | None = None

    def __str__(self) -> str:
        """Return the line that `diff` prints."""
        values = ""
        if self.before is not None or self.after is not None:
            sides = [one for one in (self.before, self.after) if one is not None]
            values = ": " + " → ".join(sides)
        why = f": {self.why}" if self.why else ""
        place = f"   ({self.mark.file}:{self.mark.line})" if self.mark is not None else ""
        return f"{self.sign} {self.path}{values}   {self.effect.words}{why}{place}"


@dataclass(frozen=True)
class Side:
    """A blueprint that is compared: its plan, and its draft for places and for what plans leave out."""

    plan: Plan
    draft: Draft

    def mark(self, *path: str | int) -> Mark | None:
        """Return the place of a field; the nearest above where it is not written."""
        return locate(self.draft.root, path, at_key=True)[0]

    def shown(self, value: Any, *path: str | int) -> str:
        """Return a value as messages may show it: one from the environment as it is written, a secret not at all."""
        node = node_at(self.draft.root, path)
        if node is not None and any(id(one) in self.draft.secrets for one in _all(node)):
            return "***"
        if isinstance(node, ScalarNode) and node.variables:
            return cut(node.raw)
        if node is not None and any(isinstance(one, ScalarNode) and one.variables for one in _all(node)):
            return "…" if isinstance(node, MappingNode) else cut(written(_raw(node)))
        return cut(written(value))

    @cached_property
    def streamlets(self) -> Mapping[str, StreamletDraft]:
        """The streamlets as the linter knows them: their ports and types."""
        return self.draft.streamlets


def taken_for(topic: str) -> str:
    """Return what happens at start-up where a state's offsets are of another topic than the one that is read."""
    return f"`run` refuses it in {topic} (state-differs)"


def duration(seconds: float | None) -> str:
    """Return a duration, or that there is none."""
    return "unset" if seconds is None else str(Duration(seconds))


def size(n_bytes: int | None) -> str:
    """Return a size, or that there is none."""
    return "unset" if n_bytes is None else str(Size(n_bytes))


def written(value: Any) -> str:
    """Return a value much as a blueprint writes it."""
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, Mapping | Sequence):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def cut(text: str) -> str:
    """Return a text on one line, cut where it is too long."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= WIDEST else line[: WIDEST - 1] + "…"


def _raw(node: Node) -> Any:
    if isinstance(node, MappingNode):
        return {name: _raw(entry.value) for name, entry in node.entries.items()}
    if isinstance(node, SequenceNode):
        return [_raw(item) for item in node.items]
    return node.raw if node.variables else node.value


def _all(node: Node) -> list[Node]:
    """Return a node and all below it."""
    found = [node]
    for one in found:
        if isinstance(one, MappingNode):
            found += [entry.value for entry in one.entries.values()]
        elif isinstance(one, SequenceNode):
            found += one.items
    return found
