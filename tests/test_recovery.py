"""Recovery: each row is answered or has failed for its own sake, whatever the target does in between."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Sequence

import pytest

from streamlets.errors import Broken, Fatal, Rejected, Unavailable
from streamlets.recovery import CAP_S, RETRY_AFTER_MAX_S, Failure, Recovery, longest_backoff_s


class Time:
    """A clock that is where it is told to be: a sleep passes at once."""

    def __init__(self) -> None:
        self.at_s = 0.0
        self.slept: list[float] = []

    def monotonic_s(self) -> float:
        return self.at_s

    def now_s(self) -> float:
        return 1e9 + self.at_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at_s += seconds
        await asyncio.sleep(0)


class Target:
    """Answers each row by its negative, and fails as `fault` says: it is given the rows and the call's number."""

    def __init__(self, fault: Callable[[Sequence[int], int], Exception | None]) -> None:
        self.fault = fault
        self.calls = 0

    async def __call__(self, rows: Sequence[int]) -> list[int]:
        self.calls += 1
        await asyncio.sleep(0)
        error = self.fault(rows, self.calls)
        if error is not None:
            raise error
        return [-row for row in rows]


def recovery(time: Time, *, lone: bool = False, attempts: int = 3, seed: int = 1) -> Recovery[int, int]:
    return Recovery(
        attempts=attempts,
        clock=time,
        random=random.Random(seed),
        waiting=lambda reason: None,
        lone_is_at_fault=lone,
    )


def poison(
    culprits: set[int], error: Callable[[], Exception]
) -> Callable[[Sequence[int], int], Exception | None]:
    return lambda rows, number: error() if culprits.intersection(rows) else None


def rejected() -> Exception:
    return Rejected("the model refuses it", code="bad-input")


def broken() -> Exception:
    return Broken("500 Internal Server Error")


@pytest.mark.parametrize("error", [rejected, broken])
def test_one_culprit_at_any_place_of_a_batch_is_found_within_the_bound_and_its_neighbours_are_answered(
    error: Callable[[], Exception],
) -> None:
    async def main() -> None:
        for n in (1, 2, 3, 5, 7, 31, 100, 128):
            for at in range(n):
                work = recovery(Time())
                await work.run([-1], Target(lambda rows, number: None))
                target = Target(poison({at}, error))
                results = await work.run(range(n), target)
                assert [r for i, r in enumerate(results) if i != at] == [-i for i in range(n) if i != at]
                assert isinstance(results[at], Failure)
                first_tries = 1 if error is rejected else 3
                assert target.calls - first_tries <= 2 * math.log2(n) + 1

    asyncio.run(main())


@pytest.mark.parametrize("error", [rejected, broken])
def test_several_culprits_are_all_found_and_nobody_else(error: Callable[[], Exception]) -> None:
    async def main() -> None:
        for seed in range(60):
            dice = random.Random(seed)
            n = dice.randint(1, 128)
            culprits = set(dice.sample(range(n), dice.randint(0, min(n, 9))))
            work = recovery(Time(), seed=seed)
            await work.run([-1], Target(lambda rows, number: None))
            results = await work.run(range(n), Target(poison(culprits, error)))
            assert {i for i, r in enumerate(results) if isinstance(r, Failure)} == culprits
            assert all(r == -i for i, r in enumerate(results) if i not in culprits)

    asyncio.run(main())


def test_a_server_that_fails_everything_blames_no_row_and_every_row_is_answered_when_it_is_well_again() -> (
    None
):
    async def main() -> None:
        for seed, known in [(s, k) for s in range(10) for k in (False, True)]:
            time = Time()
            work = recovery(time, seed=seed)
            if known:
                await work.run([1], Target(lambda rows, number: None))
            target = Target(lambda rows, number, time=time: broken() if time.at_s < 60 else None)
            runs = await asyncio.gather(*(work.run(range(n), target) for n in (1, 2, 64, 128)))
            assert runs == [[-i for i in range(n)] for n in (1, 2, 64, 128)]
            assert 60 <= time.at_s < 60 + 5 * CAP_S * 4
            assert target.calls < 400  # bounded: waits, and does not hammer a sick server

    asyncio.run(main())


def test_a_poison_event_that_met_a_sick_server_is_found_once_the_server_is_well_and_only_then() -> None:
    async def main() -> None:
        time = Time()
        work = recovery(time)
        await work.run([1], Target(lambda rows, number: None))
        target = Target(lambda rows, number: broken() if time.at_s < 30 or 5 in rows else None)
        results = await work.run(range(16), target)
        assert time.at_s >= 30
        assert [i for i, r in enumerate(results) if isinstance(r, Failure)] == [5]

    asyncio.run(main())


