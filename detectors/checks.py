"""The checks that every detector passes, ours and yours.

from detectors.checks import detector_checks

@pytest.mark.parametrize("check", detector_checks(MyDetector), ids=str)
def test_my_detector(check):
    check()
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from detectors.detector import Detector, Floats, Verdict

Factory = Callable[[Floats, Sequence[str]], Detector]
"""Fits a detector on a reference: float64 (n_rows, n_features), and the features' names."""

_NAMES = ("a", "b", "c")
_ROWS = 400
_SHIFT_OF_B = np.array([0.0, 10.0, 0.0])  # one standard deviation


@dataclass(frozen=True, slots=True)
class Check:
    """One check: calling it raises AssertionError, saying what a detector does that it must not."""

    name: str
    run: Callable[[Factory], None]
    factory: Factory

    def __call__(self) -> None:
        self.run(self.factory)

    def __str__(self) -> str:
        return self.name


def detector_checks(factory: Factory) -> list[Check]:
    """Return the checks of a detector, each by its name, in a fixed order."""
    return [Check(run.__name__.removeprefix("_"), run, factory) for run in _CHECKS]


def _clean(seed: int, n_rows: int = _ROWS) -> Floats:
    return np.random.default_rng(seed).normal(size=(n_rows, len(_NAMES))) * [1.0, 10.0, 0.1]


def _fitted(factory: Factory) -> Detector:
    return factory(_clean(1, 4_000), _NAMES)


def _is_raised(call: Callable[[], object]) -> bool:
    try:
        call()
    except ValueError:
        return True
    return False


def _it_says_what_it_is(factory: Factory) -> None:
    detector = _fitted(factory)
    assert detector.name, "it has no name"
    assert detector.version, "it has no version"
    assert tuple(detector.feature_names) == _NAMES, "it does not keep the features' names in their order"


def _rows_like_the_reference_are_seldom_drift(factory: Factory) -> None:
    detector = _fitted(factory)
    found = sum(detector.judge(_clean(seed)).is_drift for seed in range(100, 140))
    assert found <= 8, f"{found} of 40 windows without drift are called drift"


def _a_shift_of_one_standard_deviation_is_drift(factory: Factory) -> None:
    verdict = _fitted(factory).judge(_clean(2) + _SHIFT_OF_B)
    assert verdict.is_drift, "a shift of one standard deviation in 400 rows goes unseen"
    named = [feature.name for feature in verdict.features if feature.is_drift]
    assert "b" in named, f"the shifted feature is b, it names {named}"


def _a_larger_shift_scores_higher(factory: Factory) -> None:
    detector = _fitted(factory)
    scores = [detector.judge(_clean(2) + shift * _SHIFT_OF_B).score for shift in (0.0, 0.3, 1.0, 3.0)]
    assert scores == sorted(scores), f"shifts of 0, 0.3, 1 and 3 score {scores}"
    assert scores[0] < scores[1], "a shift does not raise the score"
    assert np.isfinite(scores).all(), f"a score is not finite: {scores}"


def _the_same_window_gives_the_same_verdict(factory: Factory) -> None:
    assert _fitted(factory).judge(_clean(3)) == _fitted(factory).judge(_clean(3)), "two verdicts differ"


def _it_learns_nothing_from_what_it_judges(factory: Factory) -> None:
    detector = _fitted(factory)
    before = detector.judge(_clean(3))
    for seed in range(10, 15):
        detector.judge(_clean(seed) + 5.0)
    assert detector.judge(_clean(3)) == before, "bad windows changed the verdict on a good one"


def _it_changes_neither_reference_nor_window(factory: Factory) -> None:
    reference, window = _clean(1, 4_000), _clean(3)
    reference_before, window_before = reference.copy(), window.copy()
    factory(reference, _NAMES).judge(window)
    assert np.array_equal(reference, reference_before), "the reference was changed"
    assert np.array_equal(window, window_before), "the window was changed"


def _missing_values_do_not_hide_drift(factory: Factory) -> None:
    window = _clean(2) + _SHIFT_OF_B
    window[::7, 1] = np.nan
    verdict = _fitted(factory).judge(window)
    assert verdict.is_drift, "a NaN in a drifting feature hides its drift"
    assert np.isfinite(verdict.score), f"a NaN makes the score {verdict.score}"


def _values_going_missing_is_drift(factory: Factory) -> None:
    window = _clean(3)
    window[::4, 2] = np.nan
    verdict = _fitted(factory).judge(window)
    assert verdict.is_drift, "a quarter of a feature that was never missing goes missing unseen"
    assert verdict.features[2].missing == 0.25, f"it reports {verdict.features[2].missing} missing, not 0.25"


def _a_feature_that_is_gone_is_drift(factory: Factory) -> None:
    window = _clean(3)
    window[:, 0] = np.nan
    verdict = _fitted(factory).judge(window)
    assert verdict.is_drift, "a feature of which no value is left is not drift"
    assert verdict.features[0].missing == 1.0, "it does not report all as missing"


def _a_feature_the_reference_never_had_is_no_drift_while_it_stays_away(factory: Factory) -> None:
    reference, window = _clean(1, 4_000), _clean(4)
    reference[:, 0] = window[:, 0] = np.nan
    found = factory(reference, _NAMES).judge(window).features[0]
    assert not found.is_drift, "nothing in reference and window is called drift"


