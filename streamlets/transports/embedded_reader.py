"""What the reading thread does: short reads, each its own snapshot, so that no reader holds up a checkpoint."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import apsw
import msgspec

from streamlets.errors import StreamletsError
from streamlets.transports.embedded_file import PLACES, Patience, Role, connect, outside, translated
from streamlets.transports.embedded_lane import WATCH_S
from streamlets.transports.transport import Durability, TopicPartition, TopicSpec

T = TypeVar("T")

_CHUNKS = "SELECT id, span, stored_ms, body FROM chunks WHERE id BETWEEN ? AND ? ORDER BY id"
_ENDS = """SELECT p.id, p.first, (SELECT max(c.id) FROM chunks c
    WHERE c.id >= p.id << 42 AND c.id < (p.id + 1) << 42) FROM partitions p"""
_ENDS_OF_TOPIC = _ENDS + " WHERE p.topic = (SELECT id FROM topics WHERE name = ?)"  # noqa: S608 - both are constants
_ENDS_OF_ONE = _ENDS + " WHERE p.id = ?"


class Request(msgspec.Struct, gc=False):
    """Read a partition from the offset `position` on, up to about `max_bytes`, at least one chunk."""

    partition: int
    position: int
    max_bytes: int


Ahead = tuple[int, int, bytes]


class Found(msgspec.Struct, gc=False):
    """Chunks as (last offset, time of storing, body), and the offset after what was read.

    `end` is the partition's own where nothing follows; `first`, the first offset there is, is looked up only when the
    chunks do not begin at the position.
    """

    request: Request
    chunks: list[Ahead]
    end: int
    first: int = 0


class Stored(msgspec.Struct, gc=False):
    """A chunk as it lies in the file; `body` is empty where only its measures were asked for."""

    last: int
    span: int
    count: int
    size: int
    stored_ms: int
    body: bytes = b""


Ends = dict[int, tuple[int, int]]
Catalog = tuple[dict[str, TopicSpec], dict[TopicPartition, int]]


class Reader:
    """The one connection that reads."""

    def __init__(
        self,
        path: Path,
        role: Role,
        durability: Durability,
        vfs: str | None,
        changed: Callable[[Ends], None],
    ) -> None:
        """`changed` is called on the reading thread with all ends when another connection has committed."""
        self._path = path
        self._open: Callable[[], apsw.Connection] = lambda: connect(path, role, durability, vfs, Patience())
        self._connection: apsw.Connection | None = None
        self._changed = changed
        self._version = -1
        self._looked_s = -math.inf

    def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def look(self) -> None:
        """Tell of the ends, if another connection has committed since the last look."""
        self._looked_s = time.monotonic()  # a look at another process: no virtual clock moves it
        try:
            version = self._connected().pragma("data_version")
            if version != self._version:
                ends = self.ends()
                self._version = version
                self._changed(ends)
        except (apsw.Error, StreamletsError):
            self.close()  # the next read meets the trouble and says so to who asked

    def ends(self, topic: str | None = None) -> Ends:
        """Return (first offset, offset after the last record) of every partition there is, or of a topic's."""
        if topic is None:
            rows = self._rows(_ENDS)
        else:
            rows = self._rows(_ENDS_OF_TOPIC, (topic,))
        return {
            partition: (first, first if last is None else last - (partition << PLACES) + 1)
            for partition, first, last in rows
        }

    def catalog(self) -> Catalog:
        """Return the topics, and the number of each partition."""
        with self._snapshot():
            specs = self._rows("SELECT name, spec FROM topics ORDER BY name")
            places = self._rows(
                "SELECT t.name, p.number, p.id FROM partitions p JOIN topics t ON t.id = p.topic"
            )
        return (
            {name: msgspec.convert(json.loads(spec), TopicSpec) for name, spec in specs},
            {TopicPartition(name, number): partition for name, number, partition in places},
        )

    def fetch(self, requests: list[Request]) -> list[Found]:
        """Return what there is for each request."""
        if time.monotonic() - self._looked_s >= WATCH_S:
            self.look()  # who reads all the time waits for nothing, and would not hear of others' appends
        return [self._fetch(request) for request in requests]

    def _fetch(self, request: Request) -> Found:
        chunks, has_gap = self._chunks_from(request)
        if chunks and not has_gap:
            return Found(request, chunks, chunks[-1][0] + 1)
        # What is missing and where the partition ends must be of one moment: else a chunk that is added between two
        # looks would be passed over.
        with self._snapshot():
            chunks, _ = self._chunks_from(request)
            first, end = self._bounds(request.partition)
        return Found(request, chunks, chunks[-1][0] + 1 if chunks else end, first)

    def _chunks_from(self, request: Request) -> tuple[list[Ahead], bool]:
        """Return the chunks from a position on, and whether the first of them begins beyond it."""
        low = request.partition << PLACES
        chunks: list[Ahead] = []
        size = 0
        has_gap = False
        cursor: Any = self._connected().execute(_CHUNKS, (low + request.position, low + (1 << PLACES) - 1))
        for place, span, stored_ms, body in cursor:
            last = place - low
            if not chunks:
                has_gap = last - span + 1 > request.position
            chunks.append((last, stored_ms, body))
            size += len(body)
            if size >= request.max_bytes:
                break
        cursor.close()  # ends the read transaction
        return chunks, has_gap

    def _bounds(self, partition: int) -> tuple[int, int]:
        first, last = self._rows(_ENDS_OF_ONE, (partition,))[0][1:]
        return first, first if last is None else last - (partition << PLACES) + 1

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """Let all reads inside see one moment of the log; kept short, for it holds up checkpoints."""
        connection = self._connected()
        connection.execute("BEGIN")
        try:
            yield
        finally:
            if connection.in_transaction:
                connection.execute("COMMIT")

    def committed(self, group: str) -> dict[int, int]:
        """Return a group's committed offsets by partition."""
        query = "SELECT partition, next FROM offsets JOIN groups ON groups.id = member WHERE name = ?"
        return dict(self._rows(query, (group,)))

    def size(self, partition: int, counted: int) -> tuple[int, int]:
        """Return (bytes of the chunks after the offset `counted`, last offset of the last of them)."""
        low = partition << PLACES
        query = "SELECT total(size), max(id) FROM chunks WHERE id BETWEEN ? AND ?"
        size, last = self._rows(query, (low + counted + 1, low + (1 << PLACES) - 1))[0]
        return int(size), counted if last is None else last - low

    def heads(self, partition: int, limit: int) -> list[Stored]:
        """Return the measures of the first chunks there are."""
        low = partition << PLACES
        query = "SELECT id - ?, span, count, size, stored_ms FROM chunks WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
        return [Stored(*row) for row in self._rows(query, (low, low, low + (1 << PLACES), limit))]

    def chunks(self, partition: int, first: int, end: int, max_bytes: int) -> list[Stored]:
        """Return the chunks with their last offset from `first` on and before `end`, at least one if there is one."""
        low = partition << PLACES
        query = "SELECT id - ?, span, count, size, stored_ms, body FROM chunks WHERE id >= ? AND id < ? ORDER BY id"
        found: list[Stored] = []
        size = 0
        cursor: Any = self._connected().execute(query, (low, low + first, low + end))
        for row in cursor:
            found.append(Stored(*row))
            size += found[-1].size
            if size >= max_bytes:
                break
        cursor.close()
        return found

    def guarded(self, read: Callable[[], T]) -> T:
        """Return what `read` returns. Raises: Unavailable for what may pass, Fatal for the rest."""
        try:
            return read()
        except apsw.Error as exc:
            self.close()  # a fresh connection is the surest way back to a known state
            raise outside(translated(exc, self._path)) from exc

    def _rows(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        return self._connected().execute(query, values).fetchall()

    def _connected(self) -> apsw.Connection:
        if self._connection is None:
            self._connection = self._open()
            self._version = -1
        return self._connection
