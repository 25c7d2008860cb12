"""The account: counts the events of an application anew from its topics and compares them with what it says it did.

Every inlet event has one last fate: in = out + filtered + dead-lettered + shed + expired + failed + open. Each
release adds totals and sums of ids to the partition's state; here the topics are read up to the same offsets, counted
and summed again. A difference is an event lost, repeated or made up. What retention or compaction has taken away
cannot be counted again and is named, not guessed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import msgspec

from blueprints.plan import Plan, PortRef, TopicPlan
from streamlets.component import Component
from streamlets.engine.ledger import Range
from streamlets.engine.outflow import own_id
from streamlets.engine.state import LedgerRow, restore
from streamlets.engine.tally import MODULUS
from streamlets.engine.wiring import producers, state_scopes, stream_topics
from streamlets.event import Delivery, fingerprint
from streamlets.ports import Fate, Outlet
from streamlets.transports.transport import TopicPartition, Transport

READ_EVENTS = 5_000


class Line(msgspec.Struct):
    """The account of one streamlet. `differences`: what does not add up; `gone`: what cannot be counted any more."""

    streamlet: str
    fates: dict[str, int] = {}
    n_in: int = 0
    n_open: int = 0
    emitted: dict[str, int] = {}
    missing: int = 0
    differences: list[str] = []
    gone: list[str] = []


class Account(msgspec.Struct):
    """The account of an application; `missing` counts events that the topics do not show where they should."""

    application: str
    lines: list[Line]

    @property
    def missing(self) -> int:
        return sum(line.missing for line in self.lines)

    @property
    def is_balanced(self) -> bool:
        """Whether nothing differs."""
        return not any(line.differences for line in self.lines)


class _Settled(msgspec.Struct):
    """What of one partition is settled by the state that was read."""

    row: LedgerRow
    inlet_offsets: list[Range]

    def has(self, offset: int) -> bool:
        return any(first <= offset <= last for first, last in self.inlet_offsets)


class _Count(msgspec.Struct):
    n: int = 0
    total: int = 0

    def add(self, event_id: str) -> None:
        self.n += 1
        self.total = (self.total + fingerprint(event_id)) % MODULUS


async def account(plan: Plan, transport: Transport, components: Callable[[str], Component]) -> Account:
    """Return the account of an application, which may be running: what is released is counted, no more.

    Reads every topic between the streamlets once. Raises: Fatal when the log cannot be read.
    """
    there = await transport.topics()
    lines: dict[str, Line] = {}
    settled: dict[str, dict[tuple[str, int], _Settled]] = {}
    outlets: dict[str, Iterable[Outlet]] = {}
    for name, streamlet in plan.streamlets.items():
        component = components(streamlet.use)
        inlets, outlets[name] = component.ports(component.load(streamlet.options, plan.base_dir))
        scopes = state_scopes(inlets)
        read = {topic.log_name: scopes[port] for port, topic in stream_topics(plan, name, inlets).items()}
        line = lines[name] = Line(name, fates={}, emitted={}, differences=[], gone=[])
        found = settled[name] = {}
        state_topic = plan.state_topic(name)
        partitions = there[state_topic].partitions if state_topic in there else 0
        for partition in range(partitions):
            kept = TopicPartition(state_topic, partition)
            for topic, scope in (read or {state_topic: ""}).items():  # without inlets: a row for each split
                _, row = await restore(transport, kept, scope)
                if row is None:
                    continue
                if streamlet.is_source:
                    found[topic, partition] = _Settled(row, [(0, row.offset)])
                elif read:
                    found[topic, partition] = _Settled(row, [(row.begin, row.offset - 1), *row.done])
                for fate, n in row.tally.fates.items():
                    line.fates[fate] = line.fates.get(fate, 0) + n
                for port, (n, _) in row.tally.emitted.items():
                    line.emitted[port] = line.emitted.get(port, 0) + n
        if not streamlet.is_source:
            for (topic, partition), part in found.items():
                await _count_inlet(transport, there[topic].compacted, topic, partition, part, line)
        line.n_in = sum(line.fates.values()) + line.n_open
    for written in producers(plan, outlets).values():
        await _count_outlet(plan, transport, *written, settled, lines)
    await _count_dead_letters(plan, transport, settled, lines)
    return Account(plan.name, list(lines.values()))


async def _read(
    transport: Transport, topic: str, partition: int, first: int, end: int
) -> AsyncIterator[Delivery]:
    where = TopicPartition(topic, partition)
    while first < end:
        deliveries = await transport.read(where, first, READ_EVENTS, end)
        if not deliveries:
            return
        for delivery in deliveries:
            yield delivery
        first = deliveries[-1].offset + 1


async def _count_inlet(
    transport: Transport, is_compacted: bool, topic: str, partition: int, part: _Settled, line: Line
) -> None:
    first, end = (await transport.offsets(topic)).get(partition, (0, 0))
    row = part.row
    counted = _Count()
    async for delivery in _read(transport, topic, partition, max(first, row.begin), end):
        if part.has(delivery.offset):
            counted.add(own_id(delivery))
        elif delivery.offset >= row.offset:
            line.n_open += 1
    tally = row.tally
    where = f"{topic}/{partition}"
    if first > row.begin or is_compacted:
        cause = "compaction" if is_compacted else f"retention, up to offset {first - 1}"
        line.gone.append(f"{where}: {tally.n_in - counted.n} of {tally.n_in} events are gone by {cause}")
        return
    if counted.n != tally.n_in:
        line.missing += abs(counted.n - tally.n_in)
        line.differences.append(
            f"{where}: {counted.n} events up to offset {row.offset}, but {tally.n_in} were counted as they settled"
        )
    elif counted.total != tally.seen:
        line.differences.append(
            f"{where}: as many events as were counted, but not the same: their ids' sums differ"
        )


async def _count_outlet(
    plan: Plan,
    transport: Transport,
    topic: TopicPlan,
    refs: Sequence[PortRef],
    settled: dict[str, dict[tuple[str, int], _Settled]],
    lines: dict[str, Line],
) -> None:
    if topic.inline:
        return
    name = topic.log_name
    by_source = {f"/{plan.name}/{ref.streamlet}": ref for ref in refs}
    # A source may give events that were named elsewhere; what it releases stems from its state topic alone.
    by_origin = {
        plan.state_topic(ref.streamlet): ref for ref in refs if plan.streamlets[ref.streamlet].is_source
    }
    counts = {ref: _Count() for ref in refs}
    is_cut = topic.compacted
    offsets = await transport.offsets(name) if name in await transport.topics() else {}
    for partition, (first, end) in offsets.items():
        is_cut = is_cut or first > 0
        async for delivery in _read(transport, name, partition, first, end):
            origin = (delivery.header("ce_origin") or "").rsplit("/", 2)[0]
            ref = by_origin.get(origin) or by_source.get(delivery.header("ce_source") or "")
            if ref is not None and _is_settled(delivery, settled[ref.streamlet]):
                counts[ref].add(own_id(delivery))
    for ref, count in counts.items():
        n = total = 0
        # One row for each partition of the inlets, however many topics it stands for.
        for row in {id(part.row): part.row for part in settled[ref.streamlet].values()}.values():
            emitted = row.tally.emitted.get(ref.port, [0, 0])
            n, total = n + emitted[0], (total + emitted[1]) % MODULUS
        line = lines[ref.streamlet]
        if is_cut and count.n != n:
            line.gone.append(f"{name}: {n - count.n} of {n} events are gone by retention or compaction")
        elif count.n != n:
            line.missing += abs(n - count.n)
            line.differences.append(f"{ref}: {n} events were emitted, but {name} has {count.n} of them")
        elif count.total != total:
            line.differences.append(f"{ref}: {name} has as many events as were emitted, but not the same")


async def _count_dead_letters(
    plan: Plan,
    transport: Transport,
    settled: dict[str, dict[tuple[str, int], _Settled]],
    lines: dict[str, Line],
) -> None:
    topic = plan.dead_letters.log_name
    counts: dict[str, int] = {}
    is_cut = False
    offsets = await transport.offsets(topic) if topic in await transport.topics() else {}
    for partition, (first, end) in offsets.items():
        is_cut = is_cut or first > 0
        async for delivery in _read(transport, topic, partition, first, end):
            name = delivery.header("deadletter-streamlet") or ""
            place = delivery.header("deadletter-topic"), delivery.header("deadletter-partition")
            offset = delivery.header("deadletter-offset")
            if place[0] is not None and place[1] is not None and offset is not None:
                part = settled.get(name, {}).get((place[0], int(place[1])))
                if part is None or not part.has(int(offset)):
                    continue
            counts[name] = counts.get(name, 0) + 1
    for name, line in lines.items():
        said = line.fates.get(Fate.DEAD_LETTERED.value, 0) + line.fates.get(Fate.EXPIRED.value, 0)
        found = counts.get(name, 0)
        if is_cut and found != said:
            line.gone.append(f"{topic}: {said - found} of {said} dead letters are gone by retention")
        elif found != said and not plan.streamlets[name].is_source:
            line.missing += abs(said - found)
            line.differences.append(f"{said} events were dead-lettered, but {topic} has {found} of them")


def _is_settled(delivery: Delivery, settled: dict[tuple[str, int], _Settled]) -> bool:
    """Return whether the parent of an emit lies within what the states say is settled."""
    topic, partition, offset = (delivery.header("ce_origin") or "//").rsplit("/", 2)
    part = settled.get((topic, int(partition or 0)))
    if part is None:
        return False
    return offset == "-" or part.has(int(offset))


def as_json(found: Account) -> dict[str, Any]:
    """Return the account as JSON values."""
    return {
        "application": found.application,
        "missing": found.missing,
        "balanced": found.is_balanced,
        "streamlets": [msgspec.to_builtins(line) for line in found.lines],
    }
