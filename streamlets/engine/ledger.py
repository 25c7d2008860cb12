"""The ledger: which deliveries are open, which entries may be released, how far the group may commit.

One `Ledger` for each partition that a stage owns. An *entry* is one outcome in the making: of a segment (a run of
consecutive deliveries that was opened together) or of a timer. Entries are released in the order they were opened.
Its cost is per entry, never per event, but for the deliveries that a streamlet holds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from streamlets.engine.tally import Tally
from streamlets.event import Record

Range = tuple[int, int]
"""Offsets, both ends included."""


class Entry(msgspec.Struct):
    """One outcome in the making. `ranges` are the offsets that it opened; empty for a timer's."""

    ranges: tuple[Range, ...]
    n_events: int
    n_bytes: int
    opened_s: float
    timestamp_ms: int = 0
    is_settled: bool = False
    is_released: bool = False
    is_exact: bool = False
    held: Sequence[Range] = ()
    settles: Sequence[Range] = ()
    records: list[Record] = []
    changes: dict[str, bytes | None] = {}
    tally: Tally | None = None


class Ledger:
    """Open, settle, release: what one partition owes. Decides synchronously; whoever calls it does the I/O."""

    def __init__(self, position: int, done: Iterable[Range] = ()) -> None:
        """`position`: the next offset to be opened. `done`: what was settled beyond it in an earlier life."""
        self.position = position
        self._open: deque[Range] = deque()
        self._done: list[Range] = sorted(done)
        self._old_done_end = self._done[-1][1] if self._done else -1
        self._entries: deque[Entry] = deque()
        self._prepared: tuple[int, deque[Range], list[Range]] | None = None
        self.n_in_process = 0
        self.n_bytes = 0

    def __repr__(self) -> str:
        return f"<Ledger commit={self.commit} position={self.position} entries={len(self._entries)} done={self._done}>"

    # --- open

    @property
    def has_old_done(self) -> bool:
        """Whether deliveries to come may have been done in an earlier life."""
        return self._old_done_end >= self.position

    def is_done(self, offset: int) -> bool:
        """Return whether a delivery was settled already."""
        at = bisect_right(self._done, (offset, 1 << 62)) - 1
        return at >= 0 and self._done[at][1] >= offset

    def pass_over(self, offset: int) -> None:
        """Move the position past a delivery that needs nothing: it was done already."""
        self.position = offset + 1

    def open(
        self, offsets: Sequence[int], n_bytes: int, opened_s: float, timestamp_ms: int, is_exact: bool = False
    ) -> Entry:
        """Open a segment of deliveries and return its entry. `offsets` rise and begin at or after `position`.

        `is_exact`: between the offsets lie done ones, so that each run of neighbours is a range of its own. Else gaps
        are what a log leaves by compaction and by transaction markers, and the segment is one range.
        """
        if offsets[0] < self.position:
            raise AssertionError(f"offset {offsets[0]} opened twice: the position is {self.position}")
        ranges = tuple(_runs(offsets)) if is_exact else ((offsets[0], offsets[-1]),)
        entry = Entry(ranges, len(offsets), n_bytes, opened_s, timestamp_ms, is_exact=is_exact)
        self._open.extend(ranges)
        self._entries.append(entry)
        self.position = offsets[-1] + 1
        self.n_in_process += entry.n_events
        self.n_bytes += n_bytes
        return entry

    def add(self, opened_s: float) -> Entry:
        """Return an entry that opens nothing: of a timer, or of what only the state must record."""
        entry = Entry((), 0, 0, opened_s)
        self._entries.append(entry)
        return entry

    # --- settle

    def settle(
        self,
        entry: Entry,
        *,
        records: list[Record],
        changes: dict[str, bytes | None],
        tally: Tally,
        held: Sequence[Range] = (),
        settles: Sequence[Range] = (),
    ) -> None:
        """Settle an entry: with its emits as records, its state changes and its tally.

        `held`: of its own ranges what stays open. `settles`: what was held before and is settled by it.
        """
        entry.records = records
        entry.changes = changes
        entry.tally = tally
        entry.held = held
        entry.settles = settles
        entry.is_settled = True

    # --- release

    @property
    def n_entries(self) -> int:
        """Entries that are not yet released."""
        return len(self._entries)

    @property
    def is_releasable(self) -> bool:
        """Whether the head entry is settled."""
        return bool(self._entries) and self._entries[0].is_settled

    def settled_head(self, max_records: int) -> list[Entry]:
        """Return the settled entries at the head, in order: at least one where there is one."""
        head: list[Entry] = []
        n_records = 0
        for entry in self._entries:
            if not entry.is_settled or (head and n_records + len(entry.records) > max_records):
                break
            head.append(entry)
            n_records += len(entry.records)
        return head

    @property
    def commit(self) -> int:
        """The first open delivery's offset; with none open the position, which steps over gaps and markers."""
        return self._open[0][0] if self._open else self.position

    @property
    def done(self) -> list[Range]:
        """The settled ranges beyond the commit, for the state: they are not to be opened again."""
        return self._done

    def after(self, head: Sequence[Entry]) -> tuple[int, list[Range]]:
        """Return (commit, done ranges) as they will be when `head` has been released; changes nothing."""
        n_ranges = self._in_order(head)
        if n_ranges >= 0:
            commit = self._open[n_ranges][0] if n_ranges < len(self._open) else self.position
            return commit, [r for r in self._done if r[1] >= commit] if self._done else self._done
        open_ranges, done = self._apply(head)
        self._prepared = (id(head[-1]), open_ranges, done)
        return (open_ranges[0][0] if open_ranges else self.position), done

    def released(self, head: Sequence[Entry]) -> None:
        """Record that the entries, which are the head, have been released."""
        n_ranges = self._in_order(head)
        if n_ranges >= 0:
            for _ in range(n_ranges):
                self._open.popleft()
            if self._done:
                self._done = [r for r in self._done if r[1] >= self.commit]
        else:
            prepared, self._prepared = self._prepared, None
            if prepared is not None and prepared[0] == id(head[-1]) and not self._grown(prepared[1]):
                self._open, self._done = prepared[1], prepared[2]
            else:
                self._open, self._done = self._apply(head)
        for entry in head:
            if self._entries.popleft() is not entry:
                raise AssertionError("released out of order")
            entry.is_released = True
            self.n_in_process -= entry.n_events
            self.n_bytes -= entry.n_bytes

    def _grown(self, prepared: deque[Range]) -> bool:
        """Whether segments were opened since `prepared` was computed."""
        return bool(self._open) and (not prepared or prepared[-1][1] < self._open[-1][1])

    def _in_order(self, head: Sequence[Entry]) -> int:
        """Return how many ranges `head` cuts off at the front of what is open; -1 where holding plays a part."""
        n_ranges = 0
        for entry in head:
            if entry.held or entry.settles:
                return -1
            if n_ranges == 0 and entry.ranges and self._open[0] != entry.ranges[0]:
                return -1
            n_ranges += len(entry.ranges)
        return n_ranges

    def _apply(self, head: Sequence[Entry]) -> tuple[deque[Range], list[Range]]:
        """Return what is open and what is done beyond it once `head` is released, holding considered."""
        open_ranges = list(self._open)
        done = list(self._done)
        for entry in head:
            gone = [*_subtract(entry.ranges, entry.held), *entry.settles]
            open_ranges = _subtract(open_ranges, gone)
            done.extend(gone)
        commit = open_ranges[0][0] if open_ranges else self.position
        return deque(open_ranges), _merge(
            [r for r in sorted(done) if r[1] >= commit], open_ranges, self.position
        )


