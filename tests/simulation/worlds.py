"""The worlds: small applications, what is fed to them, and what must come out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from blueprints.diagnostics import Mark
from blueprints.plan import Plan, PortRef, StreamletPlan, TopicPlan
from streamlets.event import Delivery, Event, Record, encode
from streamlets.transports.simulated_log import SimulatedLog
from streamlets.transports.transport import partition_for
from tests.simulation import streamlets as own
from tests.simulation.servers import SimulatedServer
from tests.simulation.storm import Storm
from tests.simulation.verifier import (
    Expected,
    Finding,
    StageFacts,
    all_seen,
    check_mapping,
    check_source,
    check_windows,
)

MARK = Mark("simulation.yaml", 1, 1)
HERE = Path(__file__).parent
CANARY = "canary-7f3a"  # in every payload; must not be in a log line

Check = Callable[[SimulatedLog], Iterable[Finding]]


@dataclass
class World:
    """One application, drawn from a seed: its plan, what arrives when, its servers, what to check at the end."""

    plan: Plan
    arrivals: list[tuple[float, Record]]
    checks: list[Check]
    servers: list[SimulatedServer] = field(default_factory=list)
    workers: int = 1
    is_done: Callable[[SimulatedLog], bool] = lambda log: True
    """Whether what no group's offset tells has come to its end too."""


def streamlet(
    name: str, inlets: Mapping[str, str], outlets: Mapping[str, str], use: str, **options: Any
) -> StreamletPlan:
    """Return a streamlet of the plan; `use` names a class in `tests/simulation/streamlets.py`, or a built-in."""
    found = f"tests.simulation.streamlets:{use}" if use[0].isupper() else use
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


