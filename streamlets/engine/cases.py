"""Blueprint tests at work: each case on the real engine, over the simulated transport, in virtual time.

Nothing leaves the process by ours: sources and sinks are not run, models answer what the case says. What a source
would have read is given; what a sink would have taken is looked at in its topic. Each case has a log, a worker,
streamlets and a clock of its own; what it shares with the others is what does not change: the plan, the classes, and
a module's own globals.

Just past 400 lines, because the steps of a case, its topics and what came of it share one run.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import os
import random
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import orjson

from blueprints.cases import DEAD_LETTERS, STATUS, Case, GivenEvent, Step
from blueprints.diagnostics import Diagnostic, Mark
from blueprints.plan import Plan, TopicPlan
from blueprints.veil import Veil
from streamlets.component import Component
from streamlets.engine.apart import InProcess
from streamlets.engine.expected import Difference, Problem, Seen, compare
from streamlets.engine.keys import KeyOf, key_of
from streamlets.engine.scripted import ScriptedServers
from streamlets.engine.stage import Stage
from streamlets.engine.taken import Taken
from streamlets.engine.virtual import START_S, VirtualClock, VirtualTimeError, virtual_run
from streamlets.engine.watchdog import Bound, TookTooLong, bounded
from streamlets.engine.wiring import status_topic
from streamlets.engine.worker import Ended, Worker
from streamlets.errors import StreamletsError
from streamlets.event import Delivery, Event, Record, decode, encode, timestamp
from streamlets.formats.format import Channels
from streamlets.transports.simulated import SimulatedTransport
from streamlets.transports.simulated_log import SimulatedLog, Stored
from streamlets.transports.transport import TopicSpec, partition_for

SETTLE_S = 600.0  # virtual: longer than any window or backoff that a step without `after` should meet
INSTANT_S = 1e-5  # virtual: passes only when all that is to be done at this instant is done
STOP_S = 60.0  # virtual: above what a worker takes for a clean stop
LIMIT_S = 10.0  # real: a case takes milliseconds; what takes longer than this never ends


@dataclasses.dataclass
class CaseResult:
    """What became of a case. `taken`: the ways that its events went, for the coverage; `took_s`: of real time."""

    case: Case
    problems: list[Problem]
    taken: Taken
    took_s: float = 0.0

    @property
    def is_passed(self) -> bool:
        return not self.problems


class Cases:
    """Runs the cases of one plan: what is the same for all of them is looked up once."""

    def __init__(self, plan: Plan, components: Callable[[str], Component], limit_s: float = LIMIT_S) -> None:
        """`components`: what a blueprint's `use` names. `limit_s`: of real time for a case."""
        self.plan = plan
        self.components = functools.cache(components)
        self.limit_s = limit_s
        self._veil = Veil(plan.secrets)
        self._with_given: dict[frozenset[str], _Given] = {}
        self.run_here = [name for name in plan.streamlets if self._is_run(name)]

    def _is_run(self, name: str) -> bool:
        streamlet = self.plan.streamlets[name]
        component = self.components(streamlet.use)
        if component.is_source:
            return False
        return bool(component.ports(component.load(streamlet.options, self.plan.base_dir))[1])

    def _veiled(self, problem: Problem) -> Problem:
        """Return a problem without the secrets of the environment, which a streamlet may have put into an event."""
        fields = [Difference(*map(self._veil, field)) for field in problem.fields]
        return Problem(problem.mark, self._veil(problem.text), tuple(fields))

    def with_given(self, names: frozenset[str]) -> _Given:
        """Return the plan for events given in these topics, with what nothing of a case changes."""
        found = self._with_given.get(names)
        if found is None:
            topics = {
                name: dataclasses.replace(topic, external=True) if name in names else topic
                for name, topic in self.plan.topics.items()
            }
            plan = dataclasses.replace(self.plan, topics=topics)
            keys = {name: key_of(topics[name]) for name in names}
            found = self._with_given[names] = _Given(plan, Channels(plan), keys)
        return found

    def run(self, case: Case) -> CaseResult:
        """Return what a case has shown. It ends within the limit, whatever the streamlets do."""
        began_s = time.perf_counter()
        run = _Run(self, case)
        limit_s = sum(step.after_s or SETTLE_S for step in case.steps) + 2 * STOP_S
        random.seed(0)
        bound = Bound()
        try:
            with _environment(case.env), bounded(self.limit_s) as bound:
                virtual_run(run.go(), limit_s=limit_s)
        except TookTooLong:
            pass  # told below: what is interrupted may end by another error
        except VirtualTimeError as exc:
            run.say(None, f"the run cannot come to an end: {str(exc).splitlines()[0]}")
        except StreamletsError as exc:
            run.say(None, f"{exc.code}: {exc}")
        except (SystemExit, Exception) as exc:  # noqa: BLE001 - a streamlet may raise anything where it is made
            run.say(None, f"a streamlet could not be made or ended: {type(exc).__name__}{_place(exc)}")
        if bound.place is not None:
            run.problems.clear()  # they follow from it
            run.say(None, f"still at work after {self.limit_s:g} s of real time, at {bound.place}")
        run.problems = [self._veiled(problem) for problem in run.problems]
        return CaseResult(case, run.problems, run.taken, time.perf_counter() - began_s)


