"""A member of a group in the log's one worker: it has all partitions, reads ahead, and shares polls out fairly."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from streamlets.errors import Fatal
from streamlets.event import Delivery, Record
from streamlets.transports.embedded_board import Board
from streamlets.transports.embedded_chunks import Chunk, decode
from streamlets.transports.embedded_reader import Ahead, Found, Request
from streamlets.transports.transport import Fenced, GroupListener, Release, TopicPartition

MAX_OFFERED = 2  # chunks at hand in a partition beyond which what was just committed is left in the log
FETCH_BYTES = 1 << 20  # what one read takes in for a consumer, shared by its partitions


class Log(Protocol):
    """What a consumer needs of its transport."""

    board: Board
    topology: int  # grows when there are more topics or partitions

    def partitions(self, topics: Sequence[str]) -> dict[TopicPartition, int]: ...
    def fetch(self, requests: list[Request]) -> asyncio.Future[list[Found]]: ...
    async def committed(self, group: str, topics: Sequence[str]) -> dict[TopicPartition, int]: ...
    async def submit(
        self,
        records: Sequence[Record],
        offsets: dict[tuple[int, int], int],
        consumer: EmbeddedConsumer | None,
    ) -> list[int]: ...


class Cursor(msgspec.Struct):
    """Where a consumer is in one partition.

    `position`: the next offset to deliver; `read_to`: the next to read; `ahead`: chunks read and not yet decoded;
    `decoded` from index `taken` on: deliveries to come first, stored at `stored_ms`. `is_checked`: the log has
    answered for this position.
    """

    partition: TopicPartition
    place: int
    position: int
    read_to: int
    ahead: deque[Ahead]
    decoded: list[Delivery] = []
    stored_ms: int = 0
    taken: int = 0
    is_paused: bool = False
    is_checked: bool = False

    def move(self, position: int) -> None:
        """Go on at an offset; what was read ahead is dropped, what is being read will be."""
        self.position = self.read_to = position
        self.ahead = deque()
        self.decoded = []
        self.taken = 0
        self.is_checked = False

    def has_some(self) -> bool:
        """Return whether a delivery is at hand; decodes the next chunk if need be."""
        while self.taken >= len(self.decoded):
            if not self.ahead:
                self.decoded = []
                self.taken = 0
                self.position = self.read_to  # beyond what compaction has taken away
                return False
            last, self.stored_ms, body = self.ahead.popleft()
            self.decoded = decoded_chunk(self.partition, last, body)
            self.taken = 0
            while self.taken < len(self.decoded) and self.decoded[self.taken].offset < self.position:
                self.taken += 1
        return True

    @property
    def n_decoded(self) -> int:
        """How many deliveries are left of the chunk at hand, which was stored at one time."""
        return len(self.decoded) - self.taken

    def take(self, count: int) -> list[Delivery]:
        """Return up to `count` deliveries at hand, oldest first, of one chunk."""
        out = self.decoded[self.taken : self.taken + count]
        self.taken += len(out)
        self.position = out[-1].offset + 1
        if self.taken == len(self.decoded) and not self.ahead:
            self.position = self.read_to
        return out


def decoded_chunk(partition: TopicPartition, last: int, body: bytes) -> list[Delivery]:
    """Return the deliveries of a chunk. Raises: Fatal (`log-corrupt`)."""
    if not body:
        return []
    try:
        return decode(partition.topic, partition.partition, last, body)
    except ValueError as exc:
        raise Fatal(
            f"{partition.topic}/{partition.partition}: what is stored up to offset {last} cannot be read",
            code="log-corrupt",
            hint="restore the log from a copy",
        ) from exc


class EmbeddedConsumer:
    """See `Consumer`. Positions are of this process; the group's committed offsets are in the log."""

    def __init__(
        self,
        log: Log,
        group: str,
        number: int,
        topics: list[str],
        listener: GroupListener,
        fetch: bool,
        closed: Callable[[EmbeddedConsumer], None],
    ) -> None:
        self.group = group
        self.is_fenced = False
        self._log = log
        self._number = number
        self._topics = topics
        self._listener = listener
        self._fetches = fetch
        self._closed = closed
        self._cursors: dict[TopicPartition, Cursor] = {}
        self._places: dict[int, Cursor] = {}
        self._topology = -1
        self._turn = 0
        self._reading: asyncio.Future[list[Found]] | None = None
        self._has_told_lost = False

    def __repr__(self) -> str:
        return f"EmbeddedConsumer({self.group!r}, {self._topics!r}, partitions={len(self._cursors)})"

    async def poll(self, max_events: int, timeout_s: float) -> list[Delivery]:
        """Return deliveries, in order within each partition, at most `max_events`; empty after `timeout_s`.

        Cancelled, nothing is lost. Raises: Fenced when closed, or when a later consumer has joined the group; Fatal
        (`offset-out-of-range`) when the position is not in the log any more: `seek` goes on.
        """
        await self._check_ours()
        if self._topology != self._log.topology:
            await self._assign()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            if self._reading is not None and self._reading.done():
                self._take_in()
            if self._reading is not None and self._is_starved():
                await asyncio.wait([self._reading])
                continue
            out = self._take(max_events)
            self._read_ahead(max_events)
            if out:
                return out
            if self._reading is not None:
                await asyncio.wait([self._reading])
                continue
            remaining = deadline - loop.time()
            if remaining <= 0:
                return []
            await self._log.board.wait_change(remaining, self._places)
            await self._check_ours()
            if self._topology != self._log.topology:
                await self._assign()

    async def _check_ours(self) -> None:
        if not self.is_fenced:
            return
        if not self._has_told_lost:
            self._has_told_lost = True
            if self._cursors:
                await self._listener.lost(sorted(self._cursors))
        raise fenced(self.group)

    async def _assign(self) -> None:
        """Begin with the partitions that are new: all of them at the first poll."""
        topology = self._log.topology
        places = self._log.partitions(self._topics)
        new = sorted(places.keys() - self._cursors.keys())
        if new or self._topology < 0:
            begins = await self._listener.assigned(new)
            for partition in new:
                begin = begins[partition]
                cursor = Cursor(partition, places[partition], begin, begin, deque())
                self._cursors[partition] = self._places[cursor.place] = cursor
        self._topology = topology

    def _take(self, max_events: int) -> list[Delivery]:
        """Return what is at hand in the order of its appending; of what was appended together, shares in proportion.

        A partition that fell behind is served first. Else a short partition of a backlog would be through before the
        others, and whoever looks at all of them together would see a mixture that never was.
        """
        ready = [cursor for cursor in self._cursors.values() if not cursor.is_paused and cursor.has_some()]
        self._turn += 1
        taken: dict[int, list[Delivery]] = {}
        room = max_events
        while room > 0 and ready:
            oldest_ms = min([cursor.stored_ms for cursor in ready])
            first = [cursor for cursor in ready if cursor.stored_ms == oldest_ms]
            turn = self._turn % len(first)
            scale = min(1.0, room / sum([cursor.n_decoded for cursor in first]))
            for cursor in (*first[turn:], *first[:turn]):
                if room > 0:
                    got = cursor.take(min(room, max(1, round(cursor.n_decoded * scale))))
                    taken.setdefault(cursor.place, []).extend(got)
                    room -= len(got)
            ready = [cursor for cursor in ready if cursor.has_some()]
        out: list[Delivery] = []
        for got in taken.values():
            out += got
        return out

    def _is_starved(self) -> bool:
        """Return whether a partition has more in the log, but nothing at hand: its share would be passed over."""
        ends = self._log.board.ends
        return any(
            not cursor.is_paused and cursor.read_to < ends[cursor.place][1] and not cursor.has_some()
            for cursor in self._cursors.values()
        )

    def _read_ahead(self, max_events: int) -> None:
        """Begin to read what the log has for the partitions that have little at hand, unless a read is under way."""
        if self._reading is not None or not self._fetches:
            return
        ends = self._log.board.ends
        wanted = [
            cursor
            for cursor in self._cursors.values()
            if not cursor.is_paused
            and not cursor.ahead
            and len(cursor.decoded) - cursor.taken < max_events
            and (not cursor.is_checked or cursor.read_to < ends[cursor.place][1])
        ]
        if wanted:
            share = FETCH_BYTES // len(wanted)
            requests = [Request(cursor.place, cursor.read_to, share) for cursor in wanted]
            self._reading = self._log.fetch(requests)
            self._reading.add_done_callback(_noted)

    def _take_in(self) -> None:
        """Put what was read into the cursors that still are where they were."""
        reading, self._reading = self._reading, None
        assert reading is not None
        for found in reading.result():
            cursor = self._places[found.request.partition]
            if cursor.read_to != found.request.position or cursor.ahead:
                continue  # it was moved meanwhile
            if found.first > cursor.read_to or cursor.read_to > found.end:
                raise Fatal(
                    f"{cursor.partition.topic}/{cursor.partition.partition}: offset {cursor.read_to} is not in the"
                    f" log, which has {found.first} to {found.end}",
                    code="offset-out-of-range",
                    hint="retention has taken it, or the log is not the one that was read before",
                )
            cursor.ahead.extend(found.chunks)
            cursor.read_to = found.end
            cursor.is_checked = True

    def offer(self, chunks: Mapping[int, Sequence[Chunk]], firsts: Mapping[int, int], stored_ms: int) -> None:
        """Take chunks that this process has just committed, where they are the next to read: no need to read them."""
        if not self._fetches:
            return
        for place in chunks.keys() & self._places.keys():
            cursor = self._places[place]
            first = firsts[place]
            for chunk in chunks[place]:
                if cursor.read_to != first or not cursor.is_checked or len(cursor.ahead) >= MAX_OFFERED:
                    break
                first += chunk.span
                cursor.ahead.append((first - 1, stored_ms, chunk.body))
                cursor.read_to = first

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Deliver nothing of these partitions until they are resumed; the position is kept."""
        for partition in partitions:
            if partition in self._cursors:
                self._cursors[partition].is_paused = True

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Deliver of these partitions again; a poll under way takes notice."""
        for partition in partitions:
            if partition in self._cursors:
                self._cursors[partition].is_paused = False
        self._log.board.wake()

    async def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Go on at these offsets. A following poll delivers nothing read from before the seek."""
        for partition, position in positions.items():
            if partition in self._cursors:
                self._cursors[partition].move(position)
        self._log.board.wake()

    async def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        """Return the group's committed offsets; None where there is none yet."""
        found = await self._log.committed(self.group, sorted({each.topic for each in partitions}))
        return {partition: found.get(partition) for partition in partitions}

    def position(self, partition: TopicPartition) -> int:
        """Return the next offset that a poll can deliver: beyond compacted records already passed."""
        return self._cursor(partition).position

    def _cursor(self, partition: TopicPartition) -> Cursor:
        cursor = self._cursors.get(partition)
        if cursor is None:
            raise Fenced(
                f"{partition.topic}/{partition.partition} is not assigned to this consumer of {self.group}",
                code="not-assigned",
            )
        return cursor

    async def release(self, release: Release) -> None:
        """Make a release visible and durable, whole. Atomic here, also where that was not asked for.

        Cancelled, it may still take place. Raises: Aborted (`disk-full`, `disk-error`, `busy`), UnknownOutcome, Fenced;
        Rejected (`too-large`, `null-key`): the number in the hint is the record's index; Fatal.
        """
        if self.is_fenced:
            raise fenced(self.group)
        if release.group != self.group:
            raise Fatal(
                f"a release of group {release.group} was given to a consumer of {self.group}",
                code="wrong-group",
            )
        offsets = {
            (self._number, self._cursor(partition).place): offset
            for partition, offset in release.offsets.items()
        }
        await self._log.submit(release.records, offsets, self)

    def fence(self) -> None:
        """The group has another member now, or none: nothing of this one is released any more."""
        self.is_fenced = True
        self._log.board.wake()

    async def close(self) -> None:
        """Leave the group; what was polled and not released will be delivered to the next member.

        A release under way is finished first.
        """
        self._has_told_lost = True
        self.fence()
        self._closed(self)


def fenced(group: str) -> Fenced:
    return Fenced(f"the consumer of {group} is closed, or a later one has taken its place")


def _noted(reading: asyncio.Future[list[Found]]) -> None:
    """Keep asyncio from complaining of an error that no poll came to fetch: the consumer was closed."""
    if not reading.cancelled():
        reading.exception()
