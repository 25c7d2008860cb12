"""The verifier is itself tested: it notices every planted bug within a few seeds."""

import pytest

from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.run import simulate

SEEDS = 12


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_a_planted_bug_is_caught_within_a_few_seeds(mutant: Mutant) -> None:
    for seed in range(SEEDS):
        with mutant.plant():
            result = simulate(mutant.world, seed)
        found = {finding.oracle for finding in result.findings}
        if found & mutant.oracles:
            return
        assert not found, f"{mutant.name} was noticed by {found}, not by {mutant.oracles}: {result}"
    pytest.fail(f"{mutant.name} was not noticed in {SEEDS} seeds of world {mutant.world}")


def test_there_are_planted_bugs_enough() -> None:
    assert len(MUTANTS) >= 12
