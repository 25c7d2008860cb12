"""The verifier: it reads what the log ever held, computes what should be there, and says what differs.

It asks the engine nothing and counts nothing that it can recompute. Oracles:
O1 outputs are those of the inputs: none missing, none wrong · O2 none twice · O3 the source's order · O4 all outputs
of an event become visible together · O5 committed offsets never fall, never pass an unsettled delivery, never lag
behind what is visible · O6 a reader that ran alongside saw the same · O7 the account's totals and sums are right ·
O8 all is settled after healing (found by the run) · O9 no payload in a log line · STATE small state is the fold of
what was released. At-least-once asks O1, O3, O5 (never past), O6 and O8.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from streamlets.event import Delivery, fingerprint, identity
from streamlets.formats.format import Channels
from streamlets.transports.simulated_log import SimulatedLog, Stored
from streamlets.transports.transport import TopicPartition

LEDGER = b"ledger"


class Finding(NamedTuple):
    """A broken promise: which oracle, and what was seen."""

    oracle: str
    text: str

    def __str__(self) -> str:
        return f"{self.oracle}: {self.text}"


class Expected(NamedTuple):
    """What one delivery should give: its fate, its dead letter's code, its outputs as (port, data) in order."""

    fate: str
    outputs: Sequence[tuple[str, Any]] = ()
    code: str = ""


class Output(NamedTuple):
    """A visible output: the offset it stems from, where it went, its data, when it was seen."""

    origin: int
    port: str
    data: Any
    visible_at: int
    stored: Stored


class StageFacts(NamedTuple):
    """What the verifier must know of a stage: its names in the log."""

    name: str
    group: str
    inlet: str
    outlets: Mapping[str, str]
    state: str
    dead_letters: str
    is_exact: bool
    channels: Channels


Step = Callable[[dict[str, Any], Delivery], Expected]
"""(state, delivery) → what it should give; may change the state, which begins empty for each partition."""


def seen(log: SimulatedLog, topic: str, partition: int) -> list[Stored]:
    """Return all that ever became visible, in the order of the offsets."""
    return [s for s in log.partition(TopicPartition(topic, partition)).history if s.is_visible]


def all_seen(log: SimulatedLog, topic: str) -> list[Stored]:
    """Return what ever became visible in a topic, partition by partition."""
    return [s for p in log.partitions(topic) for s in p.history if s.is_visible]


def origin_of(stored: Stored) -> tuple[str, int, int] | None:
    """Return (topic, partition, offset) of the event that a record stems from, or None."""
    delivery = stored.delivery
    topic = delivery.header("deadletter-topic")
    if topic is not None:
        return (
            topic,
            int(delivery.header("deadletter-partition") or -1),
            int(delivery.header("deadletter-offset") or -1),
        )
    origin = delivery.header("ce_origin")
    if origin is None or origin.count("/") < 2:
        return None
    name, partition, offset = origin.rsplit("/", 2)
    return (name, int(partition), int(offset)) if offset.isdigit() else None


def outputs(log: SimulatedLog, facts: StageFacts, partition: int) -> list[Output]:
    """Return the visible outputs that stem from one partition of the stage's inlet, dead letters among them."""
    found = []
    for port, topic in [*facts.outlets.items(), ("dead", facts.dead_letters)]:
        for stored in all_seen(log, topic):
            origin = origin_of(stored)
            if origin is None or origin[:2] != (facts.inlet, partition):
                continue
            if port == "dead":
                if stored.delivery.header("deadletter-streamlet") != facts.name:
                    continue
                data: Any = stored.delivery.header("deadletter-code")
            else:
                data = orjson.loads(facts.channels.shown(stored.delivery).value or b"null")
            found.append(Output(origin[2], port, data, stored.visible_at, stored))
    return found


class Committed:
    """How a group's offsets and a stage's state rows moved, step by step, in one partition."""

    def __init__(self, log: SimulatedLog, facts: StageFacts, partition: int) -> None:
        where = TopicPartition(facts.inlet, partition)
        self.moves = [
            (c.at, c.offsets[where]) for c in log.commits if c.group == facts.group and where in c.offsets
        ]
        self.rows: list[tuple[int, dict[str, Any]]] = []
        self.states: list[tuple[int, dict[str, Any]]] = []
        values: dict[str, Any] = {}
        for stored in seen(log, facts.state, partition) if log.partitions(facts.state) else []:
            key, value = stored.delivery.key or b"", stored.delivery.value
            if key == LEDGER:
                self.rows.append((stored.visible_at, orjson.loads(value or b"null")))
                self.states.append((stored.visible_at, dict(values)))
            elif value is None:
                values.pop(key.decode().partition(":")[2], None)
            else:
                values[key.decode().partition(":")[2]] = orjson.loads(value)

    def at(self, step: int) -> int:
        """Return the committed offset as it was at a step of the log."""
        offset = -1
        for at, moved in self.moves:
            if at > step:
                break
            offset = moved
        return offset

    def done_at(self, step: int) -> list[list[int]]:
        """Return the done ranges as they were at a step."""
        done: list[list[int]] = []
        for at, row in self.rows:
            if at > step:
                break
            done = row["done"]
        return done

    def is_settled(self, offset: int, step: int) -> bool:
        """Return whether the log said at a step that this delivery needs nothing more."""
        return offset < self.at(step) or any(a <= offset <= b for a, b in self.done_at(step))


