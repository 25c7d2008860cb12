"""A plan as a drawing and as JSON: streamlets in the order that events take, with the topics between them."""

from __future__ import annotations

from typing import Any

from blueprints.plan import Plan, StreamletPlan, TopicPlan
from blueprints.units import Duration

_ASCII = str.maketrans("┌┐└┘─│├┬┴▶◀·", "++++-|+++><-")
MOST_BOXES = 15  # streamlets; with more, a drawing of boxes is pages long
_LEAST_WIDTH = 24  # columns; narrower than this nothing is cut any more


def order(plan: Plan) -> list[StreamletPlan]:
    """Return the streamlets so that each comes after those that it reads from; else in the file's order."""
    waiting = dict(plan.streamlets)
    ordered: list[StreamletPlan] = []
    while waiting:
        for streamlet in waiting.values():
            topics = [plan.topics[topic] for topic in streamlet.inlets.values()]
            if not any(ref.streamlet in waiting for topic in topics for ref in topic.producers):
                break
        else:  # tables and tails may go round: take them in the file's order
            streamlet = next(iter(waiting.values()))
        ordered.append(waiting.pop(streamlet.name))
    return ordered


def as_text(plan: Plan, width: int = 80, is_ascii: bool = False) -> str:
    """Return a drawing: one box for each streamlet, what it reads above it and what it writes below."""
    width = max(width, _LEAST_WIDTH)
    counts = [_count(len(plan.streamlets), "streamlet"), _count(len(plan.topics), "topic")]
    lines = _wrapped(plan.name, [plan.delivery, *counts], width, "  ")
    if len(plan.streamlets) > MOST_BOXES:
        lines += _list(plan, width)
    else:
        for streamlet in order(plan):
            lines.append("")
            lines += _box(plan, streamlet, width)
    text = "\n".join(line.rstrip() for line in lines) + "\n"
    return text.translate(_ASCII) if is_ascii else text


def _list(plan: Plan, width: int) -> list[str]:
    """Return a line for each streamlet and each topic that it writes, with who reads it: a drawing for many."""
    lines: list[str] = []
    longest = min(max(map(len, plan.streamlets)), width // 2)
    for streamlet in order(plan):
        told = [streamlet.use] + ([_count(streamlet.replicas, "replica")] if streamlet.replicas > 1 else [])
        lines += ["", *_wrapped(f"{streamlet.name:<{longest}}", told, width, "    ", "  ")]
        for port, topic in streamlet.inlets.items():
            found = plan.topics[topic]
            if (
                not found.producers or found.external
            ):  # what others of these write is told where they write it
                lines += _wrapped(f"  {port} ◀─ {topic}", notes(found), width, "      ")
        for port, topic in streamlet.outlets.items():
            found = plan.topics[topic]
            lines += _wrapped(f"  {port} ─▶ {topic}", notes(found), width, "      ")
            if found.consumers:
                lines += _wrapped("      ▶", [str(ref) for ref in found.consumers], width, "        ", " ")
    return lines


def _box(plan: Plan, streamlet: StreamletPlan, width: int) -> list[str]:
    lines: list[str] = []
    for index, (port, topic) in enumerate(streamlet.inlets.items()):
        found = plan.topics[topic]
        told = [] if any(ref.streamlet in plan.streamlets for ref in found.producers) else notes(found)
        lines += _wrapped(f"  {'├' if index else '┌'} {port} ◀─ {topic}", told, width, "  │     ")
    name = streamlet.name[: width - 4]
    edge = "─" * (len(name) + 2)
    above, below = ("┴" if streamlet.inlets else "─"), ("┬" if streamlet.outlets else "─")
    lines.append(f"┌─{above}{edge[2:]}┐")
    told = [streamlet.use] + ([_count(streamlet.replicas, "replica")] if streamlet.replicas > 1 else [])
    lines += _wrapped(f"│ {name} │", told, width, " " * (len(name) + 4), " ")
    lines.append(f"└─{below}{edge[2:]}┘")
    for index, (port, topic) in enumerate(streamlet.outlets.items(), 1):
        is_last = index == len(streamlet.outlets)
        head = f"  {'└' if is_last else '├'} {port} ─▶ {topic}"
        lines += _wrapped(head, notes(plan.topics[topic]), width, "        " if is_last else "  │     ")
    return lines


def _wrapped(line: str, notes: list[str], width: int, indent: str, first: str = " · ") -> list[str]:
    """Return the line with its notes behind it, continued below where the width does not hold them."""
    lines, between = [line], first
    for note in notes:
        if len(lines[-1]) + len(between) + len(note) <= width:
            lines[-1] += between + note
        else:
            room = max(width - len(indent), 8)
            lines += [indent + note[at : at + room] for at in range(0, len(note), room)]
        between = " · "
    return lines


def notes(topic: TopicPlan, is_short: bool = False) -> list[str]:
    """Return what a drawing tells of a topic beside its name; the short form leaves to looks what looks can tell."""
    told = [_count(topic.partitions, "partition")]
    if topic.key:
        told.append(f"by {topic.key}")
    if topic.retention_s is not None:
        told.append(f"kept {Duration(topic.retention_s)}")
    if is_short:
        return told
    if topic.contract is not None:
        told.append(f"contract {topic.contract.name}")
    if topic.format != "json":
        told.append(topic.format)
    told += [word for word in ("compacted", "external") if getattr(topic, word)]
    if not topic.consumers and not topic.external:
        told.append("nobody reads it")
    return told


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def as_json(plan: Plan) -> dict[str, Any]:
    """Return the graph as a JSON value, of a form that stays. Options are left out: they may hold secrets.

    `format`: 1; it grows when a field goes or changes its meaning, not when one comes. `streamlets` are in the order
    that events take, `topics` in the blueprint's. `inlets` and `outlets`: port → topic. `edges`: one for each pair of
    a producer and a consumer of a topic; null stands for whoever is outside. `retention_s`: seconds, null where the
    log's own default counts.
    """
    return {
        "format": 1,
        "name": plan.name,
        "description": plan.description,
        "delivery": plan.delivery,
        "revision": plan.revision,
        "streamlets": [
            {
                "name": streamlet.name,
                "use": streamlet.use,
                "source": streamlet.is_source,
                "replicas": streamlet.replicas,
                "inlets": dict(streamlet.inlets),
                "outlets": dict(streamlet.outlets),
            }
            for streamlet in order(plan)
        ],
        "topics": [
            {
                "name": topic.name,
                "log_name": topic.log_name,
                "partitions": topic.partitions,
                "key": topic.key,
                "retention_s": topic.retention_s,
                "compacted": topic.compacted,
                "external": topic.external,
                "inline": topic.inline,
                "format": topic.format,
                "contract": topic.contract.name if topic.contract else None,
                "producers": [str(ref) for ref in topic.producers],
                "consumers": [str(ref) for ref in topic.consumers],
            }
            for topic in plan.topics.values()
        ],
        "edges": [
            {"from": source, "topic": topic.name, "to": target}
            for topic in plan.topics.values()
            for source in [
                *map(str, topic.producers),
                *([None] if topic.external or not topic.producers else []),
            ]
            for target in [
                *map(str, topic.consumers),
                *([None] if topic.external or not topic.consumers else []),
            ]
            if source or target
        ],
    }
