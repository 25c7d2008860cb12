"""The embedded log: topics in one SQLite file, for one worker process and any number of clients beside it.

The event loop gathers and encodes; the writer's thread commits all that waits in one transaction with one sync; the
reader's thread reads. So a release costs its share of a sync, and the loop never waits for a disk. The file, the codec
and what the two threads do are in the `embedded_*` files beside this one; this is the whole surface of the transport,
which is why it is long.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar
from weakref import WeakKeyDictionary

import apsw

from streamlets.errors import Fatal, Rejected, StreamletsError, Unavailable
from streamlets.event import Delivery, Record
from streamlets.ports import Clock
from streamlets.transports.embedded_board import Board
from streamlets.transports.embedded_chunks import Chunk, size
from streamlets.transports.embedded_commits import MAX_RECORD_BYTES, Commits, Pending
from streamlets.transports.embedded_consumer import FETCH_BYTES, EmbeddedConsumer, decoded_chunk
from streamlets.transports.embedded_file import (
    Role,
    check_disk,
    check_platform,
    free_worker,
    hold_worker,
    outside,
    prepare,
)
from streamlets.transports.embedded_lane import Lane
from streamlets.transports.embedded_reader import Found, Reader, Request
from streamlets.transports.embedded_tidy import GRACE_SETTING, TIDY_S, Tidy
from streamlets.transports.embedded_writer import (
    CHECKPOINT_PAGES,
    Group,
    Writer,
    add_topics,
    alter_topic,
    member,
)
from streamlets.transports.transport import Aborted, Durability, GroupListener, TopicPartition, TopicSpec

T = TypeVar("T")

log = logging.getLogger(__name__)

_TOPIC_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


class EmbeddedTransport:
    """Topics in one file. `role` worker: the one process that runs the application; client: appends and reads."""

    name = "embedded"

    def __init__(
        self,
        path: str | os.PathLike[str],
        application: str,
        *,
        clock: Clock,
        role: Role = "worker",
        durability: Durability = "full",
        vfs: str | None = None,
    ) -> None:
        """`durability` normal: a power cut may take the last commits back. `vfs`: an apsw VFS to go through."""
        self.topology = 0
        self._path = Path(path)
        self._application = application
        self._clock = clock
        self._role: Role = role
        self._durability: Durability = durability
        self._vfs = vfs
        self._is_open = False
        self._pid = 0
        self._topics: dict[str, TopicSpec] = {}
        self._places: dict[TopicPartition, int] = {}
        self._writable: dict[tuple[str, int], tuple[int, bool]] = {}
        self._consumers: dict[str, EmbeddedConsumer] = {}
        self._seen: WeakKeyDictionary[asyncio.Task[object], dict[tuple[str, ...] | None, int]] = (
            WeakKeyDictionary()
        )
        self._loading: asyncio.Task[None] | None = None
        self._tidies = asyncio.Lock()
        self._tidying: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"EmbeddedTransport({str(self._path)!r}, {self._application!r}, role={self._role!r})"

    # Open and close.

    async def start(self) -> None:
        """Open the log; a worker takes it, makes it if need be, and brings it to the present format.

        Raises: Fatal with what to do about it.
        """
        check_platform()
        folder = self._path.absolute().parent
        if self._role == "worker":
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as exc:
                raise Fatal(
                    f"{folder} cannot be made: {exc.strerror}",
                    code="log-cannot-open",
                    hint="name a file elsewhere: --on embedded:FILE",
                ) from exc
        if folder.is_dir():
            check_disk(folder)
        if self._path.exists() and not self._path.is_file():
            what = "a folder" if self._path.is_dir() else "no regular file"
            raise Fatal(f"{self._path} is {what}", code="not-a-log", hint="name a file: --on embedded:FILE")
        if self._role == "worker":
            hold_worker(self._path)
        try:
            await asyncio.to_thread(
                prepare, self._path, self._application, self._role, self._durability, self._vfs
            )
            await self._open()
        except BaseException as exc:
            self._free()
            if isinstance(exc, Aborted | Unavailable):  # what a worker that runs would wait for
                hint = "see to the disk, then start again" if exc.code.startswith("disk") else exc.hint
                raise Fatal(exc.message, code=exc.code, hint=hint, exit_code=128) from exc
            raise

    async def _open(self) -> None:
        settings = (self._path, self._role, self._durability, self._vfs)
        self._writer = Writer(*settings)
        self._reader = Reader(*settings, lambda ends: self._read_lane.tell(self._note, ends))
        self._write_lane = Lane("streamlets-log-write")
        self._read_lane = Lane("streamlets-log-read", self._reader.look)
        self.board = Board(self._read_lane)
        self._commits = Commits(self._write_lane, self._writer, self._clock, self._told)
        self._is_open = True
        self._pid = os.getpid()
        self._tidy = Tidy(self, self._reader, self._clock, self._path)
        try:
            await self._write_lane.call(self._writer.open)
            await self._load()
            if self._role == "worker":
                self._tidying = asyncio.create_task(self._tidy_up(), name="streamlets-log-tidy")
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Return when what was being written is written and the file is free for another worker.

        Consumers are fenced. Closing again does nothing.
        """
        if not self._is_open:
            return
        self._is_open = False
        if self._tidying is not None:
            self._tidying.cancel()
            await asyncio.wait([self._tidying])
        for consumer in list(self._consumers.values()):
            await consumer.close()
        try:
            await self._commits.drain()
            await self._read_lane.call(self._reader.close)
            await self._write_lane.call(self._writer.close)
        finally:
            self.board.wake()
            await self._read_lane.close()
            await self._write_lane.close()
            self._free()

    def _free(self) -> None:
        if self._role == "worker":
            free_worker(self._path)

    def _check_open(self) -> None:
        if not self._is_open:
            raise Fatal(f"{self._path} is not open", code="log-closed", exit_code=70)
        if os.getpid() != self._pid:
            # A forked child has neither our threads nor a right to our connections and locks.
            raise Fatal(f"{self._path} was opened before a fork", code="log-forked", exit_code=70)

    # Topics.

    async def ensure(self, topics: Sequence[TopicSpec]) -> None:
        """Create the topics that are missing. Raises: Fatal (`topic-differs`, `bad-topic-name`, `bad-topic-config`)."""
        for topic in topics:
            _check_topic(topic)
        for name in await self.change(lambda connection: add_topics(connection, topics)):
            _say_what_is_without_effect(next(topic for topic in topics if topic.name == name))
        await self._load()

    async def alter(self, topic: TopicSpec) -> None:
        """Change a topic's settings and add partitions, which consumers then pick up. Raises: Fatal."""
        _check_topic(topic)
        await self.change(lambda connection: alter_topic(connection, topic))
        await self._load()

    async def topics(self) -> dict[str, TopicSpec]:
        """Return the topics there are, by name."""
        await self._load()
        return dict(self._topics)

    async def offsets(self, topic: str) -> dict[int, tuple[int, int]]:
        """Return (first offset there is, offset after the last committed record) by partition."""
        await self._find([topic])
        ends = await self.look(partial(self._reader.ends, topic))
        return {each.partition: ends[place] for each, place in self.partitions([topic]).items()}

    async def committed(self, group: str, topics: Sequence[str]) -> dict[TopicPartition, int]:
        """Return a group's committed offsets without joining it."""
        await self._find(topics)
        await self._commits.wait_written()  # what is under way may be of this group
        found = await self.look(partial(self._reader.committed, group))
        return {each: found[place] for each, place in self.partitions(topics).items() if place in found}

    def partitions(self, topics: Sequence[str]) -> dict[TopicPartition, int]:
        """Return the partitions of topics, with the number that each has in the file."""
        return {each: place for each, place in self._places.items() if each.topic in topics}

    async def _find(self, topics: Sequence[str]) -> None:
        """Return when the topics are known. Raises: Fatal (`topic-missing`)."""
        self._check_open()
        if any(topic not in self._topics for topic in topics):
            await self._load()  # made by another process, perhaps
        for topic in topics:
            if topic not in self._topics:
                raise _missing(topic)

    async def _load(self) -> None:
        """Read the topics there are, and the ends with them."""
        topics, places = await self.look(self._reader.catalog)
        self._topics = topics
        self._writable = {
            (each.topic, each.partition): (place, topics[each.topic].compacted)
            for each, place in places.items()
        }
        ends = await self.look(self._reader.ends)
        if places != self._places:
            self._places = places
            self.topology += 1
        self.board.note(ends)
        self.board.wake()

    # Making room.

    async def tidy(self) -> None:
        """Apply retention and compact now, however little there is to gain; the worker does it by itself in time."""
        self._check_open()
        async with self._tidies:
            await self._tidy.round(eager=True)

    async def _tidy_up(self) -> None:
        while True:
            await self._clock.sleep(TIDY_S)
            try:
                async with self._tidies:
                    await self._tidy.round()
            except StreamletsError as exc:
                # Room is made later. What the trouble is, releases meet as well, and say it to their stage.
                log.warning("log.tidy.failed file=%s error=%s", self._path, exc.message)

    def places(self) -> dict[TopicPartition, tuple[int, TopicSpec]]:
        """Return every partition's number, and its topic's settings."""
        return {each: (place, self._topics[each.topic]) for each, place in self._places.items()}

    async def checkpoint(self, wal_bytes: int) -> None:
        """Checkpoint if the WAL has grown by clients' commits."""
        if wal_bytes >= CHECKPOINT_PAGES * 4096:
            await self._write_lane.call(self._writer.checkpoint)

    # Reading.

    async def read(
        self, partition: TopicPartition, first: int, max_events: int, end: int | None = None
    ) -> list[Delivery]:
        """Return committed records from offset `first` on, before `end`, without a group; empty at the end.

        A `first` that retention has taken means the first offset there is.
        """
        await self._find([partition.topic])
        place = self._places.get(partition)
        if place is None:
            raise _missing(partition.topic, partition.partition)
        out: list[Delivery] = []
        while len(out) < max_events and (end is None or first < end):
            found = (await self.fetch([Request(place, first, FETCH_BYTES)]))[0]
            if not found.chunks:
                break
            for last, _, body in found.chunks:
                for delivery in decoded_chunk(partition, last, body):
                    if delivery.offset >= first and (end is None or delivery.offset < end):
                        out.append(delivery)
                if len(out) >= max_events:
                    break
            first = found.end
        return out[:max_events]

    def fetch(self, requests: list[Request]) -> asyncio.Future[list[Found]]:
        """Return a future of what there is for each request."""
        return self.look(partial(self._reader.fetch, requests))

    def look(self, read: Callable[[], T]) -> asyncio.Future[T]:
        """Return a future of what is read on the reader's thread. Raises: Unavailable, Fatal."""
        self._check_open()
        return self._read_lane.call(partial(self._reader.guarded, read))

    async def wait(self, timeout_s: float, topics: Sequence[str] | None = None) -> None:
        """Return when something may have been appended to one of the topics (None: any), or after `timeout_s`.

        What was appended since the calling task last returned from here with these topics counts, so that nothing is
        missed in between; the first call returns at once.
        """
        self._check_open()
        task = asyncio.current_task()
        assert task is not None
        seen = self._seen.setdefault(task, {})
        which = None if topics is None else tuple(topics)
        places = None if topics is None else set(self.partitions(topics).values())
        if seen.get(which, -1) >= self.board.last_change(places):
            await self.board.wait_change(timeout_s, places)
        seen[which] = self.board.changes

    def _note(self, ends: dict[int, tuple[int, int]]) -> None:
        """Take over what the reader saw of other processes' commits."""
        if self._is_open and self.board.note(ends):
            self._loading = asyncio.get_running_loop().create_task(self._load())
            self._loading.add_done_callback(_noted)

    # Groups.

    async def consumer(
        self,
        group: str,
        topics: Sequence[str],
        listener: GroupListener,
        *,
        fetch: bool = True,
    ) -> EmbeddedConsumer:
        """Join a group: all partitions are this consumer's; an earlier one of the same group loses them.

        Raises: Fatal (`topic-missing`; `not-the-worker` for a client).
        """
        self._check_open()
        if self._role != "worker":
            raise Fatal(
                f"{self._path} is open as a client: only its worker takes part in groups",
                code="not-the-worker",
                hint="read without a group, or run the application",
            )
        await self._find(topics)
        before = self._consumers.get(group)
        if before is not None:
            before.fence()
        # Behind a release of the earlier one that is being written: `committed` must know of it.
        number = await self.change(lambda connection: member(connection, group))
        consumer = EmbeddedConsumer(self, group, number, list(topics), listener, fetch, self._left)
        self._consumers[group] = consumer
        return consumer

    def _left(self, consumer: EmbeddedConsumer) -> None:
        if self._consumers.get(consumer.group) is consumer:
            del self._consumers[consumer.group]

    # Writing.

    async def append(self, records: Sequence[Record]) -> list[int]:
        """Append records outside any group, durably, and return their offsets.

        Cancelled, it may still take place. Raises: Unavailable (`disk-full`, `busy`): nothing was written, try again;
        Rejected (`too-large`, `null-key`); Fatal (`topic-missing`).
        """
        try:
            return await self.submit(records, {}, None)
        except Aborted as exc:
            raise outside(exc) from exc

    async def submit(
        self,
        records: Sequence[Record],
        offsets: dict[tuple[int, int], int],
        consumer: EmbeddedConsumer | None,
    ) -> list[int]:
        """Return the records' offsets once they and the group's offsets are durable, in one transaction."""
        self._check_open()
        try:
            by_place, order = self._placed(records, consumer is None)
        except Fatal:
            await self._load()  # made by another process, perhaps
            by_place, order = self._placed(records, consumer is None)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[int]] = loop.create_future()
        self._commits.add(Pending(by_place, len(records), offsets, order, consumer, future))
        try:
            return await future
        except Rejected as exc:
            index = next(index for index, record in enumerate(records) if size(record) > MAX_RECORD_BYTES)
            raise Rejected(exc.message, code=exc.code, hint=str(index)) from exc

    def _placed(
        self, records: Sequence[Record], is_ordered: bool
    ) -> tuple[dict[int, list[Record]], list[tuple[int, int]]]:
        """Return the records by partition, and where each one went. Raises: Fatal (`topic-missing`), Rejected."""
        by_place: dict[int, list[Record]] = {}
        order: list[tuple[int, int]] = []
        topic, partition, place, is_compacted = "", -1, -1, False
        into: list[Record] = []
        for index, record in enumerate(records):
            if record.partition != partition or record.topic != topic:
                topic, partition = record.topic, record.partition
                found = self._writable.get((topic, partition))
                if found is None:
                    raise _missing(topic, partition)
                place, is_compacted = found
                into = by_place.setdefault(place, [])
            if is_compacted and record.key is None:
                raise Rejected(
                    f"an event without a key cannot be kept in {topic}, which is compacted",
                    code="null-key",
                    hint=str(index),
                )
            if is_ordered:
                order.append((place, len(into)))
            into.append(record)
        return by_place, order

    async def change(self, change: Callable[[apsw.Connection], T]) -> T:
        """Return what `change` returns, made in a transaction of its own. Raises: Unavailable, Fatal."""
        self._check_open()
        try:
            return await self._write_lane.call(partial(self._writer.write, change))
        except Aborted as exc:
            raise outside(exc) from exc

    def _told(self, group: Group, firsts: dict[int, int]) -> None:
        """Pass on what has just been committed to who waits for it."""
        for consumer in self._consumers.values():
            consumer.offer(group.chunks, firsts, group.stored_ms)
        self.board.note({place: (0, firsts[place] + _span(chunks)) for place, chunks in group.chunks.items()})


