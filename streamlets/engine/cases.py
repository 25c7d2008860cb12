"""Blueprint tests at work: each case on the real engine, over the simulated transport, in virtual time.

Nothing leaves the process: sources and sinks are not run, models answer what the case says. What a source would have
read is given; what a sink would have taken is looked at in its topic.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from blueprints.cases import DEAD_LETTERS, Case, GivenEvent
from blueprints.diagnostics import Mark
from blueprints.plan import Plan, PortRef
from streamlets.component import Component
from streamlets.engine.apart import InProcess
from streamlets.engine.expected import Problem, Seen, compare
from streamlets.engine.keys import key_of
from streamlets.engine.scripted import ScriptedServers
from streamlets.engine.state import restore
from streamlets.engine.virtual import VirtualClock, VirtualTimeError, virtual_run
from streamlets.engine.worker import Ended, Worker
from streamlets.errors import StreamletsError
from streamlets.event import Delivery, Event, Record, decode, encode, timestamp
from streamlets.transports.simulated import SimulatedTransport
from streamlets.transports.simulated_log import SimulatedLog
from streamlets.transports.transport import TopicPartition, TopicSpec, partition_for

SETTLE_S = 600.0  # virtual: longer than any window or backoff that a case without `after` should meet


@dataclasses.dataclass
class CaseResult:
    """What became of a case. `emitted`: the ports that emitted something, for the coverage."""

    case: Case
    problems: list[Problem]
    emitted: set[PortRef]

    @property
    def is_passed(self) -> bool:
        return not self.problems


def run_case(plan: Plan, case: Case, components: Callable[[str], Component]) -> CaseResult:
    """Return what a case has shown. `components`: what a blueprint's `use` names."""
    run = _Run(plan, case, components)
    try:
        virtual_run(run.go(), limit_s=SETTLE_S + 2 * (case.after_s or 0.0) + 60.0)
    except VirtualTimeError as exc:
        run.say(case.mark, f"the run cannot come to an end: {str(exc).splitlines()[0]}")
    except StreamletsError as exc:
        run.say(case.mark, f"{exc.code}: {exc}")
    return CaseResult(case, run.problems, run.emitted)


