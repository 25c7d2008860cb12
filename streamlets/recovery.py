"""What to do when a call fails: wait, try again, bisect, probe, give up on one row. Used for model calls and functions.

The decisions are those of the failure table in ARCHITECTURE.md; the state of a circuit belongs to its target.

A row is blamed for a Broken call only when the target answered others between two failures of that row: it failed,
the target was well, it failed again. A target that is sick for a while cannot give that evidence, whenever it falls
sick and whenever it recovers. Where no neighbour gives it, the probe does: the last row answered well, sent again.

Calls made for one culprit among n rows, after the tries of the whole: at most 2·log2 n + 1. Each level costs two, or
one where the first half is answered: then the culprit is in the other, which is cut without being called whole.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar, cast

import msgspec

from streamlets.errors import Broken, Fatal, Rejected, StreamletsError, Unavailable
from streamlets.ports import Clock

R = TypeVar("R")
A = TypeVar("A")

BASE_S = 0.1  # the first wait is uniform in [0, 0.1 s]: a blip costs nobody a noticeable delay
CAP_S = 5.0  # the longest wait of our own: what comes back is found within 5 s
RETRY_AFTER_MAX_S = (
    60.0  # what a target may ask for; a day's Retry-After must not stall a partition for a day
)
FLAKY_S = 60.0  # a target that a mere repeat healed within this time is flaky: one failure of a lone row proves little
FLAKY_ATTEMPTS = (
    20  # tries of a lone row at a flaky target: where half of all calls fail, one in a million fails all
)


def longest_backoff_s(attempts: int) -> float:
    """Return the most that passes between the tries of a call that breaks; what a target asks for comes on top."""
    return sum(_span_s(waits) for waits in range(attempts - 1))


def _span_s(waits: int) -> float:
    """Return what a wait is drawn from, after so many in a row."""
    return float(min(CAP_S, BASE_S * 2.0 ** min(waits, 30)))


class Failure(msgspec.Struct, frozen=True):
    """Why one row got no answer: the error that decided it, and how many attempts were made."""

    error: Rejected | Broken
    attempts: int


class Recovery(Generic[R, A]):
    """Calls that come back with an answer or a Failure for each row, whatever the target does in between.

    One object for each target: what it learns in one run (the last row answered well) judges in the others. Any
    number of runs may be under way at once.
    """

    def __init__(
        self,
        *,
        attempts: int,
        clock: Clock,
        random: random.Random,
        waiting: Callable[[str | None], None],
        lone_is_at_fault: bool,
        in_order: bool = False,
    ) -> None:
        """`waiting` is told what is waited for, and None when it is over.

        `in_order`: no row is answered before one that stands before it, because answering changes a state.
        `lone_is_at_fault`: whether a row that breaks is to blame when there was never another one to compare it
        with. True for functions in this process, False for servers, which may be sick.
        """
        self.attempts = max(1, attempts)
        self.clock = clock
        self.random = random
        self.lone_is_at_fault = lone_is_at_fault
        self.in_order = in_order
        self.ticks = 0  # beginnings and failures of calls so far, in all runs: what was before what
        self.well: dict[object, int] = {}  # who answered → when the latest call that they answered well began
        self.last_good: R | None = None
        self.healed_s = float("-inf")
        self._waiting = waiting
        self._waiters = 0

    @property
    def n_waiting(self) -> int:
        """Runs that wait before their next call: whoever bounds calls may let others go meanwhile, as witnesses."""
        return self._waiters

    async def run(
        self,
        rows: Sequence[R],
        call: Callable[[Sequence[R]], Awaitable[Sequence[A]]],
    ) -> list[A | Failure]:
        """Return one answer or Failure for each row, in order.

        `call` answers for all the rows it is given, or raises a typed error for the whole. Unavailable is waited out
        (full-jitter backoff, Retry-After honoured) without end; Rejected is bisected; Broken is tried `attempts`
        times, bisected, and judged: a row is at fault only if the target has answered another row well since it failed
        and it then fails again, else it is treated as Unavailable. Any other exception counts as Broken. Fatal goes
        through. Cancellation goes through and leaves the object usable.

        A target of several servers says by an attribute `by` of `call` whom the call was made of, and asks that very
        one by a method `ask(by, rows)`: the failure of one that is sick is no evidence, however well others answer.
        """
        if not rows:
            return []
        work = _Run(self, rows, call)
        await work.solve()
        return cast("list[A | Failure]", work.results)

    def begin(self) -> int:
        """Return the tick at which a call begins: what `note_answer` takes when it is answered well."""
        self.ticks += 1
        return self.ticks

    def note_answer(self, began: int, by: object = None) -> None:
        """Note that `by` has answered well a call that began at this tick: evidence in other runs."""
        self.well[by] = max(began, self.well.get(by, 0))

    async def wait(self, reason: str, seconds: float) -> None:
        """Return after `seconds`, having told the engine why; told None when nobody waits any more."""
        self._waiters += 1
        self._waiting(reason)
        try:
            await self.clock.sleep(seconds)
        finally:
            self._waiters -= 1
            if not self._waiters:
                self._waiting(None)

    @property
    def is_flaky(self) -> bool:
        """Whether a mere repeat healed a failure not long ago."""
        return self.clock.monotonic_s() - self.healed_s < FLAKY_S


class _Fault(msgspec.Struct):
    """A failed call: its error, whose it was, and when it failed, in ticks.

    `well_at`: the beginning of the latest call that this server had answered well when this one began. What was begun
    before a failure and answered after it is no evidence: the server may have fallen sick in between.
    """

    error: Rejected | Broken
    at: int
    by: object
    well_at: int

    @property
    def is_broken(self) -> bool:
        return isinstance(self.error, Broken)


class _Run(Generic[R, A]):
    """The rows of one run, what has become of them, and how long the target has been failing."""

    def __init__(
        self,
        recovery: Recovery[R, A],
        rows: Sequence[R],
        call: Callable[[Sequence[R]], Awaitable[Sequence[A]]],
    ) -> None:
        self.recovery = recovery
        self.rows = rows
        self.call = call
        self.results: list[A | Failure | None] = [None] * len(rows)
        self.tries = [0] * len(rows)
        self.broken = [0] * len(
            rows
        )  # of the tries, those that broke: only they speak against a row that breaks
        self.waits = 0
        self.suspected = -1  # the tick at which the suspicion arose; -1: nothing has failed yet

    async def solve(self) -> None:
        """Fill `results`: the whole first, `attempts` times where it breaks, then by halves."""
        n = len(self.rows)
        attempts = self.recovery.attempts
        fault = await self.once(0, n)
        tries = 1
        while fault is not None and fault.is_broken and tries < attempts:
            await self.back_off(fault.error)
            if n == 1 and tries == attempts - 1:
                await self.is_target_well(fault)  # before the last try, so that this one proves something
            fault = await self.once(0, n)
            tries += 1
            if fault is None:
                self.recovery.healed_s = self.recovery.clock.monotonic_s()
        if fault is not None:
            await self.split(0, n, fault)

    async def split(self, lo: int, hi: int, fault: _Fault) -> None:
        """Find out which of the rows, which failed together, are at fault, and answer the others."""
        if hi - lo == 1:
            await self.judge(lo, fault)
            return
        mid = (lo + hi) // 2
        first = await self.once(lo, mid)
        if first is None:
            # The culprit must be in the other half, unless the whole was merely too much at once. A lone row is
            # called all the same: nobody is found guilty without a call of their own.
            second: _Fault | None = fault
            if hi - mid == 1 or fault.error.code == "too-large":
                second = await self.once(mid, hi)
            if second is not None:
                await self.split(mid, hi, second)
            elif fault.is_broken:
                self.recovery.healed_s = self.recovery.clock.monotonic_s()
            return
        if self.recovery.in_order:
            await self.split(lo, mid, first)
            second = await self.once(mid, hi)
            if second is not None:
                await self.split(mid, hi, second)
            return
        second = await self.once(mid, hi)
        if second is None:
            await self.split(lo, mid, first)
            return
        if first.is_broken and second.is_broken:
            self.suspected = self.recovery.ticks  # what was seen before proves nothing any more
            if not await self.is_target_well(second) and not self.has_answered_since(first):
                again = await self.outlast(lo, hi, second)
                if again is not None:
                    await self.split(lo, hi, again)
                return
        await self.split(lo, mid, first)
        await self.split(mid, hi, second)

    async def judge(self, at: int, fault: _Fault) -> None:
        """Decide on a row that failed alone: its own fault, or the target's, which is then waited for."""
        found: _Fault | None = fault
        alone = 1
        while found is not None and found.is_broken:
            is_early = self.broken[at] < self.recovery.attempts  # it came here with rows that were refused
            if is_early or (self.recovery.is_flaky and alone < FLAKY_ATTEMPTS):
                await self.recovery.wait(str(found.error), self.recovery.random.uniform(0.0, BASE_S))
            elif self.is_proof(found):
                break
            elif not await self.is_target_well(found):
                await self.back_off(found.error)
            elif self.recovery.last_good is None:
                break
            found = await self.once(at, at + 1)
            alone += 1
        if found is not None:
            self.results[at] = Failure(found.error, self.tries[at])

    async def outlast(self, lo: int, hi: int, fault: _Fault) -> _Fault | None:
        """Return when the target is well again: None if it answered the rows, else the fault to go on with."""
        found: _Fault | None = fault
        probed = lo
        while found is not None and found.is_broken:
            await self.back_off(found.error)
            # Nothing was ever answered that could be sent again, and with a culprit in each half the whole never
            # will be: the rows are asked in turn until one is, which shows that the target is well.
            is_unknown = self.recovery.last_good is None and hi - lo > 1
            if is_unknown and await self.once(probed, probed + 1) is not None:
                probed = probed + 1 if probed + 1 < hi else lo
                continue
            found = await self.once(lo, hi)
            if found is not None and (self.is_proof(found) or await self.is_target_well(found)):
                break
        return found

    def is_proof(self, fault: _Fault) -> bool:
        """Whether that server answered others between the failure that raised the suspicion and this one."""
        return fault.well_at > self.suspected

    async def is_target_well(self, fault: _Fault) -> bool:
        """Return whether that server has answered another row since that call failed, asking if need be."""
        recovery = self.recovery
        if self.has_answered_since(fault):
            return True
        if recovery.last_good is None:
            return recovery.lone_is_at_fault
        began = recovery.begin()
        try:
            ask = getattr(self.call, "ask", None)
            good = [recovery.last_good]
            answers = await (self.call(good) if ask is None else ask(fault.by, good))
        except Fatal:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the target is not well
            return False
        if len(answers) != 1:
            return False
        recovery.note_answer(began, self.by)
        return self.has_answered_since(fault)

    def has_answered_since(self, fault: _Fault) -> bool:
        """Return whether that server is known to have answered a call that began after that one failed."""
        return self.recovery.well.get(fault.by, 0) > fault.at

    @property
    def by(self) -> object:
        """Who was called last; None where the target is one."""
        return getattr(self.call, "by", None)

    async def once(self, lo: int, hi: int) -> _Fault | None:
        """Return None with the rows answered, or the fault. Waits as long as the target is away."""
        recovery = self.recovery
        whole = lo == 0 and hi == len(self.rows)
        rows = self.rows if whole else self.rows[lo:hi]
        while True:
            began, well = recovery.begin(), dict(recovery.well)
            try:
                answers = await self.call(rows)
                if len(answers) != hi - lo:
                    raise Broken(f"{hi - lo} rows were answered by {len(answers)}", code="wrong-length")
            except Unavailable as exc:
                await self.back_off(exc)
                continue
            except (Rejected, Broken) as exc:
                # without its traceback, whose frames would keep the rows alive in a cycle
                error: Rejected | Broken = exc.with_traceback(None)
            except StreamletsError:
                raise
            except Exception as exc:  # noqa: BLE001 - the last resort: what nobody translated is Broken
                error = Broken(f"unexpected {type(exc).__name__}", code="unexpected")
                error.__cause__ = exc
            else:
                self.results[lo:hi] = answers
                recovery.note_answer(began, self.by)
                recovery.last_good = rows[-1]
                self.waits = 0
                return None
            recovery.ticks += 1
            if self.suspected < 0:
                self.suspected = recovery.ticks
            for at in range(lo, hi):
                self.tries[at] += 1
                self.broken[at] += isinstance(error, Broken)
            return _Fault(error, recovery.ticks, self.by, well.get(self.by, 0))

    async def back_off(self, error: Unavailable | Rejected | Broken) -> None:
        """Wait: full jitter, longer each time, at least as long as the target asked for."""
        recovery = self.recovery
        seconds = recovery.random.uniform(0.0, _span_s(self.waits))
        self.waits += 1
        if isinstance(error, Unavailable) and error.retry_after_s is not None:
            seconds += min(max(error.retry_after_s, 0.0), RETRY_AFTER_MAX_S)
        await recovery.wait(str(error), seconds)
