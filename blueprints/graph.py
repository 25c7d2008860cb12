"""A plan as a drawing and as JSON: streamlets in the order that events take, with the topics between them."""

from __future__ import annotations

from typing import Any

from blueprints.plan import Plan, StreamletPlan, TopicPlan
from blueprints.units import Duration

_ASCII = str.maketrans("┌┐└┘─│├┬┴▶◀·", "++++-|+++><-")
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
    for streamlet in order(plan):
        lines.append("")
        lines += _box(plan, streamlet, width)
    text = "\n".join(line.rstrip() for line in lines) + "\n"
    return text.translate(_ASCII) if is_ascii else text


def _box(plan: Plan, streamlet: StreamletPlan, width: int) -> list[str]:
    lines: list[str] = []
    for index, (port, topic) in enumerate(streamlet.inlets.items()):
        found = plan.topics[topic]
        notes = [] if any(ref.streamlet in plan.streamlets for ref in found.producers) else _notes(found)
        lines += _wrapped(f"  {'├' if index else '┌'} {port} ◀─ {topic}", notes, width, "  │     ")
    name = streamlet.name[: width - 4]
    edge = "─" * (len(name) + 2)
    above, below = ("┴" if streamlet.inlets else "─"), ("┬" if streamlet.outlets else "─")
    lines.append(f"┌─{above}{edge[2:]}┐")
    notes = [streamlet.use] + ([_count(streamlet.replicas, "replica")] if streamlet.replicas > 1 else [])
    lines += _wrapped(f"│ {name} │", notes, width, " " * (len(name) + 4), " ")
    lines.append(f"└─{below}{edge[2:]}┘")
    for index, (port, topic) in enumerate(streamlet.outlets.items(), 1):
        is_last = index == len(streamlet.outlets)
        head = f"  {'└' if is_last else '├'} {port} ─▶ {topic}"
        lines += _wrapped(head, _notes(plan.topics[topic]), width, "        " if is_last else "  │     ")
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


def _notes(topic: TopicPlan) -> list[str]:
    notes = [_count(topic.partitions, "partition")]
    if topic.key:
        notes.append(f"by {topic.key}")
    if topic.retention_s is not None:
        notes.append(f"kept {Duration(topic.retention_s)}")
    if topic.contract is not None:
        notes.append(f"contract {topic.contract.name}")
    notes += [word for word in ("compacted", "external") if getattr(topic, word)]
    if not topic.consumers and not topic.external:
        notes.append("nobody reads it")
    return notes


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def as_json(plan: Plan) -> dict[str, Any]:
    """Return the graph as a JSON value. Options are left out: they may hold secrets."""
    return {
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
                "contract": topic.contract.name if topic.contract else None,
                "producers": [str(ref) for ref in topic.producers],
                "consumers": [str(ref) for ref in topic.consumers],
            }
            for topic in plan.topics.values()
        ],
    }
