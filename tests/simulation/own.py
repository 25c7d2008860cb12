"""Streamlets of the simulated worlds. What they compute is small and exact, so that the verifier can recompute it.

Each keeps the fold of its outputs in its small state and puts it on its emits: a state that ran ahead, lagged behind
or was not rewound shows in the next emit.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

import orjson
from pydantic import BaseModel

from streamlets.errors import Broken, Rejected, Unavailable
from streamlets.event import window_id
from streamlets.ports import Batch, Context, DeadLetter, Emit, Inlet, OptionsBase, Outcome, Outlet, Portion


def fold(chain: int, value: int) -> int:
    """Return the chain after one more value: it depends on every value and on their order."""
    return zlib.crc32(b"%d %d" % (chain, value))


def count_step(n: int, chain: int, value: int) -> tuple[int, int, list[tuple[str, dict[str, Any]]]]:
    """Return (n, chain, emits by port) after one event of `Count`; no emits: it was filtered."""
    n, chain = n + 1, fold(chain, value)
    if value % 3 == 0:
        return n, chain, []
    emits = [("out", {"v": value, "n": n, "chain": chain})]
    if value % 5 == 0:
        emits.append(("out", {"v": value, "n": n, "chain": chain, "again": True}))
    if value % 7 == 0:
        emits.append(("also", {"v": value, "n": n, "chain": chain}))
    return n, chain, emits


def is_refused(value: int) -> bool:
    """Return whether a refusing `Count` refuses a value."""
    return value % 17 == 0


class CountOptions(OptionsBase):
    refuses: bool = False
    flaky: float = 0.0


class Count:
    """Counts in small state, filters a third, emits up to three for one; may refuse some, or fail now and then."""

    Options: type[BaseModel] = CountOptions
    inlets = (Inlet("in"),)
    outlets = (Outlet("out"), Outlet("also"))
    overlap = 1
    max_events = 40

    def __init__(self, options: CountOptions, context: Context) -> None:
        self._options = options
        self._clock = context.clock
        self._random = context.random
        self._failed: set[tuple[int, int]] = set()

    async def process(self, batch: Batch) -> Outcome:
        n, chain = batch.state.get("n", 0), batch.state.get("chain", 0)
        emits: list[Emit] = []
        filtered: list[int] = []
        for parent, delivery in enumerate(batch.deliveries):
            value = orjson.loads(delivery.value or b"")["v"]
            if self._options.refuses and is_refused(value):
                raise Rejected("a multiple of 17", code="seventeen")
            n, chain, found = count_step(n, chain, value)
            if not found:
                filtered.append(parent)
            for index, (port, data) in enumerate(found):
                emits.append(Emit(port, orjson.dumps(data), parent, index))
        batch.state.set("n", n)
        places = {(batch.partition, delivery.offset) for delivery in batch.deliveries}
        if self._failed.isdisjoint(places) and self._random.random() < self._options.flaky:
            self._failed |= places  # once each: no event fails as often as it may be tried
            raise RuntimeError("now and then")
        if self._random.random() < 0.3:
            await self._clock.sleep(self._random.random() * 0.2)
        batch.state.set("chain", chain)
        return Outcome(emits=emits, filtered=filtered)


def picky_step(value: int) -> str | None:
    """Return the code of the dead letter that `Picky` makes of a value, or None."""
    if value % 13 == 0:
        return "thirteen" if value % 2 else "broken"
    return "eleven" if value % 11 == 0 else None


class PickyOptions(OptionsBase):
    refuses: bool = True


class Picky:
    """Refuses some: by a dead letter, by an error for the whole batch; overlaps, and finishes out of order."""

    Options: type[BaseModel] = PickyOptions
    inlets = (Inlet("in"),)
    outlets = (Outlet("out"),)
    overlap = 4
    max_events = 16

    def __init__(self, options: PickyOptions, context: Context) -> None:
        self._refuses = options.refuses
        self._clock = context.clock
        self._random = context.random

    async def process(self, batch: Batch) -> Outcome:
        await self._clock.sleep(self._random.random() * 0.05)
        emits, dead = [], []
        for parent, delivery in enumerate(batch.deliveries):
            value = orjson.loads(delivery.value or b"")["v"]
            if self._refuses and value % 13 == 0:
                raise (
                    Rejected("a multiple of 13", code="thirteen") if value % 2 else Broken("a multiple of 26")
                )
            if self._refuses and value % 11 == 0:
                dead.append(DeadLetter(parent, "eleven", "a multiple of 11"))
            else:
                emits.append(Emit("out", orjson.dumps({"v": value}), parent))
        return Outcome(emits=emits, dead=dead)


class WindowOptions(OptionsBase):
    count: int = 3
    keys: int = 4
    wait_s: float = 2.0


class KeyWindows:
    """Holds by key: windows of `count` events of one key, interleaved; closed by count, a longest wait, or the end."""

    Options: type[BaseModel] = WindowOptions
    inlets = (Inlet("in"),)
    outlets = (Outlet("out"),)
    holds = True
    max_events = 25

    def __init__(self, options: WindowOptions, context: Context) -> None:
        self._options = options
        self._name = context.streamlet
        self._clock = context.clock
        self._random = context.random
        # (topic, partition) → key → when the window was opened, its members' offsets and values
        self._open: dict[tuple[str, int], dict[int, tuple[float, list[tuple[int, int]]]]] = {}

    async def process(self, batch: Batch) -> Outcome:
        await asyncio.sleep(0)
        if self._random.random() < 0.3:
            await self._clock.sleep(self._random.random() * 0.02)
        windows = {k: (at, list(m)) for k, (at, m) in self._of(batch).items()}
        mine = {delivery.offset: index for index, delivery in enumerate(batch.deliveries)}
        held = dict(mine)
        emits: list[Emit] = []
        settles: list[tuple[int, int]] = []
        for delivery in batch.deliveries:
            value = orjson.loads(delivery.value or b"")["v"]
            key = value % self._options.keys
            _, members = windows.setdefault(key, (self._clock.monotonic_s(), []))
            members.append((delivery.offset, value))
            if len(members) == self._options.count:
                emits.append(self._close(batch, key, members, "count"))
                for offset, _ in members:
                    if held.pop(offset, None) is None:
                        settles.append((offset, offset))
                del windows[key]
        self._open[(batch.topic, batch.partition)] = windows
        return Outcome(
            emits=emits, held=sorted(held.values()), settles=sorted(settles), wake_s=self._wake_s(windows)
        )

    async def due(self, batch: Batch) -> Outcome:
        windows = self._of(batch)
        now_s = self._clock.monotonic_s()
        emits, settles = [], []
        for key, (opened_s, members) in list(windows.items()):
            if batch.ending or now_s >= opened_s + self._options.wait_s:
                emits.append(self._close(batch, key, members, "end" if batch.ending else "wait"))
                settles += [(offset, offset) for offset, _ in members]
                del windows[key]
        return Outcome(emits=emits, settles=sorted(settles), wake_s=self._wake_s(windows))

    def lost(self, topic: str, partition: int) -> None:
        self._open.pop((topic, partition), None)

    def _of(self, batch: Batch) -> dict[int, tuple[float, list[tuple[int, int]]]]:
        return self._open.setdefault((batch.topic, batch.partition), {})

    def _wake_s(self, windows: dict[int, tuple[float, list[tuple[int, int]]]]) -> float | None:
        return min((opened_s + self._options.wait_s for opened_s, _ in windows.values()), default=None)

    def _close(self, batch: Batch, key: int, members: list[tuple[int, int]], closed: str) -> Emit:
        n = batch.state.get("windows", 0) + 1
        chain = fold(batch.state.get("chain", 0), members[0][0])
        batch.state.set("windows", n)
        batch.state.set("chain", chain)
        data = {"key": key, "members": [o for o, _ in members], "closed": closed, "n": n, "chain": chain}
        first, last = str(members[0][0]), str(members[-1][0])
        return Emit(
            "out",
            orjson.dumps(data),
            id=window_id(self._name, "out", batch.partition, str(key), first, last),
            type="test.window",
            partition=batch.partition,
        )


class TumbleOptions(WindowOptions):
    keys: int = 1


class Tumble(KeyWindows):
    """Holds a run of consecutive events of one partition: a tumbling window with a longest wait."""

    Options: type[BaseModel] = TumbleOptions


class TicksOptions(OptionsBase):
    splits: int = 2
    events: int = 50


class Ticks:
    """A source: each split counts up to its last event; one in ten cannot be decoded."""

    Options: type[BaseModel] = TicksOptions
    outlets = (Outlet("out"),)

    def __init__(self, options: TicksOptions, context: Context) -> None:
        self._options = options
        self._clock = context.clock
        self._random = context.random

    def splits(self) -> list[str]:
        return [f"split{number}" for number in range(self._options.splits)]

    async def read(self, split: str, position: Any, max_events: int) -> Portion:
        await self._clock.sleep(self._random.random() * 0.5)
        if self._random.random() < 0.05:
            raise Unavailable("the ticks are away")
        first = int(position or 0)
        last = min(first + self._random.randint(1, 12), self._options.events)
        emits, dead = [], []
        for number in range(first, last):
            if is_garbled(number):
                dead.append((f"{split} {number}".encode(), "undecodable", "no tick"))
            else:
                data = orjson.dumps({"split": split, "v": number})
                emits.append(Emit("out", data, id=f"{split}-{number}", type="test.tick", key=split.encode()))
        return Portion(emits, last, ended=last == self._options.events, dead=dead)


def is_garbled(number: int) -> bool:
    """Return whether a tick of `Ticks` cannot be decoded."""
    return number % 10 == 7
