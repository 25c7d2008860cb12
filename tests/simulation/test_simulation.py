"""The engine keeps its promises in every storm. A failure prints its seed and the command that replays it."""

import pytest

from tests.simulation.run import simulate
from tests.simulation.worlds import WORLDS

FAST = 50 // len(WORLDS) + 1  # seeds of each world in the fast suite
SLOW = 1000 // len(WORLDS) + 1
BLOCK = 50  # seeds of one slow test, so that they can be shared out

# What must have happened in the fast seeds of each world, else they prove nothing.
POWER = {"delay", "crash", "aborted", "fenced", "unknown-done", "unknown-undone", "unknown-later-done"} | {
    "unknown-later-undone",
    "compaction",
    "expel",
    "freeze",
    "full",
    "rebalance",
    "repeat",
    "scale",
    "shut-down",
}


def storms(world: str, first: int, count: int) -> set[str]:
    """Return the kinds of faults that fired; fail with every run that broke a promise."""
    fired: set[str] = set()
    broken = []
    for seed in range(first, first + count):
        result = simulate(world, seed)
        fired |= {kind for kind, n in result.storm.fired.items() if n}
        if result.findings:
            broken.append(str(result))
    assert not broken, "\n" + "\n".join(broken)
    return fired


@pytest.mark.parametrize("world", WORLDS)
def test_every_promise_is_kept_and_every_fault_did_fire(world):
    assert storms(world, 0, FAST) >= POWER


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("block", range((SLOW + BLOCK - 1) // BLOCK))
@pytest.mark.parametrize("world", WORLDS)
def test_every_promise_is_kept_in_a_thousand_storms(world, block):
    first = FAST + block * BLOCK
    storms(world, first, min(BLOCK, FAST + SLOW - first))
