"""What a stage can be asked about itself: counts, rate, latency, what it waits for. Read by status and progress."""

from __future__ import annotations

from collections import deque

from blueprints.veil import Veil
from streamlets.ports import Clock

_SAMPLES = 1_024  # latencies remembered: enough for a steady 99th percentile, a few KiB


class Gauges:
    """Counters of one stage since its start; cheap enough to be kept for each segment."""

    def __init__(self, clock: Clock, veil: Veil | None = None) -> None:
        """`veil`: keeps secrets out of reasons, which go into snapshots and onto terminals."""
        self._clock = clock
        self._veil = veil or Veil()
        self.started_s = clock.monotonic_s()
        self.partitions = 0
        self.n_settled = 0
        self.n_released = 0
        self.aborted = 0
        self.rewinds = 0
        self.skipped = 0  # events gone by retention before a stage that may miss some could read them
        self._waiting_on: str | None = None
        self._failure: str | None = None
        self.progress: float | None = None
        self.values: dict[str, float] = {}
        self._latencies: deque[float] = deque(maxlen=_SAMPLES)
        self._marks: deque[tuple[float, int]] = deque([(self.started_s, 0)], maxlen=16)

    @property
    def waiting_on(self) -> str | None:
        """What is waited for; None while nothing is."""
        return self._waiting_on

    @waiting_on.setter
    def waiting_on(self, reason: str | None) -> None:
        self._waiting_on = None if reason is None else self._veil(reason)

    @property
    def failure(self) -> str | None:
        """Why the stage has ended, where it was not asked to."""
        return self._failure

    @failure.setter
    def failure(self, cause: str | None) -> None:
        self._failure = None if cause is None else self._veil(cause)

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
