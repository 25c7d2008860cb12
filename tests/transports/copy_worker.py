"""A worker process for the fault tests: copies `in` to `a` and `b`, each batch one release, and says what was released.

`python -m tests.transports.copy_worker FILE BATCH` writes `PARTITION OFFSET` on standard output after each release;
it ends when everything is copied, or when it is killed.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from streamlets.event import Record
from streamlets.suites.transport import Listener
from streamlets.transports.embedded import EmbeddedTransport
from streamlets.transports.transport import Release, TopicPartition, TopicSpec, Transport
from tests.transports.embedded_place import RealClock

GROUP = "copy"
TOPICS = [
    TopicSpec(name="in", partitions=2),
    TopicSpec(name="a", partitions=2),
    TopicSpec(name="b", partitions=2),
]


async def fill(transport: Transport, count: int, size: int = 0) -> None:
    """Put `count` numbered events in each partition of `in`."""
    await transport.ensure(TOPICS)
    for partition in range(2):
        await transport.append(
            [Record("in", partition, None, b"%d" % n, [("pad", b"x" * size)]) for n in range(count)]
        )


async def copy(transport: Transport, batch: int, released: dict[int, int]) -> None:
    """Copy until everything is copied, noting in `released` what was acknowledged."""
    listener = Listener()
    listener.consumer = consumer = await transport.consumer(GROUP, ["in"], listener)
    ends = await transport.offsets("in")
    done = {where.partition: offset for where, offset in (await transport.committed(GROUP, ["in"])).items()}
    while any(done.get(partition, 0) < end for partition, (_, end) in ends.items()):
        deliveries = await consumer.poll(batch, 1.0)
        records = [
            Record(topic, d.partition, d.key, d.value, d.headers) for d in deliveries for topic in ("a", "b")
        ]
        offsets = {d.partition: d.offset + 1 for d in deliveries}
        await consumer.release(
            Release(
                group=GROUP,
                records=records,
                offsets={TopicPartition("in", partition): offset for partition, offset in offsets.items()},
            )
        )
        done.update(offsets)
        released.update(offsets)


async def check(transport: Transport, released: dict[int, int]) -> dict[int, int]:
    """Return what is committed, when it is whole: what was acknowledged is there, each event once, in both topics."""
    committed = {
        where.partition: offset for where, offset in (await transport.committed(GROUP, ["in"])).items()
    }
    for partition in range(2):
        offset = committed.get(partition, 0)
        assert offset >= released.get(partition, 0), "an acknowledged release is gone"
        for topic in ("a", "b"):
            found: list[bytes | None] = []
            while deliveries := await transport.read(TopicPartition(topic, partition), len(found), 1000):
                found += [delivery.value for delivery in deliveries]
            assert found == [b"%d" % n for n in range(offset)], f"{topic} is not what {offset} events give"
    return committed


class _Told(dict[int, int]):
    def update(self, offsets: dict[int, int]) -> None:  # type: ignore[override]
        for partition, offset in offsets.items():
            print(partition, offset, flush=True)


async def main(path: str, batch: int) -> None:
    transport = EmbeddedTransport(Path(path), "app", clock=RealClock())
    await transport.start()
    await copy(transport, batch, _Told())
    await transport.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
