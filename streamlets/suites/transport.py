"""The suite that every transport must pass: what the engine relies on, one sentence a test.

To try a transport of your own, say how its log is opened and give the suite a subclass:

    class TestMine(TransportSuite):
        @pytest.fixture
        def place(self, tmp_path):
            return MyPlace(tmp_path)          # a `Place`, below

Nothing here sleeps: conditions are waited for up to a deadline. Topics get names of their own in every test, so a
shared broker will do. Longer than most files because the sentences belong together.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

import pytest

from streamlets.errors import Fatal, Rejected
from streamlets.event import Delivery, Headers, Record
from streamlets.transports.transport import (
    Consumer,
    Fenced,
    Release,
    TopicPartition,
    TopicSpec,
    Transport,
)

DEADLINE_S = 30.0  # no condition takes longer, also on a loaded machine with a real broker
LONG_S = 20.0  # a poll's time where the event must come before it ends
BRIEF_S = 0.05  # a poll's time where nothing is to come

_numbers = itertools.count(1)


class Place(Protocol):
    """One log, and the ways to it. `abilities`: of `compaction`, `retention`, `growth`, what can be brought about."""

    abilities: frozenset[str]

    def run(self, story: Coroutine[Any, Any, None]) -> None:
        """Run a test's story to its end (`asyncio.run`, or a virtual clock's own)."""
        ...

    async def open(self) -> Transport:
        """Return the transport of a worker, started. Called again after the first has been closed: the same log."""
        ...

    async def outsider(self) -> Transport:
        """Return a transport as another process has it, started: it appends and reads, and joins no group."""
        ...

    async def compact(self, transport: Transport, topic: str) -> None:
        """Return when compaction has done with what is in the topic now."""
        ...

    async def retire(self, transport: Transport, topic: str) -> None:
        """Let the topic's retention pass for what is in it now, and return when it has been applied."""
        ...

    async def grow(self, transport: Transport, topic: TopicSpec) -> None:
        """Give a topic more partitions."""
        ...


class Listener:
    """Begins at what is committed, else at 0 (or where `begin` says), and keeps what it was told."""

    def __init__(self, begin: Mapping[TopicPartition, int] | None = None) -> None:
        self.begin = begin
        self.consumer: Consumer | None = None
        self.told: list[tuple[str, list[TopicPartition]]] = []

    async def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self.told.append(("assigned", sorted(partitions)))
        if self.begin is not None:
            return {partition: self.begin.get(partition, 0) for partition in partitions}
        assert self.consumer is not None
        committed = await self.consumer.committed(partitions)
        return {partition: committed[partition] or 0 for partition in partitions}

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self.told.append(("revoked", sorted(partitions)))

    async def lost(self, partitions: Sequence[TopicPartition]) -> None:
        self.told.append(("lost", sorted(partitions)))


class Scene:
    """What a test has: the log open, and short words for what tests do."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.log: Transport
        self._open: list[Transport] = []

    async def begin(self) -> None:
        self.log = await self.place.open()
        self._open.append(self.log)

    async def end(self) -> None:
        for transport in reversed(self._open):
            await transport.close()
        self._open.clear()

    async def reopen(self) -> Transport:
        """Close the log as a worker does that ends, and open it again as the next one."""
        await self.end()
        await self.begin()
        return self.log

    async def outsider(self) -> Transport:
        outsider = await self.place.outsider()
        self._open.append(outsider)
        return outsider

    def name(self) -> str:
        return f"suite-{os.getpid()}-{next(_numbers)}"

    async def topic(
        self,
        partitions: int = 1,
        *,
        compacted: bool = False,
        retention_s: float | None = None,
        max_bytes: int | None = None,
        config: dict[str, str] | None = None,
    ) -> str:
        name = self.name()
        await self.log.ensure(
            [
                TopicSpec(
                    name=name,
                    partitions=partitions,
                    compacted=compacted,
                    retention_s=retention_s,
                    max_bytes=max_bytes,
                    config=config or {},
                )
            ]
        )
        return name

    async def append(self, topic: str, *values: str | int, partition: int = 0) -> list[int]:
        return await self.log.append([event(topic, value, partition) for value in values])

    async def join(
        self,
        topic: str,
        group: str | None = None,
        *,
        begin: Mapping[TopicPartition, int] | None = None,
        fetch: bool = True,
    ) -> Consumer:
        listener = Listener(begin)
        consumer = await self.log.consumer(group or self.name(), [topic], listener, fetch=fetch)
        listener.consumer = consumer
        return consumer

    async def take(self, consumer: Consumer, count: int, max_events: int = 500) -> list[Delivery]:
        """Return `count` deliveries, from as many polls as it takes."""
        out: list[Delivery] = []
        while len(out) < count:
            out += await consumer.poll(max_events, 1.0)
        assert len(out) == count, f"{len(out)} deliveries came where {count} were due"
        return out

    async def nothing_from(self, consumer: Consumer) -> None:
        """Return when a poll has given nothing."""
        assert await consumer.poll(500, BRIEF_S) == []

    async def everything(
        self, topic: str, partition: int = 0, log: Transport | None = None
    ) -> list[Delivery]:
        """Return what a reader without a group finds in a partition."""
        where = TopicPartition(topic, partition)
        transport = log or self.log
        first, end = (await transport.offsets(topic))[partition]
        out: list[Delivery] = []
        while first < end:
            found = await transport.read(where, first, 500, end)
            if not found:
                break
            out += found
            first = found[-1].offset + 1
        return out

    async def holds(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Return when a condition holds that another process, or a broker, brings about."""
        while not await condition():
            await self.log.wait(0.05)


