"""What a worker meets on a disk that is really full.

`python -m tests.transports.full_disk FOLDER`, a folder on a disk of 3 MiB.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import apsw

from streamlets.suites.transport import Listener, event
from streamlets.transports.embedded import EmbeddedTransport
from streamlets.transports.transport import Aborted, Consumer, Release, TopicPartition, TopicSpec
from tests.transports.embedded_place import EmbeddedPlace

TOPICS = [
    TopicSpec(name="in"),
    TopicSpec(name="a"),
    TopicSpec(name="b"),
    TopicSpec(name="state", compacted=True),
]
WHERE = TopicPartition("in", 0)


async def begun(place: EmbeddedPlace, count: int = 3) -> tuple[EmbeddedTransport, Consumer]:
    """Return a worker's transport with `count` events in its inlet, and a consumer that has polled."""
    log = place.transport()
    await log.start()
    await log.ensure(TOPICS)
    await log.append([event("in", n) for n in range(count)])
    consumer = await log.consumer("g", ["in"], Listener({}))
    while not await consumer.poll(count, 1.0):
        pass
    return log, consumer


async def release(consumer: Consumer, offset: int) -> str | None:
    """Return the code with which a release of 40 kB was aborted, None when it took place."""
    records = [event(topic, os.urandom(20_000)) for topic in ("a", "b")]
    try:
        await consumer.release(Release(group="g", records=records, offsets={WHERE: offset}))
    except Aborted as exc:
        return exc.code
    return None


async def main(disk: Path) -> None:
    ballast = disk / "ballast"
    log, consumer = await begun(EmbeddedPlace(disk), count=200)
    ballast.write_bytes(b"x" * (1 << 20))
    released = 0
    while (code := await release(consumer, released + 1)) is None:
        released += 1
    assert code == "disk-full"
    assert released > 5
    for _ in range(5):  # it goes on being full, and goes on being said
        code = await release(consumer, released + 1)
        assert code in ("disk-full", None)
        released += code is None
    assert await log.committed("g", ["in"]) == {WHERE: released}
    ballast.unlink()
    assert await release(consumer, released + 1) is None
    for topic in ("a", "b"):
        assert (await log.offsets(topic))[0] == (0, released + 1)
    await log.close()
    connection = apsw.Connection(str(disk / "app.log"))
    assert connection.pragma("integrity_check") == "ok"
    connection.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
