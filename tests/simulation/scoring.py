"""The scoring worlds: predictions, their payload log, and models that are replaced while they serve."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from blueprints.plan import Plan
from streamlets.builtin.updates import Update, update_event
from streamlets.event import Delivery, Event, Record, encode, identity
from streamlets.transports.simulated_log import SimulatedLog
from tests.simulation.plans import arrivals, delivery_of, facts, make_plan, streamlet
from tests.simulation.servers import BREAKING, POISON, SimulatedServer, answer
from tests.simulation.storm import Storm
from tests.simulation.verifier import (
    Committed,
    Expected,
    Finding,
    StageFacts,
    all_seen,
    check_mapping,
    origin_of,
    seen,
)
from tests.simulation.world import World

INITIAL = 1  # the version of the blueprint's servers
NEVER = 90  # versions from here on are those of updates that must never count


def expected(state: dict[str, Any], delivery: Delivery) -> Expected:
    """Return what an event gives: a prediction but for its version, or a dead letter."""
    row = orjson.loads(delivery.value or b"")
    if "b" not in row:
        return Expected("dead-lettered", (), "against-contract")
    if row["a"] == POISON:
        return Expected("dead-lettered", (), "bad-input")
    if row["a"] == BREAKING:
        return Expected("dead-lettered", (), "internal")
    return Expected("out", [("out", {"v": row["v"], "y": answer((row["a"], row["b"]), 0)})])


def without_version(port: str, data: Any) -> Any:
    """Return a prediction as if version 0 had made it: one that names another than made it shows."""
    if port != "out":
        return data
    version = int(data["model"]["version"])
    return {"v": data["input"]["v"], "y": data["prediction"]["y"] - 1000 * version}


def rows(storm: Storm, n: int) -> list[dict[str, Any]]:
    """Return events to score; some refused, some breaking their call, some without a field."""
    draw = storm.random
    found: list[dict[str, Any]] = []
    for number in range(n):
        row = {"v": number, "a": float(draw.randrange(100)), "b": float(draw.randrange(100))}
        fate = draw.random()
        if fate < 0.02:
            row["a"] = POISON
        elif fate < 0.03:
            row["a"] = BREAKING
        elif fate < 0.04:
            del row["b"]
        found.append(row)
    return found


def options(storm: Storm, urls: list[str]) -> dict[str, Any]:
    """Return the options of `score` that a seed draws."""
    draw = storm.random
    return {
        "model": "m",
        "servers": urls,
        "inputs": {"x": ["a", "b"]},
        "outputs": {"y": "y"},
        "include": ["v"],
        "batch": {"max_events": draw.choice([4, 16, 128])},
        "concurrency": draw.choice([1, 4]),
        "balance": draw.choice(["least-outstanding", "round-robin"]),
    }


def score(storm: Storm) -> World:
    """W2: scoring in micro-batches by one to three servers, each with its moods; a payload log."""
    draw = storm.random
    partitions = draw.randint(1, 4)
    servers = [SimulatedServer(storm, f"http://s{n}", INITIAL) for n in range(draw.randint(1, 3))]
    plan = make_plan(
        "score",
        delivery_of(storm),
        [
            streamlet(
                "score",
                {"in": "events"},
                {"out": "predictions", "payloads": "payloads"},
                "score",
                **options(storm, [server.url for server in servers]),
            )
        ],
        {"events": partitions, "predictions": partitions, "payloads": draw.choice([1, partitions])},
    )
    return World(
        plan,
        arrivals(storm, "score.events", partitions, rows(storm, draw.randint(20, 150)), 14.0),
        [
            lambda log: check_mapping(log, facts(plan, "score", "out"), expected, without_version),
            lambda log: check_payloads(log, facts(plan, "score")),
        ],
        servers,
        afterwards=_fine("score.events", partitions),
        workers=draw.randint(1, 3),
    )


def _fine(topic: str, partitions: int) -> list[Record]:
    """Return events that nothing is wrong with, some for each partition."""
    found = []
    for number in range(3 * partitions):
        data = orjson.dumps({"v": 1000 + number, "a": 1.0, "b": float(number)})
        event = Event(id=f"fine{number}", source="/sim", type="test.value", data=data)
        key, value, headers = encode(event)
        found.append(Record(topic, number % partitions, key, value, headers))
    return found


def updates(storm: Storm) -> World:
    """W6: models replaced while they serve, by updates good and bad; the topic is compacted at any time."""
    draw = storm.random
    partitions = draw.randint(1, 3)
    servers = [SimulatedServer(storm, "http://v1.sim", INITIAL)]
    sent = [(draw.random() * 12.0, update) for update in _updates(storm, servers)]
    plan = make_plan(
        "updates",
        delivery_of(storm),
        [
            streamlet(
                "score",
                {"in": "events", "updates": "model-updates"},
                {"out": "predictions", "payloads": "payloads", "status": "status"},
                "score",
                updates={"allow": ["http://*.sim:80"], "ready_within": "10s"},
                **options(storm, ["http://v1.sim"]),
            )
        ],
        {"events": partitions, "predictions": partitions, "payloads": partitions},
        model_updates={"compacted": True},
    )
    fed = arrivals(storm, "updates.events", partitions, rows(storm, draw.randint(20, 120)), 14.0)
    fed += [(at_s, _record(update, number)) for number, (at_s, update) in enumerate(sent)]
    epochs = {_id(update, number): update.epoch for number, (_, update) in enumerate(sent)}
    return World(
        plan,
        sorted(fed, key=lambda pair: pair[0]),
        [
            lambda log: check_mapping(log, facts(plan, "score", "out"), expected, without_version),
            lambda log: check_payloads(log, facts(plan, "score")),
            lambda log: check_updates(log, plan, epochs),
        ],
        servers,
        afterwards=_fine("updates.events", partitions),
        workers=draw.randint(1, 3),
        may_end=False,
        is_done=lambda log: not undecided(log, plan),
    )


def _updates(storm: Storm, servers: list[SimulatedServer]) -> list[Update]:
    """Return updates; those whose version is `NEVER` or more must be rejected."""
    draw = storm.random
    found = []
    for version in range(2, draw.randint(3, 6)):
        servers.append(SimulatedServer(storm, f"http://v{version}.sim", version))
        found.append(_update(version, f"http://v{version}.sim", draw.randint(1, 9)))
    misfit = SimulatedServer(storm, "http://v91.sim", NEVER + 1, columns=3)
    liar = SimulatedServer(storm, "http://v92.sim", 92)
    servers += [misfit, liar, SimulatedServer(storm, "http://evil.example", NEVER + 3)]
    bad = [
        _update(NEVER, "http://nobody.sim", 20),
        _update(NEVER + 1, misfit.url, 21),
        _update(93, "http://evil.example", 23),
        _update(94, liar.url, 24),  # it serves version 92
    ]
    return found + draw.sample(bad, draw.randint(1, len(bad)))


def _update(version: int, url: str, epoch: int) -> Update:
    return Update(model="m", version=str(version), servers=[url], epoch=epoch)


def _id(update: Update, number: int) -> str:
    return f"u{number}-{update.version}"


def _record(update: Update, number: int) -> Record:
    event = update_event(update, "/sim", _id(update, number), "2026-01-01T00:00:00Z")
    key, value, headers = encode(event)
    return Record("updates.model-updates", 0, key, value, headers)


def check_payloads(log: SimulatedLog, stage: StageFacts) -> Iterable[Finding]:
    """Each row that was called is once in the request log and once in the response log, as the prediction has it.

    At-least-once, a release that broke off may have left its log behind without the predictions, and what is scored
    again may be scored by another version: then each prediction is in the log, and not all of the log in predictions.
    """
    topic = stage.outlets["payloads"]
    predicted = _predictions(log, stage)
    for partition in range(len(log.partitions(stage.inlet))):
        place = f"payloads of {stage.inlet}/{partition}"
        source = [s.delivery for s in seen(log, stage.inlet, partition)]
        called = [d for d in source if expected({}, d).code != "against-contract"]
        data = {identity(d)[1]: orjson.loads(d.value or b"") for d in called}
        wanted = Counter(identity(d)[1] for d in called)
        logged: dict[str, set[float]] = defaultdict(set)
        for kind in ("request", "response"):
            found: Counter[str] = Counter()
            for stored in all_seen(log, topic):
                delivery = stored.delivery
                body = orjson.loads(delivery.value or b"")
                if (delivery.header("ce_type") or "").endswith(kind) and body["parameters"][
                    "partition"
                ] == partition:
                    events = body["parameters"]["events"]
                    found.update(events)
                    if "outputs" in body:
                        for event, value in zip(events, body["outputs"][0]["data"], strict=True):
                            logged[event].add(value)
                    yield from _check_body(
                        place, kind, body, data, predicted, stored.visible_at, stage.is_exact
                    )
            if missing := wanted - found:
                yield Finding("O1", f"{place}: {dict(missing)} missing in the {kind}s")
            if stage.is_exact and (extra := found - wanted):
                yield Finding("O2", f"{place}: {dict(extra)} too many in the {kind}s")
        for event in wanted.keys() & predicted.keys():
            if strange := {value for value, _ in predicted[event]} - logged[event]:
                yield Finding("O1", f"{place}: {event} was predicted as {strange}, logged as {logged[event]}")


def _predictions(log: SimulatedLog, stage: StageFacts) -> dict[str, list[tuple[float, int]]]:
    """Return event id → (value, when it was visible) of each prediction."""
    found: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for stored in all_seen(log, stage.outlets["out"]):
        data = orjson.loads(stored.delivery.value or b"")
        causation = stored.delivery.header("ce_causationid") or ""
        found[causation].append((data["prediction"]["y"], stored.visible_at))
    return found


def _check_body(
    place: str,
    kind: str,
    body: Any,
    data: Mapping[str, Any],
    predicted: Mapping[str, list[tuple[float, int]]],
    visible_at: int,
    is_exact: bool,
) -> Iterable[Finding]:
    events = body["parameters"]["events"]
    if kind == "request":
        values = body["inputs"][0]["data"]
        sent = list(zip(values[::2], values[1::2]))
        if sent != [(data[e]["a"], data[e]["b"]) for e in events if e in data]:
            yield Finding("O1", f"{place}: a request of {events} says {sent}")
    elif "outputs" in body:
        for event, value in zip(events, body["outputs"][0]["data"], strict=True):
            there = predicted.get(event, [])
            if is_exact and value not in [v for v, _ in there]:
                yield Finding("O1", f"{place}: the log says {value} of {event}, the predictions {there}")
            elif is_exact and (value, visible_at) not in there:
                yield Finding("O4", f"{place}: {event} was logged at step {visible_at}, predicted {there}")


def check_updates(log: SimulatedLog, plan: Plan, epochs: Mapping[str, int]) -> Iterable[Finding]:
    """No bad update ever counts; what counts only grows; predictions name what the state says, or what came after."""
    stage = facts(plan, "score")
    steps: dict[str, set[str]] = defaultdict(set)
    applied: dict[tuple[int, str], list[int]] = defaultdict(list)
    for stored in all_seen(log, stage.outlets["status"]):
        status = orjson.loads(stored.delivery.value or b"")
        steps[status["update"]].add(status["step"])
        if status["step"] == "applied":
            applied[(status["partition"], status["update"])].append(status["offset"])
    for update, told in steps.items():
        if _is_bad(update) and told & {"validated", "applied"}:
            yield Finding("UPDATE", f"{update} must be rejected, but the audit says {sorted(told)}")
    for (partition, update), offsets in applied.items():
        if stage.is_exact and len(offsets) > 1:
            yield Finding("UPDATE", f"{update} was applied to partition {partition} at {offsets}")
    for partition in range(len(log.partitions(stage.inlet))):
        yield from _check_partition(log, stage, partition, epochs, applied)
    for update in undecided(log, plan):
        yield Finding("O8", f"nobody decided on {update}: {sorted(steps[update])}")


def undecided(log: SimulatedLog, plan: Plan) -> list[str]:
    """Return the updates, the last of each key, that were neither accepted nor rejected."""
    told = set()
    for stored in all_seen(log, plan.topics["status"].log_name):
        status = orjson.loads(stored.delivery.value or b"")
        if status["step"] in ("validated", "rejected"):
            told.add(status["update"])
    present = [s.delivery for s in all_seen(log, plan.topics["model-updates"].log_name)]
    last = {delivery.key: identity(delivery)[1] for delivery in present}
    return [update for update in last.values() if update not in told]


def _is_bad(update: str) -> bool:
    return int(update.rpartition("-")[2]) >= NEVER


def _check_partition(
    log: SimulatedLog,
    stage: StageFacts,
    partition: int,
    epochs: Mapping[str, int],
    applied: Mapping[tuple[int, str], list[int]],
) -> Iterable[Finding]:
    place = f"{stage.inlet}/{partition}"
    states = Committed(log, stage, partition).states
    before = 0
    for step, values in states:
        epoch = (values.get("serving") or {}).get("epoch", 0)
        if epoch < before:
            yield Finding("UPDATE", f"{place}: at step {step} its state fell from epoch {before} to {epoch}")
        before = epoch
        if _is_bad((values.get("serving") or {}).get("update") or "-0"):
            yield Finding("UPDATE", f"{place}: at step {step} its state serves {values['serving']}")
    switched = {update: min(offsets) for (p, update), offsets in applied.items() if p == partition}
    for stored in all_seen(log, stage.outlets["out"]):
        origin = origin_of(stored)
        if origin is None or origin[:2] != (stage.inlet, partition):
            continue
        model = orjson.loads(stored.delivery.value or b"")["model"]
        update = model["update"]
        if int(model["version"]) >= NEVER:
            yield Finding("UPDATE", f"{place}: offset {origin[2]} was scored by {model}")
        mine = epochs.get(update, 0)
        held = max(
            ((v.get("serving") or {}).get("epoch", 0) for at, v in states if at <= stored.visible_at),
            default=0,
        )
        due = max((epochs[u] for u, offset in switched.items() if offset <= origin[2]), default=0)
        if stage.is_exact and mine < due:
            yield Finding(
                "UPDATE", f"{place}: offset {origin[2]} was scored by epoch {mine}, after {due} began"
            )
        if stage.is_exact and due > held:
            yield Finding("STATE", f"{place}: epoch {due} began, but the state of its release says {held}")