Story = Callable[["TransportSuite", Scene], Coroutine[Any, Any, None]]


def story(test: Story) -> Callable[[TransportSuite, Place], None]:
    """Make a test of a coroutine that is given a Scene; the log is closed whatever happens."""

    async def tell(suite: TransportSuite, place: Place) -> None:
        scene = Scene(place)
        await scene.begin()
        try:
            async with asyncio.timeout(DEADLINE_S):
                await test(suite, scene)
        finally:
            await scene.end()

    def run(self: TransportSuite, place: Place) -> None:
        place.run(tell(self, place))

    functools.update_wrapper(run, test)
    del run.__wrapped__  # type: ignore[attr-defined]  # pytest would look for the Scene among its fixtures
    return run


def needs(ability: str) -> Callable[[Callable[[TransportSuite, Place], None]], Any]:
    """Skip a test, and say so, where the place cannot bring about what it needs."""

    def wrap(test: Callable[[TransportSuite, Place], None]) -> Callable[[TransportSuite, Place], None]:
        @functools.wraps(test)
        def run(self: TransportSuite, place: Place) -> None:
            if ability not in place.abilities:
                pytest.skip(f"{type(place).__name__} cannot bring about {ability}")
            test(self, place)

        return run

    return wrap


def event(
    topic: str,
    value: str | int | bytes | None,
    partition: int = 0,
    *,
    key: bytes | None = None,
    headers: Headers | None = None,
    timestamp_ms: int = 0,
) -> Record:
    """Return an event of the suite; a word or a number becomes its value."""
    data = value if value is None or isinstance(value, bytes) else str(value).encode()
    return Record(
        topic, partition, key, data, headers if headers is not None else [("n", data or b"")], timestamp_ms
    )


def values(deliveries: Sequence[Delivery]) -> list[str]:
    """Return what the deliveries say."""
    return [(delivery.value or b"").decode() for delivery in deliveries]


def words(count: int, first: int = 0) -> list[str]:
    return [str(number) for number in range(first, first + count)]