def check_commits(
    facts: StageFacts, partition: int, committed: Committed, end: int, is_unfenced: bool
) -> Iterable[Finding]:
    """O5: offsets rise; state rows say what the commit says. `is_unfenced`: see `check_mapping`."""
    place = f"{facts.name} {facts.inlet}/{partition}"
    before = -1
    for _, offset in committed.moves:
        if offset < before and not is_unfenced:
            yield Finding("O5", f"{place}: the committed offset fell from {before} to {offset}")
        before = offset
    if before > end:
        yield Finding("O5", f"{place}: committed {before}, but the log ends at {end}")
    if facts.is_exact:
        for step, row in committed.rows:
            if row["offset"] != committed.at(step):
                yield Finding(
                    "STATE",
                    f"{place}: state true at {row['offset']} was saved with commit {committed.at(step)}",
                )


Show = Callable[[str, Any], Any]
"""(port, data) → the data as it is compared: without what may differ from run to run."""


def check_mapping(
    log: SimulatedLog, facts: StageFacts, step: Step, show: Show = lambda port, data: data
) -> Iterable[Finding]:
    """Check a stage that gives each delivery's outputs by itself, in the source's order.

    At-least-once nobody fences a process that was thought dead: where one has written, the state, and with it the fold
    on the outputs, is that of either; the outputs are compared without it.
    """
    for partition in range(len(log.partitions(facts.inlet))):
        place = f"{facts.name} {facts.inlet}/{partition}"
        source = [s.delivery for s in seen(log, facts.inlet, partition)]
        committed = Committed(log, facts, partition)
        yield from check_commits(
            facts,
            partition,
            committed,
            log.partition(TopicPartition(facts.inlet, partition)).end,
            bool(log.unfenced),
        )
        actual = outputs(log, facts, partition)
        actual = [output._replace(data=show(output.port, output.data)) for output in actual]
        if log.unfenced:
            actual = [output._replace(data=_without_fold(output.data)) for output in actual]
        state: dict[str, Any] = {}
        states = [(0, {})]
        expected: dict[int, Expected] = {}
        for delivery in source:
            one = step(state, delivery)
            if log.unfenced:
                one = one._replace(outputs=[(port, _without_fold(data)) for port, data in one.outputs])
            expected[delivery.offset] = one
            states.append((delivery.offset + 1, dict(state)))
        yield from _check_outputs(place, facts, expected, actual)
        yield from _check_steps(place, facts, expected, actual, committed)
        if facts.is_exact:
            yield from _check_states(place, states, committed)
            yield from _check_tally(place, facts, source, expected, committed)


def _without_fold(data: Any) -> Any:
    return {k: v for k, v in data.items() if k not in ("n", "chain")} if isinstance(data, dict) else data


def _wanted(one: Expected) -> list[tuple[str, Any]]:
    return [*one.outputs, *([("dead", one.code)] if one.fate == "dead-lettered" else [])]


def _check_outputs(
    place: str, facts: StageFacts, expected: Mapping[int, Expected], actual: Sequence[Output]
) -> Iterable[Finding]:
    ports = [*facts.outlets, "dead"]
    for port in ports:
        wanted = [(o, data) for o, one in expected.items() for p, data in _wanted(one) if p == port]
        found = [(output.origin, output.data) for output in actual if output.port == port]
        if not facts.is_exact:
            found = _first_of_each(found)
        if found == wanted:
            continue
        count_wanted = Counter((o, orjson.dumps(d)) for o, d in wanted)
        count_found = Counter((o, orjson.dumps(d)) for o, d in found)
        for (offset, data), n in (count_wanted - count_found).items():
            yield Finding("O1", f"{place}: {n} × {data.decode()} of offset {offset} missing at {port}")
        for (offset, data), n in (count_found - count_wanted).items():
            oracle = "O2" if (offset, data) in count_wanted else "O1"
            yield Finding(oracle, f"{place}: {n} × {data.decode()} of offset {offset} too many at {port}")
        if count_wanted == count_found:
            at = next(i for i, (a, b) in enumerate(zip(found, wanted)) if a != b)
            yield Finding(
                "O3", f"{place}: at {port} offset {found[at][0]} comes where {wanted[at][0]} belongs"
            )


