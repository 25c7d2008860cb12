"""A plan as a drawing has it: which topics are a line between two streamlets and which are a node of their own.

A topic with one producer and one consumer is a line. One that is filled or read by others, fans in or out, or ends
nowhere, is a node: a line for every pair would say the same many times over.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from blueprints.graph import order
from blueprints.plan import Plan, PortRef, StreamletPlan, TopicPlan


@dataclass(frozen=True)
class Line:
    """A line of a drawing, from node to node: a streamlet's name, or `topic:` and a topic's.

    `label`: what is told at it, the topic's name or the port's. `is_table`: read whole beside the stream.
    """

    source: str
    target: str
    label: str
    is_table: bool = False


class Joints:
    """The nodes and lines of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    @cached_property
    def streamlets(self) -> list[StreamletPlan]:
        """The streamlets, in the order that events take."""
        return order(self.plan)

    @cached_property
    def topics(self) -> list[TopicPlan]:
        """The topics that are nodes."""
        return [
            topic
            for topic in self.plan.topics.values()
            if topic.external or len(topic.producers) != 1 or len(topic.consumers) != 1
        ]

    @cached_property
    def lines(self) -> list[Line]:
        """The lines, in the order of the topics' producers and consumers."""
        nodes = {topic.name for topic in self.topics}
        lines: list[Line] = []
        for topic in self.plan.topics.values():
            is_table = topic.compacted
            if topic.name not in nodes:
                writer, reader = topic.producers[0], topic.consumers[0]
                lines.append(Line(writer.streamlet, reader.streamlet, topic.name, is_table))
                continue
            node = node_of(topic)
            lines += [Line(ref.streamlet, node, _port(ref, "out")) for ref in topic.producers]
            lines += [Line(node, ref.streamlet, _port(ref, "in"), is_table) for ref in topic.consumers]
        return lines

    @cached_property
    def kinds(self) -> list[str]:
        """What the drawing has that a reader may not know by its looks, and a legend explains."""
        found = {
            "topic": bool(self.topics),
            "external": any(topic.external for topic in self.topics),
            "compacted": any(topic.compacted for topic in self.topics),
            "table": any(line.is_table for line in self.lines),
        }
        return [kind for kind, is_there in found.items() if is_there]


LEGEND = {
    "topic": "a topic; with one writer and one reader it is a line",
    "external": "external: filled or read by others too",
    "compacted": "compacted: the latest event of each key",
    "table": "dotted line: read whole, as a table",
}


def node_of(topic: TopicPlan) -> str:
    """Return the name of a topic's node; no streamlet can be called so."""
    return f"topic:{topic.name}"


def told_of(streamlet: StreamletPlan) -> list[str]:
    """Return what a drawing tells of a streamlet beside its name: what it uses, in short, and its replicas."""
    module, colon, name = streamlet.use.rpartition(":")
    short = f"{module.rpartition('.')[2]}:{name}" if colon else name
    told = [short] if short != streamlet.name else []
    return told + ([f"{streamlet.replicas} replicas"] if streamlet.replicas > 1 else [])


def _port(ref: PortRef, usual: str) -> str:
    return "" if ref.port == usual else ref.port