class TransportSuite:
    """Subclass it, and give it a fixture `place`."""

    # What is appended is what is read.

    @story
    async def test_an_event_comes_back_as_it_was_appended(self, scene: Scene) -> None:
        topic = await scene.topic()
        headers: Headers = [
            ("ce_id", b"7"),
            ("ce_id", b"again"),
            ("empty", b""),
            ("binary", bytes(range(256))),
        ]
        record = event(topic, b'{"a": 1}', key=b"k\0\xff", headers=headers, timestamp_ms=1_400_000_000_123)
        await scene.log.append([record])
        (found,) = await scene.everything(topic)
        assert (found.topic, found.partition, found.offset) == (topic, 0, 0)
        assert (found.key, found.value, found.headers) == (record.key, record.value, headers)
        assert found.timestamp_ms == 1_400_000_000_123
        assert isinstance(found.headers, list)

    @story
    async def test_no_key_no_headers_an_empty_value_and_a_tombstone_are_four_things(
        self, scene: Scene
    ) -> None:
        topic = await scene.topic()
        await scene.log.append(
            [
                event(topic, b"", key=None, headers=[]),
                event(topic, None, key=b"", headers=[("h", b"1")]),
                event(topic, None, key=b"k", headers=[]),
                event(topic, b"v", key=b"k", headers=[("h", b"1"), ("i", b"2")]),
            ]
        )
        found = await scene.everything(topic)
        assert [(d.key, d.value, d.headers) for d in found] == [
            (None, b"", []),
            (b"", None, [("h", b"1")]),
            (b"k", None, []),
            (b"k", b"v", [("h", b"1"), ("i", b"2")]),
        ]

    @story
    async def test_headers_of_every_shape_may_be_neighbours(self, scene: Scene) -> None:
        topic = await scene.topic()
        shapes: list[Headers] = [
            [(f"h{i}", str(n).encode()) for i in range(n % 4)] + [("same", b"same")] * (n % 2)
            for n in range(300)
        ]
        await scene.log.append([event(topic, n, headers=shape) for n, shape in enumerate(shapes)])
        assert [d.headers for d in await scene.everything(topic)] == shapes

    @story
    async def test_a_timestamp_of_zero_becomes_the_time_of_the_append(self, scene: Scene) -> None:
        topic = await scene.topic()
        await scene.append(topic, "first")
        await scene.append(topic, "second")
        first, second = (delivery.timestamp_ms for delivery in await scene.everything(topic))
        assert 0 < first <= second

    @story
    async def test_append_returns_the_offset_of_each_event(self, scene: Scene) -> None:
        topic = await scene.topic(2)
        other = await scene.topic()
        assert await scene.append(topic, "a", "b") == [0, 1]
        mixed = [event(topic, "c", 1), event(other, "d"), event(topic, "e", 0), event(topic, "f", 1)]
        assert await scene.log.append(mixed) == [0, 0, 2, 1]
        assert await scene.log.append([]) == []

    @story
    async def test_events_of_a_partition_keep_the_order_of_their_appends(self, scene: Scene) -> None:
        topic = await scene.topic(3)
        for first in range(0, 300, 30):
            await scene.log.append([event(topic, n, n % 3) for n in range(first, first + 30)])
        for partition in range(3):
            assert values(await scene.everything(topic, partition)) == [
                str(n) for n in range(partition, 300, 3)
            ]

    @story
    async def test_appends_at_the_same_time_all_find_their_place(self, scene: Scene) -> None:
        topic = await scene.topic()
        offsets = await asyncio.gather(*(scene.append(topic, n, n) for n in range(50)))
        assert sorted(itertools.chain(*offsets)) == list(range(100))
        by_offset = {d.offset: (d.value or b"").decode() for d in await scene.everything(topic)}
        assert all(by_offset[offset] == str(n) for n, pair in enumerate(offsets) for offset in pair)

    @story
    async def test_many_events_and_large_ones_fit(self, scene: Scene) -> None:
        topic = await scene.topic()
        await scene.append(topic, *range(3000))
        large = os.urandom(900_000)
        await scene.log.append([event(topic, large, headers=[]), event(topic, "after")])
        found = await scene.everything(topic)
        assert values(found[:3000]) == words(3000)
        assert found[3000].value == large
        assert values(found[3001:]) == ["after"]

    # Reading without a group.

    @story
    async def test_read_keeps_to_its_bounds(self, scene: Scene) -> None:
        topic = await scene.topic()
        where = TopicPartition(topic, 0)
        await scene.append(topic, *range(10))
        await scene.append(topic, *range(10, 20))
        assert values(await scene.log.read(where, 5, 8)) == words(8, 5)
        assert values(await scene.log.read(where, 15, 100, 17)) == words(2, 15)
        assert await scene.log.read(where, 20, 100) == []
        assert await scene.log.read(where, 5, 100, 5) == []
        assert await scene.log.read(where, 5, 0) == []

    @story
    async def test_offsets_name_the_first_and_the_one_after_the_last(self, scene: Scene) -> None:
        topic = await scene.topic(2)
        await scene.append(topic, "a", "b", "c", partition=1)
        assert await scene.log.offsets(topic) == {0: (0, 0), 1: (0, 3)}

    @story
    async def test_wait_returns_when_something_is_appended(self, scene: Scene) -> None:
        topic = await scene.topic()
        await scene.log.wait(0)
        waiting = asyncio.create_task(scene.log.wait(DEADLINE_S * 2))
        await scene.append(topic, "a")
        await waiting

    @story
    async def test_wait_does_not_miss_what_was_appended_since_it_last_returned(self, scene: Scene) -> None:
        topic = await scene.topic()
        where = TopicPartition(topic, 0)
        await scene.log.wait(0)
        assert await scene.log.read(where, 0, 10) == []
        await scene.append(topic, "between")
        await scene.log.wait(DEADLINE_S * 2)
        assert values(await scene.log.read(where, 0, 10)) == ["between"]

    @story
    async def test_a_follower_of_several_topics_misses_none_of_them(self, scene: Scene) -> None:
        first, second = await scene.topic(), await scene.topic()
        for topic in (first, second):
            await scene.log.wait(0, [topic])
        await scene.append(first, "a")
        await scene.append(second, "b")
        for topic, expected in ((second, "b"), (first, "a")):
            await scene.log.wait(DEADLINE_S * 2, [topic])
            assert values(await scene.log.read(TopicPartition(topic, 0), 0, 10)) == [expected]

    @story
    async def test_wait_ends_with_its_time(self, scene: Scene) -> None:
        for _ in range(3):
            await scene.log.wait(BRIEF_S)

    # Topics.

    @story
    async def test_ensuring_a_topic_again_changes_nothing(self, scene: Scene) -> None:
        spec = TopicSpec(name=scene.name(), partitions=3, compacted=True)
        await scene.log.ensure([spec])
        await scene.log.append([event(spec.name, "a", key=b"k")])
        await scene.log.ensure([spec])
        found = (await scene.log.topics())[spec.name]
        assert (found.partitions, found.compacted) == (3, True)
        assert values(await scene.everything(spec.name)) == ["a"]

    @story
    async def test_a_topic_that_exists_otherwise_is_refused(self, scene: Scene) -> None:
        topic = await scene.topic(2)
        for other in (
            TopicSpec(name=topic, partitions=3),
            TopicSpec(name=topic, partitions=2, compacted=True),
        ):
            with pytest.raises(Fatal) as refused:
                await scene.log.ensure([other])
            assert refused.value.code == "topic-differs"
            assert topic in refused.value.message
        assert (await scene.log.topics())[topic].partitions == 2

    @story
    async def test_a_topic_without_partitions_or_with_an_impossible_name_is_refused(
        self, scene: Scene
    ) -> None:
        with pytest.raises(Fatal):
            await scene.log.ensure([TopicSpec(name=scene.name(), partitions=0)])
        for name in ("", "no spaces", "x" * 250, ".."):
            with pytest.raises(Fatal):
                await scene.log.ensure([TopicSpec(name=name)])

    @story
    async def test_what_names_no_topic_or_no_partition_is_refused(self, scene: Scene) -> None:
        topic = await scene.topic()
        missing = scene.name()
        with pytest.raises(Fatal) as refused:
            await scene.join(missing)
        assert refused.value.code == "topic-missing"
        for record in (event(missing, "a"), event(topic, "a", 1)):
            with pytest.raises(Fatal):
                await scene.log.append([event(topic, "neighbour"), record])
        assert await scene.everything(topic) == []

    # Polling.

    @story
    async def test_poll_returns_at_once_when_something_is_there(self, scene: Scene) -> None:
        topic = await scene.topic()
        await scene.append(topic, "a")
        consumer = await scene.join(topic)
        async with asyncio.timeout(LONG_S / 2):
            assert values(await consumer.poll(500, LONG_S)) == ["a"]
            await scene.append(topic, "b")
            assert values(await consumer.poll(500, LONG_S)) == ["b"]

    @story
    async def test_a_poll_under_way_returns_with_what_is_appended(self, scene: Scene) -> None:
        topic = await scene.topic()
        consumer = await scene.join(topic)
        await scene.nothing_from(consumer)
        polling = asyncio.create_task(consumer.poll(500, LONG_S))
        await scene.append(topic, "a")
        async with asyncio.timeout(LONG_S / 2):
            assert values(await polling) == ["a"]

    @story
    async def test_a_poll_under_way_sees_what_another_process_appends(self, scene: Scene) -> None:
        topic = await scene.topic()
        consumer = await scene.join(topic)
        outsider = await scene.outsider()
        for number in range(5):
            polling = asyncio.create_task(scene.take(consumer, 1))
            await outsider.append([event(topic, number)])
            assert values(await polling) == [str(number)]
        assert values(await scene.everything(topic, log=outsider)) == words(5)

    @story
    async def test_a_poll_gives_at_most_what_was_asked_for(self, scene: Scene) -> None:
        topic = await scene.topic(2)
        await scene.log.append([event(topic, n, n % 2) for n in range(50)])
        consumer = await scene.join(topic)
        out: list[Delivery] = []
        while len(out) < 50:
            found = await consumer.poll(7, 1.0)
            assert len(found) <= 7
            out += found
        for partition in range(2):
            mine = [d for d in out if d.partition == partition]
            assert values(mine) == [str(n) for n in range(partition, 50, 2)]
            assert [d.offset for d in mine] == list(range(25))

    @story
    async def test_a_partition_with_much_does_not_starve_one_with_little(self, scene: Scene) -> None:
        topic = await scene.topic(4)
        await scene.append(topic, *range(2000))
        for partition in (1, 2, 3):
            await scene.append(topic, *range(20), partition=partition)
        await scene.append(topic, *range(2000, 4000))
        consumer = await scene.join(topic)
        out: list[Delivery] = []
        while len(out) < 4060:
            out += await consumer.poll(100, 1.0)
        last_of_little = max(at for at, delivery in enumerate(out) if delivery.partition != 0)
        assert last_of_little < 4000

    @story
    async def test_a_cancelled_poll_loses_nothing(self, scene: Scene) -> None:
        topic = await scene.topic()
        consumer = await scene.join(topic)
        await scene.nothing_from(consumer)
        for number in range(20):
            polling = asyncio.create_task(consumer.poll(500, LONG_S))
            appending = asyncio.create_task(scene.append(topic, number))
            for _ in range(number):
                await asyncio.sleep(0)
            if not polling.done():
                polling.cancel()
                assert await asyncio.gather(polling, return_exceptions=True)
                found: list[Delivery] = []
            else:
                found = polling.result()
            await appending
            assert values(found or await scene.take(consumer, 1)) == [str(number)]

    @story
    async def test_nothing_is_delivered_before_the_owner_has_said_where_to_begin(self, scene: Scene) -> None:
        topic = await scene.topic(2)
        await scene.log.append([event(topic, n, n % 2) for n in range(10)])
        consumer = await scene.join(topic, begin={TopicPartition(topic, 0): 3, TopicPartition(topic, 1): 4})
        found = await scene.take(consumer, 3)
        assert sorted(values(found)) == ["6", "8", "9"]

    @story
    async def test_the_owner_is_told_of_every_partition_once(self, scene: Scene) -> None:
        topic = await scene.topic(3)
        listener = Listener({})
        consumer = await scene.log.consumer(scene.name(), [topic], listener)
        told: list[TopicPartition] = []
        while len(told) < 3:
            await consumer.poll(500, BRIEF_S)
            told = [each for word, partitions in listener.told if word == "assigned" for each in partitions]
        await scene.nothing_from(consumer)
        assert sorted(told) == [TopicPartition(topic, partition) for partition in range(3)]

    @story
    async def test_a_member_that_does_not_fetch_is_given_partitions_and_no_events(self, scene: Scene) -> None:
        topic = await scene.topic(2)
        await scene.append(topic, "a")
        group = scene.name()
        consumer = await scene.join(topic, group, fetch=False)
        await scene.nothing_from(consumer)
        where = TopicPartition(topic, 0)
        await consumer.release(Release(group=group, records=[event(topic, "b", 1)], offsets={where: 1}))
        await scene.nothing_from(consumer)
        assert await consumer.committed([where]) == {where: 1}

    # Positions.

    @story
    async def test_a_paused_partition_keeps_its_events_until_it_is_resumed(self, scene: Scene) -> None:
        topic = await scene.topic(2)
        paused, other = TopicPartition(topic, 0), TopicPartition(topic, 1)
        consumer = await scene.join(topic)
        await scene.nothing_from(consumer)
        consumer.pause([paused])
        await scene.append(topic, "held", partition=0)
        await scene.append(topic, "free", partition=1)
        assert values(await scene.take(consumer, 1)) == ["free"]
        await scene.nothing_from(consumer)
        assert (consumer.position(paused), consumer.position(other)) == (0, 1)
        polling = asyncio.create_task(scene.take(consumer, 1))
        await asyncio.sleep(0)
        consumer.resume([paused])
        assert values(await polling) == ["held"]

    @story
    async def test_a_partition_paused_with_events_at_hand_gives_them_later(self, scene: Scene) -> None:
        topic = await scene.topic()
        await scene.append(topic, *range(10))
        consumer = await scene.join(topic)
        assert values(await scene.take(consumer, 3, 3)) == words(3)
        consumer.pause([TopicPartition(topic, 0)])
        await scene.nothing_from(consumer)
        consumer.resume([TopicPartition(topic, 0)])
        assert values(await scene.take(consumer, 7)) == words(7, 3)

    @story
    async def test_after_a_seek_nothing_comes_from_before_it(self, scene: Scene) -> None:
        topic = await scene.topic()
        where = TopicPartition(topic, 0)
        await scene.append(topic, *range(20))
        consumer = await scene.join(topic)
        await scene.take(consumer, 5, 5)
        await consumer.seek({where: 15})
        assert values(await scene.take(consumer, 5)) == words(5, 15)
        await consumer.seek({where: 2})
        assert values(await scene.take(consumer, 18)) == words(18, 2)
        await consumer.seek({where: 20})
        await scene.nothing_from(consumer)
        await scene.append(topic, "next")
        assert values(await scene.take(consumer, 1)) == ["next"]

    @story
    async def test_the_position_is_the_next_offset_to_come(self, scene: Scene) -> None:
        topic = await scene.topic()
        where = TopicPartition(topic, 0)
        await scene.append(topic, *range(10))
        consumer = await scene.join(topic, begin={where: 4})
        found = await consumer.poll(2, LONG_S)
        assert consumer.position(where) == found[-1].offset + 1
        while consumer.position(where) < 10:
            await consumer.poll(500, BRIEF_S)
        await scene.nothing_from(consumer)
        assert consumer.position(where) == 10

    @story
    async def test_whatever_is_done_in_whatever_order_no_event_is_passed_over_or_repeated(
        self, scene: Scene
    ) -> None:
        dice = random.Random(5)
        topic = await scene.topic(2)
        places = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
        ends = [0, 0]
        due = [0, 0]
        consumer = await scene.join(topic)
        await scene.nothing_from(consumer)
        outsider = await scene.outsider()
        polling: asyncio.Task[list[Delivery]] | None = None
        for _ in range(400):
            at = dice.randrange(2)
            act = dice.choice(
                ("append", "append", "outside", "poll", "poll", "seek", "pause", "resume", "cancel")
            )
            if act in ("append", "outside"):
                count = dice.randint(1, 5)
                records = [event(topic, n, at) for n in range(ends[at], ends[at] + count)]
                await (scene.log if act == "append" else outsider).append(records)
                ends[at] += count
            elif act == "poll" and polling is None:
                polling = asyncio.create_task(consumer.poll(dice.randint(1, 20), 0.001))
                await asyncio.sleep(0)
            elif act == "pause":
                consumer.pause([places[at]])
            elif act == "resume":
                consumer.resume([places[at]])
            elif polling is not None:
                if act == "cancel":
                    polling.cancel()
                found = [] if await asyncio.wait([polling]) and polling.cancelled() else polling.result()
                polling = None
                for delivery in found:
                    assert delivery.offset == due[delivery.partition]
                    assert delivery.value == b"%d" % delivery.offset
                    due[delivery.partition] += 1
                if act == "seek":
                    due[at] = dice.randint(0, ends[at])
                    await consumer.seek({places[at]: due[at]})
        if polling is not None:
            for delivery in await polling:
                assert delivery.offset == due[delivery.partition]
                due[delivery.partition] += 1
        consumer.resume(places)
        while due != ends:
            for delivery in await consumer.poll(20, 1.0):
                assert delivery.offset == due[delivery.partition]
                due[delivery.partition] += 1

    # Releases.

    @story
    async def test_a_release_makes_events_of_several_topics_and_the_offset_visible(
        self, scene: Scene
    ) -> None:
        inlet, first, second = await scene.topic(), await scene.topic(2), await scene.topic()
        group = scene.name()
        await scene.append(inlet, *range(4))
        consumer = await scene.join(inlet, group)
        await scene.take(consumer, 4)
        where = TopicPartition(inlet, 0)
        records = [event(first, "a", 1), event(second, "b"), event(first, "c", 0), event(first, "d", 1)]
        await consumer.release(Release(group=group, records=records, offsets={where: 3}))
        outsider = await scene.outsider()
        assert values(await scene.everything(first, 1, outsider)) == ["a", "d"]
        assert values(await scene.everything(first, 0, outsider)) == ["c"]
        assert values(await scene.everything(second, 0, outsider)) == ["b"]
        assert await outsider.committed(group, [inlet]) == {where: 3}
        assert await consumer.committed([where]) == {where: 3}

    @story
    async def test_a_release_at_least_once_does_the_same(self, scene: Scene) -> None:
        inlet, outlet = await scene.topic(), await scene.topic()
        group = scene.name()
        await scene.append(inlet, "a")
        consumer = await scene.join(inlet, group)
        await scene.take(consumer, 1)
        where = TopicPartition(inlet, 0)
        await consumer.release(
            Release(group=group, records=[event(outlet, "b")], offsets={where: 1}, atomic=False)
        )
        assert values(await scene.everything(outlet)) == ["b"]
        assert await scene.log.committed(group, [inlet]) == {where: 1}

    @story
    async def test_a_release_may_hold_offsets_alone_or_events_alone_or_nothing(self, scene: Scene) -> None:
        inlet, outlet = await scene.topic(), await scene.topic()
        group = scene.name()
        await scene.append(inlet, "a", "b")
        consumer = await scene.join(inlet, group)
        await scene.take(consumer, 2)
        where = TopicPartition(inlet, 0)
        await consumer.release(Release(group=group, records=[], offsets={where: 1}))
        await consumer.release(Release(group=group, records=[event(outlet, "x")], offsets={}))
        await consumer.release(Release(group=group, records=[], offsets={}))
        assert values(await scene.everything(outlet)) == ["x"]
        assert await scene.log.committed(group, [inlet]) == {where: 1}

    @story
    async def test_a_release_with_an_event_too_large_is_refused_whole_and_names_it(
        self, scene: Scene
    ) -> None:
        inlet, outlet = await scene.topic(), await scene.topic()
        group = scene.name()
        await scene.append(inlet, "a")
        consumer = await scene.join(inlet, group)
        await scene.take(consumer, 1)
        where = TopicPartition(inlet, 0)
        records = [
            event(outlet, "before"),
            event(outlet, b"x" * (64 << 20), headers=[]),
            event(outlet, "after"),
        ]
        with pytest.raises(Rejected) as refused:
            await consumer.release(Release(group=group, records=records, offsets={where: 1}))
        assert (refused.value.code, refused.value.hint) == ("too-large", "1")
        assert await scene.everything(outlet) == []
        assert await scene.log.committed(group, [inlet]) == {}
        await consumer.release(Release(group=group, records=[records[0], records[2]], offsets={where: 1}))
        assert values(await scene.everything(outlet)) == ["before", "after"]

    @story
    async def test_releases_of_several_stages_at_the_same_time_are_each_whole(self, scene: Scene) -> None:
        outlet = await scene.topic()
        stages = []
        for _ in range(4):
            inlet, group = await scene.topic(), scene.name()
            await scene.append(inlet, *range(20))
            consumer = await scene.join(inlet, group)
            await scene.take(consumer, 20)
            stages.append((inlet, group, consumer))

        async def work(inlet: str, group: str, consumer: Consumer) -> None:
            for number in range(20):
                records = [event(outlet, f"{inlet}/{number}/{part}") for part in "ab"]
                offsets = {TopicPartition(inlet, 0): number + 1}
                await consumer.release(Release(group=group, records=records, offsets=offsets))

        await asyncio.gather(*(work(*stage) for stage in stages))
        found = values(await scene.everything(outlet))
        for inlet, group, _ in stages:
            mine = [value for value in found if value.startswith(f"{inlet}/")]
            assert mine == [f"{inlet}/{number}/{part}" for number in range(20) for part in "ab"]
            assert await scene.log.committed(group, [inlet]) == {TopicPartition(inlet, 0): 20}

    @story
    async def test_after_a_cancelled_release_what_is_committed_is_final(self, scene: Scene) -> None:
        inlet, outlet = await scene.topic(), await scene.topic()
        group = scene.name()
        where = TopicPartition(inlet, 0)
        await scene.append(inlet, *range(30))
        consumer = await scene.join(inlet, group)
        await scene.take(consumer, 30)
        committed = 0
        for turns in range(30):
            release = Release(group=group, records=[event(outlet, committed)], offsets={where: committed + 1})
            releasing = asyncio.create_task(consumer.release(release))
            for _ in range(turns // 3):
                await asyncio.sleep(0)
            releasing.cancel()
            await asyncio.wait([releasing])
            before = committed
            committed = (await consumer.committed([where]))[where] or 0
            assert committed in (before, before + 1)
        await consumer.release(Release(group=group, records=[event(outlet, "end")], offsets={where: 30}))
        assert values(await scene.everything(outlet)) == [*words(committed), "end"]

    @story
    async def test_what_was_released_comes_to_who_follows(self, scene: Scene) -> None:
        inlet, outlet = await scene.topic(), await scene.topic()
        group = scene.name()
        upstream, downstream = await scene.join(inlet, group), await scene.join(outlet)
        await scene.nothing_from(downstream)
        following = asyncio.create_task(scene.take(downstream, 10))
        await scene.append(inlet, *range(10))
        for delivery in await scene.take(upstream, 10):
            await upstream.release(
                Release(
                    group=group,
                    records=[Record(outlet, 0, delivery.key, delivery.value, delivery.headers)],
                    offsets={TopicPartition(inlet, 0): delivery.offset + 1},
                )
            )
        assert values(await following) == words(10)

    # Groups.

    @story
    async def test_what_was_never_committed_is_none(self, scene: Scene) -> None:
        topic = await scene.topic(2)
        group = scene.name()
        consumer = await scene.join(topic, group)
        await scene.nothing_from(consumer)
        wanted = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
        assert await consumer.committed(wanted) == dict.fromkeys(wanted)
        assert await scene.log.committed(group, [topic]) == {}
        assert await scene.log.committed(scene.name(), [topic]) == {}

    @story
    async def test_polling_commits_nothing(self, scene: Scene) -> None:
        topic = await scene.topic()
        group = scene.name()
        await scene.append(topic, *range(5))
        consumer = await scene.join(topic, group)
        await scene.take(consumer, 5)
        await consumer.close()
        assert await scene.log.committed(group, [topic]) == {}

    @story
    async def test_two_groups_read_everything_each_at_its_own_pace(self, scene: Scene) -> None:
        topic = await scene.topic()
        await scene.append(topic, *range(10))
        where = TopicPartition(topic, 0)
        one_group, other_group = scene.name(), scene.name()
        one, other = await scene.join(topic, one_group), await scene.join(topic, other_group)
        assert values(await scene.take(one, 10)) == words(10)
        await one.release(Release(group=one_group, records=[], offsets={where: 10}))
        assert values(await scene.take(other, 3, 3)) == words(3)
        await other.release(Release(group=other_group, records=[], offsets={where: 3}))
        assert await scene.log.committed(one_group, [topic]) == {where: 10}
        assert await scene.log.committed(other_group, [topic]) == {where: 3}

    @story
    async def test_the_next_member_goes_on_where_releases_ended(self, scene: Scene) -> None:
        topic = await scene.topic()
        group = scene.name()
        await scene.append(topic, *range(10))
        first = await scene.join(topic, group)
        await scene.take(first, 10)
        await first.release(Release(group=group, records=[], offsets={TopicPartition(topic, 0): 4}))
        await first.close()
        second = await scene.join(topic, group)
        assert values(await scene.take(second, 6)) == words(6, 4)

    @story
    async def test_a_closed_member_is_fenced(self, scene: Scene) -> None:
        inlet, outlet = await scene.topic(), await scene.topic()
        group = scene.name()
        await scene.append(inlet, "a")
        consumer = await scene.join(inlet, group)
        await scene.take(consumer, 1)
        await consumer.close()
        await consumer.close()
        release = Release(group=group, records=[event(outlet, "x")], offsets={TopicPartition(inlet, 0): 1})
        with pytest.raises(Fenced):
            await consumer.release(release)
        assert await scene.everything(outlet) == []
        assert await scene.log.committed(group, [inlet]) == {}

    @story
    async def test_events_offsets_and_topics_outlive_the_process(self, scene: Scene) -> None:
        inlet, outlet = await scene.topic(2), await scene.topic()
        group = scene.name()
        await scene.append(inlet, *range(10), partition=1)
        consumer = await scene.join(inlet, group)
        await scene.take(consumer, 10)
        where = TopicPartition(inlet, 1)
        await consumer.release(Release(group=group, records=[event(outlet, "x")], offsets={where: 6}))
        log = await scene.reopen()
        assert {inlet, outlet} <= (await log.topics()).keys()
        assert await log.committed(group, [inlet]) == {where: 6}
        assert values(await scene.everything(outlet)) == ["x"]
        again = await scene.join(inlet, group)
        assert values(await scene.take(again, 4)) == words(4, 6)
        assert await scene.append(inlet, "next", partition=1) == [10]

    # Compaction, retention, growth.

    @needs("compaction")
    @story
    async def test_compaction_keeps_the_last_event_of_each_key_at_its_offset(self, scene: Scene) -> None:
        topic = await scene.topic(compacted=True)
        for number in range(60):
            await scene.log.append([event(topic, number, key=b"%d" % (number % 5))])
        await scene.place.compact(scene.log, topic)
        found = await scene.everything(topic)
        last = {delivery.key: (delivery.offset, delivery.value) for delivery in found}
        assert last == {b"%d" % (n % 5): (n, str(n).encode()) for n in range(55, 60)}
        assert len(found) < 60
        assert [delivery.offset for delivery in found] == sorted(delivery.offset for delivery in found)
        assert (await scene.log.offsets(topic))[0][1] == 60
        assert await scene.log.append([event(topic, "next", key=b"0")]) == [60]

    @needs("compaction")
    @story
    async def test_a_reader_in_the_middle_goes_on_over_what_compaction_took(self, scene: Scene) -> None:
        topic = await scene.topic(compacted=True)
        where = TopicPartition(topic, 0)
        for number in range(40):
            await scene.log.append([event(topic, number, key=b"same" if number % 2 else b"%d" % number)])
        group = scene.name()
        consumer = await scene.join(topic, group)
        assert values(await scene.take(consumer, 10, 10)) == words(10)
        await consumer.close()
        await scene.place.compact(scene.log, topic)
        after = await scene.join(topic, group, begin={where: 10})
        found: list[Delivery] = []
        found += await after.poll(500, LONG_S)
        while after.position(where) < 40:
            found += await after.poll(500, BRIEF_S)
        offsets = [delivery.offset for delivery in found]
        assert offsets == sorted(offsets)
        assert {*range(10, 40, 2), 39} <= set(offsets)
        assert after.position(where) == 40

    @needs("compaction")
    @story
    async def test_a_tombstone_outlives_its_key_for_a_while(self, scene: Scene) -> None:
        topic = await scene.topic(compacted=True)
        await scene.log.append([event(topic, "old", key=b"gone"), event(topic, "stays", key=b"other")])
        await scene.log.append([event(topic, None, key=b"gone"), event(topic, "end", key=b"end")])
        await scene.place.compact(scene.log, topic)
        found = {delivery.key: delivery.value for delivery in await scene.everything(topic)}
        assert found == {b"gone": None, b"other": b"stays", b"end": b"end"}

    @needs("compaction")
    @story
    async def test_an_event_without_a_key_is_refused_where_keys_count(self, scene: Scene) -> None:
        topic = await scene.topic(compacted=True)
        with pytest.raises(Rejected) as refused:
            await scene.log.append([event(topic, "fine", key=b"k"), event(topic, "no key")])
        assert refused.value.code == "null-key"
        assert await scene.everything(topic) == []

    @needs("retention")
    @story
    async def test_what_is_older_than_the_retention_goes(self, scene: Scene) -> None:
        topic = await scene.topic(retention_s=3600.0)
        await scene.append(topic, *range(10))
        await scene.place.retire(scene.log, topic)
        assert (await scene.log.offsets(topic))[0] == (10, 10)
        await scene.reopen()
        assert (await scene.log.offsets(topic))[0] == (10, 10)
        assert await scene.append(topic, "new") == [10]
        assert values(await scene.everything(topic)) == ["new"]
        assert values(await scene.log.read(TopicPartition(topic, 0), 0, 10)) == ["new"]

    @needs("retention")
    @story
    async def test_a_position_that_retention_took_is_said_and_a_seek_goes_on(self, scene: Scene) -> None:
        topic = await scene.topic(retention_s=3600.0)
        where = TopicPartition(topic, 0)
        await scene.append(topic, *range(10))
        await scene.place.retire(scene.log, topic)
        await scene.append(topic, "new")
        consumer = await scene.join(topic, begin={where: 2})
        with pytest.raises(Fatal) as refused:
            await scene.take(consumer, 1)
        assert refused.value.code == "offset-out-of-range"
        await consumer.seek({where: (await scene.log.offsets(topic))[0][0]})
        assert values(await scene.take(consumer, 1)) == ["new"]

    @needs("growth")
    @story
    async def test_partitions_added_later_are_read_from_where_the_owner_says(self, scene: Scene) -> None:
        topic = await scene.topic(1)
        listener = Listener({})
        consumer = await scene.log.consumer(scene.name(), [topic], listener)
        await scene.nothing_from(consumer)
        await scene.place.grow(scene.log, TopicSpec(name=topic, partitions=3))
        await scene.append(topic, "a", partition=2)
        assert values(await scene.take(consumer, 1)) == ["a"]
        told = [each for word, partitions in listener.told if word == "assigned" for each in partitions]
        assert sorted(told) == [TopicPartition(topic, partition) for partition in range(3)]