def _first_of_each(found: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
    return [pair for at, pair in enumerate(found) if pair not in found[:at]]


def _check_steps(
    place: str,
    facts: StageFacts,
    expected: Mapping[int, Expected],
    actual: Sequence[Output],
    committed: Committed,
) -> Iterable[Finding]:
    """O4 and O5: together with each other and with the offset."""
    steps: dict[int, list[int]] = {}
    for output in actual:
        steps.setdefault(output.origin, []).append(output.visible_at)
    if facts.is_exact:
        for offset, at in steps.items():
            if len(set(at)) > 1:
                yield Finding(
                    "O4", f"{place}: outputs of offset {offset} became visible at steps {sorted(set(at))}"
                )
            elif not committed.is_settled(offset, at[0]):
                yield Finding(
                    "O5", f"{place}: outputs of offset {offset} are visible, its offset is not committed"
                )
    waiting = sorted(expected)
    index = 0
    for step, offset in committed.moves:
        while index < len(waiting) and waiting[index] < offset:
            one = waiting[index]
            index += 1
            n_wanted = len(_wanted(expected[one]))
            if sum(at <= step for at in steps.get(one, [])) < n_wanted:
                yield Finding("O5", f"{place}: offset {offset} was committed with {one} unsettled")


def _check_states(
    place: str, states: Sequence[tuple[int, Mapping[str, Any]]], committed: Committed
) -> Iterable[Finding]:
    """STATE: what was saved with an offset is the fold of the deliveries before it."""
    index, true_at = 0, states[0][1]
    for (step, saved), (_, row) in zip(committed.states, committed.rows):
        while index < len(states) and states[index][0] <= row["offset"]:
            true_at = states[index][1]
            index += 1
        wrong = {key: saved.get(key) for key, value in true_at.items() if saved.get(key) != value}
        if wrong:
            yield Finding(
                "STATE",
                f"{place}: at step {step} offset {row['offset']} was saved with {wrong}, not {true_at}",
            )


def _check_tally(
    place: str,
    facts: StageFacts,
    source: Sequence[Delivery],
    expected: Mapping[int, Expected],
    committed: Committed,
) -> Iterable[Finding]:
    """O7: totals by fate and the sum of the ids, in the last row."""
    if not committed.rows:
        return
    row = committed.rows[-1][1]
    counted = [d for d in source if row["begin"] <= d.offset < row["offset"]]
    fates = Counter(expected[d.offset].fate for d in counted)
    tally = row["tally"]
    if {fate: n for fate, n in tally["fates"].items() if n} != dict(fates):
        yield Finding("O7", f"{place}: the tally says {tally['fates']}, the log {dict(fates)}")
    total = sum(fingerprint(_id(d)) for d in counted) % (1 << 128)
    if int(tally["seen"], 16) != total:
        yield Finding("O7", f"{place}: the sum of the ids seen differs")
    for port in facts.outlets:
        n = sum(1 for d in counted for p, _ in expected[d.offset].outputs if p == port)
        if tally["emitted"].get(port, [0])[0] != n:
            yield Finding("O7", f"{place}: {tally['emitted'].get(port)} emitted at {port}, not {n}")


def _id(delivery: Delivery) -> str:
    try:
        return identity(delivery)[1]
    except Exception:
        return f"{delivery.topic}/{delivery.partition}/{delivery.offset}"


Fold = Callable[[int, int], int]


def check_windows(
    log: SimulatedLog, facts: StageFacts, key_of: Callable[[Delivery], int], count: int, fold: Fold
) -> Iterable[Finding]:
    """Check a stage that holds: each delivery in one window, keys in order, commits and done ranges honest."""
    topic = facts.outlets["out"]
    for partition in range(len(log.partitions(facts.inlet))):
        place = f"{facts.name} {facts.inlet}/{partition}"
        source = {s.delivery.offset: s.delivery for s in seen(log, facts.inlet, partition)}
        committed = Committed(log, facts, partition)
        yield from check_commits(
            facts,
            partition,
            committed,
            log.partition(TopicPartition(facts.inlet, partition)).end,
            bool(log.unfenced),
        )
        windows = [(s, orjson.loads(s.delivery.value or b"")) for s in seen(log, topic, partition)]
        closed_at: dict[int, int] = {}
        n = chain = 0
        last_of_key: dict[int, list[int]] = {}
        for stored, window in windows:
            members = window["members"]
            for offset in members:
                if offset in closed_at and facts.is_exact:
                    yield Finding("O2", f"{place}: offset {offset} is in two windows")
                closed_at.setdefault(offset, stored.visible_at)
            if not facts.is_exact:
                continue
            last_of_key.setdefault(window["key"], []).extend(members)
            n, chain = n + 1, fold(chain, members[0])
            if (window["n"], window["chain"]) != (n, chain):
                yield Finding("STATE", f"{place}: window {n} says n={window['n']}, chain={window['chain']}")
            if window["closed"] == "count" and len(members) != count:
                yield Finding("O1", f"{place}: a window of {len(members)}, closed by count")
            yield from (
                Finding("O5", f"{place}: a window with {o} is visible, but it is neither committed nor done")
                for o in members
                if not committed.is_settled(o, stored.visible_at)
            )
        yield from (
            Finding("O1", f"{place}: offset {o} is in no window") for o in source if o not in closed_at
        )
        if facts.is_exact:
            for key, offsets in last_of_key.items():
                if offsets != sorted(offsets):
                    yield Finding("O3", f"{place}: key {key} is in the order {offsets}")
                if any(o not in source or key_of(source[o]) != key for o in offsets):
                    yield Finding("O1", f"{place}: windows of key {key} hold other deliveries: {offsets}")
        yield from check_honest(place, source, closed_at, committed)
        if facts.is_exact and committed.rows:
            tally = committed.rows[-1][1]["tally"]
            if sum(tally["fates"].values()) != sum(
                1 for o in source if committed.is_settled(o, committed.rows[-1][0])
            ):
                yield Finding("O7", f"{place}: the tally says {tally['fates']} of {len(source)}")


def check_honest(
    place: str, source: Mapping[int, Delivery], closed_at: Mapping[int, int], committed: Committed
) -> Iterable[Finding]:
    """O5: neither a commit nor a done range covers a delivery that is not yet in a visible window."""
    order = sorted(source)
    index = 0
    for step, offset in committed.moves:
        while index < len(order) and order[index] < offset:
            if closed_at.get(order[index], step + 1) > step:
                yield Finding("O5", f"{place}: offset {offset} was committed with {order[index]} held")
            index += 1
    for step, row in committed.rows:
        for first, last in row["done"]:
            for offset in range(first, last + 1):
                if offset in source and closed_at.get(offset, step + 1) > step:
                    yield Finding("O5", f"{place}: {offset} was called done at step {step} while held")


def check_reader(
    log: SimulatedLog, seen_by_reader: Mapping[TopicPartition, Sequence[Delivery]]
) -> Iterable[Finding]:
    """O6: a reader that ran alongside saw what is there in the end, in the same order."""
    for where, deliveries in seen_by_reader.items():
        final = [s.delivery for s in seen(log, where.topic, where.partition)]
        there = {d.offset: d for d in final}
        for delivery in deliveries:
            if there.get(delivery.offset) is not delivery:
                yield Finding(
                    "O6", f"{where.topic}/{where.partition}: a reader saw {delivery.offset}, now gone"
                )
        offsets = [d.offset for d in deliveries]
        if offsets != sorted(set(offsets)):
            yield Finding("O6", f"{where.topic}/{where.partition}: a reader saw {offsets}")
        first = log.partition(where).first  # retention may have cut what the reader had not yet read
        known = set(offsets)
        missing = [d.offset for d in final if d.offset >= first and d.offset not in known]
        if missing and not log.specs[where.topic].compacted:
            yield Finding("O6", f"{where.topic}/{where.partition}: a reader never saw {missing}")


def check_source(
    log: SimulatedLog, facts: StageFacts, ticks: Mapping[str, Sequence[int]]
) -> Iterable[Finding]:
    """Check a source: of each split the events, once and in order; `ticks`: split → the numbers it gives."""
    seen_of: dict[str, list[int]] = {split: [] for split in ticks}
    for stored in all_seen(log, facts.outlets["out"]):
        data = orjson.loads(stored.delivery.value or b"")
        seen_of[data["split"]].append(data["v"])
    dead = Counter(
        stored.delivery.value
        for stored in all_seen(log, facts.dead_letters)
        if stored.delivery.header("deadletter-streamlet") == facts.name
    )
    for split, numbers in ticks.items():
        place = f"{facts.name} {split}"
        found = seen_of[split]
        wanted = [n for n in numbers if n >= 0]
        garbled = [-n for n in numbers if n < 0]
        if not facts.is_exact:
            found = list(dict.fromkeys(found))
        if missing := set(wanted) - set(found):
            yield Finding("O1", f"{place}: {sorted(missing)} missing")
        elif len(found) > len(wanted):
            yield Finding("O2", f"{place}: {[n for n, times in Counter(found).items() if times > 1]} twice")
        elif found != wanted:
            yield Finding("O3", f"{place}: {found}")
        for number in garbled:
            times = dead[f"{split} {number}".encode()]
            if times == 0 or (times > 1 and facts.is_exact):
                yield Finding("O1", f"{place}: the dead letter of {number} is there {times} times")
