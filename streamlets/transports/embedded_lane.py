"""A lane: one thread that owns one connection to the log's file. Nobody else uses that connection."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
Job = tuple[Callable[[], Any], "asyncio.Future[Any] | None"]
Ready = tuple["asyncio.Future[Any]", Any, BaseException | None]

WATCH_S = 0.015  # between two looks for what other processes appended; at most 20 ms is promised


class Lane:
    """Jobs in the order given, on a thread; their results in few wakeups of the event loop.

    `watch` is called every WATCH_S while `watchers` is above zero.
    """

    def __init__(self, name: str, watch: Callable[[], None] | None = None) -> None:
        self.watchers = 0
        self._loop = asyncio.get_running_loop()
        self._watch = watch
        self._is_watching = False
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._ready: deque[Ready] = deque()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, job: Callable[[], T]) -> asyncio.Future[T]:
        """Return a future of what the job returns. Cancelling it does not stop the job."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self._is_closed:
            future.set_exception(RuntimeError("the log is closed"))
        else:
            self._jobs.put((job, future))
        return future

    def watch_more(self) -> None:
        """One more waits for what others append; `watch_less` when it does not any more."""
        self.watchers += 1
        if not self._is_watching:
            self._jobs.put(_NOTHING)

    def watch_less(self) -> None:
        self.watchers -= 1

    async def close(self) -> None:
        """Return when every job given has run and the thread has ended."""
        if self._is_closed:
            return
        self._is_closed = True
        self._jobs.put(None)
        await self._loop.run_in_executor(None, self._thread.join)
        self._hand_over()

    def tell(self, callback: Callable[..., None], *arguments: Any) -> None:
        """Call back on the event loop, from the thread."""
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:  # the loop has been closed under us: nobody is there to be told
            self._is_closed = True

    def _run(self) -> None:
        watched = 0.0
        while True:
            # In this order: who begins to wait between the two lines sees False and puts a job to wake us.
            self._is_watching = False
            self._is_watching = self._watch is not None and self.watchers > 0
            try:
                entry = self._jobs.get(timeout=WATCH_S if self._is_watching else None)
            except queue.Empty:
                entry = _NOTHING
            now = time.monotonic()  # a look at another process: no virtual clock moves it
            if self._watch is not None and self._is_watching and now - watched >= WATCH_S:
                watched = now
                try:
                    self._watch()
                except Exception as exc:  # noqa: BLE001 - a dead thread would leave everybody waiting for ever
                    self.tell(self._loop.call_exception_handler, {"message": "log.watch", "exception": exc})
            if entry is None:
                return
            job, future = entry
            try:
                result, error = job(), None
            except BaseException as exc:  # noqa: BLE001 - whatever it is belongs to who asked
                result, error = None, exc
            if future is not None:
                self._ready.append((future, result, error))
                if len(self._ready) == 1:  # else a hand-over is already on its way
                    self.tell(self._hand_over)

    def _hand_over(self) -> None:
        ready = self._ready
        while ready:
            future, result, error = ready.popleft()
            if not future.done():
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)


_NOTHING: Job = (lambda: None, None)
