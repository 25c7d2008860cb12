"""The simulated transport, in calm weather, passes the suite that every transport must pass."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest

from streamlets.engine.virtual import VirtualClock, virtual_run
from streamlets.suites.transport import TransportSuite
from streamlets.transports.simulated import SimulatedTransport
from streamlets.transports.simulated_log import SimulatedLog
from streamlets.transports.transport import TopicSpec, Transport


class SimulatedPlace:
    """One log in memory; a worker and outsiders are transports on it."""

    abilities = frozenset({"compaction", "retention", "growth"})

    def __init__(self) -> None:
        self.log = SimulatedLog(VirtualClock())

    def run(self, story: Coroutine[Any, Any, None]) -> None:
        virtual_run(story)

    async def open(self) -> Transport:
        return SimulatedTransport(self.log)

    async def outsider(self) -> Transport:
        return SimulatedTransport(self.log)

    async def compact(self, transport: Transport, topic: str) -> None:
        for partition in self.log.partitions(topic):
            partition.compact()

    async def retire(self, transport: Transport, topic: str) -> None:
        for partition in self.log.partitions(topic):
            partition.expire(partition.end)

    async def grow(self, transport: Transport, topic: TopicSpec) -> None:
        self.log.grow(topic.name, topic.partitions)


class TestSimulated(TransportSuite):
    @pytest.fixture
    def place(self) -> SimulatedPlace:
        return SimulatedPlace()
