"""In which order the embedded log delivers a backlog: as it was appended, so that its mixture is the stream's own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from streamlets.event import Record
from streamlets.transports.transport import TopicPartition, TopicSpec
from tests.transports.embedded_place import EmbeddedPlace


class FromStart:
    async def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None: ...

    async def lost(self, partitions: Sequence[TopicPartition]) -> None: ...


def test_partitions_of_different_sizes_come_in_the_order_of_their_appending(tmp_path: Path) -> None:
    async def main() -> None:
        place = EmbeddedPlace(tmp_path)
        transport = await place.open()
        try:
            await transport.ensure([TopicSpec(name="t", partitions=3)])
            for hour in range(60):
                sizes = (400, 60, 5)
                records = [
                    Record("t", partition, None, b"x", [], 1_000 + hour)
                    for partition, size in enumerate(sizes)
                    for _ in range(size)
                ]
                await transport.append(records)
            consumer = await transport.consumer("g", ["t"], FromStart())
            seen = 0
            latest = 0
            while seen < 60 * 465:
                for delivery in await consumer.poll(1_000, 1.0):
                    seen += 1
                    latest = max(latest, delivery.timestamp_ms)
                    # A poll gives its partitions one after the other: what it holds spans a few hours at most.
                    assert delivery.timestamp_ms >= latest - 4
            await consumer.close()
        finally:
            await transport.close()

    asyncio.run(main())