@contextmanager
def _environment(said: Mapping[str, str | None]) -> Iterator[None]:
    """Let code that asks for it find the case's environment; what was there before is there again after."""
    before = {name: os.environ.get(name) for name in said}
    try:
        _set(said)
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def unrunnable(case: Case, diagnostics: Sequence[Diagnostic]) -> CaseResult:
    """Return the result of a case whose environment makes the blueprint one that cannot run."""
    errors = [found for found in diagnostics if found.severity == "error"]
    problems = [Problem(case.mark, f"the blueprint cannot run in this environment: {one}") for one in errors]
    return CaseResult(case, problems, Taken())


class _Given(NamedTuple):
    """A plan whose topics are external where a case gives events: there they enter, and are checked."""

    plan: Plan
    channels: Channels
    keys: Mapping[str, KeyOf | None]


class _Run:
    def __init__(self, cases: Cases, case: Case) -> None:
        self.plan, self.channels, self.keys = cases.with_given(frozenset(case.given))
        self.cases = cases
        self.case = case
        self.clock = VirtualClock()
        self.log = SimulatedLog(self.clock)
        self.servers = ScriptedServers(self.clock, self.say)
        self.problems: list[Problem] = []
        self.taken = Taken()
        self.n_given = 0
        self.given: set[tuple[str, int, int]] = set()  # topic, partition, offset

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
        worker = Worker(
            self.plan,
            transport,
            self.cases.components,
            clock=self.clock,
            random=random.Random(0),
            open_server=self.servers.open,
            open_apart=lambda name: InProcess(),
            only=self.cases.run_here,
            channels=self.channels,
            worker_id="test",
        )
        first, *others = self.case.steps or [Step(self.case.mark)]
        self.servers.change(self.case.models)
        self._begin(first)  # what is there when the worker starts
        await worker.start()
        task = asyncio.create_task(worker.run())
        try:
            await self._pass_time(first, worker, task, is_last=not others)
            before = self._look(first, 0)
            for number, step in enumerate(others):
                self._begin(step)
                await self._pass_time(step, worker, task, is_last=number == len(others) - 1)
                before = self._look(step, before)
            for name, expected in self.case.expect.items():
                self.problems += compare(name, expected, self._seen(name, 0))
            self._note(worker)
        except BaseException:
            task.cancel()  # the run is given up: nothing of it is waited for that may never come
            await asyncio.gather(task, return_exceptions=True)
            raise
        await self._end(worker, task)
        await transport.close()

    # --- a step

    def _begin(self, step: Step) -> None:
        """Let happen what the step says, all at one instant."""
        self.servers.change(step.models)
        for name, (_, events) in step.given.items():
            topic = self.plan.topics[name]
            for given in events:
                self.n_given += 1
                try:
                    record = self._record(topic, given)
                except StreamletsError as exc:
                    self.say(given.mark, f"this event cannot be given: {exc}")
                    continue
                offset = self.log.append(record)
                self.given.add((record.topic, record.partition, offset))

    async def _pass_time(
        self, step: Step, worker: Worker, task: asyncio.Task[Ended], *, is_last: bool
    ) -> None:
        if step.after_s is not None:
            await asyncio.wait({task}, timeout=step.after_s + INSTANT_S)
            return
        settling = asyncio.create_task(self._settle(worker, is_last))
        await asyncio.wait({settling, task}, timeout=SETTLE_S, return_when=asyncio.FIRST_COMPLETED)
        if settling.done():
            settling.result()
            return
        settling.cancel()
        if task.done():
            return
        n_before = len(self.problems)
        for name, running in worker.running.items():
            if (reason := running.stage.gauges.waiting_on) is not None:
                self.say(step.mark, f"{name} still waits after {SETTLE_S:g} s of virtual time: {reason}")
        if len(self.problems) == n_before:
            busy = [name for name, stage in _stages(worker).items() if not stage.is_quiet]
            who = f"{', '.join(busy)} still work{'s' * (len(busy) == 1)}" if busy else "not all is settled"
            self.say(step.mark, f"{who} after {SETTLE_S:g} s of virtual time")

    async def _settle(self, worker: Worker, is_last: bool) -> None:
        await self.clock.sleep(INSTANT_S)  # tables are read, updates tried out
        await worker.settle(closing=is_last)

    def _look(self, step: Step, after: int) -> int:
        """Compare what came since the log's step `after`; return where it is now."""
        for name, expected in step.expect.items():
            self.problems += compare(name, expected, self._seen(name, after))
        return self.log.step

    async def _end(self, worker: Worker, task: asyncio.Task[Ended]) -> None:
        worker.stop()
        await asyncio.wait({task}, timeout=STOP_S)
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return
        for cause in task.result().causes:
            self.say(None, f"a streamlet has stopped: {cause}")

    def _record(self, topic: TopicPlan, given: GivenEvent) -> Record:
        said = given.attributes
        event = Event(
            id=said.get("id", f"given-{self.n_given}"),
            source=said.get("source", "/test"),
            type=said.get("type", "test.event"),
            data=orjson.dumps(given.data) if given.data is not None else None,
            datacontenttype="application/json" if given.data is not None else None,
            subject=said.get("subject"),
            time=said.get("time") or timestamp(self._now_s()),
            extensions={name: text for name, text in said.get("extensions", {}).items() if text is not None},
            key=key.encode() if (key := said.get("key")) is not None else None,
        )
        record = Record(topic.log_name, 0, *encode(event))
        key_of_topic = self.keys[topic.name]
        if key_of_topic is not None and record.key is None:
            record.key = key_of_topic(record.value, record.headers)
        if (channel := self.channels.of(topic)) is not None and record.value is not None:
            record.value = channel.write(record.value)
            record.headers = [*(h for h in record.headers if h[0] != "content-type"), channel.content]
        partition = said.get("partition")
        record.partition = partition_for(record.key, topic.partitions) if partition is None else partition
        return record

    def _now_s(self) -> float:
        return START_S + asyncio.get_running_loop().time()

    # --- what comes out

    def _topic(self, name: str) -> TopicPlan:
        if name in self.plan.topics:
            return self.plan.topics[name]
        return self.plan.dead_letters if name == DEAD_LETTERS else status_topic(self.plan)

    def _seen(self, name: str, after: int) -> list[Seen]:
        """Return the events of a topic that were not given, in the order in which they became visible."""
        log_name = self._topic(name).log_name
        found = [
            stored
            for partition in self.log.partitions(log_name)
            for stored in partition.history
            if stored.is_visible and stored.visible_at > after and not self._is_given(stored)
        ]
        found.sort(key=lambda s: (s.visible_at, s.delivery.partition, s.delivery.offset))
        is_letter = name == DEAD_LETTERS and name not in self.plan.topics
        show = self._dead_letter if is_letter else _event
        is_one = self._topic(name).partitions == 1
        return [
            show(
                self.channels.shown(stored.delivery, stored.delivery.header("deadletter-topic")),
                None if is_one else _lane(stored.delivery),
            )
            for stored in found
        ]

    def _is_given(self, stored: Stored) -> bool:
        delivery = stored.delivery
        return (delivery.topic, delivery.partition, delivery.offset) in self.given

    def _dead_letter(self, delivery: Delivery, lane: Hashable) -> Seen:
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
        return Seen(data, {"key": _text(delivery.key), "partition": delivery.partition}, lane)

    def _note(self, worker: Worker) -> None:
        """Note which ways the events went."""
        self.taken.given |= {topic for topic, n in self.case.given.items() if n}
        self.taken.away |= self.servers.away
        for name, stage in _stages(worker).items():
            for owned in stage.owned():
                self.taken.count(name, owned.tally)
        for partition in self.log.partitions(self.plan.dead_letters.log_name):
            for stored in partition.history:
                if stored.is_visible:
                    delivery = stored.delivery
                    self.taken.codes.add(
                        (
                            delivery.header("deadletter-streamlet") or "",
                            delivery.header("deadletter-code") or "",
                        )
                    )
        for name in self.cases.run_here:
            topic = self.plan.streamlets[name].outlets.get(STATUS)
            log_name = self.plan.topics[topic].log_name if topic else self.plan.status_topic
            source = f"/{self.plan.name}/{name}"
            for partition in self.log.partitions(log_name):
                for stored in partition.history:
                    if stored.is_visible and stored.delivery.header("ce_source") == source:
                        data = _data(stored.delivery.value)
                        if isinstance(data, dict) and "step" in data:
                            self.taken.steps.add((name, data["step"]))


def _stages(worker: Worker) -> dict[str, Stage]:
    return {name: one.stage for name, one in worker.running.items() if isinstance(one.stage, Stage)}


def _lane(delivery: Delivery) -> Hashable:
    """Return among what an event keeps its order: those of its key; without a key those of its partition."""
    return delivery.partition if delivery.key is None else delivery.key


def _event(delivery: Delivery, lane: Hashable) -> Seen:
    event = decode(delivery)
    attributes: Mapping[str, Any] = {
        "id": event.id,
        "type": event.type,
        "source": event.source,
        "subject": event.subject,
        "time": event.time,
        "key": _text(delivery.key),
        "partition": delivery.partition,
        "extensions": event.extensions,
    }
    return Seen(_data(event.data), attributes, lane)


def _data(data: bytes | None) -> Any:
    if data is None:
        return None
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return data.decode(errors="replace")


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")


def _place(exc: BaseException) -> str:
    """Return ` at file:line` of the innermost frame; never the exception's text, which may hold a secret."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
