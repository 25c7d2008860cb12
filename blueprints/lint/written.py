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


def written_to(draft: Draft, topic: TopicDraft) -> list[Written]:
    """Return what is known of a topic's events: the contract that it names, else those of its producers' outlets.

    An outlet that forwards has the contracts of what its streamlet reads. Nothing is known of a producer without
    contract, and of what others write. Each topic is looked at once, however many ways lead back to it; of a way that
    goes round nothing more is known.
    """
    waiting, opened = [topic], set[str]()
    while waiting:
        here = waiting[-1]
        before = [
            source
            for source in _forwarded(draft, here)
            if source.name not in draft.written and source.name not in opened
        ]
        opened.add(here.name)
        if before and here.name not in draft.written:
            waiting += before
        else:
            if here.name not in draft.written:
                draft.written[here.name] = _written(draft, here)
            waiting.pop()
    return list(draft.written[topic.name])


def _forwarded(draft: Draft, topic: TopicDraft) -> list[TopicDraft]:
    """Return the topics whose events a topic's producers pass on."""
    if topic.section.has("contract"):
        return []
    return [
        source
        for use in topic.producers
        if use.port is not None and use.port.contract is None and use.port.forwards is not None
        for source, _ in draft.uses(use.ref.streamlet, use.port.forwards)
    ]


def _written(draft: Draft, topic: TopicDraft) -> list[Written]:
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
    for source in _forwarded(draft, topic):
        for one in draft.written.get(source.name, ()):
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
