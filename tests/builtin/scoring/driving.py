"""Drives `score` as the engine does, without an engine: batches in order, state kept, updates in a table."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import orjson

from streamlets.builtin.score import Score
from streamlets.builtin.scoring.options import ScoreOptions
from streamlets.builtin.updates import Update, update_event
from streamlets.engine.clock import SystemClock
from streamlets.event import Delivery, Event
from streamlets.ports import Apart, Batch, Clock, Context, Emit, Outcome
from streamlets.servers.protocols import open_server
from tests.contexts import MapState, NoServers, delivery

DEADLINE_S = 30.0


class Topic:
    """A table inlet that tests write to."""

    def __init__(self) -> None:
        self.events: dict[str, Event] = {}
        self._written = 0
        self._seen: dict[Any, int] = {}
        self._changed = asyncio.Event()

    def entries(self) -> Mapping[str, Event]:
        return self.events

    async def changed(self) -> None:
        caller = asyncio.current_task()
        while self._seen.get(caller, 0) == self._written:
            self._changed.clear()
            await self._changed.wait()
        self._seen[caller] = self._written

    def put(self, event: Event) -> None:
        self.events[(event.key or b"").decode()] = event
        self._written += 1
        self._changed.set()

    def update(self, **data: Any) -> str:
        """Write an update and return its id."""
        update = msgspec.convert({"model": "delay", **data}, Update)
        event_id = f"update-{update.epoch}-{len(self.events)}"
        self.put(update_event(update, "/app/models", event_id, "2026-01-01T00:00:00Z"))
        return event_id


class Driven:
    """A `score` at work."""

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        base_dir: Path = Path("/"),
        clock: Clock | None = None,
        topic: Topic | None = None,
        states: dict[int, MapState] | None = None,
        connected: Sequence[str] = ("out", "payloads", "status", "in", "updates"),
    ) -> None:
        self.topic = topic if topic is not None else Topic()
        self.states: dict[int, MapState] = states if states is not None else {}
        self._gained: set[int] = set()
        self.told: list[dict[str, Any]] = []
        self.waiting: list[str | None] = []
        self.apart: Apart = NoServers()
        context = Context(
            application="app",
            streamlet="score",
            base_dir=base_dir,
            clock=clock or SystemClock(),
            random=random.Random(1),
            connected=frozenset(connected),
            tables={"updates": self.topic} if "updates" in connected else {},
            open_server=open_server,
            apart=self.apart,
            waiting=self.waiting.append,
            announce=self._announced,
        )
        defaults = {"model": "delay", "inputs": {"x": ["a", "b"]}, "outputs": {"y": "y"}}
        self.score = Score(ScoreOptions.model_validate({**defaults, **options}), context)

    def _announced(self, *emits: Emit, state: Mapping[str, Any] = {}) -> None:
        for emit in emits:
            assert emit.id is not None
            self.told.append(orjson.loads(emit.data or b""))
        for partition in self.states.values():
            partition.entries.update(state)

    def steps(self) -> list[str]:
        return [status["step"] for status in self.told]

    def batch(self, deliveries: Sequence[Delivery], partition: int = 0) -> Batch:
        state = self.states.setdefault(partition, MapState())
        if partition not in self._gained:
            self._gained.add(partition)
            self.score.gained("app.in", partition, state)
        return Batch("in", "app.in", partition, list(deliveries), state)

    async def give(self, deliveries: Sequence[Delivery], partition: int = 0) -> Outcome:
        """Return what becomes of a batch."""
        batch = self.batch(deliveries, partition)
        batch.plan = self.score.admit(batch)
        return await self.score.process(batch)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():  # noqa: ASYNC110 - a condition over several objects, with a deadline
                await asyncio.sleep(0.005)


@asynccontextmanager
async def driven(options: Mapping[str, Any], **others: Any) -> AsyncIterator[Driven]:
    """Enter as a `score` that is set up; it is torn down at the end."""
    driver = Driven(options, **others)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await driver.score.set_up()
            yield driver
    finally:
        await driver.score.tear_down()


def events(values: Sequence[Any], first: int = 0, partition: int = 0) -> list[Delivery]:
    """Return deliveries whose data are these, JSON objects or bytes."""
    return [delivery(first + i, value, partition=partition) for i, value in enumerate(values)]


def rows(n: int, first: int = 0, partition: int = 0) -> list[Delivery]:
    """Return n deliveries { a: i, b: 1 }."""
    return events([{"a": float(i), "b": 1.0} for i in range(first, first + n)], first, partition)


def predictions(outcome: Outcome) -> list[Any]:
    """Return what was predicted, in order."""
    return [orjson.loads(e.data or b"")["prediction"]["y"] for e in outcome.emits if e.port == "out"]


def of(outcome: Outcome, port: str) -> list[Emit]:
    return [emit for emit in outcome.emits if emit.port == port]
