"""Micro-batching: full calls under load, no waiting without, and each slice its own answers."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from streamlets.builtin.scoring.batcher import Batcher
from streamlets.engine.virtual import VirtualClock, virtual_run


class Calls:
    """Answers each row by its negative, after a while."""

    def __init__(self, clock: VirtualClock, took_s: float = 0.01) -> None:
        self.clock = clock
        self.took_s = took_s
        self.sizes: list[int] = []
        self.most = 0
        self.now = 0

    async def __call__(self, rows: list[int]) -> list[int]:
        self.sizes.append(len(rows))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.clock.sleep(self.took_s)
        finally:
            self.now -= 1
        return [-row for row in rows]


def batcher(calls: Calls, **settings: Any) -> Batcher[int, int]:
    defaults = {"max_rows": 128, "max_wait_s": 0.005, "concurrency": 4, "clock": calls.clock}
    return Batcher(calls, **{**defaults, **settings})


def test_under_load_calls_are_full_and_as_many_as_allowed_are_in_flight() -> None:
    async def main() -> None:
        calls = Calls(VirtualClock())
        work = batcher(calls)
        dice = random.Random(1)
        sizes = [dice.choice([1, 7, 100, 250, 500]) for _ in range(200)]

        async def stream(n: int, first: int) -> None:
            assert await work.submit(range(first, first + n)) == [-i for i in range(first, first + n)]

        await asyncio.gather(*(stream(n, 1000 * i) for i, n in enumerate(sizes)))
        assert len(calls.sizes) <= 1.1 * sum(sizes) / 128
        assert calls.most == 4
        assert max(calls.sizes) == 128

    virtual_run(main())


def test_with_none_in_flight_rows_go_at_once_and_with_some_they_wait_for_company_but_not_long() -> None:
    async def main() -> None:
        clock = VirtualClock()
        calls = Calls(clock, took_s=1.0)
        work = batcher(calls)
        started = clock.monotonic_s()
        first = asyncio.create_task(work.submit([1]))
        await clock.sleep(0.0001)
        assert calls.sizes == [1]
        others = [asyncio.create_task(work.submit([i])) for i in range(2, 12)]
        await clock.sleep(0.004)
        assert calls.sizes == [1]
        await clock.sleep(0.002)
        assert calls.sizes == [1, 10]
        await asyncio.gather(first, *others)
        assert clock.monotonic_s() - started < 1.01

    virtual_run(main())


def test_a_free_slot_takes_all_that_wait() -> None:
    async def main() -> None:
        calls = Calls(VirtualClock())
        work = batcher(calls, concurrency=1)
        await asyncio.gather(*(work.submit([i]) for i in range(100)))
        assert calls.sizes == [100]
        await asyncio.gather(*(work.submit([i] * 100) for i in range(5)))
        assert calls.sizes[1:] == [128, 128, 128, 116]

    virtual_run(main())


def test_what_a_call_raises_is_raised_to_all_whose_rows_were_in_it_and_to_nobody_else() -> None:
    async def main() -> None:
        clock = VirtualClock()

        async def call(rows: list[int]) -> list[int]:
            await clock.sleep(0.01)
            if 5 in rows:
                raise ValueError("five")
            return rows

        work: Batcher[int, int] = Batcher(call, max_rows=4, max_wait_s=0.0, concurrency=1, clock=clock)
        results = await asyncio.gather(
            *(work.submit([i, i + 1]) for i in range(0, 12, 2)), return_exceptions=True
        )
        assert [isinstance(r, ValueError) for r in results] == [False, False, True, True, False, False]

    virtual_run(main())


def test_a_cancelled_slice_frees_its_slot_when_nobody_else_is_in_the_call() -> None:
    async def main() -> None:
        clock = VirtualClock()
        calls = Calls(clock, took_s=1_000.0)
        work = batcher(calls, concurrency=1)
        stuck = asyncio.create_task(work.submit([1]))
        waiting = asyncio.create_task(work.submit([2]))
        await clock.sleep(0.0)
        await clock.sleep(0.1)
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)
        calls.took_s = 0.01
        other = asyncio.create_task(work.submit([3]))
        waiting.cancel()
        assert await other == [-3]
        assert work.running == 0

    virtual_run(main())


@pytest.mark.parametrize("max_rows", [1, 2, 3])
def test_a_model_of_few_rows_gets_few(max_rows: int) -> None:
    async def main() -> None:
        calls = Calls(VirtualClock())
        work = batcher(calls, max_rows=max_rows)
        assert await work.submit(range(10)) == [-i for i in range(10)]
        assert max(calls.sizes) == max_rows

    virtual_run(main())
