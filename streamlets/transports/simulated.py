"""The simulated transport: topics in memory, on the clock it is given, in whatever weather a test makes.

With no weather of its own it is calm: every call takes no time and succeeds, which is what blueprint tests run on.
The simulation gives a weather that delays, fails and kills.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from streamlets.errors import Fatal, Rejected, Unavailable
from streamlets.event import Delivery, Record
from streamlets.transports.simulated_log import (
    ABANDONED_S,
    SESSION_S,
    Group,
    Member,
    SimulatedLog,
    Transaction,
)
from streamlets.transports.transport import (
    Aborted,
    Consumer,
    Fenced,
    GroupListener,
    Release,
    TopicPartition,
    TopicSpec,
    UnknownOutcome,
)
from streamlets.transports.weather import Calm, Fortune, Weather

MAX_RECORD_BYTES = 1024 * 1024  # as Kafka's brokers have it by default
SETTLES_S = 3.0  # how long an unknown outcome may stay undecided


class Crashed(BaseException):
    """The simulated process is gone: nothing that it still tries has an effect."""


class SimulatedTransport:
    """The transport of one simulated process, on a log that it shares with others."""

    name = "simulated"

    def __init__(self, log: SimulatedLog, weather: Weather | None = None) -> None:
        self.log = log
        self.weather: Weather = weather or Calm()
        self.is_dead = False
        self.consumers: list[SimulatedConsumer] = []
        self._seen: WeakKeyDictionary[asyncio.Task[Any], dict[tuple[str, ...] | None, int]] = (
            WeakKeyDictionary()
        )

    def require_alive(self) -> None:
        """Raises: Crashed once the process is gone."""
        if self.is_dead:
            raise Crashed

    def crash(self) -> None:
        """The process is gone: calls raise Crashed, its members are expelled and its transactions aborted in time."""
        if self.is_dead:
            return
        self.is_dead = True
        for consumer in self.consumers:
            consumer.crash()

    async def start(self) -> None:
        self.require_alive()

    async def close(self) -> None:
        for consumer in list(self.consumers):
            await consumer.close()

    async def ensure(self, topics: Sequence[TopicSpec]) -> None:
        await self._before("ensure")
        for spec in topics:
            self.log.create(spec)

    async def topics(self) -> dict[str, TopicSpec]:
        await self._before("topics")
        return dict(self.log.specs)

    async def consumer(
        self, group: str, topics: Sequence[str], listener: GroupListener, *, fetch: bool = True
    ) -> Consumer:
        await self._before("consumer")
        for topic in topics:
            if topic not in self.log.specs:
                raise Fatal(f"there is no topic {topic}", code="topic-missing")
        consumer = SimulatedConsumer(self, self.log.group(group), topics, listener, fetch)
        self.consumers.append(consumer)
        return consumer

    async def read(
        self, partition: TopicPartition, first: int, max_events: int, end: int | None = None
    ) -> list[Delivery]:
        await self._before("read")
        return self.log.partition(partition).read(first, max_events, end)[0]

    async def offsets(self, topic: str) -> dict[int, tuple[int, int]]:
        await self._before("offsets")
        return {p.name.partition: (p.first, p.stable_end) for p in self.log.partitions(topic)}

    async def committed(self, group: str, topics: Sequence[str]) -> dict[TopicPartition, int]:
        await self._before("committed")
        wanted = set(topics)
        return {p: o for p, o in self.log.group(group).committed.items() if p.topic in wanted}

    async def append(self, records: Sequence[Record]) -> list[int]:
        """Return the offsets. Raises: Unavailable (`disk-full`) while there is no room; Rejected (`too-large`)."""
        await self._before("append")
        if not self.weather.has_room():
            raise Unavailable("the log's disk is full", code="disk-full", hint="make room; nothing is lost")
        self.require_storable(records)
        offsets = [self.log.append(record) for record in records]
        await self.weather.after("append")
        return offsets

    async def wait(self, timeout_s: float, topics: Sequence[str] | None = None) -> None:
        """Return when something may have been appended to the topics."""
        self.require_alive()
        task = asyncio.current_task()
        assert task is not None
        seen = self._seen.setdefault(task, {})
        which = None if topics is None else tuple(topics)
        if seen.get(which) == self.log.changes:  # a first call returns at once
            await self.log.wait(timeout_s, None if topics is None else frozenset(topics))
        seen[which] = self.log.changes
        self.require_alive()

    def require_storable(self, records: Sequence[Record]) -> None:
        """Raises: Rejected (`too-large`, `null-key`), the record's index in `hint`; Fatal (`topic-missing`)."""
        for index, record in enumerate(records):
            self.log.partition(TopicPartition(record.topic, record.partition))
            if len(record.value or b"") + len(record.key or b"") > MAX_RECORD_BYTES:
                code, what = "too-large", f"larger than {MAX_RECORD_BYTES} bytes"
            elif record.key is None and self.log.specs[record.topic].compacted:
                code, what = "null-key", "without a key, which compaction needs"
            else:
                continue
            raise Rejected(f"a record of topic {record.topic} is {what}", code=code, hint=str(index))

    async def _before(self, call: str) -> None:
        self.require_alive()
        await self.weather.before(call)
        self.require_alive()


