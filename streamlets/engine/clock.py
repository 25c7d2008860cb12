"""The real clock: the machine's own time, given to everything that a worker runs."""

from __future__ import annotations

import asyncio
import time


class SystemClock:
    """The machine's time, as `ports.Clock` asks for it."""

    def monotonic_s(self) -> float:
        """Return seconds that never step back; only differences mean something."""
        return time.monotonic()

    def now_s(self) -> float:
        """Return Unix seconds; may step when the machine's clock is set."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Return after at least `seconds`; 0 or less lets other tasks run once."""
        await asyncio.sleep(max(0.0, seconds))
