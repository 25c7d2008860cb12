"""How often a property is tried: a few times on every change, many times in the whole suite."""

import pytest
from hypothesis import HealthCheck, given, settings

EXAMPLES = pytest.mark.parametrize("n", [25, pytest.param(500, marks=pytest.mark.slow)])


def check(n, holds, *strategies):
    """Hold a function of drawn values against `n` draws."""
    run = given(*strategies)(holds)
    settings(max_examples=n, deadline=None, suppress_health_check=list(HealthCheck))(run)()
