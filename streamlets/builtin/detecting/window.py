"""A window that is open: what `detect` holds of one partition until it is judged. Lives in memory only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from streamlets.builtin.detecting.rows import Taken
from streamlets.event import Delivery, Event, timestamp


class Window:
    """Deliveries of one partition in their order, with what an alert says of them."""

    def __init__(self, opened_s: float) -> None:
        """`opened_s`: the clock's monotonic time when its first delivery was read."""
        self.opened_s = opened_s
        self.events: list[bytes | list[Any]] = []
        self.offsets: list[int] = []
        self.n_rows = 0
        self.first_id = self.last_id = ""
        self.models: dict[str, int] = {}
        self._times = (float("inf"), float("-inf"))

    def add(self, delivery: Delivery, event: Event, taken: Taken) -> None:
        """Take a delivery in."""
        model, n_rows = taken.model, taken.n_rows
        if not self.events:
            self.first_id = event.id
        self.last_id = event.id
        self.events.append(taken.parts)
        self.offsets.append(delivery.offset)
        self.n_rows += n_rows
        if model:
            self.models[model] = self.models.pop(model, 0) + n_rows  # the latest comes last
        time_s = _unix_s(event.time, delivery)
        first, last = self._times
        self._times = (min(first, time_s), max(last, time_s))

    def extend(self, newer: Window) -> None:
        """Take in what came after."""
        if not self.events:
            self.first_id = newer.first_id
        self.last_id = newer.last_id or self.last_id
        self.events += newer.events
        self.offsets += newer.offsets
        self.n_rows += newer.n_rows
        for model, n_rows in newer.models.items():
            self.models[model] = self.models.pop(model, 0) + n_rows
        (first, last), (newer_first, newer_last) = self._times, newer._times
        self._times = (min(first, newer_first), max(last, newer_last))

    def joined(self, newer: Window) -> Window:
        """Return this window with what came after, both left as they are."""
        whole = Window(self.opened_s)
        whole.extend(self)
        whole.extend(newer)
        return whole

    @property
    def end(self) -> str:
        """The latest time of its events."""
        return timestamp(self._times[1])

    def ranges(self) -> list[tuple[int, int]]:
        """Return its offsets as ranges, both ends included."""
        found: list[tuple[int, int]] = []
        for offset in self.offsets:
            if found and found[-1][1] == offset - 1:
                found[-1] = (found[-1][0], offset)
            else:
                found.append((offset, offset))
        return found

    def describe(self, topic: str, partition: int, number: int, closed: str) -> dict[str, Any]:
        """Return what statistics and alerts say of it: never a payload, only where one finds some."""
        offsets = self.offsets
        samples = sorted({offsets[0], offsets[len(offsets) // 2], offsets[-1]})
        return {
            "number": number,
            "start": timestamp(self._times[0]),
            "end": self.end,
            "rows": self.n_rows,
            "events": len(self.events),
            "closed": closed,
            "topic": topic,
            "partition": partition,
            "offsets": [offsets[0], offsets[-1]],
            "models": self.models,
            "samples": [{"topic": topic, "partition": partition, "offset": offset} for offset in samples],
        }


def _unix_s(time: str | None, delivery: Delivery) -> float:
    """Return when an event took place; where it does not say, or not readably, when it was appended."""
    if time is not None:
        try:
            found = datetime.fromisoformat(time)
            return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            pass
    return delivery.timestamp_ms / 1000
