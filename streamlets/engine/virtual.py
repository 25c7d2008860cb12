"""Virtual time: an event loop whose time jumps to the next timer as soon as nothing is ready.

A minute of waiting takes no time, and two runs do the same things in the same order. Blueprint tests and the
simulation run the whole engine on it. Nothing is to be done by real I/O: there are no sockets here; work handed to
an executor is waited for in real time, while virtual time stands still.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import threading
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")

START_S = 1_767_225_600.0  # 2026-01-01T00:00:00Z: where virtual time begins, so that timestamps never vary
LATENESS_S = 0.0005  # how late a seeded loop may wake up, as real ones do; small beside every timeout
SPIN_LIMIT = 1_000_000  # rounds without time passing: a loop that never waits, found within seconds
FOREIGN_GRACE_S = 1.0  # how long a thread that we did not start may take to call, before we say deadlock
CANCEL_ROUNDS = 100  # what is cancelled may start something that must be cancelled too
EXECUTOR_LIMIT_S = 60.0  # how long work in an executor may take in real time


class VirtualTimeError(AssertionError):
    """The run cannot go on: a deadlock, a spin, or the limit. The message names the tasks that are pending."""


class Deadlock(VirtualTimeError):
    """Nothing is ready and no timer is set: every task waits for another."""


class Spin(VirtualTimeError):
    """Tasks run for ever without any time passing."""


class LimitReached(VirtualTimeError):
    """The run was not over within its limit of virtual time."""


class VirtualLoop(BaseEventLoop):
    """An asyncio event loop in virtual time. Callbacks run in asyncio's order: first in, first out.

    With `seed`, each wake-up is late by up to half a millisecond, drawn from it: timers never fire early and never
    overtake each other, but what meets at one instant varies from seed to seed.
    """

    def __init__(self, *, seed: int | None = None, limit_s: float | None = None) -> None:
        super().__init__()
        self._now_s = 0.0
        self._limit_s = limit_s
        self._random = None if seed is None else random.Random(seed)
        self._rounds = 0
        self._in_executor = 0
        self._woken = threading.Event()
        self._clock_resolution = 1e-6
        self._selector = self  # what BaseEventLoop asks to wait; select() below

    def time(self) -> float:
        """Return virtual seconds since the loop was made."""
        return self._now_s

    def select(self, timeout: float | None) -> list[Any]:
        """Let time pass instead of waiting. Called by asyncio once a round; None: no timer is set.

        Raises: Deadlock, Spin, LimitReached.
        """
        if self._woken.is_set():
            self._woken.clear()
            return []
        if timeout is not None and timeout <= 0:
            self._rounds += 1
            if self._rounds > SPIN_LIMIT:
                raise Spin(
                    f"{SPIN_LIMIT} rounds at {self._now_s:.6f} s without time passing{self._pending()}"
                )
            return []
        self._rounds = 0
        if self._in_executor:
            if not self._woken.wait(EXECUTOR_LIMIT_S):
                raise Deadlock(f"work in an executor took more than {EXECUTOR_LIMIT_S:g} s{self._pending()}")
            self._woken.clear()
        elif timeout is None:
            if threading.active_count() > 1 and self._woken.wait(FOREIGN_GRACE_S):
                self._woken.clear()
            else:
                raise Deadlock(
                    f"at {self._now_s:.6f} s nothing is ready and no timer is set{self._pending()}"
                )
        else:
            self._now_s += timeout + (self._random.uniform(0, LATENESS_S) if self._random else 0.0)
            if self._limit_s is not None and self._now_s > self._limit_s:
                raise LimitReached(f"not over after {self._limit_s:g} s of virtual time{self._pending()}")
        return []

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Return the future of `func(*args)` run in a thread; virtual time stands still until it is done."""
        future = super().run_in_executor(executor, func, *args)
        self._in_executor += 1
        future.add_done_callback(self._executor_done, context=contextvars.Context())
        return future

    def _executor_done(self, future: asyncio.Future[Any]) -> None:
        self._in_executor -= 1

    def _process_events(self, event_list: list[Any]) -> None:
        pass  # there are no file descriptors

    def _write_to_self(self) -> None:
        self._woken.set()

    def _pending(self) -> str:
        lines = sorted(_where(task) for task in asyncio.all_tasks(self))
        return "".join(f"\n  {line}" for line in lines)


class VirtualClock:
    """The time of the running virtual loop, as `ports.Clock` asks for it; Unix time begins at `START_S`."""

    def monotonic_s(self) -> float:
        """Return virtual seconds since the loop was made."""
        return asyncio.get_running_loop().time()

    def now_s(self) -> float:
        """Return Unix seconds: `START_S` and what has passed since."""
        return START_S + asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of virtual time; 0 or less lets other tasks run once."""
        await asyncio.sleep(max(0.0, seconds))


def virtual_run(
    coroutine: Coroutine[Any, Any, T], *, seed: int | None = None, limit_s: float | None = 86_400.0
) -> T:
    """Return what the coroutine returns, run to its end in virtual time on a loop of its own.

    Tasks that are left are cancelled, as `asyncio.run` does. Raises: Deadlock, Spin, LimitReached (also when the
    clean-up waits for ever), and what the coroutine raises.
    """
    loop = VirtualLoop(seed=seed, limit_s=limit_s)
    try:
        asyncio.set_event_loop(loop)
        try:
            return loop.run_until_complete(coroutine)
        finally:
            _cancel_all(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        asyncio.set_event_loop(None)
        _abandon(loop)
        loop.close()


def _abandon(loop: VirtualLoop) -> None:
    """Close what could not be cancelled, because the run broke off: else it is heard of at any time later."""
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        coroutine: Any = task.get_coro()
        for _ in range(CANCEL_ROUNDS):
            try:
                coroutine.close()
            except RuntimeError:
                continue  # it awaits in its clean-up: that is closed next
            except Exception:  # noqa: BLE001 - nobody is left to whom it could matter
                log.debug("virtual.abandoned task=%s", task.get_name())
            break


def _cancel_all(loop: VirtualLoop) -> None:
    """Cancel what is left, and what that starts in turn, until nothing is."""
    loop._limit_s = (
        None if loop._limit_s is None else loop.time() + 3_600.0
    )  # what cleans up may wait, not for ever
    for _ in range(CANCEL_ROUNDS):
        tasks = asyncio.all_tasks(loop)
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        results = loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        for task, result in zip(tasks, results):
            if isinstance(result, Exception) and not isinstance(result, VirtualTimeError):
                loop.call_exception_handler(
                    {"message": "a task failed while it was cancelled", "exception": result, "task": task}
                )


def _where(task: asyncio.Task[Any]) -> str:
    """Return the task's name and the innermost line at which it waits."""
    coroutine: Any = task.get_coro()
    place = ""
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is not None:
            place = f"{frame.f_code.co_qualname} at {frame.f_code.co_filename}:{frame.f_lineno}"
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return f"{task.get_name()}: {place}"
