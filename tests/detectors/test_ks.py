"""The Kolmogorov–Smirnov detector: the same D and p as scipy, and what scipy leaves to its caller."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import ks_2samp

from detectors.detector import Floats
from detectors.ks import KS


def _names(width: int) -> list[str]:
    return [f"f{i}" for i in range(width)]


def _columns(rng: np.random.Generator, rows: int) -> Floats:
    """Return continuous, discrete, heavy-tailed, constant and nearly constant features."""
    return np.column_stack(
        [
            rng.normal(size=rows),
            rng.integers(0, 24, rows),
            rng.standard_cauchy(rows),
            np.full(rows, 3.0),
            rng.integers(0, 50, rows) == 0,
        ]
    ).astype(np.float64)


@pytest.mark.parametrize("rows", [1, 7, 100, 500, 2_000])
@pytest.mark.parametrize("shift", [0.0, 0.1, 3.0])
def test_d_p_and_direction_are_those_of_scipy(rows: int, shift: float) -> None:
    rng = np.random.default_rng(rows)
    reference, window = _columns(rng, 10_000), _columns(rng, rows) + shift
    for i, found in enumerate(KS(reference, _names(5)).judge(window).features):
        expected = ks_2samp(window[:, i], reference[:, i], method="asymp")
        if expected.statistic == 1.0:
            expected = ks_2samp(window[:, i], reference[:, i], method="exact")
        assert found.statistic == expected.statistic
        assert found.p_value == pytest.approx(expected.pvalue, abs=1e-12)
        if found.statistic > 0.0:
            assert found.direction == ("down" if expected.statistic_sign > 0 else "up")
        else:
            assert found.direction == ""


def test_missing_values_are_left_out_of_their_feature_alone() -> None:
    rng = np.random.default_rng(1)
    reference, window = rng.normal(size=(5_000, 2)), rng.normal(size=(300, 2))
    reference[::10, 0] = window[::10, 0] = np.nan
    first, second = KS(reference, _names(2)).judge(window).features
    kept = ~np.isnan(window[:, 0])
    expected = ks_2samp(window[kept, 0], reference[~np.isnan(reference[:, 0]), 0], method="asymp")
    assert first.p_value == pytest.approx(expected.pvalue, abs=1e-12)
    assert (first.missing, first.missing_reference) == (0.1, 0.1)
    assert first.missing_p_value > 0.5
    assert (second.missing, second.missing_p_value) == (0.0, 1.0)


def test_fewer_missing_values_than_the_reference_is_drift_too() -> None:
    reference = np.random.default_rng(1).normal(size=(5_000, 1))
    reference[::4] = np.nan
    found = KS(reference, ["x"]).judge(np.random.default_rng(2).normal(size=(400, 1)))
    assert found.is_drift
    assert found.features[0].missing_p_value < 1e-20
    assert found.features[0].p_value > 0.05


def test_without_any_value_the_quantiles_are_empty_and_nothing_warns() -> None:
    window = np.full((50, 1), np.nan)
    found = KS(np.random.default_rng(1).normal(size=(500, 1)), ["x"]).judge(window).features[0]
    assert (found.statistic, found.p_value, found.direction) == (0.0, 1.0, "")
    assert found.window_quantiles == ()
    assert found.is_drift  # by what is missing


def test_quantiles_are_values_that_occurred() -> None:
    window = np.array([[-np.inf], [1.0], [2.0], [3.0], [np.inf]])
    found = KS(np.arange(500.0)[:, None], ["x"]).judge(window).features[0]
    assert found.window_quantiles == (-np.inf, 1.0, 2.0, 3.0, np.inf)


def test_fdr_finds_at_least_what_bonferroni_finds() -> None:
    rng = np.random.default_rng(3)
    reference = rng.normal(size=(10_000, 20))
    window = rng.normal(size=(500, 20)) + np.linspace(0.0, 0.3, 20)
    strict = KS(reference, _names(20)).judge(window)
    loose = KS(reference, _names(20), correction="fdr").judge(window)
    found = [f.name for f in loose.features if f.is_drift]
    assert set(found) >= {f.name for f in strict.features if f.is_drift}
    # Benjamini and Hochberg by hand: the largest rank whose p is within rank/m of alpha
    p = sorted(f.p_value for f in loose.features)
    ranks = [rank for rank, value in enumerate(p, 1) if value <= 0.05 * rank / 20]
    assert len(found) == max(ranks)


def test_with_bonferroni_few_independent_windows_are_in_drift() -> None:
    rng = np.random.default_rng(4)
    detector = KS(rng.normal(size=(10_000, 30)), _names(30))
    found = sum(detector.judge(rng.normal(size=(500, 30))).is_drift for _ in range(80))
    assert found <= 10  # 5 % of 80, and three standard deviations


def _repeating(rng: np.random.Generator, rows: int) -> Floats:
    """Return ten features, the first three of which repeat what the row before said (rho 0.9)."""
    noise = rng.normal(size=(rows, 10))
    noise[:, :3] = lfilter([np.sqrt(0.19)], [1.0, -0.9], noise[:, :3], axis=0)
    return noise


def test_adapted_it_knows_which_features_repeat_themselves() -> None:
    rng = np.random.default_rng(5)
    detector = KS(_repeating(rng, 10_000), _names(10))
    rows = _repeating(rng, 500 * 140)
    windows = [rows[i : i + 500] for i in range(0, len(rows), 500)]
    adapted, _ = detector.adapted(windows[:40])
    raw = sum(detector.judge(w).is_drift for w in windows[40:])
    now = sum(adapted.judge(w).is_drift for w in windows[40:])
    assert raw > 80
    assert now < 20
    shifted = windows[-1] + np.array([0.0] * 9 + [0.4])
    assert [f.name for f in adapted.judge(shifted).features if f.is_drift] == ["f9"]


def test_adapted_to_independent_rows_it_stays_nearly_what_it_was() -> None:
    rng = np.random.default_rng(6)
    detector = KS(rng.normal(size=(10_000, 10)), _names(10))
    adapted, scores = detector.adapted([rng.normal(size=(500, 10)) for _ in range(50)])
    window = rng.normal(size=(500, 10)) + 0.3
    assert adapted.judge(window).score > 0.7 * detector.judge(window).score
    assert np.mean(scores) == pytest.approx(0.43, abs=0.1)  # -log10 of a uniform p-value


def test_a_probability_as_alpha_is_required() -> None:
    with pytest.raises(ValueError, match="alpha is 5"):
        KS(np.zeros((10, 1)), ["x"], alpha=5)
