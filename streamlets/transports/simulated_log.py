"""The durable half of the simulated transport: topics, transactions, groups. It survives a crash of its workers.

Everything here happens at once and in memory, in the words of a broker: a record has an offset in its partition; a
transaction's records lie in the log from when they are written and are visible from its commit on; readers stop at
the first record of an open transaction; a group hands partitions out cooperatively, one owner at a time.
"""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from streamlets.errors import Fatal
from streamlets.event import Delivery, Record
from streamlets.ports import Clock
from streamlets.transports.transport import Fenced, TopicPartition, TopicSpec

ABANDONED_S = 10.0  # an open transaction of a dead worker is aborted after this, as a broker does
SESSION_S = 10.0  # a dead worker is a member for this long
DRAIN_S = 20.0  # how long a member may take to give up what is revoked
POLL_INTERVAL_S = 60.0  # how long a member may go without a poll


_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")  # Kafka's alphabet


class Transaction(msgspec.Struct, eq=False):
    """Records that become visible together, with the offsets of a group, or never."""

    group: str
    offsets: dict[TopicPartition, int]
    is_open: bool = True
    is_committed: bool = False
    visible_at: int = -1
    partitions: list[Partition] = []


class Stored(msgspec.Struct, eq=False):
    """A record as it lies in a partition; `transaction` None: visible at once, from the step `written_at` on."""

    delivery: Delivery
    transaction: Transaction | None
    written_at: int

    @property
    def is_visible(self) -> bool:
        return self.transaction is None or self.transaction.is_committed

    @property
    def visible_at(self) -> int:
        """The step of the log at which it became visible; -1: never."""
        return self.written_at if self.transaction is None else self.transaction.visible_at


class Commit(msgspec.Struct, frozen=True):
    """One commit of offsets: at which step of the log, and how many records became visible with it."""

    at: int
    at_s: float
    group: str
    offsets: dict[TopicPartition, int]
    records: int


class Partition:
    """Records in the order of their offsets, with gaps where markers, compaction or aborted records lie.

    `history` keeps all that was ever written, for whoever judges a run.
    """

    def __init__(self, name: TopicPartition) -> None:
        self.name = name
        self.first = 0
        self.end = 0
        self.history: list[Stored] = []
        self._offsets: list[int] = []
        self._stored: list[Stored] = []
        self._open: dict[Transaction, int] = {}

    def append(self, record: Record, now_s: float, transaction: Transaction | None, step: int) -> int:
        """Return the offset of the record, now at the end."""
        offset = self.end
        timestamp_ms = record.timestamp_ms or int(now_s * 1000)
        delivery = Delivery(
            self.name.topic,
            self.name.partition,
            offset,
            timestamp_ms,
            record.key,
            record.value,
            record.headers,
        )
        self._offsets.append(offset)
        self.history.append(Stored(delivery, transaction, step))
        self._stored.append(self.history[-1])
        self.end = offset + 1
        if transaction is not None and transaction not in self._open:
            self._open[transaction] = offset
            transaction.partitions.append(self)
        return offset

    def finish(self, transaction: Transaction, gap: int) -> None:
        """The transaction is over; `gap` offsets go to its marker."""
        del self._open[transaction]
        self.end += gap

    @property
    def stable_end(self) -> int:
        """The offset after the last record that a reader of committed records may see."""
        return min(self._open.values()) if self._open else self.end

    def read(self, first: int, max_events: int, end: int | None = None) -> tuple[list[Delivery], int]:
        """Return visible deliveries from `first` on, and the offset to go on at."""
        stop = self.stable_end if end is None else min(end, self.stable_end)
        found: list[Delivery] = []
        index = bisect_left(self._offsets, first)
        while index < len(self._stored) and self._offsets[index] < stop:
            if len(found) >= max_events:
                return found, found[-1].offset + 1 if found else first
            if self._stored[index].is_visible:
                found.append(self._stored[index].delivery)
            index += 1
        return found, max(first, stop)

    def aborted(self) -> int:
        """Return how many records of aborted transactions lie here, seen by nobody."""
        return sum(
            1 for s in self._stored if not s.is_visible and not (s.transaction and s.transaction.is_open)
        )

    def compact(self) -> int:
        """Drop what a later record with the same key replaces; return how many were dropped. The last one stays."""
        stop = self.stable_end
        latest = {
            s.delivery.key: s.delivery.offset
            for s in self._stored
            if s.is_visible and s.delivery.offset < stop
        }
        return self._keep(
            lambda s: (
                s.delivery.offset >= stop
                or s.delivery.key is None
                or (s.is_visible and latest[s.delivery.key] == s.delivery.offset)
            )
        )

    def expire(self, before: int) -> int:
        """Drop what lies before an offset, as retention does; return how many were dropped."""
        self.first = max(self.first, min(before, self.stable_end))
        return self._keep(lambda s: s.delivery.offset >= self.first)

    def _keep(self, wanted: Callable[[Stored], bool]) -> int:
        before = len(self._stored)
        self._stored = [s for s in self._stored if wanted(s)]
        self._offsets = [s.delivery.offset for s in self._stored]
        return before - len(self._stored)


