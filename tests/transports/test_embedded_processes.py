"""Other processes append and read while the worker runs: everybody's events arrive, nobody sees half a release."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest

from streamlets.event import Record
from streamlets.suites.transport import Listener, values
from streamlets.transports import embedded_writer
from streamlets.transports.transport import Release, TopicPartition, TopicSpec
from tests.transports.copy_worker import TOPICS, check, copy, fill
from tests.transports.embedded_place import EmbeddedPlace

APPENDER = """
import asyncio, json, sys
from pathlib import Path
from streamlets.event import Record
from tests.transports.embedded_place import EmbeddedPlace
async def main(folder, name, count):
    log = EmbeddedPlace(Path(folder)).transport("client")
    await log.start()
    print("ready", flush=True)
    sys.stdin.readline()
    offsets = []
    for number in range(count):
        (offset,) = await log.append([Record("shared", 0, None, f"{name}/{number}".encode(), [])])
        offsets.append(offset)
    await log.close()
    print(json.dumps(offsets))
asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""

# Reads while the worker releases. Each release puts the same number of events into `a` and `b` and moves the offset,
# in one transaction: in whatever order the three are looked at, the later look is never behind the earlier one.
WITNESS = """
import asyncio, sys
from pathlib import Path
from streamlets.transports.transport import TopicPartition
from tests.transports.embedded_place import EmbeddedPlace
async def main(folder, end):
    log = EmbeddedPlace(Path(folder)).transport("client")
    await log.start()
    async def released():
        return (await log.committed("copy", ["in"])).get(TopicPartition("in", 0), 0)
    async def ends(topic):
        return (await log.offsets(topic))[0][1]
    print("ready", flush=True)
    looks = 0
    while True:
        first, a, b, last = await released(), await ends("a"), await ends("b"), await released()
        assert first <= a <= b <= last, (first, a, b, last)
        last, b, a, first = await released(), await ends("b"), await ends("a"), await released()
        assert last <= b <= a <= first, (first, a, b, last)
        looks += 0 < last < end
        if last == end:
            break
    await log.close()
    print(looks)
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@pytest.fixture
def place(tmp_path: Path) -> EmbeddedPlace:
    return EmbeddedPlace(tmp_path)


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Return a process that has begun and is ready to go."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    return process


async def told(process: subprocess.Popen[str]) -> str:
    """Return what a process has printed, when it has ended well."""
    out, complaint = await asyncio.to_thread(process.communicate, "go")
    assert process.returncode == 0, complaint
    return out


def appenders_beside_a_worker(place: EmbeddedPlace, processes: int, count: int) -> None:
    """Let other processes append while the worker copies, and look that everything has arrived once, in order."""

    async def story() -> None:
        log = place.transport()
        await log.start()
        await fill(log, 2000)
        await log.ensure([TopicSpec(name="shared")])
        follower = await log.consumer("follow", ["shared"], Listener({}))
        others = [start(APPENDER, place.path.parent, name, count) for name in range(processes)]
        appending = [asyncio.create_task(told(other)) for other in others]
        copying = asyncio.create_task(copy(log, 20, {}))
        followed: list[str] = []
        while len(followed) < processes * count:
            followed += values(await follower.poll(500, 1.0))
        mixed = 0
        for name, answer in enumerate(appending):
            offsets = json.loads(await answer)
            mixed += offsets[-1] - offsets[0] >= count
            assert [followed[offset] for offset in offsets] == [f"{name}/{n}" for n in range(count)]
            assert offsets == sorted(offsets)
        assert mixed, "they took turns: nothing was at the same time"
        await copying
        assert await check(log, {}) == {0: 2000, 1: 2000}
        await log.close()

    asyncio.run(story())
    connection = apsw.Connection(str(place.path))
    assert connection.pragma("integrity_check") == "ok"
    connection.close()


@pytest.mark.slow
def test_two_processes_append_while_a_worker_runs(place: EmbeddedPlace) -> None:
    appenders_beside_a_worker(place, processes=2, count=30)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("processes", [4, 8])
def test_many_processes_append_while_a_worker_runs(place: EmbeddedPlace, processes: int) -> None:
    appenders_beside_a_worker(place, processes, count=300)


@pytest.mark.parametrize(("processes", "count"), [(1, 1500), pytest.param(4, 20_000, marks=pytest.mark.slow)])
def test_another_process_never_sees_half_a_release(place: EmbeddedPlace, processes: int, count: int) -> None:
    async def story() -> None:
        log = place.transport()
        await log.start()
        await fill(log, count)
        witnesses = [start(WITNESS, place.path.parent, count) for _ in range(processes)]
        await copy(log, 5 if processes == 1 else 20, {})
        for witness in witnesses:
            assert int(await told(witness)) > 3, "it looked when nothing was being released"
        await log.close()

    asyncio.run(story())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_checkpoints_between_the_commits_of_several_processes_lose_nothing(
    place: EmbeddedPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_writer, "CHECKPOINT_PAGES", 1)  # after every commit
    appenders_beside_a_worker(place, processes=3, count=300)


def test_what_another_process_appends_is_delivered_within_milliseconds(place: EmbeddedPlace) -> None:
    async def story() -> None:
        log = place.transport()
        await log.start()
        await log.ensure([TopicSpec(name="t")])
        client = place.transport("client")
        await client.start()
        consumer = await log.consumer("g", ["t"], Listener({}))
        await consumer.poll(1, 0)
        took: list[float] = []
        for number in range(15):
            polling = asyncio.create_task(consumer.poll(10, 10.0))
            await client.append([Record("t", 0, None, b"%d" % number, [])])
            appended = time.monotonic()
            assert values(await polling) == [str(number)]
            took.append(time.monotonic() - appended)
        assert sorted(took)[len(took) // 2] < 0.1  # 20 ms are promised; a loaded machine is given more
        await client.close()
        await log.close()

    asyncio.run(story())


def test_topics_that_another_process_makes_are_found(place: EmbeddedPlace) -> None:
    async def story() -> None:
        log = place.transport()
        await log.start()
        client = place.transport("client")
        await client.start()
        await client.ensure([TopicSpec(name="new", partitions=2)])
        assert await log.append([Record("new", 1, None, b"a", [])]) == [0]
        assert values(await client.read(TopicPartition("new", 1), 0, 10)) == ["a"]
        await client.close()
        await log.close()

    asyncio.run(story())


def test_a_reader_that_stays_holds_up_no_release(
    place: EmbeddedPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_writer, "CHECKPOINT_PAGES", 4)
    monkeypatch.setattr(embedded_writer, "CHECKPOINT_PATIENCE_S", 0.01)

    async def story() -> None:
        log = place.transport()
        await log.start()
        await fill(log, 200)
        reader = apsw.Connection(str(place.path))
        reader.execute("BEGIN")
        before = reader.execute("SELECT count(*) FROM chunks").get
        await copy(log, 10, {})
        assert reader.execute("SELECT count(*) FROM chunks").get == before
        reader.close()
        await check(log, {})
        await log.close()

    asyncio.run(story())
    assert place.path.with_name("app.log-wal").stat().st_size == 0


def test_a_worker_that_idles_hardly_uses_the_processor(place: EmbeddedPlace) -> None:
    async def story() -> None:
        log = place.transport()
        await log.start()
        await log.ensure(TOPICS)
        consumers = [await log.consumer(f"g{n}", ["in", "a"], Listener({})) for n in range(5)]
        for consumer in consumers:
            await consumer.poll(1, 0)
        used, began = time.process_time(), time.monotonic()
        await asyncio.gather(*(consumer.poll(500, 1.0) for consumer in consumers))
        share = (time.process_time() - used) / (time.monotonic() - began)
        await log.close()
        assert share < 0.05  # under 2 % on a quiet machine

    asyncio.run(story())


def test_a_closed_transport_says_so(place: EmbeddedPlace) -> None:
    async def story() -> None:
        log = place.transport()
        await log.start()
        await fill(log, 10)
        consumer = await log.consumer("g", ["in"], Listener({}))
        await consumer.poll(1, 1.0)
        release = Release(group="g", records=[Record("a", 0, None, b"x", [])], offsets={})
        closing = asyncio.gather(consumer.release(release), log.close(), return_exceptions=True)
        await closing
        await log.close()
        for use in (log.topics, lambda: log.append([]), lambda: log.wait(0)):
            with pytest.raises(Exception, match="not open"):
                await use()  # type: ignore[operator]

    asyncio.run(story())


@pytest.mark.slow
def test_events_appended_at_the_very_moment_of_a_read_are_not_passed_over(place: EmbeddedPlace) -> None:
    async def story() -> None:
        log = place.transport()
        await log.start()
        await log.ensure([TopicSpec(name="t")])
        client = place.transport("client")
        await client.start()
        consumer = await log.consumer("g", ["t"], Listener({}))

        async def append() -> None:
            for number in range(8000):
                await client.append([Record("t", 0, None, b"%d" % number, [])])

        appending = asyncio.create_task(append())
        found: list[str] = []
        while len(found) < 8000:
            found += values(await consumer.poll(500, 0.001))
            await consumer.seek({TopicPartition("t", 0): len(found)})  # the next read is at the very end
        assert found == [str(number) for number in range(8000)]
        await appending
        await client.close()
        await log.close()

    asyncio.run(story())


def test_a_follower_is_not_woken_for_what_others_append_to_other_topics(place: EmbeddedPlace) -> None:
    async def story() -> None:
        log = place.transport()
        await log.start()
        await log.ensure([TopicSpec(name="mine"), TopicSpec(name="busy")])
        woken = 0

        async def follow() -> None:
            nonlocal woken
            while True:
                await log.wait(60.0, ["mine"])
                woken += 1

        following = asyncio.create_task(follow())
        for number in range(50):
            await log.append([Record("busy", 0, None, b"%d" % number, [])])
        assert woken <= 2  # the first call, and the topics' making
        await log.append([Record("mine", 0, None, b"x", [])])
        while woken < 2:
            await log.wait(1.0)
        following.cancel()
        await log.close()

    asyncio.run(story())
