"""Retention and compaction of the embedded log, beyond what every transport must do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from streamlets.errors import Fatal
from streamlets.event import Record
from streamlets.suites.transport import Listener, event, values
from streamlets.transports import embedded_tidy
from streamlets.transports.embedded import EmbeddedTransport
from streamlets.transports.embedded_chunks import MAX_CHUNK_RECORDS
from streamlets.transports.transport import Consumer, Fenced, Release, TopicPartition, TopicSpec
from tests.transports.embedded_place import EmbeddedPlace

WHERE = TopicPartition("t", 0)


@pytest.fixture
def place(tmp_path: Path) -> EmbeddedPlace:
    return EmbeddedPlace(tmp_path)


def with_topic(
    place: EmbeddedPlace, spec: TopicSpec, story: Callable[[EmbeddedTransport], Awaitable[None]]
) -> None:
    async def run() -> None:
        log = place.transport()
        await log.start()
        await log.ensure([spec])
        try:
            await story(log)
        finally:
            await log.close()

    asyncio.run(run())


async def joined(log: EmbeddedTransport, begin: int = 0) -> Consumer:
    consumer = await log.consumer("g", ["t"], Listener({WHERE: begin}))
    await consumer.poll(0, 0)
    return consumer


async def chunks(log: EmbeddedTransport) -> int:
    found = await log.change(lambda connection: connection.execute("SELECT count(*) FROM chunks").get)
    assert isinstance(found, int)
    return found


def compacted(**config: str) -> TopicSpec:
    return TopicSpec(name="t", compacted=True, config=config)


def test_a_position_steps_over_an_end_that_compaction_took(place: EmbeddedPlace) -> None:
    async def story(log: EmbeddedTransport) -> None:
        await log.append([event("t", n, key=b"gone") for n in range(5)])
        consumer = await joined(log, begin=2)
        await log.append([event("t", None, key=b"gone")])
        await log.tidy()
        assert await log.offsets("t") == {0: (0, 6)}
        assert await log.read(WHERE, 0, 10) == []
        assert await consumer.poll(10, 0.05) == []
        assert consumer.position(WHERE) == 6
        assert await log.append([event("t", "next", key=b"k")]) == [6]
        assert values(await consumer.poll(10, 5.0)) == ["next"]

    with_topic(place, compacted(**{"delete.retention.ms": "0"}), story)


def test_the_end_of_an_emptied_partition_outlives_the_process(place: EmbeddedPlace) -> None:
    spec = compacted(**{"delete.retention.ms": "0"})

    async def empty(log: EmbeddedTransport) -> None:
        await log.append([event("t", "v", key=b"k"), event("t", None, key=b"k")])
        await log.tidy()

    async def go_on(log: EmbeddedTransport) -> None:
        assert await log.offsets("t") == {0: (0, 2)}
        assert await log.append([event("t", "next", key=b"k")]) == [2]

    with_topic(place, spec, empty)
    with_topic(place, spec, go_on)


def test_a_tombstone_goes_after_its_grace_and_not_before(place: EmbeddedPlace) -> None:
    async def story(log: EmbeddedTransport) -> None:
        await log.append([event("t", "old", key=b"k"), event("t", None, key=b"k"), event("t", "x", key=b"x")])
        await log.tidy()
        assert [d.key for d in await log.read(WHERE, 0, 10)] == [b"k", b"x"]
        place.clock.passed_s += embedded_tidy.GRACE_S + 1
        await log.tidy()
        assert [d.key for d in await log.read(WHERE, 0, 10)] == [b"x"]

    with_topic(place, compacted(), story)


def test_small_chunks_become_few_and_a_second_compaction_finds_nothing(place: EmbeddedPlace) -> None:
    async def story(log: EmbeddedTransport) -> None:
        for number in range(300):
            await log.append([event("t", number, key=b"%d" % (number % 120))])
        assert await chunks(log) == 300
        await log.tidy()
        assert await chunks(log) == 1
        before = log._writer.wal_pages
        await log.tidy()
        assert log._writer.wal_pages in (0, before)
        assert [int(v) for v in values(await log.read(WHERE, 0, 500))] == list(range(180, 300))

    with_topic(place, compacted(), story)


def test_a_large_table_is_compacted_a_step_at_a_time(
    place: EmbeddedPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_tidy, "STEP_BYTES", 20_000)

    async def story(log: EmbeddedTransport) -> None:
        for _ in range(3):
            rows = [Record("t", 0, b"%d" % n, bytes(100), []) for n in range(3 * MAX_CHUNK_RECORDS)]
            await log.append(rows)
        await log.tidy()
        found = [d for first in range(0, 9000, 500) for d in await log.read(WHERE, first, 500, first + 500)]
        assert [d.offset for d in found] == list(range(6 * MAX_CHUNK_RECORDS, 9 * MAX_CHUNK_RECORDS))

    with_topic(place, compacted(), story)


@pytest.mark.slow
def test_state_written_again_and_again_stays_small_by_itself(
    place: EmbeddedPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamlets.transports.embedded.TIDY_S", 0.01)

    async def story(log: EmbeddedTransport) -> None:
        for number in range(1200):
            await log.append([event("t", number, key=b"total")])
        while await chunks(log) > embedded_tidy.DIRTY_EVENTS:
            await log.wait(0.02)
        assert values(await log.read(WHERE, 0, 5000))[-1] == "1199"

    with_topic(place, compacted(), story)


def test_what_is_beyond_the_bytes_goes_and_that_many_always_stay(place: EmbeddedPlace) -> None:
    async def story(log: EmbeddedTransport) -> None:
        for number in range(30):
            await log.append([event("t", b"%030d" % number + bytes(970), headers=[])])
        await log.tidy()
        first, end = (await log.offsets("t"))[0]
        assert end == 30
        assert 9 <= end - first <= 11
        for number in range(5):
            await log.append([event("t", b"%030d" % number + bytes(970), headers=[])])
            await log.tidy()
        first, end = (await log.offsets("t"))[0]
        assert end == 35
        assert 9 <= end - first <= 11

    with_topic(place, TopicSpec(name="t", max_bytes=10_000), story)


def test_old_event_times_do_not_make_events_old(place: EmbeddedPlace) -> None:
    async def story(log: EmbeddedTransport) -> None:
        await log.append([event("t", "of 2013", timestamp_ms=1_364_774_400_000)])
        await log.tidy()
        assert values(await log.read(WHERE, 0, 10)) == ["of 2013"]

    with_topic(place, TopicSpec(name="t", retention_s=3600.0), story)


def test_readers_beside_a_compaction_see_every_key(place: EmbeddedPlace) -> None:
    async def story(log: EmbeddedTransport) -> None:
        for number in range(400):
            await log.append([event("t", number, key=b"%d" % (number % 50))])
        tidying = asyncio.create_task(log.tidy())
        while not tidying.done():
            seen: dict[bytes | None, int] = {}
            first = 0
            while found := await log.read(WHERE, first, 37):
                seen.update({d.key: d.offset for d in found})
                first = found[-1].offset + 1
            assert len(seen) == 50
            assert min(seen.values()) >= 350
        await tidying

    with_topic(place, compacted(), story)


def test_settings_that_mean_nothing_here_are_said(
    place: EmbeddedPlace, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(log: EmbeddedTransport) -> None:
        assert (await log.topics())["t"].replication == 3

    spec = TopicSpec(name="t", replication=3, config={"segment.ms": "1000"})
    with_topic(place, spec, story)
    assert "segment.ms" in caplog.text
    assert "replication" in caplog.text


def test_a_grace_that_is_no_number_is_refused(place: EmbeddedPlace) -> None:
    async def story(_log: EmbeddedTransport) -> None: ...

    with pytest.raises(Fatal, match=r"delete\.retention\.ms"):
        with_topic(place, compacted(**{"delete.retention.ms": "1d"}), story)


def test_a_release_that_waits_when_its_consumer_is_replaced_is_fenced(place: EmbeddedPlace) -> None:
    async def story(log: EmbeddedTransport) -> None:
        await log.append([event("t", n) for n in range(3)])
        first = await joined(log)
        being_written = asyncio.create_task(log.append([event("t", "x")]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # that one is with the writer now; what comes next waits
        waiting = asyncio.create_task(
            first.release(Release(group="g", records=[event("t", "y")], offsets={WHERE: 1}))
        )
        await asyncio.sleep(0)
        second = await log.consumer("g", ["t"], Listener({}))
        await being_written
        with pytest.raises(Fenced):
            await waiting
        assert await log.committed("g", ["t"]) == {}
        with pytest.raises(Fenced):
            await first.poll(1, 0)
        assert values(await second.poll(10, 5.0)) == ["0", "1", "2", "x"]

    with_topic(place, TopicSpec(name="t"), story)


def test_partitions_are_never_taken_away(place: EmbeddedPlace) -> None:
    async def story(log: EmbeddedTransport) -> None:
        with pytest.raises(Fatal) as refused:
            await log.alter(TopicSpec(name="t", partitions=1))
        assert refused.value.code == "topic-differs"
        with pytest.raises(Fatal) as missing:
            await log.alter(TopicSpec(name="other"))
        assert missing.value.code == "topic-missing"
        await log.alter(TopicSpec(name="t", partitions=3, retention_s=60.0))
        assert (await log.topics())["t"] == TopicSpec(name="t", partitions=3, retention_s=60.0)

    with_topic(place, TopicSpec(name="t", partitions=2), story)
