"""Where the tests of the embedded log find one: a file in a folder of the test, and a clock that can be moved on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from streamlets.transports.embedded import EmbeddedTransport
from streamlets.transports.embedded_file import Role
from streamlets.transports.transport import TopicSpec, Transport


class RealClock:
    """The machine's time, plus what a test has let pass."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def monotonic_s(self) -> float:
        return time.monotonic() + self.passed_s

    def now_s(self) -> float:
        return time.time() + self.passed_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class EmbeddedPlace:
    """One file; the outsiders are clients of it."""

    abilities = frozenset({"compaction", "retention", "growth"})

    def __init__(self, folder: Path) -> None:
        self.path = folder / "app.log"
        self.clock = RealClock()

    def run(self, story: Coroutine[Any, Any, None]) -> None:
        asyncio.run(story)

    def transport(self, role: Role = "worker", vfs: str | None = None) -> EmbeddedTransport:
        return EmbeddedTransport(self.path, "app", clock=self.clock, role=role, vfs=vfs)

    async def open(self) -> Transport:
        transport = self.transport()
        await transport.start()
        return transport

    async def outsider(self) -> Transport:
        transport = self.transport("client")
        await transport.start()
        return transport

    async def compact(self, transport: Transport, topic: str) -> None:
        assert isinstance(transport, EmbeddedTransport)
        await transport.tidy()

    async def retire(self, transport: Transport, topic: str) -> None:
        assert isinstance(transport, EmbeddedTransport)
        self.clock.passed_s += 2 * ((await transport.topics())[topic].retention_s or 0.0)
        await transport.tidy()

    async def grow(self, transport: Transport, topic: TopicSpec) -> None:
        assert isinstance(transport, EmbeddedTransport)
        await transport.alter(topic)
