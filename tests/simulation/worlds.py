"""The worlds: small applications, what is fed to them, and what must come out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamlets.event import Delivery
from tests.simulation import drift, formats, own, scoring
from tests.simulation.plans import arrivals, delivery_of, facts, make_plan, streamlet, value_of
from tests.simulation.storm import Storm
from tests.simulation.verifier import Expected, all_seen, check_mapping, check_source, check_windows
from tests.simulation.world import World


def copy(storm: Storm) -> World:
    """W1: two stages in a row, the first with small state, the second overlapping."""
    draw = storm.random
    partitions = draw.randint(1, 4)
    plan = make_plan(
        "copy",
        delivery_of(storm),
        [
            streamlet("count", {"in": "values"}, {"out": "counted", "also": "sevens"}, "Count"),
            streamlet("forward", {"in": "counted"}, {"out": "copies"}, "Picky", refuses=False),
        ],
        {"values": partitions, "counted": partitions, "copies": draw.choice([1, partitions])},
    )

    def count(state: dict[str, Any], delivery: Delivery) -> Expected:
        value = value_of(delivery)
        assert value is not None
        state["n"], state["chain"], found = own.count_step(state.get("n", 0), state.get("chain", 0), value)
        return Expected("out" if found else "filtered", found)

    def forward(state: dict[str, Any], delivery: Delivery) -> Expected:
        return Expected("out", [("out", {"v": value_of(delivery)})])

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
        delivery_of(storm),
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
        value = value_of(delivery)
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
        delivery_of(storm),
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
        return Expected("out", [("out", {"v": value_of(delivery)})])

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
        delivery_of(storm),
        [streamlet("picky", {"in": "values"}, {"out": "accepted"}, "Picky")],
        {"values": partitions, "accepted": partitions},
    )

    def picky(state: dict[str, Any], delivery: Delivery) -> Expected:
        value = value_of(delivery)
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
        delivery_of(storm),
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
                log, facts(plan, "keyed"), lambda d: (value_of(d) or 0) % keys, count, own.fold
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
    "formats": formats.formats,
    "score": scoring.score,
    "updates": scoring.updates,
    "drift": drift.drift,
}
