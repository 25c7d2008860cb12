"""Making room: retention by time and by bytes, and compaction, in steps so short that releases hardly wait.

Only the worker tidies, so between two of its steps a chunk can be added but not changed.
"""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import apsw
import msgspec

from streamlets.event import Delivery
from streamlets.ports import Clock
from streamlets.transports.embedded_board import Board
from streamlets.transports.embedded_chunks import MAX_CHUNK_BYTES, MAX_CHUNK_RECORDS, encode_kept
from streamlets.transports.embedded_consumer import decoded_chunk
from streamlets.transports.embedded_file import PLACES
from streamlets.transports.embedded_reader import Reader, Stored
from streamlets.transports.transport import TopicPartition, TopicSpec

T = TypeVar("T")

TIDY_S = 5.0  # between two rounds; retention is late by at most this
STEP_BYTES = 1 << 20  # one step of a scan, read and decoded on the reader's thread in about 5 ms
STEP_CHUNKS = 64  # removed in one transaction: at 256 KiB each about 10 ms
DIRTY_EVENTS = (
    500  # fewer are not worth a compaction; above, it waits until they are as many as what was kept
)
GRACE_S = 24 * 3600.0  # how long a tombstone stays for readers on their way, as in Kafka
GRACE_SETTING = "delete.retention.ms"  # the setting of a topic that says otherwise


Scanned = list[tuple[Stored, list[Delivery]]]


class Log(Protocol):
    """What the tidying needs of its transport."""

    board: Board

    def places(self) -> Mapping[TopicPartition, tuple[int, TopicSpec]]: ...
    def look(self, read: Callable[[], T]) -> Awaitable[T]: ...
    def change(self, change: Callable[[apsw.Connection], T]) -> Awaitable[T]: ...
    async def checkpoint(self, wal_bytes: int) -> None: ...


class Known(msgspec.Struct):
    """What is remembered of a partition between rounds; all of it can be found anew."""

    size: int = 0  # bytes of the chunks up to `counted`
    counted: int = -1
    clean: int = -1  # the end when it was last compacted
    kept: int = 0  # how many were kept then
    stale_ms: float = math.inf  # when the oldest tombstone may go


class Tidy:
    """What there is to remove, found and removed a round at a time."""

    def __init__(self, log: Log, reader: Reader, clock: Clock, path: Path) -> None:
        self._log = log
        self._reader = reader
        self._clock = clock
        self._wal = path.with_name(path.name + "-wal")
        self._known: dict[int, Known] = {}

    async def round(self, *, eager: bool = False) -> None:
        """Make room everywhere. `eager`: compact however little there is to gain."""
        for partition, (place, topic) in list(self._log.places().items()):
            known = self._known.setdefault(place, Known())
            if topic.retention_s is not None or topic.max_bytes is not None:
                await self._retire(place, topic, known)
            if topic.compacted:
                await self._compact(partition, place, topic, known, eager)
        try:
            await self._log.checkpoint(os.stat(self._wal).st_size)
        except FileNotFoundError:
            return

    async def _retire(self, place: int, topic: TopicSpec, known: Known) -> None:
        """Remove chunks from the front: those too old, and those beyond `max_bytes`, which always stay filled."""
        now_ms = int(self._clock.now_s() * 1000)
        oldest_ms = -1.0 if topic.retention_s is None else now_ms - topic.retention_s * 1000
        surplus = 0
        if topic.max_bytes is not None:
            size, known.counted = await self._log.look(partial(self._reader.size, place, known.counted))
            known.size += size
            surplus = known.size - topic.max_bytes
        while True:
            chunks = await self._log.look(partial(self._reader.heads, place, STEP_CHUNKS))
            last = -1
            for chunk in chunks:
                if chunk.stored_ms >= oldest_ms and surplus < chunk.size:
                    break
                if chunk.count == 0 and chunk is chunks[-1]:
                    break  # it says where the partition ends
                surplus -= chunk.size
                known.size -= chunk.size
                last = chunk.last
            if last < 0:
                return
            await self._log.change(partial(_remove, place=place, last=last, now_ms=now_ms))
            self._log.board.note({place: (last + 1, last + 1)})
            if last != chunks[-1].last:
                return

    async def _compact(
        self, partition: TopicPartition, place: int, topic: TopicSpec, known: Known, eager: bool
    ) -> None:
        """Keep the last event of each key; a tombstone goes after its grace, with all that was before it."""
        now_ms = self._clock.now_s() * 1000
        first, end = self._log.board.ends[place]
        dirty = end - max(first, known.clean)
        if not eager and dirty < max(DIRTY_EVENTS, known.kept) and now_ms < known.stale_ms:
            return
        grace_ms = float(topic.config.get(GRACE_SETTING, GRACE_S * 1000))
        latest: dict[bytes | None, int] = {}
        tombstones: dict[bytes | None, float] = {}
        async for scanned in self._scan(partition, place, first, end):
            for chunk, deliveries in scanned:
                for delivery in deliveries:
                    latest[delivery.key] = delivery.offset
                    if delivery.value is None:
                        tombstones[delivery.key] = chunk.stored_ms + grace_ms
                    else:
                        tombstones.pop(delivery.key, None)
        stale = [key for key, until_ms in tombstones.items() if until_ms <= now_ms]
        for key in stale:
            del latest[key]
        async for scanned in self._scan(partition, place, first, end):
            rows = _rewritten(scanned, latest)
            if rows:
                await self._log.change(partial(_rewrite, place=place, ranges=rows))
        known.clean = end
        known.kept = len(latest)
        known.stale_ms = min((until for until in tombstones.values() if until > now_ms), default=math.inf)
        known.size, known.counted = 0, -1

    async def _scan(
        self, partition: TopicPartition, place: int, first: int, end: int
    ) -> AsyncIterator[Scanned]:
        """Yield the chunks before `end` with their deliveries, a step at a time."""
        while first < end:
            scanned = await self._log.look(partial(self._decoded, partition, place, first, end))
            if not scanned:
                return
            yield scanned
            first = scanned[-1][0].last + 1

    def _decoded(self, partition: TopicPartition, place: int, first: int, end: int) -> Scanned:
        chunks = self._reader.chunks(place, first, end, STEP_BYTES)
        return [(chunk, decoded_chunk(partition, chunk.last, chunk.body)) for chunk in chunks]


