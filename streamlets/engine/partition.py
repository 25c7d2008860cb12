"""One partition that a stage owns: its ledger, its small state, its queue of work, and what of it is held."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from streamlets.engine.ledger import Entry, Ledger, Range
from streamlets.engine.state import LedgerRow, PartitionState
from streamlets.engine.tally import Tally
from streamlets.event import Delivery
from streamlets.ports import Batch, Emit
from streamlets.transports.transport import TopicPartition

Work = tuple[Entry, Batch]


class Owned:
    """A partition from its assignment to its revocation, loss or rewind; then `is_alive` is False and it is dropped."""

    def __init__(self, where: TopicPartition, inlet: str, state: PartitionState, row: LedgerRow) -> None:
        self.where = where
        self.inlet = inlet
        self.state = state
        self.ledger = Ledger(row.offset, row.done)
        self.begin = row.begin
        self.number = row.number  # of releases
        self.tally = row.tally  # as of the last release
        self.announced: list[Emit] = []  # emits without a delivery, and
        self.noted: dict[str, bytes | None] = {}  # entries of the state, that wait for the next release
        self.queue: deque[Work] = deque()
        self.n_running = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self.held: dict[int, tuple[int, int]] = {}  # offset → (fingerprint of its id, bytes)
        self.n_held_bytes = 0
        self.wake_s: float | None = None
        self.timer: asyncio.Task[None] | None = None
        self.is_alive = True
        self.is_draining = False
        self.is_ready = (
            False  # whether the consumer has taken note that it is ours: nothing is released before
        )
        self.is_full = False  # what is held has reached its bound: the oldest window is being closed

    @property
    def n_unsettled(self) -> int:
        """Deliveries in process: opened, not released, not held."""
        return self.ledger.n_in_process

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is queued, running or waiting to be released; what is held does not count."""
        is_idle = not self.queue and self.n_running == 0 and self.ledger.n_entries == 0
        return is_idle and not self.announced and not self.noted

    def hold(self, deliveries: Sequence[Delivery], fingerprints: Sequence[int]) -> None:
        """Remember deliveries that stay open, so that they are counted when they settle."""
        for delivery, number in zip(deliveries, fingerprints, strict=True):
            n_bytes = len(delivery.value or b"")
            self.held[delivery.offset] = (number, n_bytes)
            self.n_held_bytes += n_bytes

    def unhold(self, ranges: Sequence[Range]) -> list[int]:
        """Return the fingerprints of held deliveries in the ranges, which are held no longer.

        What is held is in the order of the offsets, so a window that closes is found at the front.
        """
        found: list[int] = []
        for first, last in ranges:
            gone = []
            for offset in self.held:
                if offset > last:
                    break
                if offset >= first:
                    gone.append(offset)
            for offset in gone:
                number, n_bytes = self.held.pop(offset)
                self.n_held_bytes -= n_bytes
                found.append(number)
        return found

    def row(self, commit: int, done: list[Range], tally: Tally) -> LedgerRow:
        """Return the ledger's row as it is to be saved with a release."""
        return LedgerRow(commit, done, tally, self.begin, self.number + 1, self.where.topic)

    def end(self) -> None:
        """Stop all work of this partition; its results are dropped and its deliveries will come again."""
        self.is_alive = False
        self.queue.clear()
        if self.timer is not None:
            self.timer.cancel()
        for task in self.tasks:
            task.cancel()
