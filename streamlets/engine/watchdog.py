"""A bound on real time: code that never gives up the processor is interrupted, and where it was is told."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

AGAIN_S = 2.0  # whoever catches everything is interrupted again; a clean-up takes milliseconds


class TookTooLong(KeyboardInterrupt):
    """The bound has passed. `place`: file, line and function that were at work.

    A KeyboardInterrupt, because those alone leave an event loop, whatever the tasks in it catch.
    """

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.place = place


class Bound:
    """A bound on real time. `place`: where the work was when the bound passed, or None when it did not."""

    place: str | None = None


@contextmanager
def bounded(limit_s: float) -> Iterator[Bound]:
    """Raise TookTooLong in the block after `limit_s` of real time, and again until it is left.

    What is interrupted may raise something else on its way out, so who wants to know looks at the Bound.
    Without effect outside the main thread, where no signal arrives. A timer that somebody else has set goes on.
    """
    bound = Bound()
    if threading.current_thread() is not threading.main_thread():
        yield bound
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        place = _place(frame)
        bound.place = bound.place or place
        raise TookTooLong(place)

    began_s = time.monotonic()
    handler: Any = signal.signal(signal.SIGALRM, interrupt)
    left_s, interval_s = signal.setitimer(signal.ITIMER_REAL, limit_s, AGAIN_S)
    try:
        yield bound
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, handler)
        if left_s:
            left_s = max(0.001, left_s - (time.monotonic() - began_s))
            signal.setitimer(signal.ITIMER_REAL, left_s, interval_s)


def _place(frame: FrameType | None) -> str:
    """Return the innermost place outside Python's own library: `features.py:14 in features`."""
    first = frame
    while frame is not None:
        file = frame.f_code.co_filename
        if "/asyncio/" not in file and not file.startswith("<"):
            return f"{file}:{frame.f_lineno} in {frame.f_code.co_name}"
        frame = frame.f_back
    return "an unknown place" if first is None else f"{first.f_code.co_filename}:{first.f_lineno}"
