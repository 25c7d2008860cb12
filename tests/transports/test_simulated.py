"""The simulated transport: what a broker does, at once and in memory, and what bad weather makes of it."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from streamlets.engine.virtual import VirtualClock, virtual_run
from streamlets.errors import Fatal, Rejected
from streamlets.event import Record
from streamlets.transports.simulated import Crashed, SimulatedTransport
from streamlets.transports.simulated_log import SimulatedLog
from streamlets.transports.transport import (
    Aborted,
    Consumer,
    Fenced,
    Release,
    TopicPartition,
    TopicSpec,
    Transport,
    UnknownOutcome,
)
from streamlets.transports.weather import Calm, Fortune

IN = [TopicPartition("in", n) for n in range(4)]


class Fated(Calm):
    """Weather in which the releases' fortunes are given, then calm; `before_s` seconds pass before each call."""

    def __init__(self, *fortunes: Fortune, before_s: float = 0.0) -> None:
        self.fortunes = list(fortunes)
        self.before_s = before_s

    async def before(self, call: str) -> None:
        await asyncio.sleep(self.before_s)

    def fortune(self) -> Fortune:
        return self.fortunes.pop(0) if self.fortunes else Fortune.DONE


class Listener:
    """Begins where the group stands, and notes what it is told."""

    def __init__(self) -> None:
        self.consumer: Consumer | None = None
        self.owned: set[TopicPartition] = set()
        self.told: list[tuple[str, list[int]]] = []
        self.drain_s = 0.0

    async def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        assert self.consumer is not None
        committed = await self.consumer.committed(partitions)
        self.owned.update(partitions)
        self.told.append(("assigned", [p.partition for p in partitions]))
        return {p: committed[p] or 0 for p in partitions}

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        await asyncio.sleep(self.drain_s)
        self.owned.difference_update(partitions)
        self.told.append(("revoked", [p.partition for p in partitions]))

    async def lost(self, partitions: Sequence[TopicPartition]) -> None:
        self.owned.difference_update(partitions)
        self.told.append(("lost", [p.partition for p in partitions]))


async def member(log: SimulatedLog, weather: Calm | None = None):
    transport: Transport = SimulatedTransport(log, weather)
    listener = Listener()
    consumer = listener.consumer = await transport.consumer("g", ["in"], listener)
    return transport, consumer, listener


def filled() -> SimulatedLog:
    log = SimulatedLog(VirtualClock())
    log.create(TopicSpec(name="in", partitions=4))
    log.create(TopicSpec(name="out", partitions=1))
    for n in range(8):
        log.append(record("in", n % 4, b"%d" % n))
    return log


def record(topic: str, partition: int, value: bytes | None, key: bytes | None = None) -> Record:
    return Record(topic=topic, partition=partition, key=key, value=value, headers=[])


def release(*values: bytes, **offsets: int) -> Release:
    return Release(
        group="g",
        records=[record("out", 0, value) for value in values],
        offsets={IN[int(name[1:])]: offset for name, offset in offsets.items()},
    )


def visible(log: SimulatedLog, topic: str = "out") -> list[bytes | None]:
    return [d.value for d in log.partition(TopicPartition(topic, 0)).read(0, 100)[0]]


def test_a_release_is_visible_whole_and_with_its_offsets():
    async def run() -> None:
        log = filled()
        _, consumer, _ = await member(log)
        assert len(await consumer.poll(100, 0)) == 8
        await consumer.release(release(b"a", b"b", p0=2))
        assert visible(log) == [b"a", b"b"]
        assert log.group("g").committed == {IN[0]: 2}

    virtual_run(run())


def test_readers_stop_at_an_open_transaction_and_step_over_its_marker():
    async def run() -> None:
        log = filled()
        out = log.partition(TopicPartition("out", 0))
        transaction = log.begin("g", {})
        log.append(record("out", 0, b"later"), transaction)
        log.append(record("out", 0, b"other"))
        assert out.read(0, 10) == ([], 0)
        log.finish(transaction, commit=False, gap=1)
        found, position = out.read(0, 10)
        assert [d.offset for d in found] == [1]
        assert position == 3
        assert out.aborted() == 1

    virtual_run(run())


@pytest.mark.parametrize(
    ("fortune", "error", "is_done"),
    [
        (Fortune.ABORTED, Aborted, False),
        (Fortune.FULL, Aborted, False),
        (Fortune.FENCED, Fenced, False),
        (Fortune.UNKNOWN_DONE, UnknownOutcome, True),
        (Fortune.UNKNOWN_UNDONE, UnknownOutcome, False),
        (Fortune.UNKNOWN_LATER_DONE, UnknownOutcome, True),
        (Fortune.UNKNOWN_LATER_UNDONE, UnknownOutcome, False),
    ],
)
def test_each_fortune_is_told_and_the_committed_offset_says_the_truth(fortune, error, is_done):
    async def run() -> None:
        log = filled()
        _, consumer, _ = await member(log, Fated(fortune))
        await consumer.poll(100, 0)
        with pytest.raises(error):
            await consumer.release(release(b"a", p0=1))
        assert await consumer.committed([IN[0]]) == {IN[0]: 1 if is_done else None}
        assert visible(log) == ([b"a"] if is_done else [])

    virtual_run(run())