class Member:
    """A member of a group as the coordinator sees it. `target`: what it should own; `is_out`: it was expelled."""

    def __init__(self, topics: Sequence[str]) -> None:
        self.topics = tuple(topics)
        self.owned: set[TopicPartition] = set()
        self.target: frozenset[TopicPartition] = frozenset()
        self.is_out = False
        self.polled_s = 0.0


class Group:
    """A group: its committed offsets, its members, who owns which partition, how often that changed."""

    def __init__(self, name: str, log: SimulatedLog) -> None:
        self.name = name
        self.committed: dict[TopicPartition, int] = {}
        self.members: list[Member] = []
        self.owner: dict[TopicPartition, Member] = {}
        self.generation = 0
        self._log = log

    def join(self, topics: Sequence[str]) -> Member:
        """Return a new member; the group rebalances."""
        member = Member(topics)
        member.polled_s = self._log.clock.monotonic_s()
        self.members.append(member)
        self.rebalance()
        return member

    def leave(self, member: Member) -> None:
        """The member is gone and owns nothing any more. Nothing happens if it was gone before."""
        if member.is_out:
            return
        member.is_out = True
        self.members.remove(member)
        self.owner = {partition: owner for partition, owner in self.owner.items() if owner is not member}
        self.rebalance()

    def expel_later(self, member: Member, seconds: float) -> None:
        """The member will be gone unless it has left by then: its process died."""
        asyncio.get_running_loop().call_later(seconds, self.leave, member)

    def rebalance(self, *, moved: int | None = None) -> None:
        """Say anew who should own what: as it is, as far as that is fair; with `moved` shifted by that many members."""
        self.generation += 1
        topics = sorted({topic for member in self.members for topic in member.topics})
        numbers = range(max((len(self._log.partitions(topic)) for topic in topics), default=0))
        share = self._moved(numbers, moved) if moved is not None else self._kept(numbers)
        for member, mine in zip(self.members, share):
            member.target = frozenset(
                TopicPartition(topic, number)
                for topic in member.topics
                for number in mine
                if number < len(self._log.partitions(topic))
            )
            if member.owned - member.target:
                asyncio.get_running_loop().call_later(DRAIN_S, self._expel_slow, member, member.target)
        self._log.notify()

    def _moved(self, numbers: range, moved: int) -> list[list[int]]:
        count = len(self.members)
        return [[n for n in numbers if (n + moved) % count == index] for index in range(count)]

    def _kept(self, numbers: range) -> list[list[int]]:
        """Return the numbers for each member: those it has, as far as no member has two more than another."""
        share: list[list[int]] = [[] for _ in self.members]
        if not share:
            return share
        least, over = divmod(len(numbers), len(share))
        keepers = {partition.partition: owner for partition, owner in self.owner.items() if not owner.is_out}
        homeless = []
        for number in numbers:
            keeper = keepers.get(number)
            mine = share[self.members.index(keeper)] if keeper is not None else None
            if mine is not None and (len(mine) < least or (len(mine) == least and over > 0)):
                over -= len(mine) == least
                mine.append(number)
            else:
                homeless.append(number)
        for number in homeless:
            min(share, key=len).append(number)
        return share

    def _expel_slow(self, member: Member, target: frozenset[TopicPartition]) -> None:
        if member.target == target and member.owned - target:
            self.leave(member)

    def watch(self, member: Member) -> None:
        """Expel the member when it has not polled for too long."""
        if member.is_out:
            return
        left_s = member.polled_s + POLL_INTERVAL_S - self._log.clock.monotonic_s()
        if left_s <= 0:
            self.leave(member)
        else:
            asyncio.get_running_loop().call_later(left_s + 0.001, self.watch, member)

    def take(self, member: Member) -> list[TopicPartition]:
        """Return the partitions that have become the member's own: in its target, and no one else's."""
        fresh = sorted(p for p in member.target - member.owned if p not in self.owner)
        for partition in fresh:
            self.owner[partition] = member
        member.owned.update(fresh)
        return fresh

    def give_up(self, member: Member, partitions: Iterable[TopicPartition]) -> None:
        """The member has drained these: another may take them."""
        for partition in partitions:
            member.owned.discard(partition)
            if self.owner.get(partition) is member:
                del self.owner[partition]
        self._log.notify()

    def require(self, member: Member, partitions: Iterable[TopicPartition]) -> None:
        """Raises: Fenced unless the member is in the group and owns them all."""
        if member.is_out or any(self.owner.get(partition) is not member for partition in partitions):
            raise Fenced(f"group {self.name} has moved on to generation {self.generation}")


