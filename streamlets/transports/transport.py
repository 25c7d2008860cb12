"""The Protocol of a transport: where topics live. The embedded log, the simulated one and Kafka implement it.

All methods are coroutines on the engine's event loop; threads are the transport's own affair.
Terms: a *topic* has numbered partitions, a *record* an offset in its partition; a *group* has a committed offset for
each partition: the next offset to read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from streamlets.errors import Fatal, StreamletsError
from streamlets.event import Delivery, Record


class TopicPartition(msgspec.Struct, frozen=True, order=True):
    """One partition of a topic, by the topic's name in the log."""

    topic: str
    partition: int


class TopicSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a topic should be. `config` passes further settings through where the transport has them."""

    name: str
    partitions: int = 1
    compacted: bool = False
    retention_s: float | None = None
    max_bytes: int | None = None
    replication: int | None = None
    config: dict[str, str] = {}


def differences(wanted: TopicSpec, there: TopicSpec) -> dict[str, str]:
    """Return, by the field's name, how a topic that is there differs from what is wanted; what is not said is free."""
    return {
        name: f"{name} is {getattr(there, name)}, not {value}"
        for name in ("partitions", "compacted", "retention_s", "max_bytes")
        if (value := getattr(wanted, name)) is not None and value != getattr(there, name)
    }


def differs(topic: str, how: Iterable[str]) -> Fatal:
    """Return the error of a topic that is there otherwise than it is wanted (`topic-differs`)."""
    return Fatal(
        f"topic {topic} exists otherwise: {', '.join(how)}",
        code="topic-differs",
        hint="write what it has into the blueprint; or give the topic another name in the log by `topic`, or "
        "begin another log by --on embedded:FILE",
    )


class Aborted(StreamletsError):
    """Nothing of the release is visible and its partitions are still ours: it may be released again from memory."""

    code = "aborted"


class UnknownOutcome(StreamletsError):
    """Nobody can say whether the release took place: read the committed offsets, rewind to them."""

    code = "unknown-outcome"


class Fenced(StreamletsError):
    """The group's generation has moved on: the partitions of this release are no longer ours. Drop, rewind."""

    code = "fenced"


class Release(msgspec.Struct, kw_only=True):
    """What becomes visible at once, or not at all: records, and the offsets of a group.

    `offsets`: the next offset to read, by partition. `atomic` False: at-least-once, records first, then offsets.
    """

    group: str
    records: list[Record]
    offsets: dict[TopicPartition, int]
    atomic: bool = True


class GroupListener(Protocol):
    """What a consumer's owner is told of its partitions. The consumer waits for each call to return."""

    async def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Return the offset to begin at for each partition that is now ours; none is delivered before."""
        ...

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Partitions are about to go: drain them and release, within the transport's deadline."""
        ...

    async def lost(self, partitions: Sequence[TopicPartition]) -> None:
        """Partitions are gone already: nothing of theirs may be released any more."""
        ...


class Consumer(Protocol):
    """A member of a group. Reads committed records only; commits nothing by itself."""

    async def poll(self, max_events: int, timeout_s: float) -> list[Delivery]:
        """Return deliveries, in order within each partition, at most `max_events`; empty after `timeout_s`.

        Returns as soon as something is there. Listener calls happen inside. Keeps membership alive: must be
        called regularly even when everything is paused. Raises: Fatal (`offset-out-of-range`) when the log does not
        have the position any more: a seek goes on.
        """
        ...

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Deliver nothing of these partitions until they are resumed; the position is kept."""
        ...

    def resume(self, partitions: Sequence[TopicPartition]) -> None: ...

    async def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Go on at these offsets. A following poll delivers nothing read from before the seek."""
        ...

    async def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        """Return the group's committed offsets; None where there is none yet."""
        ...

    def position(self, partition: TopicPartition) -> int:
        """Return the next offset that a poll can deliver: beyond markers and compacted records already passed."""
        ...

    async def release(self, release: Release) -> None:
        """Make a release visible and durable, whole.

        One at a time for each consumer. A release that was handed over before `lost` returned is refused with Fenced,
        even when its partitions have come back meanwhile: what is in it will be done again. Cancelled, it may still
        take place.

        Raises: Aborted, UnknownOutcome, Fenced; Fatal for what will never work; Rejected (`too-large`, or `null-key`
        in a compacted topic), its `hint` the index of the record that cannot be stored.
        """
        ...

    async def close(self) -> None:
        """Leave the group; what was polled and not released will be delivered to others."""
        ...


class Transport(Protocol):
    """Where topics live. `name` is what `--on` says before the colon."""

    name: str

    async def start(self) -> None:
        """Connect, or open. Raises: Fatal with what to do about it."""
        ...

    async def close(self) -> None: ...

    async def ensure(self, topics: Sequence[TopicSpec]) -> None:
        """Create the topics that are missing. Raises: Fatal (`topic-differs`) where one exists otherwise."""
        ...

    async def topics(self) -> dict[str, TopicSpec]:
        """Return the topics there are, by name."""
        ...

    async def consumer(
        self,
        group: str,
        topics: Sequence[str],
        listener: GroupListener,
        *,
        fetch: bool = True,
    ) -> Consumer:
        """Join a group. `fetch` False: partitions are assigned but nothing is delivered (sources' splits)."""
        ...

    async def read(
        self, partition: TopicPartition, first: int, max_events: int, end: int | None = None
    ) -> list[Delivery]:
        """Return committed records from offset `first` on, before `end`, without a group; empty at the end."""
        ...

    async def offsets(self, topic: str) -> dict[int, tuple[int, int]]:
        """Return (first offset there is, offset after the last committed record) by partition."""
        ...

    async def committed(self, group: str, topics: Sequence[str]) -> dict[TopicPartition, int]:
        """Return a group's committed offsets without joining it."""
        ...

    async def append(self, records: Sequence[Record]) -> list[int]:
        """Append records outside any group, durably, and return their offsets (updates, snapshots, ingress).

        All or nothing where the transport can. Raises: Unavailable where it may be tried again (`disk-full`);
        Rejected as `release`; Fatal (`topic-missing`).
        """
        ...

    async def wait(self, timeout_s: float, topics: Sequence[str] | None = None) -> None:
        """Return when something may have been appended to one of the topics (None: any), or after `timeout_s`.

        For followers. What was appended since the calling task last returned from here with these topics counts. May
        return for other topics as well: who is woken looks.
        """
        ...


Durability = Literal["full", "normal"]


def partition_for(key: bytes | None, partitions: int) -> int:
    """Return the partition of a key, as Kafka's own clients choose it (murmur2); 0 for no key.

    Source: Apache Kafka, Utils.murmur2 and BuiltInPartitioner; agrees with the Java client's vectors in the tests.
    """
    if partitions <= 1 or key is None:
        return 0
    length = len(key)
    m = 0x5BD1E995
    h = (0x9747B28C ^ length) & 0xFFFFFFFF
    end = length & ~3
    for i in range(0, end, 4):
        k = int.from_bytes(key[i : i + 4], "little")
        k = (k * m) & 0xFFFFFFFF
        k ^= k >> 24
        k = (k * m) & 0xFFFFFFFF
        h = (h * m) & 0xFFFFFFFF
        h ^= k
    rest = length - end
    if rest == 3:
        h ^= key[end + 2] << 16
    if rest >= 2:
        h ^= key[end + 1] << 8
    if rest >= 1:
        h ^= key[end]
        h = (h * m) & 0xFFFFFFFF
    h ^= h >> 13
    h = (h * m) & 0xFFFFFFFF
    h ^= h >> 15
    return (h & 0x7FFFFFFF) % partitions
