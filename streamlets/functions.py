"""Functions as streamlets: type hints are contracts; one event, async, or a batch at a time.

    def features(flight: Departure) -> FlightFeatures | None:     None: filtered out
    async def lookup(order: Order) -> EnrichedOrder:               awaited concurrently, order kept
    def clean(rows: list[Reading]) -> list[Reading | None]:        a batch at a time, aligned by position
    def count(data: bytes) -> None:                                a sink

Types: what pydantic knows (models, dataclasses, numbers …) is a contract; `dict` any JSON object, `bytes` the data as
they lie in the event, `Event` the whole event. An event that is returned gives its data, type, subject, time, key and
extensions; its id and source are given by the engine, as for every emit.

What one event does to the function never touches its neighbours: those that fail are tried again apart from them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

from streamlets.errors import Broken, Rejected, StreamletsError, Unavailable
from streamlets.event import Delivery
from streamlets.foreign import typed
from streamlets.ports import Batch, Context, DeadLetter, Emit, Outcome
from streamlets.recovery import Failure, Recovery
from streamlets.shape import Shape

CONCURRENCY = 64  # awaits under way at once for an async function: enough to hide 50 ms at 1,000 events/s
SLICE_S = 0.02  # how long a plain function may keep the loop before others get a turn


class Function(Shape):
    """A function as a blueprint names it. Called with (options, context), as a class is, it gives the streamlet."""

    def __call__(self, options: BaseModel, context: Context) -> FunctionStreamlet:
        return FunctionStreamlet(self, context)


class Row(NamedTuple):
    """An event that is to be tried again: its place in the batch, and itself.

    It is read anew for each try, because the function may have changed what it was given.
    """

    at: int
    delivery: Delivery


class FunctionStreamlet:
    """A function at work: reads the events of a batch, calls it, and writes what it returns."""

    def __init__(self, shape: Shape, context: Context) -> None:
        self._shape = shape
        self._name = context.streamlet
        self._base_dir = context.base_dir
        self._clock = context.clock
        self._recovery: Recovery[Row, Emit | None] = Recovery(
            attempts=context.attempts,
            clock=context.clock,
            random=context.random,
            waiting=context.waiting,
            lone_is_at_fault=True,
        )
        code = getattr(shape.code, "__code__", None)  # absent where it is written in C
        self._file: str = code.co_filename if code is not None else ""
        if shape.is_batch:
            self._work: Callable[[list[Delivery], _Done], Awaitable[list[Row]]] = self._whole
        else:
            self._work = self._at_once if shape.is_async else self._one_by_one

    async def process(self, batch: Batch) -> Outcome:
        """Return the results in the order of their events, with a dead letter for each that cannot be done."""
        done = _Done(self._shape.is_sink)
        left = await self._work(batch.deliveries, done)
        if left:
            answers = await self._recovery.run(left, self._call)
            for row, answer in zip(left, answers, strict=True):
                if isinstance(answer, Failure):
                    why = answer.error
                    done.dead.append(DeadLetter(row.at, why.code, str(why), answer.attempts + 1))
                else:
                    done.keep(row.at, answer)
            done.emits.sort(key=_parent)
            done.dead.sort(key=_index)
            done.filtered.sort()
        return Outcome(emits=done.emits, dead=done.dead, filtered=done.filtered)

    async def _one_by_one(self, deliveries: list[Delivery], done: _Done) -> list[Row]:
        """Do the events in turn and return those that failed."""
        shape, clock = self._shape, self._clock
        read, function, write = shape.read_event, shape.function, shape.write_result
        is_sink, may_filter = shape.is_sink, shape.may_filter
        emit, drop = done.emits.append, done.filtered.append
        failed: list[Row] = []
        good: Delivery | None = None
        until_s = clock.monotonic_s() + SLICE_S
        for index, delivery in enumerate(deliveries):
            if not index & 15 and clock.monotonic_s() > until_s:
                await clock.sleep(0)
                until_s = clock.monotonic_s() + SLICE_S
            try:
                value = read(delivery)
            except Rejected as exc:
                done.dead.append(DeadLetter(index, exc.code, str(exc)))
                continue
            try:
                result = function(value)
                if result is not None:
                    emit(write(result, index, delivery))
                elif may_filter:
                    drop(index)
                elif not is_sink:
                    emit(write(result, index, delivery))
                good = delivery
            except Exception as exc:  # noqa: BLE001 - a user's code may raise anything; it is typed there
                if self._is_worth_another_try(exc, index, done):
                    failed.append(Row(index, delivery))
        if failed and good is not None:
            self._tell(Row(0, good))
        return failed

    async def _at_once(self, deliveries: list[Delivery], done: _Done) -> list[Row]:
        """Await the events concurrently and return those that failed."""
        rows = [Row(index, delivery) for index, delivery in enumerate(deliveries)]
        failed: list[Row] = []
        good: Row | None = None
        for row, result in zip(rows, await self._each(rows), strict=True):
            if isinstance(result, Exception):
                if self._is_worth_another_try(result, row.at, done):
                    failed.append(row)
            else:
                done.keep(row.at, result)
                good = row
        if failed and good is not None:
            self._tell(good)
        return failed

    async def _whole(self, deliveries: list[Delivery], done: _Done) -> list[Row]:
        """Do all events that can be read in one call; return them all when it fails."""
        read = self._shape.read_event
        values: list[Any] = []
        places: list[tuple[int, Delivery]] = []
        for place in enumerate(deliveries):
            try:
                values.append(read(place[1]))
                places.append(place)
            except Rejected as exc:
                done.dead.append(DeadLetter(place[0], exc.code, str(exc)))
        if not values:
            return []
        try:
            emits = await self._aligned(values, places)
        except Exception as exc:
            error = self._typed(exc)
            if not isinstance(error, Unavailable | Rejected | Broken):
                raise error from exc
            return [Row(index, delivery) for index, delivery in places]
        for (index, _), emit in zip(places, emits, strict=True):
            done.keep(index, emit)
        self._tell(Row(*places[-1]))
        return []

    async def _aligned(
        self, values: list[Any], places: Sequence[tuple[int, Delivery]]
    ) -> Sequence[Emit | None]:
        """Return what a batch function makes of the values, one for each place. Raises: Broken, and anything."""
        shape = self._shape
        results = shape.function(values)
        if shape.is_async:
            results = await results
        if results is None and shape.is_sink:
            return [None] * len(places)
        if not isinstance(results, list):
            raise Broken(f"{self._name} returned a {type(results).__name__} where a list was promised")
        if len(results) != len(places):
            raise Broken(
                f"{self._name} returned {len(results)} results for {len(places)}", code="wrong-length"
            )
        write, may_filter = shape.write_result, shape.may_filter
        return [
            None if result is None and may_filter else write(result, index, delivery)
            for result, (index, delivery) in zip(results, places, strict=True)
        ]

    async def _each(self, rows: Sequence[Row]) -> list[Emit | Exception | None]:
        """Return what an async function makes of each row, or the exception, at most CONCURRENCY at once."""
        import asyncio  # here, because only async functions need it and it takes 30 ms

        results: list[Emit | Exception | None] = [None] * len(rows)
        left = iter(enumerate(rows))

        async def worker() -> None:
            for at, row in left:
                try:
                    results[at] = await self._one(row)
                except asyncio.CancelledError:
                    task = asyncio.current_task()
                    if task is None or task.cancelling():
                        raise
                    results[at] = Broken(f"{self._name} cancelled itself", code="exception")
                except Exception as exc:  # noqa: BLE001 - a user's code may raise anything; it is typed later
                    results[at] = exc

        async with asyncio.TaskGroup() as group:
            for _ in range(min(CONCURRENCY, len(rows))):
                group.create_task(worker())
        return results

    async def _one(self, row: Row) -> Emit | None:
        shape = self._shape
        result = shape.function(shape.read_event(row.delivery))
        if shape.is_async:
            result = await result
        if result is None and (shape.may_filter or shape.is_sink):
            return None
        return shape.write_result(result, row.at, row.delivery)

    async def _call(self, rows: Sequence[Row]) -> Sequence[Emit | None]:
        """Return what the function makes of the rows. Raises: a typed error for the whole of them."""
        try:
            if self._shape.is_batch:
                values = [self._shape.read_event(row.delivery) for row in rows]
                return await self._aligned(values, [(row.at, row.delivery) for row in rows])
            if not self._shape.is_async:
                return [await self._one(row) for row in rows]
            results = await self._each(rows)
        except Exception as exc:
            raise self._typed(exc) from exc
        answers: list[Emit | None] = []
        for result in results:
            if isinstance(result, Exception):
                raise self._typed(result) from result
            answers.append(result)
        return answers

    def _is_worth_another_try(self, exc: Exception, index: int, done: _Done) -> bool:
        """Return whether the event may yet succeed; one that never will is a dead letter at once."""
        typed = self._typed(exc)
        if isinstance(typed, Rejected):
            done.dead.append(DeadLetter(index, typed.code, str(typed)))
            return False
        if isinstance(typed, Unavailable | Broken):
            return True
        raise typed from exc

    def _tell(self, good: Row) -> None:
        """Let `recovery` know of an event that went well: it judges the failures by that."""
        self._recovery.note_answer(self._recovery.begin())
        self._recovery.last_good = good

    def _typed(self, exc: Exception) -> StreamletsError:
        return typed(exc, self._name, self._file, self._base_dir)


class _Done:
    """What has become of a batch so far."""

    def __init__(self, is_sink: bool) -> None:
        self.is_sink = is_sink
        self.emits: list[Emit] = []
        self.dead: list[DeadLetter] = []
        self.filtered: list[int] = []

    def keep(self, index: int, emit: Emit | None) -> None:
        """Note one event's result: an emit, or None, which a sink means as done and others as filtered."""
        if emit is not None:
            self.emits.append(emit)
        elif not self.is_sink:
            self.filtered.append(index)


def _parent(emit: Emit) -> int:
    return emit.parent


def _index(dead: DeadLetter) -> int:
    return dead.index
