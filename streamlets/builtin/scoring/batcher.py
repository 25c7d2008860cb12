"""Micro-batching: slices of rows go in, calls come out. The cost is per slice and per call, never per row.

While calls are in flight rows gather; a free slot takes all that wait, up to the most that a call may hold. A call
that would not be full waits a little while others are in flight; with none in flight it goes at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from streamlets.ports import Clock

R = TypeVar("R")
A = TypeVar("A")


class _Slice(Generic[R, A]):
    """Rows that came together and are answered together, maybe by several calls."""

    __slots__ = ("done", "missing", "results", "rows", "since_s", "taken")

    def __init__(self, rows: Sequence[R], since_s: float, done: asyncio.Future[list[A]]) -> None:
        self.rows = rows
        self.results: list[Any] = [None] * len(rows)
        self.taken = 0  # rows that are in a call, or answered
        self.missing = len(rows)
        self.since_s = since_s
        self.done = done


SPARE = 8  # slots that waiting calls lend at the most: an outage does not turn all that is queued into calls

_Part = tuple[_Slice[R, A], int, int]  # a slice's rows from … to


class Batcher(Generic[R, A]):
    """Gathers rows into calls, first come first served, over all slices."""

    def __init__(
        self,
        call: Callable[[list[R]], Awaitable[Sequence[A]]],
        *,
        max_rows: int,
        max_wait_s: float,
        concurrency: int,
        clock: Clock,
        n_paused: Callable[[], int] = lambda: 0,
    ) -> None:
        """`n_paused` says how many calls only wait before they try again; `pump` is to be called when it has risen.

        They lend their slots, up to SPARE: a row that a server cannot stand is told from a sick server by others that
        it answers, and those others must be sent.

        `call` answers for all the rows it is given; what it raises is raised to all whose rows were in the call."""
        self.max_rows = max_rows
        self.running = 0
        self.calls = 0  # made so far, and
        self.called_rows = 0  # the rows in them
        self._call = call
        self._max_wait_s = max_wait_s
        self._concurrency = concurrency
        self._clock = clock
        self._n_paused = n_paused
        self._waiting: deque[_Slice[R, A]] = deque()
        self._n_waiting = 0
        self._tasks: dict[asyncio.Task[None], list[_Part[R, A]]] = {}
        self._timer: asyncio.Task[None] | None = None
        self._is_pump_due = False

    async def submit(self, rows: Sequence[R]) -> list[A]:
        """Return an answer for each row, in order.

        A cancelled submit gives its rows up; a call that holds no others is cancelled too.
        """
        loop = asyncio.get_running_loop()
        piece: _Slice[R, A] = _Slice(rows, self._clock.monotonic_s(), loop.create_future())
        self._waiting.append(piece)
        self._n_waiting += len(rows)
        if not self._is_pump_due:
            # once all that is ready in this round of the loop has been submitted
            self._is_pump_due = True
            loop.call_soon(self._pump)
        try:
            return await piece.done
        finally:
            if not piece.done.done() or piece.done.cancelled():
                self._give_up(piece)

    def close(self) -> None:
        """Cancel what is in flight; those who wait for it are cancelled with it."""
        for piece in self._waiting:
            piece.done.cancel()
        self._waiting.clear()
        self._n_waiting = 0
        for task, parts in list(self._tasks.items()):
            for piece, _, _ in parts:
                piece.done.cancel()
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()

    def _give_up(self, piece: _Slice[R, A]) -> None:
        if piece.taken < len(piece.rows) and piece in self._waiting:
            self._waiting.remove(piece)
            self._n_waiting -= len(piece.rows) - piece.taken
        for task, parts in list(self._tasks.items()):
            if all(part[0].done.done() for part in parts):
                task.cancel()

    def pump(self) -> None:
        """Start what may run by now."""
        self._pump()

    def _pump(self) -> None:
        self._is_pump_due = False
        while self.running < self._concurrency + min(self._n_paused(), SPARE) and self._waiting:
            if self._n_waiting < self.max_rows and self.running and self._max_wait_s > 0.0:
                left_s = self._waiting[0].since_s + self._max_wait_s - self._clock.monotonic_s()
                if left_s > 0.0:
                    if self._timer is None:
                        self._timer = asyncio.create_task(self._later(left_s))
                    return
            self._start()

    async def _later(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._timer = None
        self._pump()

    def _start(self) -> None:
        parts: list[_Part[R, A]] = []
        rows: list[R] = []
        room = self.max_rows
        while room and self._waiting:
            piece = self._waiting[0]
            start = piece.taken
            end = min(len(piece.rows), start + room)
            rows += piece.rows[start:end]
            parts.append((piece, start, end))
            piece.taken = end
            room -= end - start
            if end == len(piece.rows):
                self._waiting.popleft()
        self._n_waiting -= len(rows)
        self.running += 1
        self.calls += 1
        self.called_rows += len(rows)
        task = asyncio.create_task(self._work(rows, parts))
        self._tasks[task] = parts
        task.add_done_callback(self._ended)  # also of one that was cancelled before its first step

    async def _work(self, rows: list[R], parts: list[_Part[R, A]]) -> None:
        try:
            answers = await self._call(rows)
        except asyncio.CancelledError:
            for piece, _, _ in parts:
                piece.done.cancel()
            raise
        except Exception as exc:  # noqa: BLE001 - it is theirs who wait for these rows
            for piece, _, _ in parts:
                if not piece.done.done():
                    piece.done.set_exception(exc)
        else:
            self._deal_out(answers, parts)
        finally:
            self._ended(asyncio.current_task())

    def _ended(self, task: asyncio.Task[None] | None) -> None:
        if task is not None and self._tasks.pop(task, None) is not None:
            self.running -= 1
            self._pump()

    def _deal_out(self, answers: Sequence[A], parts: list[_Part[R, A]]) -> None:
        at = 0
        for piece, start, end in parts:
            piece.results[start:end] = answers[at : at + end - start]
            at += end - start
            piece.missing -= end - start
            if not piece.missing and not piece.done.done():
                piece.done.set_result(piece.results)
