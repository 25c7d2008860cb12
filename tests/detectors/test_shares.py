"""Fisher's exact test for shares agrees with scipy's hypergeometric tails."""

from __future__ import annotations

import math

import pytest
from scipy.stats import hypergeom

from detectors.shares import log_fisher


@pytest.mark.parametrize(
    ("marked", "rows", "marked_reference", "rows_reference"),
    [
        (5, 500, 0, 10_000),
        (0, 500, 400, 10_000),
        (500, 500, 0, 10_000),
        (17, 500, 340, 10_000),
        (1, 1, 0, 100),
    ],
)
def test_it_agrees_with_scipy(marked: int, rows: int, marked_reference: int, rows_reference: int) -> None:
    table = hypergeom(rows + rows_reference, marked + marked_reference, rows)
    expected = min(0.0, math.log(2.0) + min(table.logcdf(marked), table.logsf(marked - 1)))
    assert log_fisher(marked, rows, marked_reference, rows_reference) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("marked", [0, 100])
def test_equal_shares_at_an_end_are_no_evidence(marked: int) -> None:
    assert log_fisher(marked, 100, marked * 10, 1_000) == 0.0
