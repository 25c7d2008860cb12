"""One run: a world, a storm over it for a while, then calm until all is settled, then the verdict."""

from __future__ import annotations

import asyncio
import functools
import importlib
import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from streamlets.catalog import Streamlets
from streamlets.component import Component
from streamlets.engine.apart import InProcess
from streamlets.engine.virtual import VirtualClock, VirtualTimeError, virtual_run
from streamlets.engine.worker import Worker
from streamlets.event import Delivery
from streamlets.transports.simulated import Crashed, SimulatedTransport
from streamlets.transports.simulated_log import SimulatedLog
from streamlets.transports.transport import TopicPartition, TopicSpec
from tests.simulation.plans import CANARY, HERE
from tests.simulation.servers import MODES, Servers
from tests.simulation.storm import Life, Lives, Storm
from tests.simulation.verifier import Finding, check_reader
from tests.simulation.world import World
from tests.simulation.worlds import WORLDS

STORM_S = 20.0  # how long faults blow
HEALING_S = 400.0  # within this all must be settled afterwards: backoffs, sessions and waits all fit
MAX_WORKERS = 3
MAX_LIVES = 150  # processes of one run: more are started only where none can live


@dataclass
class Result:
    """What a run has shown. `findings` empty: every promise was kept."""

    world: str
    seed: int
    findings: list[Finding]
    storm: Storm
    log: SimulatedLog
    lines: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return the first finding of each oracle, and the one command that shows it all again."""
        counts = Counter(finding.oracle for finding in self.findings)
        first = {finding.oracle: finding for finding in reversed(self.findings)}
        shown = [f"  {counts[oracle]} × {str(finding)[:300]}" for oracle, finding in sorted(first.items())]
        again = f"  replay: python -m tests.simulation --world {self.world} --seed {self.seed}"
        return "\n".join([f"{self.world}, seed {self.seed}:", *shown, again])


def simulate(world: str, seed: int) -> Result:
    """Return what one seed shows in one world; the same each time."""
    storm = Storm(seed)
    made = WORLDS[world](storm)
    run = _Run(storm, made)
    handler = _Lines()
    logger = logging.getLogger("streamlets")
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    handler.storm = storm
    try:
        virtual_run(run.go(), seed=seed, limit_s=STORM_S + HEALING_S + 200.0)
    except VirtualTimeError as exc:
        run.findings.append(Finding("O8", f"{type(exc).__name__}: {exc}"))
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
    if any(CANARY in line for line in handler.lines):
        run.findings.append(Finding("O9", "a payload is in a log line"))
    return Result(world, seed, run.findings, storm, run.log, handler.lines)


@functools.cache
def component(use: str) -> Component:
    """Return what a `use` of the worlds names: a class of ours, or a built-in streamlet."""
    module, _, name = use.partition(":")
    if name:
        return Component(use, getattr(importlib.import_module(module), name))
    return Streamlets().component(use, HERE)


class _Lines(logging.Handler):
    """Log lines, told in the storm's story."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.storm: Storm | None = None

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        self.lines.append(line)
        if self.storm is not None:
            self.storm.say(line)


