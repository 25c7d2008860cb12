"""Faults drawn from a seed: what one run meets, and proof of what it did meet.

A storm belongs to a run; a life is one simulated process in it, from its start to its crash. Each seed draws how hard
each kind of fault blows, some not at all, so that seeds differ in what they try (swarm testing; Groce et al. 2012).
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable

from streamlets import faults
from streamlets.engine.virtual import VirtualClock
from streamlets.transports.simulated import Crashed, SimulatedTransport
from streamlets.transports.simulated_log import SimulatedLog
from streamlets.transports.transport import TopicPartition
from streamlets.transports.weather import Fortune

BAD_FORTUNES = [f for f in Fortune if f not in (Fortune.DONE, Fortune.FULL)]


class Storm:
    """What the seed has drawn for a run. `fired` counts what did happen; `story` tells it, line by line."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.is_healed = False
        self.fired: Counter[str] = Counter()
        self.story: list[str] = []
        self.full_until_s = 0.0
        draw = self.random
        self.delay = draw.choice([0.05, 0.2, 0.5])
        self.slowness_s = draw.choice([0.002, 0.02, 0.2])
        self.crash = draw.choice([0.0, 0.0005, 0.002])
        self.misfortune = draw.choice([0.0, 0.05, 0.2])
        self.small_polls = draw.choice([0.0, 0.5, 0.9])
        self.gaps = draw.choice([0, 1, 3])
        self.lost_answers = draw.choice([0.0, 0.02, 0.1])

    def say(self, what: str) -> None:
        """Add a line to the story."""
        try:
            now_s = asyncio.get_running_loop().time()
        except RuntimeError:
            now_s = 0.0
        self.story.append(f"{now_s:10.4f} {what}")

    def fire(self, kind: str, what: str) -> None:
        """Count a fault that did happen."""
        self.fired[kind] += 1
        self.say(f"[{kind}] {what}")


class Life:
    """One simulated process: its weather, its transport, its clock, its tasks. `kill` ends it at once."""

    def __init__(self, storm: Storm, log: SimulatedLog, name: str) -> None:
        self.name = name
        self.storm = storm
        self.transport = SimulatedTransport(log, self)
        self.clock = MortalClock(self)
        self.tasks: set[asyncio.Task[object]] = set()
        self.thawed = asyncio.Event()
        self.thawed.set()
        self.on_death: list[Callable[[], None]] = []

    @property
    def is_dead(self) -> bool:
        return self.transport.is_dead

    def kill(self, why: str) -> None:
        """End the process: none of its tasks goes on, and nothing it still tries has an effect."""
        if self.is_dead:
            return
        self.storm.fire("crash", f"{self.name} dies {why}")
        self.transport.crash()
        for task in list(self.tasks):
            task.cancel()
        for tell in self.on_death:
            tell()

    def freeze(self, seconds: float) -> None:
        """Stop the process for a while, as SIGSTOP does: it goes on later, not knowing that time has passed."""
        self.storm.fire("freeze", f"{self.name} for {seconds:.1f} s")
        self.thawed.clear()
        asyncio.get_running_loop().call_later(seconds, self.thawed.set)

    def point(self, name: str) -> None:
        """Pass a fault point in the code. Raises: Crashed."""
        if self.is_dead:
            raise Crashed
        if not self.storm.is_healed and self.storm.random.random() < self.storm.crash:
            self.kill(f"at {name}")
            raise Crashed

    async def wait_thawed(self) -> None:
        """Return when the process is not frozen. Raises: Crashed."""
        if not self.thawed.is_set():
            await self.thawed.wait()
        if self.is_dead:
            raise Crashed

    # --- Weather

    async def before(self, call: str) -> None:
        await self.disturb(f"before {call}")

    async def after(self, call: str) -> None:
        await self.disturb(f"after {call}")

    async def disturb(self, where: str) -> None:
        """Delay, freeze or kill, as the storm has it."""
        await self.wait_thawed()
        storm = self.storm
        if storm.is_healed:
            return
        draw = storm.random.random()
        if draw < storm.crash:
            self.kill(where)
            raise Crashed
        if draw < storm.delay:
            storm.fired["delay"] += 1
            await asyncio.sleep(storm.random.expovariate(1.0) * storm.slowness_s)
            if self.is_dead:
                raise Crashed

    def fortune(self) -> Fortune:
        storm = self.storm
        if storm.is_healed:
            return Fortune.DONE
        if not self.has_room():
            storm.fire("full", f"{self.name}'s release")
            return Fortune.FULL
        if storm.random.random() < storm.misfortune:
            fortune = storm.random.choice(BAD_FORTUNES)
            storm.fire(fortune.value, f"{self.name}'s release")
            return fortune
        return Fortune.DONE

    def is_cancelled_in_vain(self) -> bool:
        is_vain = self.storm.random.random() < 0.5
        self.storm.fire("cancelled", f"{self.name}'s release, {'in vain' if is_vain else 'in time'}")
        return is_vain

    def has_room(self) -> bool:
        return self.storm.is_healed or asyncio.get_running_loop().time() >= self.storm.full_until_s

    def portion(self, max_events: int) -> int:
        storm = self.storm
        if max_events > 1 and storm.random.random() < storm.small_polls:
            return storm.random.randint(1, min(max_events, 12))
        return max_events

    def order(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        shuffled = list(partitions)
        self.storm.random.shuffle(shuffled)
        return shuffled

    def gap(self) -> int:
        return self.storm.random.randint(0, self.storm.gaps)


class MortalClock(VirtualClock):
    """The clock of one process: it stops with it."""

    def __init__(self, life: Life) -> None:
        self._life = life

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        await self._life.wait_thawed()


class Lives:
    """Who is alive. Every task belongs to the process whose task started it; fault points find theirs by it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._owner: dict[asyncio.Task[object], Life] = {}
        self._starting: Life | None = None
        loop.set_task_factory(self._make)
        loop.set_exception_handler(_only_the_living)

    def start(self, life: Life, coroutine: object, name: str) -> asyncio.Task[object]:
        """Return the first task of a process; what it starts belongs to the process too."""
        self._starting = life
        try:
            return asyncio.get_running_loop().create_task(coroutine, name=name)  # type: ignore[arg-type]
        finally:
            self._starting = None

    def _make(self, loop: asyncio.AbstractEventLoop, coroutine: object, **options: object) -> object:
        owner = self._starting
        if owner is None:
            try:
                current = asyncio.current_task(loop)
            except RuntimeError:
                current = None
            owner = self._owner.get(current) if current is not None else None  # type: ignore[arg-type]
        task: asyncio.Task[object] = asyncio.Task(coroutine, loop=loop, **options)  # type: ignore[arg-type]
        if owner is not None:
            self._owner[task] = owner
            owner.tasks.add(task)
            task.add_done_callback(self._forget)
            if owner.is_dead:
                task.cancel()
        return task

    def _forget(self, task: asyncio.Task[object]) -> None:
        self._owner.pop(task).tasks.discard(task)

    def point(self, name: str) -> None:
        """Pass a fault point on behalf of the running task's process."""
        current = asyncio.current_task()
        if current is not None and current in self._owner:
            self._owner[current].point(name)

    def __enter__(self) -> Lives:
        faults.hook = self.point
        return self

    def __exit__(self, *error: object) -> None:
        faults.hook = None


def _only_the_living(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    if not isinstance(context.get("exception"), Crashed):
        loop.default_exception_handler(context)