class SimulatedLog:
    """Topics and groups in memory: what lasts while simulated workers come and go. Give it the run's clock.

    `step` counts what became visible: appends outside transactions and commits.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.specs: dict[str, TopicSpec] = {}
        self.commits: list[Commit] = []
        self.step = 0
        self.unfenced = 0  # appends of members that were out of their group already, where nothing is atomic
        self.changes = 0  # whatever somebody may wait for
        self._partitions: dict[str, list[Partition]] = {}
        self._groups: dict[str, Group] = {}
        self._open: set[Transaction] = set()
        # Who waits, and for which topics (None: for anything). A dict, because its order is always the same.
        self._waiting: dict[asyncio.Future[None], frozenset[str] | None] = {}

    def create(self, spec: TopicSpec) -> None:
        """Create a topic unless it is there. Raises: Fatal (`topic-differs`) when it is there otherwise."""
        there = self.specs.get(spec.name)
        if spec.partitions < 1 or not _NAME.fullmatch(spec.name) or spec.name in (".", ".."):
            raise Fatal(
                f"no topic can be called {spec.name!r} with {spec.partitions} partitions",
                code="bad-topic-name",
            )
        if there is None:
            self.specs[spec.name] = spec
            self._partitions[spec.name] = [
                Partition(TopicPartition(spec.name, number)) for number in range(spec.partitions)
            ]
        elif (there.partitions, there.compacted) != (spec.partitions, spec.compacted):
            raise Fatal(
                f"topic {spec.name} has {there.partitions} partitions, compacted {there.compacted}, "
                f"not {spec.partitions} and {spec.compacted}",
                code="topic-differs",
            )

    def grow(self, topic: str, partitions: int) -> None:
        """Give a topic more partitions; its groups share them out."""
        self.specs[topic] = msgspec.structs.replace(self.specs[topic], partitions=partitions)
        there = self._partitions[topic]
        there += [Partition(TopicPartition(topic, number)) for number in range(len(there), partitions)]
        for group in self._groups.values():
            if any(topic in member.topics for member in group.members):
                group.rebalance()

    def partitions(self, topic: str) -> list[Partition]:
        """Return the partitions of a topic; none of one that is not there."""
        return self._partitions.get(topic, [])

    def partition(self, name: TopicPartition) -> Partition:
        """Return one partition. Raises: Fatal (`topic-missing`) when it is not there."""
        there = self._partitions.get(name.topic, [])
        if not 0 <= name.partition < len(there):
            raise Fatal(f"there is no partition {name.partition} of topic {name.topic}", code="topic-missing")
        return there[name.partition]

    def group(self, name: str) -> Group:
        """Return a group, made at its first use."""
        if name not in self._groups:
            self._groups[name] = Group(name, self)
        return self._groups[name]

    def groups(self) -> list[Group]:
        """Return the groups there are."""
        return list(self._groups.values())

    def append(self, record: Record, transaction: Transaction | None = None) -> int:
        """Return the offset of a record, now in its partition; visible at once without a transaction."""
        place = TopicPartition(record.topic, record.partition)
        if transaction is None:
            self.step += 1
        offset = self.partition(place).append(record, self.clock.now_s(), transaction, self.step)
        if transaction is None:
            self.notify((record.topic,))
        return offset

    def begin(self, group: str, offsets: Mapping[TopicPartition, int]) -> Transaction:
        """Return an open transaction; its owner, or `abandon`, must finish it."""
        transaction = Transaction(group, dict(offsets))
        self._open.add(transaction)
        return transaction

    def finish(self, transaction: Transaction, *, commit: bool, records: int = 0, gap: int = 0) -> None:
        """Commit or abort, once; nothing happens to a transaction that is over."""
        if not transaction.is_open:
            return
        transaction.is_open = False
        transaction.is_committed = commit
        self._open.discard(transaction)
        for partition in transaction.partitions:
            partition.finish(transaction, gap)
        if commit:
            self.commit(transaction.group, transaction.offsets, records)
            transaction.visible_at = self.step
        self.notify({partition.name.topic for partition in transaction.partitions}, transaction.offsets)

    def finish_later(
        self, transaction: Transaction, seconds: float, *, commit: bool, records: int = 0
    ) -> None:
        """Finish when `seconds` have passed: of a dead worker, or one whose outcome nobody knows."""
        asyncio.get_running_loop().call_later(
            seconds, lambda: self.finish(transaction, commit=commit, records=records)
        )

    def commit(self, group: str, offsets: Mapping[TopicPartition, int], records: int) -> None:
        """Set the offsets of a group: a step of the log."""
        self.step += 1
        self.group(group).committed.update(offsets)
        self.commits.append(Commit(self.step, self.clock.monotonic_s(), group, dict(offsets), records))

    def has_open(self, group: str, partitions: Iterable[TopicPartition]) -> bool:
        """Return whether an open transaction may still move the group's offsets there."""
        wanted = set(partitions)
        return any(t.group == group and not wanted.isdisjoint(t.offsets) for t in self._open)

    def notify(self, topics: Collection[str] | None = None, offsets: Iterable[TopicPartition] = ()) -> None:
        """Wake whoever waits for a change of these topics, by new records or moved offsets; None: everybody."""
        self.changes += 1
        moved = None if topics is None else {*topics, *(partition.topic for partition in offsets)}
        for future, wanted in list(self._waiting.items()):
            if moved is None or wanted is None or not wanted.isdisjoint(moved):
                del self._waiting[future]
                if not future.done():
                    future.set_result(None)

    async def wait(self, timeout_s: float, topics: frozenset[str] | None = None) -> None:
        """Return at the next change of these topics (None: of anything), or after `timeout_s`. May be cancelled."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting[future] = topics
        timer = loop.call_later(max(0.0, timeout_s), _wake, future)
        try:
            await future
        finally:
            timer.cancel()
            self._waiting.pop(future, None)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
