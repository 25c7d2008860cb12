"""The graph: events must not go round, and as many readers as there are must have something to read."""

from __future__ import annotations

from typing import Final

from blueprints.diagnostics import Mark
from blueprints.expressions import same_key
from blueprints.lint.draft import Draft, StreamletDraft, TopicDraft

_OF_THE_LOG: Final = (
    "key", "partitions", "replication", "retention", "max-bytes", "compacted", "config", "external", "topic", "cluster",
    "registry",
)  # fmt: skip
"""Fields that say how a topic is kept, or who else has to do with it: an inline topic is not kept."""


def check(draft: Draft) -> None:
    _check_cycles(draft)
    for streamlet in draft.streamlets.values():
        _check_overlap(draft, streamlet)
        if streamlet.needs.single_reader:
            _check_single_reader(draft, streamlet)
        else:
            _check_replicas(draft, streamlet)
        _check_partitions(draft, streamlet)
    for topic in draft.topics.values():
        if topic.section.get("inline", False):
            _check_inline(draft, topic)


# --- cycles


def _check_cycles(draft: Draft) -> None:
    edges: dict[str, list[tuple[str, str, Mark]]] = {
        name: [] for name, streamlet in draft.streamlets.items() if not streamlet.needs.bounds_cycles
    }
    for topic in draft.topics.values():
        for producer in topic.producers:
            for consumer in topic.consumers:
                # A table is read beside the stream and a tail is followed for answers: neither carries events round.
                if not (producer.port and consumer.port and consumer.port.kind == "stream"):
                    continue
                source, target = producer.ref.streamlet, consumer.ref.streamlet
                if source in edges and target in edges:
                    edges[source].append((target, topic.name, consumer.mark))
    for cycle in _cycles(edges):
        members = set(cycle)
        steps = [(a, *edge) for a in cycle for edge in edges[a] if edge[0] in members]
        mark = min(mark for *_, mark in steps)
        route = " → ".join([*cycle, cycle[0]])
        topics = ", ".join(dict.fromkeys(topic for _, _, topic, _ in steps))
        draft.error(
            mark, "cycle", f"events would go round: {route}, by {topics}; take one of these inlets out"
        )


def _cycles(edges: dict[str, list[tuple[str, str, Mark]]]) -> list[list[str]]:
    """Return one round trip for each strongly connected part, in the order of its streamlets.

    A breadth-first search from each streamlet that may be on one back to itself.
    """
    cycles: list[list[str]] = []
    covered: set[str] = edges.keys() - _with_an_edge_in(edges)
    for start in edges:
        if start in covered:
            continue
        came_from: dict[str, str] = {}
        waiting = [start]
        while waiting and start not in came_from:
            here = waiting.pop(0)
            for there, *_ in edges[here]:
                if there not in came_from:
                    came_from[there] = here
                    waiting.append(there)
        if start in came_from:
            cycle = [start]
            while (before := came_from[cycle[-1]]) != start:
                cycle.append(before)
            cycle = [cycle[0], *reversed(cycle[1:])]
            covered.update(cycle)
            cycles.append(cycle)
    return cycles


def _with_an_edge_in(edges: dict[str, list[tuple[str, str, Mark]]]) -> set[str]:
    """Return what is left when what nothing leads to is taken away, again and again: all that may go round."""
    incoming = dict.fromkeys(edges, 0)
    for targets in edges.values():
        for there, *_ in targets:
            incoming[there] += 1
    free = [name for name, count in incoming.items() if not count]
    while free:
        for there, *_ in edges[free.pop()]:
            incoming[there] -= 1
            if not incoming[there]:
                free.append(there)
    return {name for name, count in incoming.items() if count}


# --- readers


def _check_overlap(draft: Draft, streamlet: StreamletDraft) -> None:
    if streamlet.needs.holds and streamlet.section.get("overlap", 1) > 1:
        message = f"{streamlet.name} holds events, so its batches cannot overlap; leave 'overlap' out"
        draft.error(streamlet.section.at("overlap"), "bad-value", message)


