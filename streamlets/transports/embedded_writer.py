"""What the writing thread does: one transaction for all that waits, checkpoints, topics, and the making of room.

Everything here runs on the writer's lane, in order: a checkpoint can meet no transaction of ours.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import apsw
import msgspec

from streamlets.errors import Fatal, StreamletsError
from streamlets.faults import point
from streamlets.transports.embedded_chunks import Chunk
from streamlets.transports.embedded_file import PLACES, Patience, Role, connect, identity, translated
from streamlets.transports.transport import Durability, TopicSpec, UnknownOutcome, differences, differs

T = TypeVar("T")

log = logging.getLogger(__name__)

CHECKPOINT_PAGES = 2000  # 8 MiB of WAL; a checkpoint of it took 8 to 30 ms, in which commits wait
CHECKPOINT_PATIENCE_S = 0.05  # a reader in the way postpones a checkpoint, it does not hold up commits

_INSERT = "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?)"
_OFFSET = (
    "INSERT INTO offsets VALUES (?, ?, ?) ON CONFLICT (member, partition) DO UPDATE SET next = excluded.next"
)


class Group(msgspec.Struct):
    """What one transaction adds: chunks by partition, committed offsets by (group, partition)."""

    chunks: dict[int, list[Chunk]]
    offsets: dict[tuple[int, int], int]
    stored_ms: int


class Writer:
    """The one connection that writes."""

    def __init__(self, path: Path, role: Role, durability: Durability, vfs: str | None) -> None:
        self.wal_pages = 0
        self._path = path
        self._open: Callable[[Patience], apsw.Connection] = lambda patience: connect(
            path, role, durability, vfs, patience
        )
        self._may_checkpoint = role == "worker"
        self._checkpoint_at = CHECKPOINT_PAGES
        self._patience = Patience()
        self._connection: apsw.Connection | None = None
        self._ends: dict[int, int] = {}
        self._version = -1
        self._places: dict[Path, tuple[int, int]] = {}

    def open(self) -> None:
        """Connect, and note which file it is. Raises: Fatal."""
        try:
            self._connected().execute("SELECT count(*) FROM about").fetchall()
        except apsw.Error as exc:
            raise self._undone(exc) from exc
        for place in (self._path, self._wal):
            found = identity(place)
            if found is not None:
                self._places[place] = found

    @property
    def _wal(self) -> Path:
        return self._path.with_name(self._path.name + "-wal")

    def close(self) -> None:
        """Checkpoint what can be, and let go of the file."""
        if self._connection is None:
            return
        try:
            if self._may_checkpoint:
                self.checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)  # so that the one file is all there is
        finally:
            connection, self._connection = self._connection, None
            connection.close(True)

    def commit(self, group: Group) -> dict[int, int]:
        """Return the first new offset of each partition, when all of the group is durable.

        Raises: Aborted when nothing of it is; UnknownOutcome when that cannot be told; Fatal.
        """
        began_commit = False
        ends: dict[int, int] = {}
        firsts: dict[int, int] = {}
        rows: list[tuple[int, int, int, int, int, bytes]] = []
        try:
            point("release.begin")
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            self._check_place()
            self._refresh(connection)
            for partition, chunks in group.chunks.items():
                end = self._ends.get(partition)
                if end is None:
                    end = _end(connection, partition)
                firsts[partition] = end
                base = (partition << PLACES) - 1
                for chunk in chunks:
                    end += chunk.span
                    size = len(chunk.body)
                    rows.append((base + end, chunk.span, chunk.count, size, group.stored_ms, chunk.body))
                ends[partition] = end
            point("release.records")
            if rows:
                connection.executemany(_INSERT, rows)
            point("release.offsets")
            if group.offsets:
                connection.executemany(_OFFSET, [(*place, offset) for place, offset in group.offsets.items()])
            point("release.commit")
            began_commit = True
            connection.execute("COMMIT")
        except (apsw.Error, OSError) as exc:
            error = self._undone(exc)
            if not began_commit or not self._took_place(rows, group):
                raise error from exc
        except StreamletsError:
            self._undo()
            raise
        try:
            point("release.committed")
        except OSError as exc:
            raise UnknownOutcome(f"{self._path}: the commit's answer was lost") from exc
        self._ends.update(ends)
        return firsts

    def write(self, change: Callable[[apsw.Connection], T]) -> T:
        """Return what `change` returns, made in a transaction of its own. Raises: as `commit`."""
        try:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            self._check_place()
            result = change(connection)
            connection.execute("COMMIT")
            return result
        except (apsw.Error, OSError) as exc:
            raise self._undone(exc) from exc
        except StreamletsError:
            self._undo()
            raise

    @property
    def is_checkpoint_due(self) -> bool:
        return self._may_checkpoint and self.wal_pages >= self._checkpoint_at

    def checkpoint(self, mode: int = apsw.SQLITE_CHECKPOINT_FULL) -> None:
        """Move what is in the WAL to the file, so that the WAL begins anew; a reader in the way postpones it.

        Both modes hold the write lock of all processes meanwhile: nobody can commit during a checkpoint.
        """
        if self._connection is None:
            return
        self._patience.limit_s = CHECKPOINT_PATIENCE_S
        try:
            point("checkpoint.begin")
            pages, moved = self._connection.wal_checkpoint(mode=mode)
            self.wal_pages = 0 if moved == pages else pages
            point("checkpoint.done")
        except (apsw.BusyError, apsw.LockedError):
            pass
        except (apsw.Error, OSError) as exc:
            # Nothing is lost: it all is in the WAL. The next commit meets the trouble and says so by its type.
            log.warning("log.checkpoint.failed file=%s error=%s", self._path, exc)
        finally:
            self._patience.limit_s = Patience().limit_s
            self._checkpoint_at = self.wal_pages + CHECKPOINT_PAGES

    def _connected(self) -> apsw.Connection:
        if self._connection is None:
            self._connection = self._open(self._patience)
            self._connection.set_wal_hook(self._committed)
            self._version = -1
        return self._connection

    def _committed(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self.wal_pages = pages
        return apsw.SQLITE_OK

    def _refresh(self, connection: apsw.Connection) -> None:
        """Forget the ends when another process has committed since our last transaction."""
        version = connection.pragma("data_version")
        if version != self._version:
            self._ends.clear()
            self._version = version

    def _check_place(self) -> None:
        """Return while the file we write is the one at our path. Raises: Fatal (`log-moved`)."""
        for place, known in self._places.items():
            if identity(place) != known:
                raise Fatal(
                    f"{place} was deleted or replaced while this process had it open: nothing more is written",
                    code="log-moved",
                    hint="put the file back, or start again with a new log",
                )

    def _undo(self) -> None:
        """Roll back; where even that fails, give the connection up: the next job opens a new one."""
        connection = self._connection
        if connection is None:
            return
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except apsw.Error:
            self._connection = None
            connection.close(True)
        self._ends.clear()

    def _undone(self, exc: apsw.Error | OSError) -> StreamletsError:
        self._undo()
        return translated(exc, self._path)

    def _took_place(self, rows: Sequence[tuple[int, int, int, int, int, bytes]], group: Group) -> bool:
        """Return whether a commit that answered with an error is visible. Raises: UnknownOutcome."""
        try:
            connection = self._connected()
            if rows:
                found = connection.execute("SELECT body FROM chunks WHERE id = ?", (rows[0][0],)).get
                return bool(found == rows[0][5])
            for place, offset in group.offsets.items():
                query = "SELECT next FROM offsets WHERE member = ? AND partition = ?"
                return bool(connection.execute(query, place).get == offset)
            return False
        except (apsw.Error, StreamletsError) as exc:
            raise UnknownOutcome(
                f"{self._path}: the commit failed and the file cannot be read to see whether it took place",
                hint="see the disk",
            ) from exc


def _end(connection: apsw.Connection, partition: int) -> int:
    """Return the offset after the last record of a partition."""
    low = partition << PLACES
    query = "SELECT id FROM chunks WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1"
    found = connection.execute(query, (low, low + (1 << PLACES) - 1)).get
    return 0 if found is None else found - low + 1


def add_topics(connection: apsw.Connection, topics: Iterable[TopicSpec]) -> list[str]:
    """Create what is missing and return its names. Raises: Fatal (`topic-differs`)."""
    made: list[str] = []
    for topic in topics:
        row = connection.execute("SELECT id, spec FROM topics WHERE name = ?", (topic.name,)).get
        if row is None:
            _insert_topic(connection, topic)
            made.append(topic.name)
            continue
        there = msgspec.convert(json.loads(row[1]), TopicSpec)
        if how := differences(topic, there):
            raise differs(topic.name, how.values())
    return made


def _insert_topic(connection: apsw.Connection, topic: TopicSpec) -> None:
    connection.execute("INSERT INTO topics (name, spec) VALUES (?, ?)", (topic.name, _json(topic)))
    _add_partitions(connection, connection.last_insert_rowid(), 0, topic.partitions)


def _add_partitions(connection: apsw.Connection, topic: int, first: int, end: int) -> None:
    connection.executemany(
        "INSERT INTO partitions (topic, number, first) VALUES (?, ?, 0)",
        [(topic, number) for number in range(first, end)],
    )


def alter_topic(connection: apsw.Connection, topic: TopicSpec) -> None:
    """Give a topic other settings and more partitions. Raises: Fatal."""
    row = connection.execute("SELECT id, spec FROM topics WHERE name = ?", (topic.name,)).get
    if row is None:
        raise Fatal(f"there is no topic {topic.name}", code="topic-missing")
    there = msgspec.convert(json.loads(row[1]), TopicSpec)
    if topic.partitions < there.partitions:
        raise Fatal(
            f"topic {topic.name} has {there.partitions} partitions; they cannot become {topic.partitions}",
            code="topic-differs",
            hint="partitions are only ever added: keys would lose their order",
        )
    connection.execute("UPDATE topics SET spec = ? WHERE id = ?", (_json(topic), row[0]))
    _add_partitions(connection, row[0], there.partitions, topic.partitions)


def _json(topic: TopicSpec) -> str:
    return msgspec.json.encode(topic).decode()


def member(connection: apsw.Connection, group: str) -> int:
    """Return the number of a group, which is made if need be."""
    connection.execute("INSERT OR IGNORE INTO groups (name) VALUES (?)", (group,))
    found = connection.execute("SELECT id FROM groups WHERE name = ?", (group,)).get
    assert isinstance(found, int)
    return found
