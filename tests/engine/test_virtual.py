"""Virtual time: waits cost nothing, order is asyncio's, and what can never end says so."""

import asyncio
import itertools
import threading
import time

import pytest

from streamlets.engine.clock import SystemClock
from streamlets.engine.virtual import (
    START_S,
    Deadlock,
    LimitReached,
    Spin,
    VirtualClock,
    virtual_run,
)
from streamlets.ports import Clock


def test_an_hour_passes_in_no_time():
    clock = VirtualClock()

    async def wait() -> tuple[float, float]:
        await clock.sleep(3600)
        return clock.monotonic_s(), clock.now_s()

    began = time.perf_counter()
    assert virtual_run(wait()) == (3600.0, START_S + 3600.0)
    assert time.perf_counter() - began < 1


def test_timers_fire_in_order_and_tasks_in_the_order_of_their_start():
    async def run() -> list[str]:
        said: list[str] = []

        async def say(word: str, after_s: float) -> None:
            await asyncio.sleep(after_s)
            said.append(word)

        await asyncio.gather(say("late", 2), say("b", 1), say("c", 1), say("now", 0))
        return said

    for seed in (None, 1, 2):
        assert virtual_run(run(), seed=seed) == ["now", "b", "c", "late"]


def test_a_seed_makes_wake_ups_late_and_the_same_seed_equally_late():
    async def run() -> float:
        for _ in range(3):
            await asyncio.sleep(1)
        return asyncio.get_running_loop().time()

    assert virtual_run(run(), seed=7) == virtual_run(run(), seed=7) != virtual_run(run(), seed=8)
    assert 3.0 < virtual_run(run(), seed=7) < 3.01


def test_a_deadlock_names_the_tasks_and_the_lines_where_they_wait():
    async def inner() -> None:
        await asyncio.Event().wait()

    async def run() -> None:
        await asyncio.create_task(inner(), name="starved")

    with pytest.raises(Deadlock, match=r"starved: .*Event\.wait at .*locks\.py:\d+"):
        virtual_run(run())


def test_a_task_that_never_waits_is_a_spin(monkeypatch):
    monkeypatch.setattr("streamlets.engine.virtual.SPIN_LIMIT", 1000)

    async def run() -> None:
        for _ in itertools.count():
            await asyncio.sleep(0)

    with pytest.raises(Spin, match="without time passing"):
        virtual_run(run())


def test_a_run_that_is_not_over_at_its_limit_says_so():
    async def run() -> None:
        for _ in itertools.count():
            await asyncio.sleep(10)

    with pytest.raises(LimitReached, match="not over after 60 s"):
        virtual_run(run(), limit_s=60)


def test_time_stands_still_while_a_thread_works():
    async def run() -> tuple[str, float]:
        waited = asyncio.create_task(asyncio.sleep(1000))
        answer = await asyncio.to_thread(lambda: time.sleep(0.02) or "done")
        at = asyncio.get_running_loop().time()
        waited.cancel()
        return answer, at

    assert virtual_run(run()) == ("done", 0.0)


def test_a_foreign_thread_may_call():
    async def run() -> int:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(future.set_result, 5))
        thread.start()
        try:
            return await future
        finally:
            thread.join()

    assert virtual_run(run()) == 5


def test_tasks_that_are_left_are_cancelled_and_may_clean_up():
    cleaned = []

    async def left() -> None:
        try:
            await asyncio.sleep(1e6)
        finally:
            await asyncio.sleep(5)
            cleaned.append(True)

    async def run() -> None:
        task = asyncio.create_task(left())
        await asyncio.sleep(1)
        assert not task.done()

    virtual_run(run(), limit_s=3)
    assert cleaned == [True]


def test_what_the_coroutine_raises_comes_out():
    async def run() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        virtual_run(run())


def test_both_clocks_are_clocks():
    clocks: list[Clock] = [SystemClock(), VirtualClock()]

    async def run(clock: Clock) -> bool:
        before = clock.monotonic_s()
        await clock.sleep(0)
        return clock.monotonic_s() >= before and clock.now_s() > 1.7e9

    assert asyncio.run(run(clocks[0]))
    assert virtual_run(run(clocks[1]))