class Range(msgspec.Struct):
    """Chunks from the offset `first` to `last` that give way to one, or to none when `count` is 0."""

    first: int
    last: int
    count: int
    stored_ms: int
    body: bytes


def _rewritten(scanned: Scanned, latest: Mapping[bytes | None, int]) -> list[Range]:
    """Return what is to change of a step's chunks: what is superseded left out, small neighbours made one."""
    ranges: list[Range] = []
    members: list[Stored] = []
    kept: list[Delivery] = []
    size = had = 0

    def close() -> None:
        if had == len(kept) and len(members) == 1:
            return  # as it was
        first, last = members[0].last - members[0].span + 1, members[-1].last
        body = encode_kept(kept, first, last).body if kept else b""
        ranges.append(Range(first, last, len(kept), max(each.stored_ms for each in members), body))

    for chunk, deliveries in scanned:
        mine = [delivery for delivery in deliveries if latest.get(delivery.key) == delivery.offset]
        share = chunk.size * len(mine) // max(1, chunk.count)
        if members and (len(kept) + len(mine) > MAX_CHUNK_RECORDS or size + share > MAX_CHUNK_BYTES):
            close()
            members, kept, size, had = [], [], 0, 0
        members.append(chunk)
        kept += mine
        size += share
        had += chunk.count
    if members:
        close()
    return ranges


def _rewrite(connection: apsw.Connection, *, place: int, ranges: list[Range]) -> None:
    for each in ranges:
        _delete(connection, place, each.first, each.last)
        if each.count or _is_end(connection, place, each.last):
            _insert(connection, place, each)


def _remove(connection: apsw.Connection, *, place: int, last: int, now_ms: int) -> None:
    """Remove all up to an offset. Where nothing follows, an empty chunk stays to say where the partition ends."""
    _delete(connection, place, 0, last)
    if _is_end(connection, place, last):
        _insert(connection, place, Range(last, last, 0, now_ms, b""))
    connection.execute("UPDATE partitions SET first = ? WHERE id = ?", (last + 1, place))


def _delete(connection: apsw.Connection, place: int, first: int, last: int) -> None:
    base = place << PLACES
    connection.execute("DELETE FROM chunks WHERE id BETWEEN ? AND ?", (base + first, base + last))


def _insert(connection: apsw.Connection, place: int, each: Range) -> None:
    row = ((place << PLACES) + each.last, each.last - each.first + 1, each.count, len(each.body))
    connection.execute("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?)", (*row, each.stored_ms, each.body))


def _is_end(connection: apsw.Connection, place: int, last: int) -> bool:
    query = "SELECT count(*) FROM (SELECT 1 FROM chunks WHERE id > ? AND id < ? LIMIT 1)"
    return not connection.execute(query, ((place << PLACES) + last, (place + 1) << PLACES)).get
