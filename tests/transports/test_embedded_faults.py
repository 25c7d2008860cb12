"""Disks that fail and fill up: an error is said by its type, nothing acknowledged is lost, nothing hangs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import apsw
import pytest

from streamlets import faults
from streamlets.errors import Fatal, StreamletsError, Unavailable
from streamlets.event import Record
from streamlets.suites.transport import Listener, event, values
from streamlets.transports import embedded_file, embedded_writer
from streamlets.transports.embedded import EmbeddedTransport
from streamlets.transports.transport import (
    Aborted,
    Consumer,
    Release,
    TopicPartition,
    UnknownOutcome,
)
from tests.transports.embedded_place import EmbeddedPlace, run_with_mounts
from tests.transports.full_disk import TOPICS, WHERE, begun
from tests.transports.power import Failing

T = TypeVar("T")

COUNT = 12


@pytest.fixture
def place(tmp_path: Path) -> EmbeddedPlace:
    return EmbeddedPlace(tmp_path)


class Worker:
    """What the engine does on a transport: it waits out what passes, and rewinds when it cannot know."""

    def __init__(self, log: EmbeddedTransport) -> None:
        self.log = log
        self.errors: list[StreamletsError] = []

    async def again(self, act: Callable[[], Awaitable[T]]) -> T:
        for _ in range(60):
            try:
                return await act()
            except StreamletsError as exc:
                self.errors.append(exc)
        raise AssertionError(f"it never works: {self.errors[-1]}")

    async def fill(self) -> None:
        await self.again(lambda: self.log.ensure(TOPICS))
        while (end := await self.again(self.end)) < COUNT:
            try:
                records = [Record("in", 0, None, b"%d" % n, []) for n in range(end, end + 3)]
                assert await self.log.append(records) == [end, end + 1, end + 2]
            except Unavailable as exc:
                self.errors.append(exc)
                assert await self.again(self.end) == end, "an append that failed has left something"
            except UnknownOutcome as exc:
                self.errors.append(exc)

    async def end(self) -> int:
        return (await self.log.offsets("in"))[0][1]

    async def copy(self) -> None:
        consumer = await self.again(lambda: self.log.consumer("g", ["in"], Listener({})))
        await consumer.poll(0, 0)
        done = await self.rewind(consumer)
        while done < COUNT:
            deliveries = await self.again(lambda: consumer.poll(2, 1.0))
            if not deliveries:
                continue
            done = deliveries[-1].offset + 1
            records = [Record(topic, 0, None, d.value, []) for d in deliveries for topic in ("a", "b")]
            records.append(Record("state", 0, b"total", b"%d" % done, []))
            done = await self.release(consumer, Release(group="g", records=records, offsets={WHERE: done}))

    async def release(self, consumer: Consumer, release: Release) -> int:
        while True:
            try:
                await consumer.release(release)
                return release.offsets[WHERE]
            except Aborted as exc:
                self.errors.append(exc)
            except UnknownOutcome as exc:
                self.errors.append(exc)
                return await self.rewind(consumer)

    async def rewind(self, consumer: Consumer) -> int:
        done = (await self.again(lambda: consumer.committed([WHERE])))[WHERE] or 0
        await consumer.seek({WHERE: done})
        return done


def run_through(place: EmbeddedPlace, vfs: Failing) -> list[StreamletsError]:
    """Return what a worker met on a failing disk, when it has done its work and left the log whole."""

    async def run() -> list[StreamletsError]:
        errors: list[StreamletsError] = []
        async with asyncio.timeout(30):
            while True:
                log = place.transport(vfs=vfs.name)
                try:
                    await log.start()
                    break
                except Fatal as exc:
                    errors.append(exc)
                    may_help = exc.exit_code >= 128
                assert may_help
                assert len(errors) < 60
            worker = Worker(log)
            await worker.fill()
            await worker.copy()
            await worker.again(log.tidy)
            await log.close()
            witness = place.transport()
            await witness.start()
            expected = [str(n) for n in range(COUNT)]
            for topic in ("in", "a", "b"):
                assert values(await witness.read(TopicPartition(topic, 0), 0, 100)) == expected
            assert values(await witness.read(TopicPartition("state", 0), 0, 100))[-1] == str(COUNT)
            assert await witness.committed("g", ["in"]) == {WHERE: COUNT}
            await witness.close()
            return errors + worker.errors

    errors = asyncio.run(run())
    connection = apsw.Connection(str(place.path))
    assert connection.pragma("integrity_check") == "ok"
    connection.close()
    return errors


def calls_of_a_run(folder: Path) -> int:
    calm = Failing(apsw.IOError, at=1 << 60)
    assert run_through(EmbeddedPlace(folder / "calm"), calm) == []
    return calm.calls


ERRORS = [apsw.IOError, apsw.FullError]


@pytest.mark.parametrize("error", ERRORS)
def test_a_call_of_the_disk_may_fail_and_nothing_is_lost(tmp_path: Path, error: type[apsw.Error]) -> None:
    sweep(tmp_path, error, every=29, times=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("error", ERRORS)
def test_any_call_of_the_disk_may_fail_and_nothing_is_lost(
    tmp_path: Path, error: type[apsw.Error], times: int
) -> None:
    sweep(tmp_path, error, every=1, times=times)


def sweep(folder: Path, error: type[apsw.Error], every: int, times: int) -> None:
    fired = 0
    met = 0
    for at in range(1, calls_of_a_run(folder), every):
        vfs = Failing(error, at, times)
        place = EmbeddedPlace(folder / f"at-{at}")
        try:
            met += bool(run_through(place, vfs))
        except BaseException as exc:
            exc.add_note(f"{error.__name__} at call {at}, {times} times")
            raise
        fired += bool(vfs.failed)
    assert fired, "a fault that never fired proves nothing"
    assert met


# What a release meets is said by its type.


@pytest.fixture
def fail_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Arms a fault point, once."""
    armed: set[str] = set()

    def hook(name: str) -> None:
        if name in armed:
            armed.remove(name)
            raise OSError(5, f"injected at {name}")

    monkeypatch.setattr(faults, "hook", hook)
    yield armed.add
    assert not armed, "a fault that never fired proves nothing"


