"""Ports: that they exist, point the right way, and are connected as they must be."""

from __future__ import annotations

from typing import Literal

from blueprints.fields import INVALID
from blueprints.lint.draft import Draft, PortUse, StreamletDraft, TopicDraft
from blueprints.plan import PortRef
from blueprints.suggest import did_you_mean, nearest

Direction = Literal["in", "out"]
_NOUN = {"in": "inlet", "out": "outlet"}


def check(draft: Draft) -> None:
    for topic in draft.topics.values():
        topic.producers = _uses(draft, topic, "producers", "out")
        topic.consumers = _uses(draft, topic, "consumers", "in")
    _check_once(draft)
    for topic in draft.topics.values():
        for use in topic.consumers:
            _check_kind(draft, topic, use)
    for streamlet in draft.streamlets.values():
        _check_connected(draft, streamlet)


def _uses(draft: Draft, topic: TopicDraft, field: str, direction: Direction) -> list[PortUse]:
    uses = []
    for path in topic.section.get(field, ()):
        if path is INVALID:
            continue
        streamlet_name, port_name, mark = path
        use = PortUse(PortRef(streamlet_name, port_name), mark, draft.streamlets.get(streamlet_name))
        uses.append(use)
        if use.streamlet is None:
            use.meant = nearest(streamlet_name, draft.streamlets)
            hint = f"; did you mean '{use.meant}'?" if use.meant else ""
            draft.error(mark, "unknown-port", f"there is no streamlet '{streamlet_name}'{hint}")
        elif use.streamlet.type is not None:
            _find_port(draft, use, field, direction)
    return uses


def _find_port(draft: Draft, use: PortUse, field: str, direction: Direction) -> None:
    assert use.streamlet is not None
    ports = use.streamlet.ports
    port = ports.get(use.ref.port)
    wanted = [name for name, other in ports.items() if other.direction == direction]
    noun = _NOUN[direction]
    if port is None:
        hint = did_you_mean(use.ref.port, wanted)
        if not hint:
            hint = f"; its {noun}s are {', '.join(wanted)}" if wanted else f"; it has no {noun}s"
        draft.error(use.mark, "unknown-port", f"{use.ref.streamlet} has no {noun} '{use.ref.port}'{hint}")
    elif port.direction != direction:
        belongs = f"it belongs under '{'consumers' if direction == 'out' else 'producers'}'"
        hint = f"; {belongs}" + (
            f", or did you mean '{use.ref.streamlet}.{wanted[0]}'?" if len(wanted) == 1 else ""
        )
        draft.error(
            use.mark,
            "wrong-direction",
            f"'{use.ref}' is an {_NOUN[port.direction]} and stands under '{field}'{hint}",
        )
    else:
        use.port = port


def _check_once(draft: Draft) -> None:
    for streamlet in draft.streamlets.values():
        for port in streamlet.ports.values():
            uses = [(topic, use) for topic, use in draft.uses(streamlet.name, port.name) if use.port is port]
            for topic, use in uses[1:]:
                first, where = uses[0]
                again = "twice" if first is topic else f"in '{first.name}' too"
                draft.error(
                    use.mark,
                    "port-in-many-topics",
                    f"'{use.ref}' is listed {again}; an {_NOUN[port.direction]} has one topic",
                    ((where.mark, "listed here first"),),
                )


def _check_kind(draft: Draft, topic: TopicDraft, use: PortUse) -> None:
    if use.port is None:
        return
    is_compacted = bool(topic.section.get("compacted", False))
    if use.port.kind == "table" and not is_compacted:
        message = f"'{use.ref}' is a table and '{topic.name}' is not compacted; write 'compacted: true'"
        draft.error(use.mark, "inlet-kind", message)
    elif use.port.kind == "stream" and is_compacted:
        message = (
            f"'{use.ref}' takes every event and '{topic.name}' keeps only the latest of each key (compacted)"
        )
        draft.error(use.mark, "inlet-kind", message)


def _check_connected(draft: Draft, streamlet: StreamletDraft) -> None:
    uses = [use for topic in draft.topics.values() for use in topic.producers + topic.consumers]
    if any((use.streamlet is streamlet and use.port is None) or use.meant == streamlet.name for use in uses):
        return  # a port of it is misnamed: that is the problem, not the port that is left over
    if any(
        topic.section.is_wrong(field)
        for topic in draft.topics.values()
        for field in ("producers", "consumers")
    ):
        return  # it may be meant by what could not be read
    for port in streamlet.ports.values():
        if not port.required or draft.uses(streamlet.name, port.name):
            continue
        noun, field = _NOUN[port.direction], "consumers" if port.direction == "in" else "producers"
        draft.error(
            streamlet.section.mark,
            f"unconnected-{noun}",
            f"the {noun} '{streamlet.name}.{port.name}' has no topic; list it under the '{field}' of one",
        )