def _infinities_are_values(factory: Factory) -> None:
    window = _clean(3)
    window[::2, 0] = np.inf
    window[1, 1] = -np.inf
    verdict = _fitted(factory).judge(window)
    assert verdict.features[0].is_drift, "half of a feature going infinite is not drift"
    assert np.isfinite(verdict.score), f"an infinity makes the score {verdict.score}"


def _a_constant_that_stays_is_no_drift(factory: Factory) -> None:
    reference, window = _clean(1, 4_000), _clean(4)
    reference[:, 0] = window[:, 0] = 7.0
    detector = factory(reference, _NAMES)
    assert not detector.judge(window).features[0].is_drift, "an equal constant is called drift"
    window[:, 0] = 8.0
    assert detector.judge(window).features[0].is_drift, "a constant that changed is not drift"


def _one_row_is_judged(factory: Factory) -> None:
    verdict = _fitted(factory).judge(np.zeros((1, len(_NAMES))))
    assert verdict.n_rows == 1, f"a window of one row has {verdict.n_rows}"
    assert not verdict.is_drift, "one ordinary row is called drift"


def _no_rows_is_an_error(factory: Factory) -> None:
    detector = _fitted(factory)
    assert _is_raised(lambda: detector.judge(_clean(3)[:0])), "an empty window raises no ValueError"


def _a_wrong_width_is_an_error(factory: Factory) -> None:
    detector = _fitted(factory)
    assert _is_raised(lambda: detector.judge(_clean(3)[:, :2])), "a window too narrow raises no ValueError"
    assert _is_raised(lambda: detector.judge(_clean(3)[0])), "a row that is no table raises no ValueError"


def _an_empty_reference_is_an_error(factory: Factory) -> None:
    assert _is_raised(lambda: factory(_clean(1)[:0], _NAMES)), "an empty reference raises no ValueError"
    assert _is_raised(lambda: factory(_clean(1), _NAMES[:2])), (
        "two names for three features raise no ValueError"
    )


def _the_order_of_features_does_not_matter(factory: Factory) -> None:
    order = [2, 0, 1]
    window = _clean(2) + _SHIFT_OF_B
    here = _fitted(factory).judge(window)
    there = factory(_clean(1, 4_000)[:, order], [_NAMES[i] for i in order]).judge(window[:, order])
    assert {f.name: f for f in here.features} == {f.name: f for f in there.features}, "features swap verdicts"


def _the_order_of_rows_does_not_matter(factory: Factory) -> None:
    detector, window = _fitted(factory), _clean(2) + _SHIFT_OF_B
    assert detector.judge(window) == detector.judge(window[::-1]), "reversing the rows changes the verdict"


def _the_verdict_describes_the_window(factory: Factory) -> None:
    verdict: Verdict = _fitted(factory).judge(_clean(3))
    assert verdict.n_rows == _ROWS, f"a window of {_ROWS} rows has {verdict.n_rows}"
    assert tuple(f.name for f in verdict.features) == _NAMES, "features are missing or in another order"
    assert verdict.score == max(f.score for f in verdict.features), (
        "its score is not that of its worst feature"
    )
    assert verdict.is_drift == any(f.is_drift for f in verdict.features), "it contradicts its features"
    for feature in verdict.features:
        assert 0.0 <= feature.p_value <= 1.0, f"p is {feature.p_value}"
        assert list(feature.window_quantiles) == sorted(feature.window_quantiles), "quantiles do not rise"


def _adapting_leaves_the_original_as_it_was(factory: Factory) -> None:
    detector = _fitted(factory)
    before = detector.judge(_clean(3))
    windows = [_clean(seed) for seed in range(20, 30)]
    adapted, scores = detector.adapted(windows)
    assert detector.judge(_clean(3)) == before, "adapting changed the detector itself"
    assert len(scores) == len(windows), f"{len(windows)} windows have {len(scores)} scores"
    assert {len(score) for score in scores} == {len(_NAMES)}, "a window's scores are not one for each feature"
    assert np.isfinite(scores).all(), "a window's score is not finite"
    again, scores_again = detector.adapted(windows)
    assert scores == scores_again, "the same windows get other scores"
    assert adapted.judge(_clean(3)) == again.judge(_clean(3)), "adapting is not deterministic"
    assert adapted.judge(_clean(2) + _SHIFT_OF_B).is_drift, "adapted to clean windows it is blind"
    assert _is_raised(lambda: detector.adapted([])), "adapting to no windows raises no ValueError"


_CHECKS: tuple[Callable[[Factory], None], ...] = (
    _it_says_what_it_is,
    _rows_like_the_reference_are_seldom_drift,
    _a_shift_of_one_standard_deviation_is_drift,
    _a_larger_shift_scores_higher,
    _the_same_window_gives_the_same_verdict,
    _it_learns_nothing_from_what_it_judges,
    _it_changes_neither_reference_nor_window,
    _missing_values_do_not_hide_drift,
    _values_going_missing_is_drift,
    _a_feature_that_is_gone_is_drift,
    _a_feature_the_reference_never_had_is_no_drift_while_it_stays_away,
    _infinities_are_values,
    _a_constant_that_stays_is_no_drift,
    _one_row_is_judged,
    _no_rows_is_an_error,
    _a_wrong_width_is_an_error,
    _an_empty_reference_is_an_error,
    _the_order_of_features_does_not_matter,
    _the_order_of_rows_does_not_matter,
    _the_verdict_describes_the_window,
    _adapting_leaves_the_original_as_it_was,
)
