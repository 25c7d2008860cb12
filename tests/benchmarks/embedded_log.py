"""What the embedded log costs by itself, µs an event. `python -m tests.benchmarks.embedded_log [EVENTS]`.

Events as in the score benchmark: six headers, a key, about 250 bytes, four partitions.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from streamlets.engine.clock import SystemClock
from streamlets.event import Record
from streamlets.suites.transport import Listener
from streamlets.transports.embedded import EmbeddedTransport
from streamlets.transports.transport import Release, TopicPartition, TopicSpec
from tests.benchmarks.work import PARTITIONS, event

TOPICS = ("in", "out")


class Stopwatch:
    """Prints wall and processor time for each event of what ran inside."""

    def __init__(self, what: str, count: int) -> None:
        self._what = what
        self._count = count

    def __enter__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        wall = (time.perf_counter() - self._wall) / self._count * 1e6
        cpu = (time.process_time() - self._cpu) / self._count * 1e6
        print(f"{self._what:44s} {wall:8.2f} µs   processor {cpu:8.2f} µs   {1e6 / wall:10.0f}/s")


async def run(folder: Path, count: int) -> None:
    log = EmbeddedTransport(folder / "bench.log", "bench", clock=SystemClock())
    await log.start()
    await log.ensure([TopicSpec(name=topic, partitions=PARTITIONS) for topic in TOPICS])
    events = [event(n) for n in range(count)]
    records = [
        Record("in", n // 128 % PARTITIONS, key, data, headers)
        for n, (key, data, headers) in enumerate(events)
    ]
    for size in (512, 5_000):
        with Stopwatch(f"append, {size} at a time, durable", count):
            for first in range(0, count, size):
                await log.append(records[first : first + size])
    singles = min(count, 20_000)

    async def one_by_one(mine: list[Record]) -> None:
        for record in mine:
            await log.append([record])

    with Stopwatch("append, 64 callers, one event each", singles):
        await asyncio.gather(*(one_by_one(records[first:singles:64]) for first in range(64)))
    total = 2 * count + singles
    reader = await log.consumer("read", ["in"], Listener({}))
    with Stopwatch("poll, 500 at a time, headers included", total):
        left = total
        while left:
            left -= len(await reader.poll(500, 1.0))
    copier = await log.consumer("copy", ["in"], Listener({}))
    with Stopwatch("poll and release what was read, two under way", count):
        left = count
        releases: list[asyncio.Task[None]] = []
        while left > 0:
            deliveries = await copier.poll(500, 1.0)
            left -= len(deliveries)
            release = Release(
                group="copy",
                records=[Record("out", d.partition, d.key, d.value, d.headers) for d in deliveries],
                offsets={TopicPartition("in", d.partition): d.offset + 1 for d in deliveries},
            )
            releases.append(asyncio.create_task(copier.release(release)))
            if len(releases) > 2:
                await releases.pop(0)
        await asyncio.gather(*releases)
    ends = {TopicPartition("out", n): end for n, (_, end) in (await log.offsets("out")).items()}
    follower = await log.consumer("follow", ["out"], Listener(ends))
    cpu = time.process_time()
    await follower.poll(1, 3.0)
    print(f"{'idle':44s} {(time.process_time() - cpu) / 3.0:8.2%} of a core")
    waits: list[float] = []
    for record in records[:500]:
        polling = asyncio.create_task(follower.poll(10, 5.0))
        began = time.perf_counter()
        await log.append([Record("out", 0, record.key, record.value, record.headers)])
        await polling
        waits.append((time.perf_counter() - began) * 1e3)
    waits.sort()
    print(f"{'append to delivery':44s} {waits[250]:8.2f} ms   99th percentile {waits[495]:8.2f} ms")
    await log.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder), int(sys.argv[1]) if len(sys.argv) > 1 else 200_000))