class SimulatedConsumer:
    """A member of a group in one simulated process."""

    def __init__(
        self,
        transport: SimulatedTransport,
        group: Group,
        topics: Sequence[str],
        listener: GroupListener,
        fetch: bool,
    ) -> None:
        self._transport = transport
        self._log = transport.log
        self._group = group
        self._topics = topics
        self._listener = listener
        self._fetch = fetch
        self._member = self._join()
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._releasing: Transaction | None = None
        self._is_closed = False
        self._turn = 0
        self._interest = frozenset(
            topics
        )  # what a poll is to wake for; a change of the group wakes everybody

    @property
    def group(self) -> Group:
        """The group as the coordinator sees it."""
        return self._group

    @property
    def member(self) -> Member:
        """The member as the coordinator sees it: who wants to expel it asks the group."""
        return self._member

    def crash(self) -> None:
        """The process is gone: the group notices after the session, a broker after the transaction's timeout."""
        self._group.expel_later(self._member, SESSION_S)
        if self._releasing is not None:
            self._log.finish_later(self._releasing, ABANDONED_S, commit=False)

    async def poll(self, max_events: int, timeout_s: float) -> list[Delivery]:
        await self._before("poll")
        deadline_s = self._log.clock.monotonic_s() + timeout_s
        while True:
            now_s = self._member.polled_s = self._log.clock.monotonic_s()
            if self._member.is_out or self._member.owned != self._member.target:
                await self._rebalance()
                now_s = self._log.clock.monotonic_s()
            found = self._take(max_events) if self._fetch and self._is_behind() else []
            left_s = deadline_s - now_s
            if found or left_s <= 0:
                break
            await self._log.wait(left_s, self._interest)
            self._transport.require_alive()
        await self._weather.after("poll")
        self._transport.require_alive()
        return found

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused.difference_update(partitions)
        self._log.notify()

    async def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        await self._before("seek")
        for partition, offset in positions.items():
            if partition in self._positions:  # one that has gone meanwhile is sought by its new owner
                self._positions[partition] = offset
        self._log.notify()

    async def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        await self._before("committed")
        while self._log.has_open(self._group.name, partitions):  # stable offsets only, as Kafka's KIP-447
            await self._log.wait(ABANDONED_S)
            self._transport.require_alive()
        return {partition: self._group.committed.get(partition) for partition in partitions}

    def position(self, partition: TopicPartition) -> int:
        return self._positions[partition]

    async def release(self, release: Release) -> None:
        if self._releasing is not None:
            raise AssertionError("two releases at a time on one consumer")
        member = self._member  # the one that asks: expelled meanwhile and back again, it is another
        await self._before("release")
        self._transport.require_storable(release.records)
        self._group.require(member, release.offsets)
        if release.atomic:
            await self._release_atomic(release, member)
        else:
            await self._release_in_order(release, member)
        await self._weather.after("release")
        self._transport.require_alive()

    async def close(self) -> None:
        if self._is_closed or self._transport.is_dead:
            return
        self._is_closed = True
        self._positions.clear()
        self._group.leave(self._member)
        self._transport.consumers.remove(self)

    async def _release_atomic(self, release: Release, member: Member) -> None:
        fortune = self._weather.fortune()
        transaction = self._log.begin(release.group, release.offsets)
        self._releasing = transaction
        is_left_open = False
        try:
            for record in release.records:
                self._log.append(record, transaction)
            await self._before("release.commit")
            self._group.require(member, release.offsets)
            self._refuse(fortune, member)
            is_done = fortune in (Fortune.DONE, Fortune.UNKNOWN_DONE)
            if fortune in (Fortune.UNKNOWN_LATER_DONE, Fortune.UNKNOWN_LATER_UNDONE):
                is_left_open = True
                self._log.finish_later(
                    transaction,
                    SETTLES_S,
                    commit=fortune is Fortune.UNKNOWN_LATER_DONE,
                    records=len(release.records),
                )
            else:
                self._log.finish(
                    transaction, commit=is_done, records=len(release.records), gap=self._weather.gap()
                )
            if fortune is not Fortune.DONE:
                raise UnknownOutcome("no answer came to the commit")
        except asyncio.CancelledError:
            # The request may be on its way: whoever cancels cannot know whether it took place.
            if not self._transport.is_dead:
                is_left_open = True
                self._log.finish_later(
                    transaction,
                    0.0,
                    commit=self._weather.is_cancelled_in_vain(),
                    records=len(release.records),
                )
            raise
        finally:
            # A dead worker's transaction stays open until the broker gives it up; see crash().
            if not is_left_open and not self._transport.is_dead:
                self._log.finish(transaction, commit=False, gap=self._weather.gap())
            self._releasing = None

    async def _release_in_order(self, release: Release, member: Member) -> None:
        fortune = self._weather.fortune()
        self._refuse(fortune, member)
        by_partition: dict[TopicPartition, list[Record]] = {}
        for record in release.records:
            by_partition.setdefault(TopicPartition(record.topic, record.partition), []).append(record)
        # Order is kept in each partition only, and a crash may leave any part of each.
        for partition in self._weather.order(list(by_partition)):
            for record in by_partition[partition]:
                await self._before("release.record")
                self._log.unfenced += member.is_out
                self._log.append(record)
        await self._before("release.commit")
        self._group.require(member, release.offsets)
        if fortune not in (Fortune.UNKNOWN_UNDONE, Fortune.UNKNOWN_LATER_UNDONE):
            self._log.commit(release.group, release.offsets, len(release.records))
        if fortune is not Fortune.DONE:
            raise UnknownOutcome("no answer came to the commit")

    def _refuse(self, fortune: Fortune, member: Member) -> None:
        if fortune is Fortune.ABORTED:
            raise Aborted("the release was aborted")
        if fortune is Fortune.FULL:
            raise Aborted("the log's disk is full", code="disk-full", hint="make room; nothing is lost")
        if fortune is Fortune.FENCED:
            self._group.leave(member)
            raise Fenced(f"group {self._group.name} has moved on")

    @property
    def _weather(self) -> Weather:
        return self._transport.weather

    def _join(self) -> Member:
        member = self._group.join(self._topics)
        self._group.watch(member)
        return member

    async def _before(self, call: str) -> None:
        self._transport.require_alive()
        await self._weather.before(call)
        self._transport.require_alive()

    async def _rebalance(self) -> None:
        """Do what the coordinator asks for: hear of what is lost, drain what is revoked, take what is free."""
        if self._member.is_out and not self._is_closed:
            gone = sorted(self._positions)
            self._positions.clear()
            if gone:
                await self._listener.lost(gone)
                self._transport.require_alive()
            self._member = self._join()  # only now: what was handed over before belongs to the old member
        member = self._member
        revoked = sorted(member.owned - member.target)
        if revoked:
            await self._listener.revoked(revoked)
            self._transport.require_alive()
            if not member.is_out:  # else it took too long, and all is lost
                for partition in revoked:
                    self._positions.pop(partition, None)
                self._group.give_up(member, revoked)
        fresh = self._group.take(member) if not member.is_out else []
        if fresh:
            self._paused.difference_update(fresh)
            starts = await self._listener.assigned(fresh)
            self._transport.require_alive()
            for partition in fresh:
                self._positions[partition] = starts[partition]

    def _is_behind(self) -> bool:
        """Return whether there may be something to take: a poll asks it each time that it wakes."""
        partition = self._log.partition
        return any(position < partition(where).end for where, position in self._positions.items())

    def _take(self, max_events: int) -> list[Delivery]:
        open_ = [
            p for p in self._positions if p not in self._paused and self._group.owner.get(p) is self._member
        ]
        for partition in open_:
            if self._positions[partition] < self._log.partition(partition).first:
                raise Fatal(
                    f"{partition.topic}/{partition.partition} begins after offset {self._positions[partition]}",
                    code="offset-out-of-range",
                    hint="retention has passed the group's position",
                )
        left = self._weather.portion(max_events)
        self._turn += 1  # each poll begins with another partition, so that none waits for ever
        start = self._turn % len(open_) if open_ else 0
        open_ = open_[start:] + open_[:start]
        found: list[Delivery] = []
        for partition in self._weather.order(open_):
            if left == 0:
                break
            position, there = self._positions[partition], self._log.partition(partition)
            if position >= there.end:
                continue
            read, self._positions[partition] = there.read(position, left)
            found += read
            left -= len(read)
        return found
