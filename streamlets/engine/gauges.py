"""What a stage can be asked about itself: counts, rate, latency, what it waits for. Read by status and progress."""

from __future__ import annotations

from collections import deque

from streamlets.ports import Clock

_SAMPLES = 1_024  # latencies remembered: enough for a steady 99th percentile, a few KiB


class Gauges:
    """Counters of one stage since its start; cheap enough to be kept for each segment."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.started_s = clock.monotonic_s()
        self.partitions = 0
        self.n_settled = 0
        self.n_released = 0
        self.aborted = 0
        self.rewinds = 0
        self.skipped = 0  # events gone by retention before a stage that may miss some could read them
        self.waiting_on: str | None = None
        self.failure: str | None = None
        self.progress: float | None = None
        self.values: dict[str, float] = {}
        self._latencies: deque[float] = deque(maxlen=_SAMPLES)
        self._marks: deque[tuple[float, int]] = deque([(self.started_s, 0)], maxlen=16)

    def settled(self, n: int) -> None:
        """Count deliveries that settled."""
        self.n_settled += n

    def released(self, n: int, latency_s: float) -> None:
        """Count deliveries that were released, and how long ago the first of them was appended."""
        self.n_released += n
        self._latencies.append(latency_s)

    def set(self, name: str, value: float) -> None:
        """Record a streamlet's own gauge."""
        self.values[name] = value

    def wait_on(self, reason: str | None) -> None:
        """Record what is waited for; None when it is over."""
        self.waiting_on = reason

    def rate(self) -> float:
        """Return events released a second, over the last few calls of `rate` (about ten seconds of snapshots)."""
        now_s = self._clock.monotonic_s()
        then_s, n = self._marks[0]
        if now_s - self._marks[-1][0] >= 0.5:
            self._marks.append((now_s, self.n_released))
        return (self.n_released - n) / (now_s - then_s) if now_s > then_s else 0.0

    def latency_s(self, share: float) -> float | None:
        """Return a percentile (share in [0, 1]) of the time from append to release, or None without samples."""
        if not self._latencies:
            return None
        ordered = sorted(self._latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
