"""The examples in the detectors' docstrings give exactly what they say."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize(
    "module", ["detectors.kolmogorov", "detectors.ks", "detectors.policy", "detectors.shares"]
)
def test_the_examples_hold(module: str) -> None:
    result = doctest.testmod(import_module(module))
    assert result.attempted > 0
    assert result.failed == 0
