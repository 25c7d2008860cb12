"""Small state: a map of JSON values per partition, saved in the release of what changed it.

In the log it is a compacted topic, co-partitioned with the streamlet's inlets. Each key is one record; the engine's
own row, `LEDGER`, says at which offset the rest is true. Where a streamlet has several stream inlets the second and
those after it have rows of their own beside the first's, told apart by a `scope`: each is released by itself. Values
are kept encoded, so that what a streamlet was given cannot change behind the log's back.

At-least-once a release may break off in the middle: the streamlet's rows in the log, the ledger's not. So each row
then names its release and carries the value before it; a restore takes that where the ledger's row is older.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import orjson

from streamlets.engine.ledger import Range
from streamlets.engine.tally import Tally
from streamlets.errors import Broken, Fatal
from streamlets.event import Delivery, Headers, Record
from streamlets.transports.transport import Consumer, TopicPartition, Transport

LEDGER = "ledger"
_PREFIX = "state"  # keeps streamlets' keys apart from the engine's own
_RELEASE = "release"  # a row's header: the number of the release that wrote it
_BEFORE = "before"  # a row's header: the value before that release; absent where there was none

MAX_ENTRIES = 100_000
MAX_BYTES = 64 << 20


class PartitionState:
    """The small state of one partition. Changes are collected until `take`, and undone by `roll_back`."""

    def __init__(self, values: dict[str, bytes] | None = None, broken_off: Mapping[str, None] = {}) -> None:
        """`broken_off`: keys whose row in the log is of a release that broke off; written again with the next one."""
        self._values: dict[str, bytes] = values or {}
        self._broken_off = dict(broken_off)
        self.released = dict(self._values)
        """The values as of the last release; kept up to date by whoever releases at least once."""
        self._n_bytes = sum(map(len, self._values.values()))
        self._undo: dict[str, bytes | None] = {}
        self.is_writable = False

    def get(self, key: str, default: Any = None) -> Any:
        value = self._values.get(key)
        return default if value is None else orjson.loads(value)

    def keys(self) -> Iterator[str]:
        return iter(list(self._values))

    def set(self, key: str, value: Any) -> None:
        self._change_in_turn(key, _encoded(key, value))

    def delete(self, key: str) -> None:
        self._change_in_turn(key, None)

    def note(self, entries: Mapping[str, Any]) -> dict[str, bytes | None]:
        """Set entries outside every turn (None: delete) and return them as they are to be saved; never undone."""
        changes = {key: None if value is None else _encoded(key, value) for key, value in entries.items()}
        for key, encoded in changes.items():
            self._change(key, encoded)
        return changes

    def _change_in_turn(self, key: str, encoded: bytes | None) -> None:
        if not self.is_writable:
            raise Broken(
                f"state {key!r} was changed outside its turn",
                code="bad-state",
                hint="with overlap above 1 change it in admit() only",
            )
        before = self._values.get(key)
        if before != encoded:
            self._undo.setdefault(key, before)
            self._change(key, encoded)

    def _change(self, key: str, encoded: bytes | None) -> None:
        before = self._values.get(key)
        self._n_bytes += (len(encoded) if encoded else 0) - (len(before) if before else 0)
        if encoded is None:
            self._values.pop(key, None)
        else:
            self._values[key] = encoded
        if len(self._values) > MAX_ENTRIES or self._n_bytes > MAX_BYTES:
            raise Fatal(
                f"small state is over its bound: {len(self._values)} entries, {self._n_bytes >> 20} MiB",
                code="state-too-large",
                hint=f"at most {MAX_ENTRIES} entries and {MAX_BYTES >> 20} MiB a partition; it is not a database",
            )

    def take(self) -> dict[str, bytes | None]:
        """Return what has changed since the last `take` (None: deleted), and begin anew."""
        if not self._undo and not self._broken_off:
            return {}
        changes = {key: self._values.get(key) for key in (*self._broken_off, *self._undo)}
        self._undo = {}
        self._broken_off = {}
        return changes

    def set_aside(self) -> dict[str, bytes | None]:
        """Return what `put_back` takes: from now on `roll_back` undoes only what comes after."""
        before, self._undo = self._undo, {}
        return before

    def put_back(self, before: dict[str, bytes | None]) -> None:
        """Let what was set aside be taken, and undone, together with what came after."""
        self._undo = {**self._undo, **before}

    def roll_back(self) -> None:
        """Undo what has changed since the last `take`: the work that changed it will be done again."""
        for key, before in self._undo.items():
            if before is None:
                self._values.pop(key, None)
            else:
                self._values[key] = before
        self._undo = {}
        self._n_bytes = sum(map(len, self._values.values()))


def _encoded(key: str, value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except (TypeError, orjson.JSONEncodeError) as exc:
        raise Broken(
            f"state {key!r} was set to a {type(value).__name__} that is no JSON value", code="bad-state"
        ) from exc


class LedgerRow(msgspec.Struct):
    """What a partition's state says of itself: the offset at which it is true, what is done beyond, the tally.

    `number` counts the partition's releases.
    """

    offset: int
    done: list[Range]
    tally: Tally
    begin: int
    """Where the group began in this partition: the account counts from here."""
    number: int = 0
    topic: str = ""
    """Whose offsets these are, by its name in the log; rows of older versions do not say."""

    def encode(self) -> bytes:
        return orjson.dumps(
            {
                "offset": self.offset,
                "done": self.done,
                "begin": self.begin,
                "number": self.number,
                "topic": self.topic,
                "tally": self.tally.to_json(),
            }
        )

    @staticmethod
    def decode(value: bytes) -> LedgerRow:
        row = orjson.loads(value)
        return LedgerRow(
            row["offset"],
            [(a, b) for a, b in row["done"]],
            Tally.from_json(row["tally"]),
            row["begin"],
            row["number"],
            row.get("topic", ""),
        )


def _scoped(name: str, scope: str) -> str:
    return f"{name}/{scope}" if scope else name


async def restore(
    transport: Transport, where: TopicPartition, scope: str = ""
) -> tuple[PartitionState, LedgerRow | None]:
    """Return the state that the topic's partition holds, and its ledger row; read to the end noted at the start."""
    own, prefix = _scoped(LEDGER, scope).encode(), f"{_scoped(_PREFIX, scope)}:"
    offsets = await transport.offsets(where.topic)
    first, end = offsets.get(where.partition, (0, 0))
    found: dict[str, Delivery] = {}
    ledger: bytes | None = None
    while first < end:
        deliveries = await transport.read(where, first, 2_000, end)
        if not deliveries:
            break
        for delivery in deliveries:
            if delivery.key == own:
                ledger = delivery.value
            elif delivery.key is not None and (key := delivery.key.decode()).startswith(prefix):
                found[key.removeprefix(prefix)] = delivery
        first = deliveries[-1].offset + 1
    row = LedgerRow.decode(ledger) if ledger is not None else None
    number = row.number if row is not None else -1
    values: dict[str, bytes] = {}
    broken_off: dict[str, None] = {}
    for key, delivery in found.items():
        value = delivery.value
        headers = dict(delivery.headers)
        if int(headers.get(_RELEASE, b"-1")) > number:
            value = headers.get(_BEFORE)
            broken_off[key] = None
        if value is not None:
            values[key] = value
    return PartitionState(values, broken_off), row