def test_two_members_share_the_partitions_and_the_first_drains_before_the_second_begins():
    async def run() -> None:
        log = filled()
        _, first, told_first = await member(log)
        await first.poll(100, 0)
        _, second, told_second = await member(log)
        polled = asyncio.create_task(second.poll(100, 60))
        await asyncio.sleep(1)
        assert not told_second.told
        told_first.drain_s = 5
        await first.poll(100, 0)
        assert len(await polled) == 4
        assert told_first.told[-1] == ("revoked", [2, 3])
        assert told_second.told == [("assigned", [2, 3])]
        await second.close()
        await first.poll(100, 0)
        assert len(told_first.owned) == 4

    virtual_run(run())


def test_a_member_that_drains_for_too_long_loses_all():
    async def run() -> None:
        log = filled()
        _, first, told = await member(log)
        await first.poll(100, 0)
        _, second, _ = await member(log)
        told.drain_s = 25
        polled = asyncio.create_task(first.poll(0, 0))
        assert len(await second.poll(100, 60)) == 8
        with pytest.raises(Fenced):
            await first.release(release(b"a", p0=1))
        await polled
        await first.poll(1, 0)
        assert ("lost", [0, 1, 2, 3]) in told.told

    virtual_run(run())


def test_a_zombie_that_comes_back_to_the_same_partition_cannot_finish_its_old_release():
    async def run() -> None:
        log = filled()
        weather = Fated(before_s=1)
        _, consumer, told = await member(log, weather)
        await consumer.poll(100, 0)
        stale = asyncio.create_task(consumer.release(release(b"a", p0=1)))
        await asyncio.sleep(1.5)
        log.group("g").leave(consumer.member)  # type: ignore[attr-defined]
        weather.before_s = 0
        await consumer.poll(100, 0)
        assert told.told[-1] == ("assigned", [0, 1, 2, 3])
        with pytest.raises(Fenced):
            await stale
        assert visible(log) == []

    virtual_run(run())


def test_a_member_that_does_not_poll_is_expelled():
    async def run() -> None:
        log = filled()
        _, consumer, told = await member(log)
        await consumer.poll(100, 0)
        await asyncio.sleep(61)
        with pytest.raises(Fenced):
            await consumer.release(release(p0=1))
        await consumer.poll(1, 0)
        assert [what for what, _ in told.told] == ["assigned", "lost", "assigned"]

    virtual_run(run())


def test_after_a_crash_in_a_release_nothing_of_it_is_ever_visible_and_another_goes_on_in_time():
    async def run() -> float:
        log = filled()
        transport, first, _ = await member(log, Fated(before_s=1))
        await first.poll(100, 0)
        stale = asyncio.create_task(first.release(release(b"a", p0=1)))
        await asyncio.sleep(1.5)
        transport.crash()
        with pytest.raises(Crashed):
            await stale
        with pytest.raises(Crashed):
            await first.poll(1, 0)
        _, second, _ = await member(log)
        began = asyncio.get_running_loop().time()
        while not await second.poll(100, 1):
            pass
        assert visible(log) == []
        log.append(record("out", 0, b"after"))
        assert visible(log) == [b"after"]
        return asyncio.get_running_loop().time() - began

    assert 9 < virtual_run(run()) < 12


def test_paused_partitions_deliver_nothing_and_keep_their_position():
    async def run() -> None:
        log = filled()
        _, consumer, _ = await member(log)
        await consumer.poll(0, 0)
        consumer.pause(IN[:3])
        assert [d.value for d in await consumer.poll(100, 0)] == [b"3", b"7"]
        consumer.resume(IN[:1])
        assert [d.value for d in await consumer.poll(100, 0)] == [b"0", b"4"]
        await consumer.seek({IN[3]: 1})
        assert [d.value for d in await consumer.poll(100, 0)] == [b"7"]
        assert consumer.position(IN[3]) == 2

    virtual_run(run())


def test_compaction_keeps_the_latest_of_each_key_and_retention_moves_the_start():
    async def run() -> None:
        log = SimulatedLog(VirtualClock())
        log.create(TopicSpec(name="t", compacted=True))
        transport = SimulatedTransport(log)
        await transport.append([record("t", 0, b"%d" % n, key=b"%d" % (n % 2)) for n in range(6)])
        place = log.partition(TopicPartition("t", 0))
        assert place.compact() == 4
        assert [d.offset for d in await transport.read(place.name, 0, 10)] == [4, 5]
        assert place.expire(5) == 1
        assert await transport.offsets("t") == {0: (5, 6)}

    virtual_run(run())


def test_what_can_never_work_is_said():
    async def run() -> None:
        log = filled()
        transport = SimulatedTransport(log)
        with pytest.raises(Fatal, match="4 partitions"):
            await transport.ensure([TopicSpec(name="in", partitions=3)])
        with pytest.raises(Rejected) as refused:
            await transport.append([record("out", 0, b"small"), record("out", 0, bytes(2_000_000))])
        assert (refused.value.code, refused.value.hint) == ("too-large", "1")
        with pytest.raises(Fatal, match="no partition 9"):
            await transport.append([record("in", 9, b"x")])

    virtual_run(run())