class _Run:
    def __init__(self, plan: Plan, case: Case, components: Callable[[str], Component]) -> None:
        # What is given enters the application where it is given, and is checked there against its contract.
        topics = {
            name: dataclasses.replace(topic, external=True) if name in case.given else topic
            for name, topic in plan.topics.items()
        }
        self.plan = dataclasses.replace(plan, topics=topics)
        self.case = case
        self.components = components
        self.clock = VirtualClock()
        self.log = SimulatedLog(self.clock)
        self.problems: list[Problem] = []
        self.emitted: set[PortRef] = set()

    def say(self, mark: Mark | None, text: str) -> None:
        problem = Problem(mark or self.case.mark, text)
        if problem not in self.problems:
            self.problems.append(problem)

    async def go(self) -> None:
        transport = SimulatedTransport(self.log)
        for topic in self.plan.topics.values():
            self.log.create(
                TopicSpec(name=topic.log_name, partitions=topic.partitions, compacted=topic.compacted)
            )
        self._give()
        given = self.log.step
        worker = Worker(
            self.plan,
            transport,
            self.components,
            clock=self.clock,
            random=random.Random(0),
            open_server=ScriptedServers(self.case.models, self.say).open,
            open_apart=lambda name: InProcess(),
            only=[name for name in self.plan.streamlets if self._is_run(name)],
            worker_id="test",
        )
        await worker.start()
        await self._work(worker)
        for name, (mark, expected) in self.case.expect.items():
            seen = self._seen(name, given)
            is_ordered = name == DEAD_LETTERS or self.plan.topics[name].partitions == 1
            self.problems += compare(name, mark, expected, seen, is_ordered)
        await self._note_emitted(transport)
        await transport.close()

    def _is_run(self, name: str) -> bool:
        streamlet = self.plan.streamlets[name]
        component = self.components(streamlet.use)
        if component.is_source:
            return False
        return bool(component.ports(component.load(streamlet.options, self.plan.base_dir))[1])

    async def _work(self, worker: Worker) -> None:
        task = asyncio.create_task(worker.run(until_idle=self.case.after_s is None))
        _, pending = await asyncio.wait({task}, timeout=self.case.after_s or SETTLE_S)
        if pending:
            if self.case.after_s is None:
                for name, running in worker.running.items():
                    if (reason := running.stage.gauges.waiting_on) is not None:
                        self.say(None, f"{name} still waits after {SETTLE_S:g} s: {reason}")
                if not self.problems:
                    self.say(None, f"not all is settled after {SETTLE_S:g} s of virtual time")
            worker.stop()
            await asyncio.wait({task}, timeout=60.0)
        if task.done():
            ended: Ended = task.result()
            for cause in ended.causes:
                self.say(None, f"a streamlet has stopped: {cause}")
        else:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    # --- what goes in

    def _give(self) -> None:
        number = 0
        for name, events in self.case.given.items():
            topic = self.plan.topics[name]
            key = key_of(topic)
            for given in events:
                number += 1
                record = self._record(topic.log_name, given, number)
                if key is not None and record.key is None:
                    record.key = key(record.value, record.headers)
                if "partition" in given.attributes:
                    record.partition = int(given.attributes["partition"]) % topic.partitions
                else:
                    record.partition = partition_for(record.key, topic.partitions)
                self.log.append(record)

    def _record(self, topic: str, given: GivenEvent, number: int) -> Record:
        said = given.attributes
        event = Event(
            id=str(said.get("id", f"given-{number}")),
            source=str(said.get("source", "/test")),
            type=str(said.get("type", "test.event")),
            data=orjson.dumps(given.data) if given.data is not None else None,
            datacontenttype="application/json" if given.data is not None else None,
            subject=_text(said.get("subject")),
            time=_text(said.get("time")) or timestamp(self.clock.now_s()),
            extensions={name: str(value) for name, value in said.get("extensions", {}).items()},
            key=key.encode() if (key := _text(said.get("key"))) is not None else None,
        )
        key_bytes, value, headers = encode(event)
        return Record(topic, 0, key_bytes, value, headers)

    # --- what comes out

    def _seen(self, name: str, after: int) -> list[Seen]:
        """Return the events of a topic that were not given, in the order in which they became visible."""
        topic = self.plan.dead_letters if name == DEAD_LETTERS else self.plan.topics[name]
        found = [
            stored
            for partition in self.log.partitions(topic.log_name)
            for stored in partition.history
            if stored.is_visible and stored.visible_at > after
        ]
        found.sort(key=lambda s: (s.visible_at, s.delivery.partition, s.delivery.offset))
        show = self._dead_letter if name == DEAD_LETTERS else _event
        return [show(stored.delivery) for stored in found]

    def _dead_letter(self, delivery: Delivery) -> Seen:
        log_name = delivery.header("deadletter-topic")
        names = {topic.log_name: topic.name for topic in self.plan.topics.values()}
        data = {
            "code": delivery.header("deadletter-code"),
            "reason": delivery.header("deadletter-reason"),
            "streamlet": delivery.header("deadletter-streamlet"),
            "attempts": int(delivery.header("deadletter-attempts") or 0),
            "topic": names.get(log_name or "", log_name),
            "data": _data(delivery.value),
        }
        return Seen(data, {"key": _text(delivery.key)})

    async def _note_emitted(self, transport: SimulatedTransport) -> None:
        for name in self.plan.streamlets:
            for partition in self.log.partitions(self.plan.state_topic(name)):
                where = TopicPartition(partition.name.topic, partition.name.partition)
                _, row = await restore(transport, where)
                if row is not None:
                    self.emitted |= {PortRef(name, port) for port, (n, _) in row.tally.emitted.items() if n}


def never_taken(plan: Plan, results: Sequence[CaseResult]) -> list[str]:
    """Return the edges on which no case has sent an event, as `warm.out → print.in`."""
    emitted = {port for result in results for port in result.emitted}
    given = {topic for result in results for topic, events in result.case.given.items() if events}
    edges = []
    for topic in plan.topics.values():
        from_sources = all(plan.streamlets[p.streamlet].is_source for p in topic.producers)
        to = ", ".join(map(str, topic.consumers)) or topic.name
        if from_sources:
            if topic.name not in given:
                edges.append(f"{topic.name} → {to}")
            continue
        edges += [f"{port} → {to}" for port in topic.producers if port not in emitted]
    return edges


def _event(delivery: Delivery) -> Seen:
    event = decode(delivery)
    attributes: Mapping[str, Any] = {
        "key": _text(delivery.key),
        "type": event.type,
        "subject": event.subject,
        "extensions": event.extensions,
    }
    return Seen(_data(event.data), attributes)


def _data(data: bytes | None) -> Any:
    if data is None:
        return None
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return data.decode(errors="replace")


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
