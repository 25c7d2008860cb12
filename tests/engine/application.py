"""Small applications for the engine's tests: plans made by hand, run whole over the simulated transport."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from blueprints.diagnostics import Mark
from blueprints.plan import Plan, PortRef, StreamletPlan, TopicPlan
from streamlets.component import Component
from streamlets.engine.virtual import VirtualClock
from streamlets.engine.worker import Ended, Worker
from streamlets.event import Delivery, Record
from streamlets.ports import Apart
from streamlets.transports.simulated import SimulatedTransport
from streamlets.transports.simulated_log import SimulatedLog
from streamlets.transports.transport import TopicPartition, Transport

MARK = Mark("application.yaml", 1, 1)


def topic(
    name: str, producers: Sequence[str] = (), consumers: Sequence[str] = (), **settings: Any
) -> TopicPlan:
    def refs(ports: Sequence[str]) -> tuple[PortRef, ...]:
        return tuple(PortRef(*p.split(".")) for p in ports)

    settings.setdefault("partitions", 1)
    return TopicPlan(
        name=name,
        log_name=f"app.{name}",
        producers=refs(producers),
        consumers=refs(consumers),
        mark=MARK,
        external=not producers,
        **settings,
    )


def plan(streamlets: Sequence[str], topics: Sequence[TopicPlan], **settings: Any) -> Plan:
    """Return a plan of streamlets (each used by its own name) joined by topics."""
    found: dict[str, StreamletPlan] = {}
    for name in streamlets:
        inlets = {c.port: t.name for t in topics for c in t.consumers if c.streamlet == name}
        outlets = {p.port: t.name for t in topics for p in t.producers if p.streamlet == name}
        found[name] = StreamletPlan(
            name=name, use=name, options={}, inlets=inlets, outlets=outlets, mark=MARK, is_source=not inlets
        )
    return Plan(
        name="app",
        prefix="app.",
        delivery=settings.pop("delivery", "exactly-once"),
        streamlets=found,
        topics={t.name: t for t in topics},
        dead_letters=replace(topic("dead-letters"), external=False),
        revision="0" * 12,
        path=Path("application.yaml"),
    )


class NoApart:
    async def call(self, function: str, *arguments: Any) -> Any:
        raise AssertionError("nothing is computed apart here")


def no_server(protocol: str, spec: Any) -> Any:
    raise AssertionError("no model server here")


class Application:
    """A plan, its streamlets' classes, and the log it lives in, from one life to the next."""

    def __init__(self, plan: Plan, classes: Mapping[str, Any], log: SimulatedLog | None = None) -> None:
        self.plan = plan
        self.classes = classes
        self.clock = VirtualClock()
        self.log = log or SimulatedLog(self.clock)
        self.open_apart: Callable[[str], Apart] = lambda name: NoApart()

    def transport(self) -> Transport:
        return SimulatedTransport(self.log)

    async def worker(self, transport: Transport | None = None) -> Worker:
        worker = Worker(
            self.plan,
            transport or self.transport(),
            lambda use: Component(use, self.classes[use]),
            clock=self.clock,
            random=random.Random(1),
            open_server=no_server,
            open_apart=self.open_apart,
            worker_id="w",
        )
        await worker.start()
        return worker

    async def put(self, topic: str, values: Sequence[Any], partition: int = 0) -> None:
        records = []
        for i, value in enumerate(values):
            data = value if isinstance(value, bytes) else orjson.dumps(value)
            headers = [("ce_id", f"{topic}-{partition}-{i}".encode()), ("ce_source", b"/test")]
            headers += [("ce_specversion", b"1.0"), ("ce_type", b"test")]
            records.append(Record(f"app.{topic}", partition, None, data, headers, 0))
        await self.transport().append(records)

    async def put_keyed(self, topic: str, values: Mapping[str, Any]) -> None:
        """Append one event for each key, to partition 0."""
        headers = [("ce_id", b"1"), ("ce_source", b"/test"), ("ce_specversion", b"1.0"), ("ce_type", b"test")]
        records = [
            Record(f"app.{topic}", 0, k.encode(), orjson.dumps(v), headers, 0) for k, v in values.items()
        ]
        await self.transport().append(records)

    async def until_idle(self) -> Ended:
        return await (await self.worker()).run(until_idle=True)

    async def read(self, topic: str, partition: int = 0) -> list[Delivery]:
        transport = self.transport()
        found: list[Delivery] = []
        first, end = (await transport.offsets(f"app.{topic}"))[partition]
        while first < end:
            more = await transport.read(TopicPartition(f"app.{topic}", partition), first, 1000, end)
            if not more:
                break
            found += more
            first = more[-1].offset + 1
        return found

    async def values(self, topic: str, partition: int = 0) -> list[Any]:
        return [orjson.loads(d.value or b"null") for d in await self.read(topic, partition)]