async def restore_committed(
    consumer: Consumer, transport: Transport, where: TopicPartition, kept: TopicPartition, scope: str = ""
) -> tuple[int | None, PartitionState, LedgerRow | None]:
    """Return the group's offset of `where` and the state in `kept`; where they differ, both stand still.

    Another may release in between, where the partition has moved on and no poll has told us yet.
    """
    committed = (await consumer.committed([where]))[where]
    while True:
        state, row = await restore(transport, kept, scope)
        if committed == (row.offset if row is not None else None):
            return committed, state, row
        before, committed = committed, (await consumer.committed([where]))[where]
        if before == committed:
            return committed, state, row


def rows(
    topic: str,
    partition: int,
    changes: dict[str, bytes | None],
    ledger: LedgerRow,
    timestamp_ms: int,
    released: Mapping[str, bytes] | None = None,
    scope: str = "",
) -> list[Record]:
    """Return the records that save what changed, the ledger's row last.

    `released`: the values as of the last release, where this one may break off; None where it is atomic.
    """
    records = []
    for key, value in changes.items():
        headers: Headers = []
        if released is not None:
            headers.append((_RELEASE, str(ledger.number).encode()))
            if key in released:
                headers.append((_BEFORE, released[key]))
        name = f"{_scoped(_PREFIX, scope)}:{key}".encode()
        records.append(Record(topic, partition, name, value, headers, timestamp_ms))
    own = _scoped(LEDGER, scope).encode()
    records.append(Record(topic, partition, own, ledger.encode(), [], timestamp_ms))
    return records


def merge(released: dict[str, bytes], changes: Mapping[str, bytes | None]) -> None:
    """Bring the values as of the last release up to date with what the next one has saved."""
    for key, value in changes.items():
        if value is None:
            released.pop(key, None)
        else:
            released[key] = value
