"""Wiring: what only a streamlet's type can say of its connections, such as `single-reader` or `untrusted-path`."""

from __future__ import annotations

from functools import partial

from blueprints.catalog import Wiring
from blueprints.diagnostics import Mark
from blueprints.lint.draft import Draft, StreamletDraft
from blueprints.lint.options import report_problem


def check(draft: Draft) -> None:
    for streamlet in draft.streamlets.values():
        if streamlet.type is None or not streamlet.is_sound:
            continue
        connected = {
            port: draft.partitions[uses[0][0].name]
            for port in streamlet.ports
            if (uses := draft.uses(streamlet.name, port))
        }
        wiring = Wiring(connected, streamlet.section.get("replicas", 1), draft.base_dir)
        kind, options = streamlet.type, streamlet.options
        for problem in draft.ask(streamlet, "wiring", partial(kind.check_wiring, options, wiring)):
            if problem.code == "single-reader":
                message = f"{streamlet.name}: {problem.message}"
                draft.report(_readers(draft, streamlet), problem.code, message, problem.severity)
            else:
                report_problem(draft, streamlet, problem)


def _readers(draft: Draft, streamlet: StreamletDraft) -> Mark:
    """Return the place that gives a streamlet more than one reader: its replicas, else its topic's partitions."""
    if streamlet.section.get("replicas", 1) > 1:
        return streamlet.section.at("replicas")
    for port in streamlet.ports.values():
        for topic, use in draft.uses(streamlet.name, port.name):
            if port.direction == "in" and port.kind == "stream" and draft.partitions[topic.name] > 1:
                return topic.section.at("partitions") if topic.section.has("partitions") else use.mark
    return streamlet.section.mark