def test_one_outage_of_any_length_at_any_call_blames_no_innocent_row() -> None:
    async def main() -> None:
        for n in (1, 2, 3, 8, 32):
            for culprit in {-5, 0, n // 2, n - 1}:
                for first in range(1, 18):
                    for length in (1, 2, 3, 4, 7, 20):
                        work = recovery(Time(), seed=first)
                        await work.run([1], Target(lambda rows, number: None))

                        def fault(
                            rows: Sequence[int],
                            number: int,
                            sick: range = range(first, first + length),
                            culprit: int = culprit,
                        ) -> Exception | None:
                            return broken() if number in sick or culprit in rows else None

                        results = await work.run(range(100, 100 + n), Target(fault))
                        assert not any(isinstance(r, Failure) for r in results)
                        results = await work.run(range(n), Target(fault))
                        assert [i for i, r in enumerate(results) if isinstance(r, Failure)] == [
                            i for i in range(n) if i == culprit
                        ]

    asyncio.run(main())


def test_faults_that_alternate_with_answers_blame_nobody() -> None:
    async def main() -> None:
        for n in (1, 2, 3, 64):
            work = recovery(Time())
            target = Target(lambda rows, number: broken() if number % 2 else None)
            for _ in range(20):
                assert await work.run(range(n), target) == [-i for i in range(n)]

    asyncio.run(main())


def test_a_target_that_fails_three_calls_in_ten_at_random_blames_nobody_in_two_thousand_batches() -> None:
    async def main() -> None:
        dice = random.Random(7)
        work = recovery(Time())
        target = Target(lambda rows, number: broken() if dice.random() < 0.3 else None)
        for _ in range(2000):
            assert await work.run(range(16), target) == [-i for i in range(16)]

    asyncio.run(main())


def test_a_lone_row_that_breaks_is_waited_with_at_a_server_and_blamed_at_a_function() -> None:
    async def main() -> None:
        time = Time()
        target = Target(lambda rows, number: broken())
        results = await recovery(time, lone=True).run([1, 2, 3], target)
        assert [isinstance(r, Failure) for r in results] == [True] * 3
        waiting = asyncio.create_task(recovery(time).run([1], target))
        for _ in range(500):
            await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())


def test_a_function_that_worked_before_and_now_fails_for_every_row_is_waited_out() -> None:
    async def main() -> None:
        time = Time()
        work = recovery(time, lone=True)
        await work.run([1], Target(lambda rows, number: None))
        target = Target(lambda rows, number: broken() if time.at_s < 10 else None)
        assert await work.run(range(8), target) == [-i for i in range(8)]

    asyncio.run(main())


def test_an_outage_is_waited_out_with_full_jitter_and_bounded_waits() -> None:
    async def main() -> None:
        time = Time()
        target = Target(lambda rows, number: Unavailable("connection refused") if number < 200 else None)
        assert await recovery(time).run([1, 2], target) == [-1, -2]
        assert target.calls == 200
        assert max(time.slept) <= CAP_S
        late = time.slept[20:]
        assert 0.3 * CAP_S < sum(late) / len(late) < 0.7 * CAP_S

    asyncio.run(main())


def test_retry_after_is_honoured_within_reason() -> None:
    async def main() -> None:
        for asked, least, most in ((7.0, 7.0, 7.1), (86400.0, RETRY_AFTER_MAX_S, RETRY_AFTER_MAX_S + 0.1)):
            time = Time()
            gone = Unavailable("too many requests", retry_after_s=asked)
            target = Target(lambda rows, number, gone=gone: gone if number == 1 else None)
            assert await recovery(time).run([1], target) == [-1]
            assert least <= time.slept[0] <= most

    asyncio.run(main())


def test_an_answer_of_the_wrong_length_is_tried_again_and_never_paired_with_rows() -> None:
    async def main() -> None:
        calls = []

        async def call(rows: Sequence[int]) -> list[int]:
            calls.append(len(rows))
            return [-row for row in rows][: len(rows) - (len(calls) < 3)]

        assert await recovery(Time()).run([1, 2, 3], call) == [-1, -2, -3]
        assert calls == [3, 3, 3]

    asyncio.run(main())


def test_what_nobody_translated_counts_as_broken_without_its_text() -> None:
    async def main() -> None:
        target = Target(lambda rows, number: KeyError("a payload"))
        (failure,) = await recovery(Time(), lone=True).run([1], target)
        assert isinstance(failure, Failure)
        assert str(failure.error) == "unexpected KeyError"
        assert failure.attempts == 3

    asyncio.run(main())


def test_a_batch_too_large_for_the_server_is_cut_until_it_fits() -> None:
    async def main() -> None:
        target = Target(lambda rows, number: Rejected("413", code="too-large") if len(rows) > 16 else None)
        assert await recovery(Time()).run(range(128), target) == [-i for i in range(128)]
        assert target.calls == 15

    asyncio.run(main())


def test_a_fatal_error_and_a_cancellation_go_through_and_leave_it_usable() -> None:
    async def main() -> None:
        work = recovery(Time())
        with pytest.raises(Fatal):
            await work.run([1], Target(lambda rows, number: Fatal("not authorised")))
        stuck = asyncio.create_task(work.run([1], Target(lambda rows, number: Unavailable("away"))))
        for _ in range(20):
            await asyncio.sleep(0)
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
        assert await work.run([3], Target(lambda rows, number: None)) == [-3]

    asyncio.run(main())