def held_ranges(entry: Entry, offsets: Sequence[int], held: Sequence[int]) -> list[Range]:
    """Return the ranges of an entry's deliveries with the indexes `held` (rising)."""
    if entry.is_exact:
        return _runs([offsets[i] for i in held])
    return [(offsets[a], offsets[b]) for a, b in _runs(held)]


def _runs(numbers: Sequence[int]) -> list[Range]:
    """Return rising numbers as ranges of neighbours."""
    runs: list[Range] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _subtract(ranges: Sequence[Range], gone: Sequence[Range]) -> list[Range]:
    """Return what is left of sorted `ranges` without `gone`."""
    left = list(ranges)
    for first, last in gone:
        rest: list[Range] = []
        for low, high in left:
            if high < first or low > last:
                rest.append((low, high))
                continue
            if low < first:
                rest.append((low, first - 1))
            if high > last:
                rest.append((last + 1, high))
        left = rest
    return left


def _merge(done: Sequence[Range], open_ranges: Sequence[Range], position: int) -> list[Range]:
    """Return sorted ranges with neighbours joined: those between which nothing is open and all has been passed."""
    firsts = [r[0] for r in open_ranges]
    merged: list[Range] = []
    for first, last in done:
        if merged:
            low, high = merged[-1]
            nothing_between = bisect_left(firsts, high + 1) == bisect_left(firsts, first)
            if first <= high + 1 or (nothing_between and first <= position):
                merged[-1] = (low, max(high, last))
                continue
        merged.append((first, last))
    return merged