def facts(plan: Plan, name: str, inlet: str = "in") -> StageFacts:
    """Return what the verifier must know of a stage."""
    one = plan.streamlets[name]
    return StageFacts(
        name,
        plan.group(name),
        plan.topics[one.inlets[inlet]].log_name if one.inlets else plan.state_topic(name),
        {port: plan.topics[topic].log_name for port, topic in one.outlets.items()},
        plan.state_topic(name),
        plan.dead_letters.log_name,
        plan.delivery == "exactly-once",
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


def _value(delivery: Delivery) -> int | None:
    try:
        return int(orjson.loads(delivery.value or b"")["v"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _delivery(storm: Storm) -> Literal["exactly-once", "at-least-once"]:
    return "at-least-once" if storm.random.random() < 0.25 else "exactly-once"


def copy(storm: Storm) -> World:
    """W1: two stages in a row, the first with small state, the second overlapping."""
    draw = storm.random
    partitions = draw.randint(1, 4)
    plan = make_plan(
        "copy",
        _delivery(storm),
        [
            streamlet("count", {"in": "values"}, {"out": "counted", "also": "sevens"}, "Count"),
            streamlet("forward", {"in": "counted"}, {"out": "copies"}, "Picky", refuses=False),
        ],
        {"values": partitions, "counted": partitions, "copies": draw.choice([1, partitions])},
    )

    def count(state: dict[str, Any], delivery: Delivery) -> Expected:
        value = _value(delivery)
        assert value is not None
        state["n"], state["chain"], found = own.count_step(state.get("n", 0), state.get("chain", 0), value)
        return Expected("out" if found else "filtered", found)

    def forward(state: dict[str, Any], delivery: Delivery) -> Expected:
        return Expected("out", [("out", {"v": _value(delivery)})])

    data = [{"v": draw.randrange(10_000)} for _ in range(draw.randint(20, 200))]
    return World(
        plan,
        arrivals(storm, "copy.values", partitions, data, 14.0),
        [
            lambda log: check_mapping(log, facts(plan, "count"), count),
            lambda log: check_mapping(log, facts(plan, "forward"), forward),
        ],
        workers=draw.randint(1, 3),
    )


def state(storm: Storm) -> World:
    """Small state where batches are cut: some events are refused, and the streamlet fails now and then."""
    draw = storm.random
    partitions = draw.randint(1, 3)
    flaky = draw.choice([0.0, 0.05, 0.2])
    plan = make_plan(
        "state",
        _delivery(storm),
        [
            streamlet(
                "count",
                {"in": "values"},
                {"out": "counted", "also": "sevens"},
                "Count",
                refuses=True,
                flaky=flaky,
            )
        ],
        {"values": partitions, "counted": partitions},
    )

    def count(state: dict[str, Any], delivery: Delivery) -> Expected:
        value = _value(delivery)
        assert value is not None
        if own.is_refused(value):
            return Expected("dead-lettered", (), "seventeen")
        state["n"], state["chain"], found = own.count_step(state.get("n", 0), state.get("chain", 0), value)
        return Expected("out" if found else "filtered", found)

    data = [{"v": draw.randrange(10_000)} for _ in range(draw.randint(20, 150))]
    return World(
        plan,
        arrivals(storm, "state.values", partitions, data, 14.0),
        [lambda log: check_mapping(log, facts(plan, "count"), count)],
        workers=draw.randint(1, 3),
    )


def source(storm: Storm) -> World:
    """A source with several splits, and a stage after it."""
    draw = storm.random
    splits, events, partitions = draw.randint(1, 4), draw.randint(5, 60), draw.randint(1, 3)
    plan = make_plan(
        "source",
        _delivery(storm),
        [
            streamlet("ticks", {}, {"out": "ticks"}, "Ticks", splits=splits, events=events),
            streamlet("forward", {"in": "ticks"}, {"out": "copies"}, "Picky", refuses=False),
        ],
        {"ticks": partitions, "copies": partitions},
    )
    ticks = {
        f"split{number}": [-n if own.is_garbled(n) else n for n in range(events)] for number in range(splits)
    }
    n_ticks = sum(n >= 0 for numbers in ticks.values() for n in numbers)

    def forward(state: dict[str, Any], delivery: Delivery) -> Expected:
        return Expected("out", [("out", {"v": _value(delivery)})])

    return World(
        plan,
        [],
        [
            lambda log: check_source(log, facts(plan, "ticks"), ticks),
            lambda log: check_mapping(log, facts(plan, "forward"), forward),
        ],
        workers=draw.randint(1, 3),
        is_done=lambda log: len({s.delivery.value for s in all_seen(log, "source.ticks")}) == n_ticks,
    )


def reject(storm: Storm) -> World:
    """W4: events that are refused in several ways, and bytes that are no event."""
    draw = storm.random
    partitions = draw.randint(1, 3)
    plan = make_plan(
        "reject",
        _delivery(storm),
        [streamlet("picky", {"in": "values"}, {"out": "accepted"}, "Picky")],
        {"values": partitions, "accepted": partitions},
    )

    def picky(state: dict[str, Any], delivery: Delivery) -> Expected:
        value = _value(delivery)
        code = "exception" if value is None else own.picky_step(value)
        return Expected("dead-lettered", (), code) if code else Expected("out", [("out", {"v": value})])

    data: list[Any] = [{"v": draw.randrange(10_000)} for _ in range(draw.randint(20, 150))]
    data += [b"\xff no event", b"{}", b"[" * 50]
    return World(
        plan,
        arrivals(storm, "reject.values", partitions, data, 14.0),
        [lambda log: check_mapping(log, facts(plan, "picky"), picky)],
        workers=draw.randint(1, 3),
    )


def windows(storm: Storm) -> World:
    """W3: windows that hold their deliveries, interleaved by key and one after the other."""
    draw = storm.random
    partitions = draw.randint(1, 3)
    keys, count = draw.randint(2, 5), draw.randint(2, 5)
    wait_s = draw.choice([1.0, 5.0, 30.0])
    plan = make_plan(
        "windows",
        _delivery(storm),
        [
            streamlet(
                "keyed",
                {"in": "values"},
                {"out": "keyed"},
                "KeyWindows",
                keys=keys,
                count=count,
                wait_s=wait_s,
            ),
            streamlet("tumble", {"in": "values"}, {"out": "tumbled"}, "Tumble", count=7, wait_s=wait_s),
        ],
        {"values": partitions, "keyed": partitions, "tumbled": partitions},
    )
    data = [{"v": draw.randrange(10_000)} for _ in range(draw.randint(20, 150))]
    return World(
        plan,
        arrivals(storm, "windows.values", partitions, data, 14.0),
        [
            lambda log: check_windows(
                log, facts(plan, "keyed"), lambda d: (_value(d) or 0) % keys, count, own.fold
            ),
            lambda log: check_windows(log, facts(plan, "tumble"), lambda d: 0, 7, own.fold),
        ],
        workers=draw.randint(1, 3),
    )


WORLDS: dict[str, Callable[[Storm], World]] = {
    "copy": copy,
    "state": state,
    "source": source,
    "reject": reject,
    "windows": windows,
}
