"""A worker: one process that runs the stages of an application over a transport, from start to a clean end.

Past 400 lines because building, supervising, draining and ending share one table of what runs.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import random
import socket
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import orjson
from pydantic import BaseModel

from blueprints.plan import Plan, StreamletPlan, TopicPlan
from blueprints.veil import Veil
from streamlets.component import Component
from streamlets.contracts import Contract
from streamlets.engine.entrance import Entrance, Gate
from streamlets.engine.gauges import Gauges
from streamlets.engine.keys import key_of
from streamlets.engine.outflow import Outflow
from streamlets.engine.snapshots import PERIOD_S, Snapshots, describe
from streamlets.engine.source import SourceStage
from streamlets.engine.stage import Stage, place
from streamlets.engine.table import TableReader
from streamlets.engine.wiring import outlet_topics, state_scopes, stream_topics, unreadable, wanted_topics
from streamlets.errors import Fatal, StreamletsError, Unavailable
from streamlets.formats.format import Channels
from streamlets.inference import OpenServer
from streamlets.ports import Announce, Apart, Clock, Context, Emit, Inlet, Outlet
from streamlets.recovery import Recovery
from streamlets.transports.transport import TopicPartition, TopicSpec, Transport

log = logging.getLogger("streamlets.engine")

SET_UP_RETRY_S = (0.1, 5.0)  # first and longest wait before a set-up is tried again
STOP_S = 8.0  # what a stop may take to drain: with closing it stays within the promised ten seconds


class Ended(msgspec.Struct):
    """How a run ended. `held`: deliveries that the next start reads again; `causes`: why, where it was not asked."""

    exit_code: int
    held: int
    causes: list[str]


class Running(msgspec.Struct):
    """One streamlet of this worker: its stage, and what must be torn down with it."""

    name: str
    plan: StreamletPlan
    stage: Stage | SourceStage
    streamlet: Any
    is_critical: bool
    tables: list[TableReader]
    apart: Apart
    task: asyncio.Task[None] | None = None
    is_set_up: bool = False


class Worker:
    """Runs a plan. Time, randomness, transport, servers and child processes are given, never taken."""

    def __init__(
        self,
        plan: Plan,
        transport: Transport,
        components: Callable[[str], Component],
        *,
        clock: Clock,
        random: random.Random,
        open_server: OpenServer,
        open_apart: Callable[[str], Apart],
        only: Collection[str] | None = None,
        worker_id: str | None = None,
        channels: Channels | None = None,
    ) -> None:
        """`components`: what a blueprint's `use` names. `only`: the streamlets to run here; None: all.

        `channels`: the plan's, where somebody has them already.
        """
        self.plan = plan
        self._transport = transport
        self._veil = Veil(plan.secrets)
        self._components = components
        self._clock = clock
        self._random = random
        self._open_server = open_server
        self._open_apart = open_apart
        self._only = only
        self.worker_id = worker_id or f"{socket.gethostname()}-{os.getpid()}"
        self.running: dict[str, Running] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._stopping = asyncio.Event()
        self._causes: list[str] = []
        self._exit_code = 0
        self.is_ready = asyncio.Event()
        self._partitions: dict[str, int] = {}
        self._loaded: dict[str, tuple[BaseModel, Sequence[Inlet], Sequence[Outlet]]] = {}
        self._channels = channels or Channels(plan)

    # --- building

    async def start(self) -> None:
        """Make what is missing in the log and build every stage. Raises: Fatal, before anything has run."""
        plan = self.plan
        components = {
            name: self._components(s.use)
            for name, s in plan.streamlets.items()
            if self._only is None or name in self._only
        }
        await self._ensure()
        self._partitions = {name: spec.partitions for name, spec in (await self._transport.topics()).items()}
        await self._ensure_state(components)
        self._ends = await self._external_ends()
        for name, component in components.items():
            self.running[name] = self._build(plan.streamlets[name], component)

    async def _ensure(self) -> None:
        plan = self.plan
        there = await self._transport.topics()
        wanted = [spec for spec, _ in wanted_topics(plan, there)]
        await self._transport.ensure(wanted)

    async def _ensure_state(self, components: Mapping[str, Component]) -> None:
        specs = []
        for name, component in components.items():
            streamlet = self.plan.streamlets[name]
            if component.is_source:
                context = self._context(streamlet, component, {}, _no_announcement)
                built = component.make(self._options(name, component), context)
                partitions = max(1, len(built.splits()))
            else:
                topics = stream_topics(self.plan, name, self._ports(name, component)[0]).values()
                partitions = max((self._partitions[topic.log_name] for topic in topics), default=1)
            specs.append(TopicSpec(name=self.plan.state_topic(name), partitions=partitions, compacted=True))
        await self._transport.ensure(specs)

    def _load(self, name: str, component: Component) -> tuple[BaseModel, Sequence[Inlet], Sequence[Outlet]]:
        if name not in self._loaded:
            options = component.load(self.plan.streamlets[name].options, self.plan.base_dir)
            self._loaded[name] = (options, *component.ports(options))
        return self._loaded[name]

    def _options(self, name: str, component: Component) -> BaseModel:
        return self._load(name, component)[0]

    def _ports(self, name: str, component: Component) -> tuple[Sequence[Inlet], Sequence[Outlet]]:
        return self._load(name, component)[1:]

    async def _external_ends(self) -> dict[TopicPartition, int]:
        ends = {}
        for topic in self.plan.topics.values():
            if topic.external:
                for partition, (_, end) in (await self._transport.offsets(topic.log_name)).items():
                    ends[TopicPartition(topic.log_name, partition)] = end
        return ends

    def _context(
        self,
        streamlet: StreamletPlan,
        component: Component,
        tables: Mapping[str, TableReader],
        announce: Announce,
        gauges: Gauges | None = None,
        apart: Apart | None = None,
    ) -> Context:
        gauges = gauges or Gauges(self._clock, self._veil)
        _, outlets = self._ports(streamlet.name, component)
        return Context(
            application=self.plan.name,
            streamlet=streamlet.name,
            base_dir=self.plan.base_dir,
            clock=self._clock,
            random=self._random,
            connected=frozenset({*streamlet.inlets, *outlet_topics(self.plan, streamlet.name, outlets)}),
            tables=tables,
            open_server=self._open_server,
            apart=apart or self._open_apart(streamlet.name),
            gauge=gauges.set,
            waiting=gauges.wait_on,
            announce=announce,
            contracts=self._schemas(streamlet),
        )

    def _schemas(self, streamlet: StreamletPlan) -> dict[str, Sequence[Mapping[str, Any]]]:
        """Return what is known of the events at each port: of an outlet only what its topic's contract says."""
        topics = self.plan.topics
        found: dict[str, Sequence[Mapping[str, Any]]] = {
            port: topics[name].schemas for port, name in streamlet.outlets.items() if topics[name].contract
        }
        return {**found, **{port: topics[name].schemas for port, name in streamlet.inlets.items()}}

    def _build(self, streamlet: StreamletPlan, component: Component) -> Running:
        plan = self.plan
        gauges = Gauges(self._clock, self._veil)
        inlets, outlets = self._ports(streamlet.name, component)
        tables = {
            i.name: TableReader(self._transport, topic.log_name, self._channels.of(topic))
            for i in inlets
            if i.kind == "table" and (topic := plan.topics.get(streamlet.inlets.get(i.name, ""))) is not None
        }
        apart = self._open_apart(streamlet.name)
        outflow = Outflow(plan, streamlet.name, outlets, self._partitions, key_of, self._channels.of)
        announced: list[Announce] = []
        context = self._context(
            streamlet,
            component,
            tables,
            lambda *emits, state={}: announced[0](*emits, state=state),
            gauges=gauges,
            apart=apart,
        )
        built = component.make(self._options(streamlet.name, component), context)
        stage: Stage | SourceStage
        if component.is_source:
            contracts = {
                port: contract
                for port, topic in streamlet.outlets.items()
                if (contract := _contract(plan.topics[topic])) is not None
            }
            stage = SourceStage(
                name=streamlet.name,
                group=plan.group(streamlet.name),
                state_topic=plan.state_topic(streamlet.name),
                outflow=outflow,
                transport=self._transport,
                clock=self._clock,
                gauges=gauges,
                atomic=plan.delivery == "exactly-once",
                source=built,
                contracts=contracts,
            )
            announced.append(_no_announcement)
        else:
            if component.holds and (streamlet.overlap or 1) > 1:
                raise Fatal(
                    f"{streamlet.mark}: {streamlet.name} holds events, so its batches cannot overlap",
                    code="bad-value",
                    hint="leave `overlap` out",
                    exit_code=64,
                )
            streams = stream_topics(plan, streamlet.name, inlets)
            options = self._options(streamlet.name, component)
            if (why := unreadable(plan, streamlet, component, self._partitions, options)) is not None:
                raise Fatal(
                    f"{streamlet.mark}: {why.message}", code=why.code, hint=why.hint, exit_code=why.exit_code
                )
            overlap = component.overlap if streamlet.overlap is None else streamlet.overlap
            stage = Stage(
                streamlet=built,
                inlets={topic.log_name: port for port, topic in streams.items()},
                scopes=state_scopes(inlets),
                compacted={topic.log_name for topic in streams.values() if topic.compacted},
                is_critical=component.is_critical,
                is_mixing=self._is_mixing(streamlet.name, streams, outlets),
                entrance=Entrance(self._gates(streams.values()), streamlet.on_invalid),
                recovery=Recovery(
                    attempts=context.attempts,
                    clock=self._clock,
                    random=self._random,
                    waiting=gauges.wait_on,
                    lone_is_at_fault=True,
                    in_order=overlap
                    == 1,  # then `process` may change state, which is the fold of the log's order
                ),
                start=streamlet.start,
                overlap=overlap,
                max_events=component.max_events,
                holds=component.holds,
                tables=list(tables.values()),
                name=streamlet.name,
                group=plan.group(streamlet.name),
                state_topic=plan.state_topic(streamlet.name),
                outflow=outflow,
                transport=self._transport,
                clock=self._clock,
                gauges=gauges,
                atomic=plan.delivery == "exactly-once",
            )
            announced.append(stage.announce)
        return Running(
            streamlet.name, streamlet, stage, built, component.is_critical, list(tables.values()), apart
        )

    def _gates(self, topics: Iterable[TopicPlan]) -> dict[str, Gate]:
        """Return topic in the log → what its events pass, of those topics whose events pass anything."""
        gates = {}
        for topic in topics:
            contract = _contract(topic) if topic.external else None
            channel = self._channels.of(topic)
            if contract is not None or channel is not None:
                gates[topic.log_name] = Gate(contract, channel, topic.external)
        return gates

    def _is_mixing(self, name: str, streams: Mapping[str, TopicPlan], outlets: Sequence[Outlet]) -> bool:
        """Return whether several partitions of a streamlet's inlets flow together into one of an outlet."""
        wired = self.plan.streamlets[name].outlets
        topics = [self.plan.topics[wired[outlet.name]] for outlet in outlets if outlet.name in wired]
        into = [self._partitions[topic.log_name] for topic in topics]
        out_of = [self._partitions[topic.log_name] for topic in streams.values()]
        return 1 in into and max(out_of, default=1) > 1

    # --- running

    def stop(self) -> None:
        """Ask for a clean stop: intake ends, what is in process is released, the group is left."""
        self._stopping.set()

    async def run(self, *, until_idle: bool = False) -> Ended:
        """Run until stopped, until idle, or until a critical stage cannot go on; then drain and say how it ended."""
        snapshots = Snapshots(
            self._transport,
            self.plan.workers_topic,
            self.worker_id,
            self.plan.revision,
            os.getpid(),
            self._clock,
        )
        for running in self.running.values():
            running.task = asyncio.create_task(self._supervise(running), name=running.name)
        side = [asyncio.create_task(self._snapshot(snapshots), name="snapshots")]
        if until_idle:
            side.append(asyncio.create_task(self._stop_when_idle(), name="until-idle"))
        self.is_ready.set()
        try:
            await self._stopping.wait()
            held = await self._drain()
            try:
                await snapshots.write(self._stages(), "stopped", only_change=False)
            except StreamletsError as exc:
                log.warning(
                    "snapshot.failed cause=%s", exc.message
                )  # all is released; only its notice is missing
        finally:
            for task in [*side, *(r.task for r in self.running.values() if r.task is not None)]:
                task.cancel()
            await asyncio.gather(
                *side, *(r.task for r in self.running.values() if r.task is not None), return_exceptions=True
            )
        return Ended(self._exit_code, held, self._causes)

    async def progress(self) -> list[dict[str, Any]]:
        """Return what each stage does now, with its lag in events, in the blueprint's order."""
        stages = []
        for name, running in self.running.items():
            described = describe(running.stage)
            described["streamlet"] = name
            described["lag"] = await self._lag(running)
            stages.append(described)
        return stages

    async def _lag(self, running: Running) -> int | None:
        """Return how many events wait to be opened or released; None for a source."""
        stage = running.stage
        if isinstance(stage, SourceStage):
            return None
        lag = stage.n_open
        ends: dict[str, dict[int, tuple[int, int]]] = {}
        for where, position in stage.positions().items():
            if where.topic not in ends:
                ends[where.topic] = await self._transport.offsets(where.topic)
            lag += max(0, ends[where.topic][where.partition][1] - position)
        return lag

    def _stages(self) -> dict[str, Stage | SourceStage]:
        return {name: running.stage for name, running in self.running.items()}

    async def _supervise(self, running: Running) -> None:
        """Run one stage with all that belongs to it; say why it ended when it was not asked to."""
        followers: list[asyncio.Task[None]] = []
        try:
            for table in running.tables:
                await table.catch_up()
                followers.append(asyncio.create_task(table.follow(), name=f"{running.name}.table"))
            await self._set_up(running)
            running.is_set_up = True
            await running.stage.run()
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # noqa: BLE001 - whatever ends a stage must be said, and end the worker if critical
            self._failed(running, exc)
        finally:
            for follower in followers:
                follower.cancel()
            await asyncio.gather(*followers, return_exceptions=True)
            tear_down = getattr(running.streamlet, "tear_down", None)
            if tear_down is not None:
                await tear_down()
            close = getattr(running.apart, "close", None)
            if close is not None:
                await close()

    async def _set_up(self, running: Running) -> None:
        """Set the streamlet up; what is away at the start is waited for, as it is later."""
        set_up = getattr(running.streamlet, "set_up", None)
        wait_s = SET_UP_RETRY_S[0]
        while set_up is not None:
            try:
                await set_up()
                return
            except Unavailable as exc:
                running.stage.gauges.waiting_on = exc.message
                await self._clock.sleep(exc.retry_after_s or wait_s)
                wait_s = min(wait_s * 2, SET_UP_RETRY_S[1])
                running.stage.gauges.waiting_on = None

    def _failed(self, running: Running, exc: BaseException) -> None:
        # A foreign exception's text may hold a payload or a secret: its kind and its place must do.
        cause = self._veil(
            str(exc) if isinstance(exc, StreamletsError) else f"{type(exc).__name__}{place(exc)}"
        )
        code = exc.code if isinstance(exc, StreamletsError) else "bug"
        running.stage.gauges.failure = cause
        log.error("stage.failed streamlet=%s code=%s cause=%s", running.name, code, cause)
        if not isinstance(exc, StreamletsError) or (isinstance(exc, Fatal) and exc.exit_code == 70):
            log.error("stage.bug streamlet=%s", running.name, exc_info=exc)
        self._causes.append(f"{running.plan.mark} {code}: {cause}")
        if running.is_critical:
            self._exit_code = exc.exit_code if isinstance(exc, Fatal) else 70
            self._stopping.set()

    async def _snapshot(self, snapshots: Snapshots) -> None:
        while True:
            try:
                await snapshots.write(self._stages(), "running", only_change=False)
            except StreamletsError as exc:
                log.warning("snapshot.failed cause=%s", exc.message)  # a full disk must not end the worker
            await self._clock.sleep(PERIOD_S)

    async def _drain(self) -> int:
        """Stop every stage within the bound and return how many deliveries the next start reads again."""
        tasks = {}
        for running in self.running.values():
            running.stage.stop()
            if running.task is not None:
                tasks[running.task] = running
                if not running.is_set_up:
                    running.task.cancel()  # it waits for what is away, and has opened nothing yet
        pending = {task for task in tasks if not task.done()}
        held = 0
        clock = asyncio.ensure_future(self._clock.sleep(STOP_S))
        try:
            while pending and not clock.done():
                done, _ = await asyncio.wait({*pending, clock}, return_when=asyncio.FIRST_COMPLETED)
                pending -= done
        finally:
            clock.cancel()
        for running in self.running.values():
            if isinstance(running.stage, Stage):
                held += running.stage.n_left
        return held

    # --- the end of a bounded run

    async def _stop_when_idle(self) -> None:
        try:
            for name in self.plan_order():
                await self._wait_idle(self.running[name])
        except Exception:
            log.exception("until-idle.failed")
            self._exit_code = 70
        self._stopping.set()

    def plan_order(self) -> list[str]:
        """Return the streamlets of this worker so that each comes after those it reads from, where that can be."""
        producers = {
            name: {p.streamlet for t in s.inlets.values() for p in self.plan.topics[t].producers}
            for name, s in self.plan.streamlets.items()
        }
        order: list[str] = []
        left = list(self.running)
        while left:
            ready = [n for n in left if not (producers[n] & set(left)) - {n}] or left[:1]
            order += ready
            left = [n for n in left if n not in ready]
        return order

    async def settle(self, *, closing: bool) -> None:
        """Return when what is in the log now, and what comes of it, is settled; `closing`: what is held as well.

        For a run in steps: the worker goes on. A stage that has ended is not waited for.
        """
        for name in self.plan_order():
            await self._wait_idle(self.running[name], is_bounded=False, closing=closing)

    async def _wait_idle(self, running: Running, *, is_bounded: bool = True, closing: bool = True) -> None:
        """Return when a stage has settled all up to the end, or where others write too to that of the start."""
        stage = running.stage
        if isinstance(stage, SourceStage):
            while not stage.is_ended and not _is_over(running):
                await _either(stage.wait_changed(), running.task)
            return
        ends = await self._inlet_ends(running, self._ends if is_bounded else {})
        while not _is_over(running):
            positions = stage.positions()
            mine = {where: end for where, end in ends.items() if where in positions}
            is_there = len(mine) == len(ends) and all(positions[w] >= end for w, end in mine.items())
            if is_there and positions and stage.is_quiet:
                break
            await _either(stage.wait_changed(), running.task)
        if stage.n_held and closing:
            stage.finish()
            await _either(stage.wait_quiet(), running.task)

    async def _inlet_ends(
        self, running: Running, noted: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        ends = {}
        component = self._components(running.plan.use)
        for topic in stream_topics(self.plan, running.name, self._ports(running.name, component)[0]).values():
            for partition, (_, end) in (await self._transport.offsets(topic.log_name)).items():
                where = TopicPartition(topic.log_name, partition)
                ends[where] = noted.get(where, end) if topic.external else end
        return ends


def _is_over(running: Running) -> bool:
    return running.task is not None and running.task.done()


async def _either(change: Any, task: asyncio.Task[None] | None) -> None:
    """Return when the change has come or the stage's task has ended."""
    waiter = asyncio.ensure_future(change)
    try:
        await asyncio.wait(
            {waiter, *([task] if task is not None else [])}, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        waiter.cancel()


def _no_announcement(*emits: Emit, state: Mapping[str, Any] = {}) -> None:
    raise AssertionError("a source announces nothing: it emits")


def _contract(topic: TopicPlan) -> Contract | None:
    """Return what the events of a topic are checked against; of another format they are checked by it."""
    if topic.contract is None or topic.contract.json_schema is None or topic.format != "json":
        return None
    return _checked(topic.contract.name, orjson.dumps(dict(topic.contract.json_schema)))


@functools.lru_cache(maxsize=64)  # blueprint tests build their stages anew for every case
def _checked(name: str, schema: bytes) -> Contract:
    from streamlets.contracts import (
        JsonSchemaContract,
    )  # the validator is loaded only where there is a contract

    return JsonSchemaContract(name, orjson.loads(schema))
