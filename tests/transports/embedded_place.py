"""Where the tests of the embedded log find one: a file in a folder of the test, and a clock that can be moved on.

`run_with_mounts` runs a story where the machine's mounts are its own, so that none is left behind.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

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


def run_with_mounts(mounts: list[str], module: str, *arguments: object) -> None:
    """Run `python -m module` in mounts of its own, made by these commands; skips where that is not allowed."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("only root can mount a disk for the test")
    script = " && ".join([*mounts, 'exec "$@"'])
    command = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        script,
        "sh",
        sys.executable,
        "-m",
        module,
        *map(str, arguments),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
