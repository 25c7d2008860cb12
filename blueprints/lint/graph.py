"""The graph: events must not go round."""

from __future__ import annotations

from blueprints.diagnostics import Mark
from blueprints.lint.draft import Draft


def check(draft: Draft) -> None:
    edges: dict[str, list[tuple[str, str, Mark]]] = {name: [] for name in draft.streamlets}
    for topic in draft.topics.values():
        for producer in topic.producers:
            for consumer in topic.consumers:
                # A table is read beside the stream and a tail is followed for answers: neither carries events round.
                if producer.port and consumer.port and consumer.port.kind == "stream":
                    edges[producer.ref.streamlet].append((consumer.ref.streamlet, topic.name, consumer.mark))
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

    A breadth-first search from each streamlet back to itself: quadratic, and a blueprint has tens of them.
    """
    cycles: list[list[str]] = []
    covered: set[str] = set()
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
