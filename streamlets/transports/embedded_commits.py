"""Group commit: whatever waits, of all stages and appends, becomes one transaction with one sync.

While it is being written the next one gathers. Lives on the event loop; the writing is the writer's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain

import msgspec

from streamlets.errors import Rejected, StreamletsError
from streamlets.event import Record
from streamlets.ports import Clock
from streamlets.transports.embedded_chunks import encode, size
from streamlets.transports.embedded_consumer import EmbeddedConsumer, fenced
from streamlets.transports.embedded_lane import Lane
from streamlets.transports.embedded_writer import Group, Writer

MAX_RECORD_BYTES = 16 << 20  # a record is decoded whole; Kafka's own default is 1 MiB
GROUP_RECORDS = 5_000  # what one transaction gathers: encoding them takes about 5 ms of the event loop


class Pending(msgspec.Struct):
    """Records by partition, and offsets, that wait for the next transaction, and who waits for them.

    `order`: for an append, the (partition, index in it) of each record, in the order given.
    """

    records: dict[int, list[Record]]
    count: int
    offsets: dict[tuple[int, int], int]
    order: list[tuple[int, int]]
    consumer: EmbeddedConsumer | None
    future: asyncio.Future[list[int]]

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Commits:
    """What waits for the next transaction."""

    def __init__(
        self,
        lane: Lane,
        writer: Writer,
        clock: Clock,
        told: Callable[[Group, dict[int, int]], None],
    ) -> None:
        """`told` is called with each group that is durable and the first offsets it got."""
        self._lane = lane
        self._writer = writer
        self._clock = clock
        self._told = told
        self._pending: deque[Pending] = deque()
        self._alone = 0
        self._stored_ms = 0
        self._is_writing = False
        self._is_pump_due = False

    def add(self, pending: Pending) -> None:
        """Let it take part in the next transaction; what is given in this turn of the loop goes along."""
        self._pending.append(pending)
        if not self._is_writing and not self._is_pump_due:
            self._is_pump_due = True
            asyncio.get_running_loop().call_soon(self._pump)

    async def wait_written(self) -> None:
        """Return when what is being written has been: also a release that nobody waits for any more."""
        if self._is_writing:
            await self._lane.call(_nothing)

    async def drain(self) -> None:
        """Return when nothing waits any more."""
        while self._is_writing or self._pending:
            await self._lane.call(_nothing)

    def _pump(self) -> None:
        """Give the writer all that waits, as one transaction."""
        self._is_pump_due = False
        while self._pending and not self._is_writing:
            taken = self._take()
            if not taken:
                continue
            try:
                group, bases = self._group(taken)
            except (StreamletsError, TypeError, ValueError) as exc:
                self._failed(taken, exc, is_one_to_blame=True)
                continue
            self._is_writing = True
            job = self._lane.call(partial(self._writer.commit, group))
            job.add_done_callback(partial(self._written, taken, group, bases))

    def _take(self) -> list[Pending]:
        """Return what goes into the next transaction: all that waits, or one where a larger one has failed."""
        taken: list[Pending] = []
        count = 0
        while self._pending and (not taken or count + self._pending[0].count <= GROUP_RECORDS):
            pending = self._pending.popleft()
            if self._alone:
                self._alone -= 1
            if pending.future.done():
                continue  # cancelled while it waited: it does not take place
            if pending.consumer is not None and pending.consumer.is_fenced:
                pending.fail(fenced(pending.consumer.group))
                continue
            taken.append(pending)
            count += pending.count
            if self._alone:
                break
        return taken

    def _group(self, taken: list[Pending]) -> tuple[Group, list[dict[int, int]]]:
        """Return the transaction's content, and at which index in each partition the records of each begin.

        Raises: Rejected, or what a record's wrong type raises: one of them is to blame.
        """
        by_place: dict[int, list[Record]] = {}
        offsets: dict[tuple[int, int], int] = {}
        bases: list[dict[int, int]] = []
        for pending in taken:
            base: dict[int, int] = {}
            for place, records in pending.records.items():
                there = by_place.get(place)
                base[place] = len(there) if there else 0
                by_place[place] = there + records if there else records
            bases.append(base)
            offsets.update(pending.offsets)
        now_ms = int(self._clock.now_s() * 1000)
        # Rises with every commit: consumers take it for the order of appending.
        self._stored_ms = max(self._stored_ms + 1, now_ms)
        chunks = {place: encode(records, now_ms) for place, records in by_place.items()}
        if any(len(chunk.body) > MAX_RECORD_BYTES for each in chunks.values() for chunk in each):
            _check_sizes(by_place.values())
        return Group(chunks, offsets, self._stored_ms), bases

    def _written(
        self,
        taken: list[Pending],
        group: Group,
        bases: list[dict[int, int]],
        job: asyncio.Future[dict[int, int]],
    ) -> None:
        """Tell everybody whose records the transaction held, then go on."""
        self._is_writing = False
        error = job.exception()
        if error is None:
            firsts = job.result()
            for pending, base in zip(taken, bases, strict=True):
                if not pending.future.done():
                    pending.future.set_result(
                        [firsts[place] + base[place] + index for place, index in pending.order]
                    )
            self._told(group, firsts)
        else:
            self._failed(taken, error, is_one_to_blame=getattr(error, "code", "") == "disk-full")
        if self._writer.is_checkpoint_due:
            self._lane.call(self._writer.checkpoint)
        self._pump()

    def _failed(self, taken: list[Pending], error: BaseException, *, is_one_to_blame: bool) -> None:
        """Fail them all, or try each alone where the others may be well without the one to blame."""
        if is_one_to_blame and len(taken) > 1:
            self._pending.extendleft(reversed(taken))
            self._alone = len(taken)
        else:
            for pending in taken:
                pending.fail(error)


def _nothing() -> None:
    return None


def _check_sizes(batches: Iterable[list[Record]]) -> None:
    """Return when no record is above the limit. Raises: Rejected (`too-large`)."""
    for record in chain.from_iterable(batches):
        if size(record) > MAX_RECORD_BYTES:
            raise Rejected(
                f"an event of {size(record)} bytes for {record.topic} is above the limit of {MAX_RECORD_BYTES}",
                code="too-large",
            )