def _noted(loading: asyncio.Task[None]) -> None:
    """Keep asyncio from complaining of an error that the next read meets again, and tells who asked."""
    if not loading.cancelled():
        loading.exception()


def _span(chunks: list[Chunk]) -> int:
    return sum(chunk.span for chunk in chunks)


def _missing(topic: str, partition: int | None = None) -> Fatal:
    what = f"topic {topic}" if partition is None else f"partition {partition} of topic {topic}"
    return Fatal(
        f"there is no {what} in the log", code="topic-missing", hint="topics are made by `streamlets run`"
    )


def _check_topic(topic: TopicSpec) -> None:
    if not _TOPIC_NAME.fullmatch(topic.name) or topic.name in (".", ".."):
        raise Fatal(
            f"{topic.name!r} is no name of a topic",
            code="bad-topic-name",
            hint="1 to 249 letters, digits, dots, dashes and underscores",
        )
    grace = topic.config.get(GRACE_SETTING, "0")
    if not grace.isdecimal():
        raise Fatal(
            f"topic {topic.name}: {GRACE_SETTING} is {grace!r}, a number of milliseconds is needed",
            code="bad-topic-config",
        )
    for name, least in (("partitions", 1), ("retention_s", 0), ("max_bytes", 1)):
        value = getattr(topic, name)
        if value is not None and value < least:
            raise Fatal(
                f"topic {topic.name}: {name} is {value}, at least {least} is needed", code="bad-topic-config"
            )


def _say_what_is_without_effect(topic: TopicSpec) -> None:
    settings = sorted(topic.config.keys() - {GRACE_SETTING})
    if (topic.replication or 1) > 1:
        settings.append("replication")
    if settings:
        log.warning(
            "topic.without_effect topic=%s settings=%s: not in the embedded log", topic.name, settings
        )