class _Run:
    def __init__(self, storm: Storm, world: World) -> None:
        self.storm = storm
        self.world = world
        self.clock = VirtualClock()
        self.log = SimulatedLog(self.clock)
        self.servers = Servers(world.servers)
        self.findings: list[Finding] = []
        self.lives: list[tuple[Life, Worker]] = []
        self.born = 0
        self.wanted = world.workers
        self.read: dict[TopicPartition, list[Delivery]] = {}

    async def go(self) -> None:
        with Lives(asyncio.get_running_loop()) as self.registry:
            for topic in self.world.plan.topics.values():
                if topic.external:
                    self.log.create(
                        TopicSpec(name=topic.log_name, partitions=topic.partitions, compacted=topic.compacted)
                    )
            feeder = asyncio.create_task(self._feed(), name="feeder")
            keeper = asyncio.create_task(self._keep_alive(), name="keeper")
            nemesis = asyncio.create_task(self._blow(), name="nemesis")
            reader = asyncio.create_task(self._read_along(), name="reader")
            await asyncio.sleep(STORM_S)
            nemesis.cancel()
            self._heal()
            await feeder
            for record in self.world.afterwards:
                await asyncio.sleep(0.5)
                self.log.append(record)
            if self.world.may_end and self.storm.random.random() < 0.4:
                keeper.cancel()
                await self._stop_all()
                await self._end()
            else:
                await self._wait_settled()
                keeper.cancel()
                await self._stop_all()
            reader.cancel()
            await asyncio.gather(nemesis, keeper, reader, return_exceptions=True)
            self._read_rest()
            self.findings += check_reader(self.log, self.read)
            for check in self.world.checks:
                self.findings += check(self.log)

    # --- workers

    async def _keep_alive(self) -> None:
        """Start workers as long as there are fewer than wanted, as an orchestrator does."""
        while True:
            while len(self.lives) < self.wanted and self.born < MAX_LIVES:
                self._give_birth()
            await asyncio.sleep(self.storm.random.uniform(0.05, 2.0))

    def _give_birth(self, *, until_idle: bool = False) -> None:
        self.born += 1
        life = Life(self.storm, self.log, f"w{self.born}")
        worker = Worker(
            self.world.plan,
            life.transport,
            component,
            clock=life.clock,
            random=random.Random(self.storm.random.random()),
            open_server=functools.partial(self.servers.open, life),
            open_apart=lambda name: InProcess(),
            worker_id=life.name,
        )
        pair = (life, worker)
        self.lives.append(pair)
        life.on_death.append(lambda: self.lives.remove(pair))
        self.storm.say(f"{life.name} starts")
        self.registry.start(life, self._work(life, worker, until_idle=until_idle), life.name)

    async def _work(self, life: Life, worker: Worker, *, until_idle: bool = False) -> None:
        try:
            await worker.start()
            ended = await worker.run(until_idle=until_idle)
        except (Crashed, asyncio.CancelledError):
            raise
        except Exception as exc:
            self.findings.append(Finding("ENGINE", f"{life.name} failed: {type(exc).__name__}: {exc}"))
            self.storm.say(f"{life.name} failed: {exc!r}")
        else:
            self.storm.say(f"{life.name} ended with {ended}")
            if ended.causes:
                self.findings.append(Finding("ENGINE", f"{life.name} ended: {ended.causes}"))
        if not life.is_dead:
            life.on_death.clear()
            self.lives = [pair for pair in self.lives if pair[0] is not life]
            await life.transport.close()

    async def _stop_all(self) -> None:
        for life, worker in list(self.lives):
            self.storm.say(f"{life.name} is asked to stop")
            worker.stop()
        async with asyncio.timeout(60):
            while self.lives:  # noqa: ASYNC110 - it polls what dies in many ways
                await asyncio.sleep(0.1)

    async def _end(self) -> None:
        """Let one worker bring all to its end: what is open is closed, and it ends by itself."""
        self.storm.fire("until-idle", "one worker")
        self._give_birth(until_idle=True)
        deadline_s = self.clock.monotonic_s() + HEALING_S
        while self.lives and self.clock.monotonic_s() < deadline_s:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.5)
        if self.lives:
            self.findings.append(Finding("O8", f"until-idle has not ended after {HEALING_S:g} s"))
            self.lives[0][0].kill("since it does not end")
        elif unsettled := self._unsettled():
            self.findings.append(Finding("O8", f"until-idle has ended, but: {unsettled}"))

    # --- what happens to them

    async def _feed(self) -> None:
        for at_s, record in self.world.arrivals:
            await asyncio.sleep(max(0.0, at_s - self.clock.monotonic_s()))
            self.log.append(record)

    async def _blow(self) -> None:
        draw = self.storm.random
        acts: list[Callable[[], None]] = [
            self._crash,
            self._scale,
            self._shut_down,
            self._expel,
            self._shake,
            self._freeze,
            self._compact,
            self._retire,
            self._fill,
            self._turn_server,
        ]
        chosen = draw.sample(acts, draw.randint(2, len(acts)))
        pace_s = draw.choice([0.4, 1.0, 4.0])
        while True:
            await asyncio.sleep(draw.expovariate(1 / pace_s))
            draw.choice(chosen)()

    def _heal(self) -> None:
        self.storm.say("the storm is over")
        self.storm.is_healed = True
        self.storm.full_until_s = 0.0
        for server in self.world.servers:
            server.turn("fine")

    def _crash(self) -> None:
        if self.lives:
            self.storm.random.choice(self.lives)[0].kill("in its sleep")

    def _scale(self) -> None:
        self.wanted = self.storm.random.randint(1, MAX_WORKERS)
        self.storm.fire("scale", f"to {self.wanted}")
        for _, worker in self.lives[self.wanted :]:
            worker.stop()

    def _shut_down(self) -> None:
        if self.lives:
            life, worker = self.storm.random.choice(self.lives)
            self.storm.fire("shut-down", life.name)
            worker.stop()

    def _expel(self) -> None:
        consumers = [c for life, _ in self.lives for c in life.transport.consumers]
        if consumers:
            consumer = self.storm.random.choice(consumers)
            self.storm.fire("expel", f"a member of {consumer.group.name}")
            consumer.group.leave(consumer.member)

    def _shake(self) -> None:
        groups = [g for g in self.log.groups() if len(g.members) > 1]
        if groups:
            group = self.storm.random.choice(groups)
            self.storm.fire("rebalance", group.name)
            group.rebalance(moved=self.storm.random.randint(0, 2))

    def _freeze(self) -> None:
        if self.lives:
            life, _ = self.storm.random.choice(self.lives)
            seconds = self.storm.random.choice([0.5, 3.0, 12.0])
            life.freeze(seconds)
            if seconds > 10.0:  # longer than a session: the group goes on without it
                for consumer in list(life.transport.consumers):
                    consumer.group.expel_later(consumer.member, 10.0)

    def _compact(self) -> None:
        dropped = sum(
            partition.compact()
            for topic, spec in self.log.specs.items()
            if spec.compacted
            for partition in self.log.partitions(topic)
        )
        if dropped:
            self.storm.fire("compaction", f"{dropped} dropped")

    def _retire(self) -> None:
        """Let retention cut what every group has behind it."""
        dropped = 0
        plan = self.world.plan
        for topic in plan.topics.values():
            groups = [self.log.group(plan.group(port.streamlet)) for port in topic.consumers]
            if topic.compacted or not groups:
                continue
            for partition in self.log.partitions(topic.log_name):
                dropped += partition.expire(min(g.committed.get(partition.name, 0) for g in groups))
        if dropped:
            self.storm.fire("retention", f"{dropped} dropped")

    def _fill(self) -> None:
        self.storm.full_until_s = self.clock.monotonic_s() + self.storm.random.uniform(0.2, 5.0)
        self.storm.say("the disk is full")

    def _turn_server(self) -> None:
        """Let one server misbehave, or the one that does be well again: several at a time would leave no witness."""
        ill = [server for server in self.world.servers if server.mode != "fine"]
        if ill:
            ill[0].turn("fine")
        elif self.world.servers:
            self.storm.random.choice(self.world.servers).turn(self.storm.random.choice(MODES))

    # --- the end

    async def _wait_settled(self) -> None:
        """Return when the log says that all deliveries are settled; else it is a finding."""
        deadline_s = self.clock.monotonic_s() + HEALING_S
        while unsettled := self._unsettled():
            if self.clock.monotonic_s() > deadline_s:
                self.findings.append(Finding("O8", f"not settled {HEALING_S:g} s after healing: {unsettled}"))
                return
            await asyncio.sleep(1.0)
        self.storm.say("all is settled")

    def _unsettled(self) -> list[str]:
        plan = self.world.plan
        found = [] if self.world.is_done(self.log) else ["something has not come to its end"]
        for name, one in plan.streamlets.items():
            for topic in {plan.topics[t].log_name for t in one.inlets.values()}:
                if self.log.specs.get(topic) is None or self.log.specs[topic].compacted:
                    continue
                committed = self.log.group(plan.group(name)).committed
                for partition in self.log.partitions(topic):
                    last = max((s.delivery.offset for s in partition.history if s.is_visible), default=-1)
                    if partition.stable_end != partition.end or committed.get(partition.name, 0) <= last:
                        found.append(
                            f"{name} at {committed.get(partition.name)} of {last + 1} in {partition.name}"
                        )
        return found

    async def _read_along(self) -> None:
        transport = SimulatedTransport(self.log)
        while True:
            await asyncio.sleep(self.storm.random.uniform(0.1, 1.0))
            for topic in self.world.plan.topics.values():
                for partition in self.log.partitions(topic.log_name):
                    seen = self.read.setdefault(partition.name, [])
                    first = seen[-1].offset + 1 if seen else 0
                    seen += await transport.read(partition.name, first, 1_000)

    def _read_rest(self) -> None:
        for where, seen in self.read.items():
            seen += self.log.partition(where).read(seen[-1].offset + 1 if seen else 0, 100_000)[0]
