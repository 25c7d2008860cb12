"""Every detector of the table passes the checks that users run on theirs, and the checks catch what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from detectors import table
from detectors.checks import Check, detector_checks
from detectors.detector import Detector, Floats, Verdict
from detectors.ks import KS


@pytest.mark.parametrize("name", table.names())
def test_the_table_builds_what_it_names(name: str) -> None:
    assert table.build(name, np.zeros((10, 1)), ["x"]).name == name


@pytest.mark.parametrize(
    ("name", "check"),
    [(name, check) for name in table.names() for check in detector_checks(partial(table.build, name))],
    ids=lambda value: str(value),
)
def test_a_detector_passes(name: str, check: Check) -> None:
    check()


class Silent(KS):
    """Never sees anything."""

    def judge(self, window: Floats) -> Verdict:
        verdict = super().judge(window)
        calm = tuple(replace(f, is_drift=False, score=0.0) for f in verdict.features)
        return replace(verdict, is_drift=False, score=0.0, features=calm)


class Nervous(KS):
    """Takes every raw p below 0.2 for drift."""

    def __init__(self, reference: Floats, feature_names: Sequence[str]) -> None:
        super().__init__(reference, feature_names, alpha=0.6)


class BlindToNaN(KS):
    """Lets one NaN make p NaN, which is not below any threshold."""

    def judge(self, window: Floats) -> Verdict:
        verdict = super().judge(window)
        seen = tuple(replace(f, is_drift=False) if f.missing else f for f in verdict.features)
        return replace(verdict, is_drift=any(f.is_drift for f in seen), features=seen)


class Learning(KS):
    """Takes what it judged into its reference."""

    def judge(self, window: Floats) -> Verdict:
        verdict = super().judge(window)
        both = [np.sort(np.concatenate((mine, theirs))) for mine, theirs in zip(self._columns, window.T)]
        self._columns = both
        return verdict


class Destructive(KS):
    """Sorts the caller's window in place."""

    def judge(self, window: Floats) -> Verdict:
        window.sort(axis=0)
        return super().judge(window)


class Lenient(KS):
    """Cuts windows to the width that it knows."""

    def judge(self, window: Floats) -> Verdict:
        lacking = len(self.feature_names) - window.shape[-1]
        return super().judge(np.pad(np.atleast_2d(window), ((0, 0), (0, max(0, lacking))))[:, :3])


@pytest.mark.parametrize(
    ("broken", "caught_by"),
    [
        (Silent, "a_shift_of_one_standard_deviation_is_drift"),
        (Nervous, "rows_like_the_reference_are_seldom_drift"),
        (BlindToNaN, "missing_values_do_not_hide_drift"),
        (Learning, "it_learns_nothing_from_what_it_judges"),
        (Destructive, "it_changes_neither_reference_nor_window"),
        (Lenient, "a_wrong_width_is_an_error"),
    ],
)
def test_a_broken_detector_is_caught(broken: Any, caught_by: str) -> None:
    def factory(reference: Floats, names: Sequence[str]) -> Detector:
        return broken(reference, names)  # type: ignore[no-any-return]

    failed = []
    for check in detector_checks(factory):
        try:
            check()
        except AssertionError:
            failed.append(str(check))
    assert caught_by in failed
