"""What is written to a topic, as far as contracts say it: what expressions over its events are held against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from blueprints.cel.data import Data
from blueprints.field_types import FieldType
from blueprints.lint.draft import Draft, StreamletDraft, TopicDraft


class Written(NamedTuple):
    """A schema of events, and its name for messages. `is_certain`: every event that it allows may come; False where
    a streamlet in between passes some on and holds others back."""

    name: str
    schema: Mapping[str, Any]
    is_certain: bool = True

    def data(self) -> Data:
        """Return it as what an expression is evaluated over."""
        return Data(self.name, FieldType.of(self.schema), self.is_certain)


def written_to(draft: Draft, topic: TopicDraft, seen: frozenset[str] = frozenset()) -> list[Written]:
    """Return what is known of a topic's events: the contract that it names, else those of its producers' outlets.

    An outlet that forwards has the contracts of what its streamlet reads. Nothing is known of a producer without
    contract, and of what others write.
    """
    if topic.section.has("contract"):
        agreed = topic.contract
        if agreed is None or agreed.json_schema is None:
            return []
        return [_titled(f"the contract '{agreed.name}'", agreed.json_schema)]
    found: dict[int, Written] = {}
    for use in topic.producers:
        if use.port is None or use.streamlet is None:
            continue
        if use.port.contract is not None:
            one = _titled(str(use.ref), use.port.contract)
            found.setdefault(id(use.port.contract), one)
        elif use.port.forwards is not None:
            for source, _ in draft.uses(use.streamlet.name, use.port.forwards):
                if source.name not in seen:
                    for one in written_to(draft, source, seen | {topic.name}):
                        found.setdefault(id(one.schema), one._replace(is_certain=False))
    return list(found.values())


def at_port(draft: Draft, streamlet: StreamletDraft, name: str) -> list[Written]:
    """Return what is known of the events at a port: of an inlet what arrives, else what it accepts; of an outlet what
    its topic's contract says, else its own."""
    port = streamlet.ports.get(name)
    if port is None:
        return []
    uses = draft.uses(streamlet.name, name)
    if port.direction == "in":
        found = {id(one.schema): one for topic, _ in uses for one in written_to(draft, topic)}
        if found:
            return list(found.values())
    else:
        for topic, _ in uses:
            if topic.section.has("contract"):
                return written_to(draft, topic)
    return [] if port.contract is None else [_titled(f"{streamlet.name}.{name}", port.contract)]


def _titled(name: str, schema: Mapping[str, Any]) -> Written:
    title = schema.get("title")
    return Written(title if isinstance(title, str) and title else name, schema)
