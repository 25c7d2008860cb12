"""The board: where each partition begins and ends, as far as this process knows, and who waits for it to change."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from streamlets.transports.embedded_lane import Lane
from streamlets.transports.embedded_reader import Ends


class Board:
    """Lives on the event loop. Our own commits are noted at once, other processes' by the reader's look.

    `ends`: (first offset there is, offset after the last) by the partition's number; `changes` counts what was noted.
    """

    def __init__(self, lane: Lane) -> None:
        """`lane`: the reader's, which looks for other processes' commits only while somebody waits."""
        self.ends: Ends = {}
        self.changes = 0
        self._changed: dict[int, int] = {}
        self._woken = 0
        self._lane = lane
        self._waiters: dict[asyncio.Future[None], Collection[int] | None] = {}

    def note(self, ends: Ends) -> bool:
        """Take over ends that may be older than what is known; wake who waits. Return whether a partition is new."""
        known = self.ends
        changed: set[int] = set()
        has_new = False
        for place, (first, end) in ends.items():
            before = known.get(place)
            if before is None:
                known[place] = (first, end)
                has_new = True
            elif end > before[1] or first > before[0]:
                known[place] = (max(first, before[0]), max(end, before[1]))
                changed.add(place)
        if has_new:
            self.wake()
        elif changed:
            self.changes += 1
            self._changed.update(dict.fromkeys(changed, self.changes))
            for waiter, places in list(self._waiters.items()):
                if places is None or not changed.isdisjoint(places):
                    _let_go(waiter)
        return has_new

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self.changes += 1
        self._woken = self.changes
        for waiter in self._waiters:
            _let_go(waiter)

    def last_change(self, places: Collection[int] | None = None) -> int:
        """Return how many changes there had been when one of the places (None: any) last changed."""
        if places is None:
            return self.changes
        return max([self._woken, *(self._changed.get(place, 0) for place in places)])

    async def wait_change(self, timeout_s: float, places: Collection[int] | None = None) -> None:
        """Return when one of the places (None: any) changes, or after `timeout_s`. Earlier changes do not count."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters[waiter] = places
        timer = loop.call_later(timeout_s, _let_go, waiter)
        self._lane.watch_more()
        try:
            await waiter
        finally:
            self._lane.watch_less()
            del self._waiters[waiter]
            timer.cancel()


def _let_go(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