def test_the_reason_for_waiting_is_told_and_withdrawn_when_nobody_waits_any_more() -> None:
    async def main() -> None:
        told: list[str | None] = []
        time = Time()
        work: Recovery[int, int] = Recovery(
            attempts=3, clock=time, random=random.Random(1), waiting=told.append, lone_is_at_fault=False
        )
        target = Target(lambda rows, number: Unavailable("connection refused") if time.at_s < 3 else None)
        await asyncio.gather(work.run([1], target), work.run([2], target))
        assert told[0] == "connection refused"
        assert told[-1] is None

    asyncio.run(main())


def test_in_order_no_row_is_answered_before_one_that_stands_before_it_and_the_bound_holds() -> None:
    async def main() -> None:
        for n in (1, 2, 7, 31, 128):
            for culprits in [{at} for at in range(n)] + [{0, n // 2, n - 1}]:
                answered: list[int] = []

                def fault(
                    rows: Sequence[int],
                    number: int,
                    culprits: set[int] = culprits,
                    answered: list[int] = answered,
                ) -> Exception | None:
                    if culprits.intersection(rows):
                        return rejected()
                    answered.extend(rows)
                    return None

                target = Target(fault)
                work: Recovery[int, int] = Recovery(
                    attempts=3,
                    clock=Time(),
                    random=random.Random(1),
                    waiting=lambda reason: None,
                    lone_is_at_fault=True,
                    in_order=True,
                )
                results = await work.run(range(n), target)
                assert {i for i, r in enumerate(results) if isinstance(r, Failure)} == culprits
                assert answered == [i for i in range(n) if i not in culprits]
                if len(culprits) == 1:
                    assert target.calls - 1 <= 2 * math.log2(n) + 1

    asyncio.run(main())


def test_a_row_that_breaks_once_after_it_was_refused_with_a_neighbour_is_tried_again() -> None:
    async def main() -> None:
        has_broken: list[int] = []

        def fault(rows: Sequence[int], number: int) -> Exception | None:
            if 1 in rows:
                return rejected()
            if 0 in rows and not has_broken:
                has_broken.append(number)
                return broken()
            return None

        results = await recovery(Time(), lone=True).run(range(4), Target(fault))
        assert [isinstance(r, Failure) for r in results] == [False, True, False, False]

    asyncio.run(main())


def test_two_culprits_in_the_first_call_of_all_are_told_from_a_target_that_is_sick() -> None:
    async def main() -> None:
        for n in (4, 9, 40):
            for culprits in ({0, n - 1}, {0, n // 2, n - 1}, set(range(0, n, 2))):
                target = Target(poison(culprits, broken))
                results = await recovery(Time()).run(range(n), target)
                assert {i for i, r in enumerate(results) if isinstance(r, Failure)} == culprits

    asyncio.run(main())


class TwoServers:
    """A server that is well but for the rows that break it, and one that breaks everything; a repeat goes elsewhere."""

    def __init__(self, culprits: set[int]) -> None:
        self.culprits = culprits
        self.by = self.avoid = "well"

    async def __call__(self, rows: Sequence[int]) -> list[int]:
        return await self.ask("sick" if self.avoid == "well" else "well", rows)

    async def ask(self, by: str, rows: Sequence[int]) -> list[int]:
        self.by = by
        await asyncio.sleep(0)
        if self.by == "sick" or self.culprits.intersection(rows):
            self.avoid = self.by
            raise broken()
        return [-row for row in rows]


def test_a_server_that_is_sick_is_no_witness_against_a_row_however_well_its_neighbour_answers() -> None:
    async def main() -> None:
        for n in (3, 5, 16, 64):
            for culprits in ({0}, {n - 1}, {n // 2}, {0, n - 1}):
                results = await recovery(Time()).run(range(n), TwoServers(culprits))
                assert {i for i, r in enumerate(results) if isinstance(r, Failure)} == culprits

    asyncio.run(main())


class Longest(random.Random):
    """Draws the most that may be drawn."""

    def uniform(self, a: float, b: float) -> float:
        return b


@pytest.mark.parametrize("attempts", [1, 2, 3, 8, 20])
def test_the_waits_between_tries_are_at_most_what_the_linter_is_told(attempts: int) -> None:
    async def main() -> None:
        time = Time()
        work: Recovery[int, int] = Recovery(
            attempts=attempts,
            clock=time,
            random=Longest(),
            waiting=lambda reason: None,
            lone_is_at_fault=True,
        )
        spent = []
        await work.run([1, 2], Target(lambda rows, number: spent.append(time.at_s) or broken()))
        assert spent[attempts - 1] == pytest.approx(longest_backoff_s(attempts))

    asyncio.run(main())