@pytest.mark.parametrize(
    "point", ["release.begin", "release.records", "release.offsets", "release.commit", "checkpoint.begin"]
)
def test_before_its_commit_a_release_is_aborted_whole_and_goes_through_again(
    place: EmbeddedPlace, fail_at: Callable[[str], None], point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_writer, "CHECKPOINT_PAGES", 1)

    async def run() -> None:
        log, consumer = await begun(place)
        release = Release(group="g", records=[event("a", "x"), event("b", "x")], offsets={WHERE: 2})
        fail_at(point)
        if point.startswith("release"):
            with pytest.raises(Aborted) as aborted:
                await consumer.release(release)
            assert aborted.value.code == "disk-error"
            assert await log.committed("g", ["in"]) == {}
        await consumer.release(release)
        for topic in ("a", "b"):
            assert values(await log.read(TopicPartition(topic, 0), 0, 10)) == ["x"]
        assert await log.committed("g", ["in"]) == {WHERE: 2}
        await log.close()

    asyncio.run(run())


def test_after_its_commit_an_answer_that_is_lost_is_an_unknown_outcome(
    place: EmbeddedPlace, fail_at: Callable[[str], None]
) -> None:
    async def run() -> None:
        log, consumer = await begun(place)
        fail_at("release.committed")
        with pytest.raises(UnknownOutcome):
            await consumer.release(Release(group="g", records=[event("a", "x")], offsets={WHERE: 2}))
        assert await consumer.committed([WHERE]) == {WHERE: 2}
        await log.close()

    asyncio.run(run())


def test_another_process_that_holds_the_write_lock_too_long_is_waited_for_then_said(
    place: EmbeddedPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_file, "BUSY_S", 0.05)

    async def run() -> None:
        log, consumer = await begun(place)
        log_patience(log, 0.05)
        other = apsw.Connection(str(place.path))
        other.execute("BEGIN IMMEDIATE")
        release = Release(group="g", records=[event("a", "x")], offsets={WHERE: 1})
        with pytest.raises(Aborted) as aborted:
            await consumer.release(release)
        assert aborted.value.code == "busy"
        with pytest.raises(Unavailable) as unavailable:
            await log.append([event("a", "y")])
        assert unavailable.value.code == "busy"
        log_patience(log, 10.0)
        waiting = asyncio.create_task(consumer.release(release))
        await asyncio.to_thread(other.execute, "COMMIT")
        await waiting
        assert values(await log.read(TopicPartition("a", 0), 0, 10)) == ["x"]
        other.close()
        await log.close()

    asyncio.run(run())


def log_patience(log: EmbeddedTransport, limit_s: float) -> None:
    log._writer._patience.limit_s = limit_s


def test_a_full_disk_stops_what_is_large_and_not_what_fits(place: EmbeddedPlace) -> None:
    async def run() -> None:
        log, consumer = await begun(place)
        limit_pages(log, extra=8)
        large = Release(group="g", records=[event("a", os.urandom(200_000))], offsets={WHERE: 1})
        results = await asyncio.gather(
            consumer.release(large), log.append([event("b", "fits")]), return_exceptions=True
        )
        assert isinstance(results[0], Aborted)
        assert results[0].code == "disk-full"
        assert "disk full" in str(results[0])
        assert results[1] == [0]
        assert await log.read(TopicPartition("a", 0), 0, 10) == []
        assert await log.committed("g", ["in"]) == {}
        with pytest.raises(Unavailable) as full:
            await log.append([event("b", os.urandom(200_000))])
        assert full.value.code == "disk-full"
        limit_pages(log, extra=1000)
        await consumer.release(large)
        assert len(await log.read(TopicPartition("a", 0), 0, 10)) == 1
        await log.close()

    asyncio.run(run())


def limit_pages(log: EmbeddedTransport, extra: int) -> None:
    """Let the file grow by no more than `extra` pages."""
    connection = log._writer._connection
    assert connection is not None
    pages = connection.pragma("page_count")
    assert isinstance(pages, int)
    connection.pragma("max_page_count", pages + extra)


def test_a_disk_that_is_really_full_costs_nothing_acknowledged(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    run_with_mounts([f"mount -t tmpfs -o size=3m small '{disk}'"], "tests.transports.full_disk", disk)


def test_a_chunk_that_cannot_be_read_is_said_with_its_place(place: EmbeddedPlace) -> None:
    async def run() -> None:
        log, _ = await begun(place)
        await log.change(lambda connection: connection.execute("UPDATE chunks SET body = x'c1'").fetchall())
        with pytest.raises(Fatal) as refused:
            await log.read(WHERE, 0, 10)
        assert refused.value.code == "log-corrupt"
        assert "in/0" in refused.value.message
        await log.close()

    asyncio.run(run())


def test_a_damaged_file_is_said(place: EmbeddedPlace) -> None:
    async def make() -> None:
        log, _ = await begun(place, count=2000)
        await log.close()

    asyncio.run(make())
    with place.path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 5)

    async def use() -> None:
        log = place.transport()
        try:
            await log.start()
            await log.read(WHERE, 0, 10)
        finally:
            await log.close()

    with pytest.raises(Fatal) as refused:
        asyncio.run(use())
    assert refused.value.code == "log-corrupt"