def _check_single_reader(draft: Draft, streamlet: StreamletDraft) -> None:
    needs = f"{streamlet.name} needs one reader of all events, not"
    why = streamlet.needs.single_reader
    if streamlet.replicas > 1:
        message = f"{needs} {streamlet.replicas} replicas: {why}"
        draft.error(streamlet.section.at("replicas"), "single-reader", message)
    for topic, use in draft.streams(streamlet):
        count = draft.partitions[topic.name]
        if count > 1:
            mark = topic.section.at("partitions") if topic.section.has("partitions") else use.mark
            draft.error(mark, "single-reader", f"{needs} the {count} partitions of '{topic.name}': {why}")


def _check_replicas(draft: Draft, streamlet: StreamletDraft) -> None:
    """Report replicas that would find nothing to do; nothing where the partitions are others' to know."""
    if streamlet.type is not None and streamlet.type.is_source:
        most, what = streamlet.needs.splits, "split"
    else:
        counts = [draft.known_partitions(topic) for topic, _ in draft.streams(streamlet)]
        known = [count for count in counts if count is not None]
        most, what = (max(known) if known and len(known) == len(counts) else None), "partition"
    if most is not None and streamlet.replicas > most:
        message = (
            f"{streamlet.name} has {streamlet.replicas} replicas and reads {most} {what}{'' if most == 1 else 's'}: "
            f"{streamlet.replicas - most} would be idle; write 'replicas: {most}'"
            + (", or give the topic more partitions" if what == "partition" else "")
        )
        draft.warning(streamlet.section.at("replicas"), "too-many-replicas", message)


def _check_partitions(draft: Draft, streamlet: StreamletDraft) -> None:
    """Compare each stream inlet's topic with the first: partition n of each goes to one and the same worker."""
    first: TopicDraft | None = None
    for topic, use in draft.streams(streamlet):
        count = draft.known_partitions(topic)
        if count is None or first is topic:
            continue
        if first is None:
            first, port = topic, use.ref
            continue
        expected = draft.partitions[first.name]
        is_joined = {port.port, use.ref.port} <= set(streamlet.needs.aligned)
        related = ((first.section.mark, "the other one"),)
        if count != expected:
            message = (
                f"'{use.ref}' reads {count} partitions of '{topic.name}', but '{port}' {expected} of '{first.name}'; "
                f"what is read together needs as many of each"
            )
            draft.error(use.mark, "partitions-differ", message, related)
        keys = [one.section.get("key") for one in (first, topic)]
        if is_joined and count > 1 and None not in keys and not same_key(*keys):
            message = (
                f"'{use.ref}' is joined with '{port}', but '{topic.name}' is keyed by '{keys[1]}' and "
                f"'{first.name}' by '{keys[0]}': what belongs together would lie in different partitions"
            )
            draft.error(use.mark, "partitions-differ", message, related)


# --- inline


def _check_inline(draft: Draft, topic: TopicDraft) -> None:
    section = topic.section

    def misuse(mark: Mark, what: str) -> None:
        draft.error(mark, "inline-misuse", f"'{topic.name}' is inline, {what}")

    for field in ("producers", "consumers"):
        n = len(section.get(field, ()))
        if n != 1 and not section.is_wrong(field):
            what = f"so it joins one producer with one consumer; it has {n or 'no'} {field}"
            misuse(section.at(field) if n else section.mark, what)
    for field in _OF_THE_LOG:
        if section.get(field) not in (None, False):
            misuse(
                section.key(field), f"so it is not in the log and nobody else sees it; leave '{field}' out"
            )
    for use in topic.consumers:
        if use.port is not None and use.port.kind != "stream":
            misuse(use.mark, f"and '{use.ref}' is a {use.port.kind}, which is read from the log")
        elif use.port is not None and use.streamlet is not None and _is_sink(use.streamlet):
            misuse(use.mark, f"and {use.ref.streamlet} is a sink, which needs a group of its own")
    for use in topic.producers:
        if use.streamlet is not None and use.streamlet.type is not None and use.streamlet.type.is_source:
            misuse(
                use.mark, f"and {use.ref.streamlet} is a source, which has no group that the two could share"
            )


def _is_sink(streamlet: StreamletDraft) -> bool:
    return not any(port.direction == "out" for port in streamlet.ports.values())
