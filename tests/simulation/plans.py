"""Plans of the worlds, made without the language, and what arrives in their topics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import orjson

from blueprints.diagnostics import Mark
from blueprints.plan import Plan, PortRef, StreamletPlan, TopicPlan
from streamlets.event import Delivery, Event, Record, encode
from streamlets.formats.format import Channels
from streamlets.transports.transport import partition_for
from tests.simulation.storm import Storm
from tests.simulation.verifier import (
    StageFacts,
)

MARK = Mark("simulation.yaml", 1, 1)
HERE = Path(__file__).parent
CANARY = "canary-7f3a"  # in every payload; must not be in a log line


def streamlet(
    name: str, inlets: Mapping[str, str], outlets: Mapping[str, str], use: str, **options: Any
) -> StreamletPlan:
    """Return a streamlet of the plan; `use` names a class in `tests.simulation.own.py`, or a built-in."""
    found = f"tests.simulation.own:{use}" if use[0].isupper() else use
    return StreamletPlan(name, found, options, inlets, outlets, MARK, is_source=not inlets)


def make_plan(
    name: str,
    delivery: Literal["exactly-once", "at-least-once"],
    streamlets: Sequence[StreamletPlan],
    partitions: Mapping[str, int],
    **kinds: Mapping[str, Any],
) -> Plan:
    """Return the plan; topics come from the streamlets' ports. `kinds`: further settings by topic."""
    names = dict.fromkeys(t for s in streamlets for t in [*s.inlets.values(), *s.outlets.values()])
    topics = {}
    for topic in names:
        producers = tuple(PortRef(s.name, p) for s in streamlets for p, t in s.outlets.items() if t == topic)
        consumers = tuple(PortRef(s.name, p) for s in streamlets for p, t in s.inlets.items() if t == topic)
        topics[topic] = TopicPlan(
            topic,
            f"{name}.{topic}",
            producers,
            consumers,
            partitions.get(topic, 1),
            MARK,
            external=not producers,
            **kinds.get(topic.replace("-", "_"), {}),
        )
    dead = TopicPlan("dead-letters", f"{name}.dead-letters", (), (), 1, MARK)
    return Plan(
        name,
        f"{name}.",
        delivery,
        {s.name: s for s in streamlets},
        topics,
        dead,
        "0" * 12,
        HERE / "simulation.yaml",
    )


def facts(plan: Plan, name: str, *outlets: str) -> StageFacts:
    """Return what the verifier must know of a stage; `outlets`: those it is to look at, all of them by default."""
    one = plan.streamlets[name]
    return StageFacts(
        name,
        plan.group(name),
        plan.topics[one.inlets["in"]].log_name if one.inlets else plan.state_topic(name),
        {
            port: plan.topics[topic].log_name
            for port, topic in one.outlets.items()
            if not outlets or port in outlets
        },
        plan.state_topic(name),
        plan.dead_letters.log_name,
        plan.delivery == "exactly-once",
        Channels(plan),
    )


def arrivals(
    storm: Storm, topic: str, partitions: int, data: Sequence[Any], over_s: float
) -> list[tuple[float, Record]]:
    """Return events with the times at which they are appended; some twice, as producers do."""
    draw = storm.random
    found = []
    for number, item in enumerate(data):
        at_s = draw.random() * over_s
        if isinstance(item, bytes):
            found.append((at_s, Record(topic, draw.randrange(partitions), None, item, [])))
            continue
        key = str(draw.randrange(8)).encode()
        event = Event(
            id=f"e{number}",
            source="/sim",
            type="test.value",
            data=orjson.dumps(item | {"note": CANARY}),
            datacontenttype="application/json",
            key=key,
        )
        key, value, headers = encode(event)
        record = Record(topic, partition_for(key, partitions), key, value, headers)
        found.append((at_s, record))
        if draw.random() < 0.03:
            storm.fired["repeat"] += 1
            found.append((at_s + draw.random(), record))
    return sorted(found, key=lambda pair: pair[0])


def value_of(delivery: Delivery) -> int | None:
    try:
        return int(orjson.loads(delivery.value or b"")["v"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def delivery_of(storm: Storm) -> Literal["exactly-once", "at-least-once"]:
    return "at-least-once" if storm.random.random() < 0.25 else "exactly-once"
