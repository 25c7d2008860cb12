"""The finite-sample distribution agrees with scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstwo

from detectors.kolmogorov import log_survival, survival


@pytest.mark.parametrize(
    "n",
    [
        1,
        2,
        3,
        5,
        10,
        50,
        139,
        140,
        141,
        200,
        476,
        1_667,
        20_000,
        pytest.param(200_000, marks=pytest.mark.slow),
    ],
)
def test_it_agrees_with_scipy_to_1e_12(n: int) -> None:
    rng = np.random.default_rng(n)
    count = 40 if n < 10_000 else 6  # scipy takes up to 0.2 s for one of the large
    d = np.concatenate((rng.uniform(0.0, 1.0, count), rng.uniform(0.0, 3.0, count) / np.sqrt(n)))
    d = np.append(d[d < 1.0], [0.0, 1.0, 0.5 / n, 1.0 / n])
    ours, theirs = survival(np.full(d.shape, n), d), kstwo.sf(d, n)
    assert np.abs(ours - theirs).max() < 1e-12
    seen = theirs > 1e-290
    assert (np.abs(ours / np.where(seen, theirs, 1.0) - 1.0)[seen]).max() < 1e-10


def test_its_logarithm_goes_on_where_floats_end() -> None:
    d = np.linspace(0.5, 1.0, 200)
    logs = log_survival(np.full(d.shape, 5_000), d)
    assert np.isfinite(logs).all()
    assert (np.diff(logs) < 0.0).all()
    assert logs[0] < np.log(np.finfo(float).tiny)


def test_sizes_of_one_call_may_differ() -> None:
    assert survival([10, 500], [0.3, 0.05]).tolist() == [survival([10], [0.3])[0], survival([500], [0.05])[0]]
