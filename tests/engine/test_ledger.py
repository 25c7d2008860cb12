"""The ledger alone: what is open, what may be released, how far the group may commit."""

import random

import pytest

from streamlets.engine.ledger import Entry, Ledger, held_ranges
from streamlets.engine.tally import Tally


def settle(ledger: Ledger, entry: Entry, held=(), settles=()) -> None:
    ledger.settle(entry, records=[], changes={}, tally=Tally(), held=held, settles=settles)


def release(ledger: Ledger) -> tuple[int, list[tuple[int, int]]]:
    head = ledger.settled_head(10_000)
    after = ledger.after(head)
    ledger.released(head)
    assert after == (ledger.commit, ledger.done)
    return after


def test_nothing_is_releasable_while_the_head_is_open() -> None:
    ledger = Ledger(0)
    ledger.open([0, 1], 2, 0.0, 0)
    second = ledger.open([2, 3], 2, 0.0, 0)
    settle(ledger, second)
    assert not ledger.is_releasable
    assert ledger.commit == 0


def test_a_late_head_releases_all_that_was_settled_behind_it_in_order() -> None:
    ledger = Ledger(0)
    first = ledger.open([0, 1], 2, 0.0, 0)
    second = ledger.open([2, 3], 2, 0.0, 0)
    settle(ledger, second)
    settle(ledger, first)
    assert ledger.settled_head(10) == [first, second]
    assert release(ledger) == (4, [])


def test_the_commit_never_passes_an_open_delivery() -> None:
    ledger = Ledger(10)
    first = ledger.open([10, 11], 2, 0.0, 0)
    ledger.open([12], 1, 0.0, 0)
    settle(ledger, first)
    assert release(ledger) == (12, [])


def test_the_commit_steps_over_gaps_once_nothing_is_open() -> None:
    ledger = Ledger(0)
    entry = ledger.open([0, 1, 2], 3, 0.0, 0)
    ledger.pass_over(9)  # markers up to 9
    settle(ledger, entry)
    assert release(ledger) == (10, [])


def test_opening_an_offset_twice_is_an_error_not_a_repeat() -> None:
    ledger = Ledger(0)
    ledger.open([0, 1], 2, 0.0, 0)
    with pytest.raises(AssertionError, match="opened twice"):
        ledger.open([1], 1, 0.0, 0)


def test_what_is_held_keeps_the_commit_and_what_settled_beyond_it_is_a_done_range() -> None:
    ledger = Ledger(0)
    entry = ledger.open([0, 1, 2, 3], 4, 0.0, 0)
    settle(ledger, entry, held=held_ranges(entry, [0, 1, 2, 3], [1]))
    assert release(ledger) == (1, [(2, 3)])


def test_settling_what_was_held_moves_the_commit_over_the_done_ranges() -> None:
    ledger = Ledger(0)
    entry = ledger.open([0, 1, 2, 3], 4, 0.0, 0)
    settle(ledger, entry, held=[(1, 1)])
    release(ledger)
    timer = ledger.add(0.0)
    settle(ledger, timer, settles=[(1, 1)])
    assert release(ledger) == (4, [])


def test_done_ranges_of_an_earlier_life_are_not_opened_and_survive_until_passed() -> None:
    ledger = Ledger(5, [(7, 8)])
    assert [ledger.is_done(o) for o in (5, 6, 7, 8, 9)] == [False, False, True, True, False]
    entry = ledger.open([5], 1, 0.0, 0, is_exact=True)
    settle(ledger, entry)
    assert release(ledger) == (6, [(7, 8)])
    later = ledger.open([6, 9], 2, 0.0, 0, is_exact=True)
    settle(ledger, later, held=held_ranges(later, [6, 9], [0]))
    assert release(ledger) == (6, [(7, 9)])


def test_in_process_counts_and_bytes_fall_with_the_release_not_with_the_settling() -> None:
    ledger = Ledger(0)
    entry = ledger.open([0, 1], 300, 0.0, 0)
    settle(ledger, entry)
    assert (ledger.n_in_process, ledger.n_bytes) == (2, 300)
    release(ledger)
    assert (ledger.n_in_process, ledger.n_bytes) == (0, 0)


@pytest.mark.parametrize("seed", range(200))
def test_a_restart_at_any_release_opens_exactly_what_was_not_settled(seed: int) -> None:
    """Against a model that is a plain set: offsets with gaps, holds and late settlements, restarts in between."""
    rng = random.Random(seed)
    log = sorted(rng.sample(range(120), 60))
    settled: set[int] = set()
    commit, done = 0, []
    for _life in range(4):
        ledger = Ledger(commit, done)
        held: list[int] = []
        todo = [o for o in log if o >= commit]
        while todo:
            if rng.random() < 0.1:
                break  # crash
            n = rng.randint(1, 8)
            part, todo = todo[:n], todo[n:]
            is_exact = ledger.has_old_done
            fresh = [o for o in part if not ledger.is_done(o)] if is_exact else part
            assert not settled & set(fresh), "a settled delivery is opened again"
            assert is_exact or not settled & set(part)
            pending = []
            if fresh:
                entry = ledger.open(fresh, len(fresh), 0.0, 0, is_exact)
                keep = [i for i in range(len(fresh)) if rng.random() < 0.4]
                pending.append((entry, held_ranges(entry, fresh, keep), []))
                held += [fresh[i] for i in keep]
            ledger.pass_over(part[-1])
            if held and rng.random() < 0.6:
                gone = sorted(rng.sample(held, rng.randint(1, len(held))))
                held = [o for o in held if o not in gone]
                pending.append((ledger.add(0.0), [], [(o, o) for o in gone]))
            for entry, kept, settles in pending:
                settle(ledger, entry, kept, settles)
            if rng.random() < 0.8:
                commit, done = release(ledger)
                now = {o for o in log if o < ledger.position} - set(held)
                now |= {o for o in settled if o >= ledger.position}
                assert settled <= now
                settled = now
                assert {o for o in log if o < commit or any(a <= o <= b for a, b in done)} == settled
