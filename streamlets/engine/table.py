"""Table inlets: a compacted topic read whole by every worker before its first event, then followed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from streamlets.errors import Rejected
from streamlets.event import Event, decode
from streamlets.formats.format import Channel
from streamlets.transports.transport import TopicPartition, Transport

READ_EVENTS = 2_000


class TableReader:
    """The latest event of each key of a topic, all partitions. Implements `ports.Table`."""

    def __init__(self, transport: Transport, topic: str, channel: Channel | None = None) -> None:
        """`channel`: where the topic's events are not JSON."""
        self._transport = transport
        self._channel = channel
        self._topic = topic
        self._entries: dict[str, Event] = {}
        self._positions: dict[int, int] = {}
        self._version = 0
        self._seen: dict[asyncio.Task[object] | None, int] = {}
        self._changed = asyncio.Event()

    def entries(self) -> Mapping[str, Event]:
        return self._entries

    async def changed(self) -> None:
        caller = asyncio.current_task()
        while self._seen.get(caller, 0) == self._version:
            self._changed.clear()
            await self._changed.wait()
        self._seen[caller] = self._version

    async def catch_up(self) -> None:
        """Return when everything has been read up to the end noted at the start of the call."""
        for partition, (first, end) in (await self._transport.offsets(self._topic)).items():
            where = TopicPartition(self._topic, partition)
            position = max(self._positions.get(partition, 0), first)
            while position < end:
                deliveries = await self._transport.read(where, position, READ_EVENTS, end)
                if not deliveries:
                    break
                # A concurrent reader may have gone further meanwhile: entries are only ever replaced by later ones.
                for delivery in deliveries:
                    if delivery.offset < self._positions.get(partition, 0):
                        continue
                    key = (delivery.key or b"").decode(errors="replace")
                    if delivery.value is None:
                        self._entries.pop(key, None)
                    else:
                        try:
                            self._entries[key] = decode(
                                delivery if self._channel is None else self._channel.read(delivery)
                            )
                        except Rejected:
                            continue  # not an event: it cannot say anything, and must not stop those that can
                    self._version += 1
                position = deliveries[-1].offset + 1
                self._positions[partition] = max(position, self._positions.get(partition, 0))
            self._positions[partition] = max(end, self._positions.get(partition, 0))
        self._changed.set()

    async def follow(self) -> None:
        """Read what is appended, without end; to be cancelled."""
        while True:
            await self._transport.wait(1.0, [self._topic])
            await self.catch_up()
