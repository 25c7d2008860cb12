"""The drift world: `detect` at work in its windows, with a state that outlives its process."""

from __future__ import annotations

import dataclasses
import functools
import random
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from detectors.reference import Reference, save
from streamlets.transports.simulated_log import SimulatedLog
from streamlets.transports.transport import TopicPartition
from tests.simulation.plans import arrivals, delivery_of, facts, make_plan, streamlet
from tests.simulation.storm import Storm
from tests.simulation.verifier import (
    Committed,
    Finding,
    StageFacts,
    check_commits,
    check_honest,
    seen,
)
from tests.simulation.world import World

WINDOW = 20


@functools.cache
def folder() -> Path:
    """Return a folder with a reference in it; it goes with the process."""
    made = Path(tempfile.mkdtemp(prefix="simulation-"))
    rng = np.random.default_rng(1)
    save(Reference("ref", ("a", "b"), rng.normal(size=(200, 2)), rng.normal(size=(200, 2))), made / "ref.npz")
    return made


def drift(storm: Storm) -> World:
    """W5: windows per partition, held against a reference; in the second half the rows have drifted."""
    draw = storm.random
    partitions = draw.randint(1, 2)
    wait = draw.choice(["3s", "30s"])
    plan = make_plan(
        "drift",
        delivery_of(storm),
        [
            streamlet(
                "detect",
                {"in": "rows"},
                {"statistics": "statistics", "alerts": "alerts"},
                "detect",
                reference="ref.npz",
                per="partition",
                window={"events": WINDOW, "wait": wait},
            )
        ],
        {"rows": partitions, "statistics": partitions, "alerts": partitions},
    )
    plan = dataclasses.replace(plan, path=folder() / "simulation.yaml")
    n = draw.randint(40, 200)
    data: list[Any] = [_row(draw, 4.0 if number > n // 2 else 0.0) for number in range(n)]
    data += [b"\xff no event", {"a": "no number", "b": 1.0}]
    return World(
        plan,
        arrivals(storm, "drift.rows", partitions, data, 14.0),
        [lambda log: check_drift(log, facts(plan, "detect"))],
        workers=draw.randint(1, 3),
    )


def _row(draw: random.Random, shift: float) -> dict[str, float]:
    return {"a": draw.gauss(shift, 1.0), "b": draw.gauss(0.0, 1.0)}


def check_drift(log: SimulatedLog, stage: StageFacts) -> Iterable[Finding]:
    """Windows follow each other without a gap, numbered by the state; alerts take turns with their end."""
    for partition in range(len(log.partitions(stage.inlet))):
        place = f"{stage.inlet}/{partition}"
        source = {s.delivery.offset: s.delivery for s in seen(log, stage.inlet, partition)}
        committed = Committed(log, stage, partition)
        end = log.partition(TopicPartition(stage.inlet, partition)).end
        yield from check_commits(stage, partition, committed, end, bool(log.unfenced))
        closed_at: dict[int, int] = {}
        last, number = -1, 0
        for stored in seen(log, stage.outlets["statistics"], partition):
            said = orjson.loads(stored.delivery.value or b"")
            window, number = said["window"], number + 1
            first, final = window["offsets"]
            inside = [offset for offset in source if first <= offset <= final]
            for offset in inside:
                closed_at.setdefault(offset, stored.visible_at)
            if not stage.is_exact:
                continue
            if window["number"] != number:
                yield Finding("STATE", f"{place}: window {number} says it is number {window['number']}")
            if first <= last:
                yield Finding(
                    "O2", f"{place}: window {number} begins at {first}, the one before ended at {last}"
                )
            if window["closed"] == "count" and window["rows"] != WINDOW:
                yield Finding("O1", f"{place}: window {number} of {window['rows']} rows was closed by count")
            last = final
        for stored in seen(log, stage.dead_letters, 0):
            delivery = stored.delivery
            if delivery.header("deadletter-partition") == str(partition):
                offset = int(delivery.header("deadletter-offset") or -1)
                closed_at[offset] = min(stored.visible_at, closed_at.get(offset, stored.visible_at))
        if missing := [offset for offset in source if offset not in closed_at]:
            yield Finding("O1", f"{place}: {missing} are in no window")
        yield from check_honest(place, source, closed_at, committed)
        if stage.is_exact:
            states = [
                orjson.loads(s.delivery.value or b"")["state"]
                for s in seen(log, stage.outlets["alerts"], partition)
            ]
            if states != [("firing", "resolved")[turn % 2] for turn in range(len(states))]:
                yield Finding("STATE", f"{place}: the alerts are {states}")
