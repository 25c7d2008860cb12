"""`ks`: the two-sample Kolmogorov–Smirnov test, feature by feature, against a reference sorted once."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from detectors.detector import QUANTILES, FeatureVerdict, Floats, Verdict
from detectors.kolmogorov import log_survival
from detectors.shares import log_fisher

Correction = Literal["bonferroni", "fdr"]

_LN10 = math.log(10.0)


class KS:
    """Two-sample Kolmogorov–Smirnov test of every feature, corrected for their number.

    A missing value (NaN) is left out of its feature; the share of missing values is compared with the reference's
    by Fisher's exact test, as a hypothesis of its own, wherever either has one. A feature without any value left has
    statistic 0 and p 1: then the share speaks alone. Infinities are values: the largest and the smallest.

    The p-value is scipy's `ks_2samp(method="asymp")`: the finite-sample distribution at n = round(n1 n2 / (n1 + n2)).
    D is the same float, p agrees to 1e-12 (test_ks.py), but is never below the exact p of two samples that do not
    overlap: one row outside the reference's range is not impossible. All that takes rows as independent, and
    neighbouring events seldom are: `adapted` learns from windows without drift how many rows are worth one, feature
    by feature, and from then on p is that of so many rows fewer.

    Parameters
    ----------
    reference
        float64 (n_rows, n_features), rows are events; kept as sorted columns.
    feature_names
        One name for each column.
    alpha
        The chance that a window without drift has any feature in drift (bonferroni), or the share of false ones among
        those found (fdr).
    correction
        "bonferroni", or "fdr" (Benjamini and Hochberg), over all hypotheses of a window.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(7)
    >>> detector = KS(rng.normal(size=(10_000, 2)), ["distance", "hour"])
    >>> verdict = detector.judge(rng.normal(size=(500, 2)) + [0.0, 0.5])
    >>> verdict.is_drift, round(verdict.score, 2)
    (True, 16.54)
    >>> [(f.name, round(f.statistic, 4), f.direction, f.is_drift) for f in verdict.features]
    [('distance', 0.0522, 'up', False), ('hour', 0.2006, 'up', True)]

    Source: F. J. Massey, "The Kolmogorov-Smirnov Test for Goodness of Fit", JASA 46 (1951); Y. Benjamini and
    Y. Hochberg, "Controlling the False Discovery Rate", JRSS B 57 (1995).
    """

    name = "ks"
    version = "1"

    def __init__(
        self,
        reference: Floats,
        feature_names: Sequence[str],
        *,
        alpha: float = 0.05,
        correction: Correction = "bonferroni",
    ) -> None:
        if reference.ndim != 2 or reference.shape[1] != len(feature_names):
            raise ValueError(
                f"the reference has shape {reference.shape}, but there are {len(feature_names)} feature names"
            )
        if len(reference) == 0 or not feature_names:
            raise ValueError("the reference is empty: it needs rows and features")
        if not 0.0 < alpha < 1.0:
            raise ValueError(f"alpha is {alpha}: it is a probability above 0 and below 1")
        self.feature_names = tuple(feature_names)
        self._alpha = alpha
        self._correction = correction
        self._rows = len(reference)
        self._columns = [column[~np.isnan(column)] for column in np.sort(reference, axis=0).T]
        self._quantiles = [_quantiles(column) for column in self._columns]
        self._effects = np.ones(
            (2, len(self.feature_names))
        )  # rows worth one: for values, for missing shares

    def judge(self, window: Floats) -> Verdict:
        """Return the verdict on a window: float64 (n_rows, n_features); NaN is missing.

        `score` is -log10 of the smallest p-value. Raises: ValueError for a window of the wrong width or without rows.
        """
        found = _Comparison(window, self._columns, self._rows)
        log_p = found.log_p / self._effects
        p = np.exp(log_p)
        threshold = self._threshold(p[found.is_tested])
        score = np.maximum(0.0, -log_p.min(axis=0) / _LN10)
        statistic = np.maximum(found.below, found.above)
        features = tuple(
            FeatureVerdict(
                name=name,
                score=float(score[i]),
                statistic=float(statistic[i]),
                p_value=float(p[0, i]),
                threshold=threshold,
                is_drift=bool(p[:, i].min() <= threshold),
                missing=(len(window) - len(found.values[i])) / len(window),
                missing_reference=(self._rows - len(self._columns[i])) / self._rows,
                missing_p_value=float(p[1, i]),
                direction="" if statistic[i] == 0.0 else "up" if found.below[i] >= found.above[i] else "down",
                reference_quantiles=self._quantiles[i],
                window_quantiles=_quantiles(found.values[i]),
            )
            for i, name in enumerate(self.feature_names)
        )
        return Verdict(any(f.is_drift for f in features), float(score.max()), len(window), features)

    def adapted(self, windows: Sequence[Floats]) -> tuple[KS, tuple[tuple[float, ...], ...]]:
        """Return this detector with, for each hypothesis, the number of rows that are worth one; and the scores.

        Without drift -ln p has mean 1. Where its mean over these windows is above 1 by more than a standard error,
        rows repeat what their neighbours say, and that mean is the factor by which n is too large.
        """
        count = len(windows)
        if count < 2:
            raise ValueError(f"{count} windows are too few to adapt to: each is judged by the others")
        surprises = np.array([-_Comparison(w, self._columns, self._rows).log_p for w in windows])
        total = surprises.sum(axis=0)
        scores = tuple(
            tuple(((mine / _effects((total - mine) / (count - 1), count - 1)).max(axis=0) / _LN10).tolist())
            for mine in surprises
        )
        adapted = copy.copy(self)
        adapted._effects = _effects(total / count, count)
        return adapted, scores

    def _threshold(self, p_values: Floats) -> float:
        """Return the p-value at or below which a hypothesis of this window is called drift."""
        count = len(p_values)
        if count == 0:
            return self._alpha  # nothing was comparable, so nothing is at or below it
        strictest = self._alpha / count
        if self._correction == "bonferroni":
            return strictest
        steps = strictest * np.arange(1, count + 1)
        passed = np.nonzero(np.sort(p_values) <= steps)[0]
        return float(steps[passed[-1]]) if len(passed) else strictest


class _Comparison:
    """A window beside the reference: distances by feature, and the logs of p by hypothesis and feature."""

    def __init__(self, window: Floats, columns: Sequence[Floats], rows_reference: int) -> None:
        width = len(columns)
        if window.ndim != 2 or window.shape[1] != width:
            raise ValueError(f"the window has shape {window.shape}, but the reference has {width} features")
        rows = len(window)
        if rows == 0:
            raise ValueError("the window has no rows: there is nothing to judge")
        ordered = np.sort(window, axis=0).T  # NaN comes last
        present = rows - np.isnan(ordered).sum(axis=1)
        self.values = [column[:count] for column, count in zip(ordered, present)]
        self.below, self.above = np.zeros(width), np.zeros(width)
        self.log_p = np.zeros((2, width))
        self.is_tested: npt.NDArray[np.bool_] = np.zeros((2, width), np.bool_)
        sizes = np.ones(width, np.int64)
        least = np.full(width, -np.inf)
        for i, (mine, theirs) in enumerate(zip(self.values, columns)):
            n, m = len(mine), len(theirs)
            if n and m:
                self.is_tested[0, i] = True
                self.below[i], self.above[i] = _distances(mine, theirs)
                sizes[i] = max(1, round(n * m / (n + m)))
                least[i] = _log_p_apart(n, m)
            if n < rows or m < rows_reference:
                self.is_tested[1, i] = True
                self.log_p[1, i] = log_fisher(rows - n, rows, rows_reference - m, rows_reference)
        self.log_p[0] = np.maximum(least, log_survival(sizes, np.maximum(self.below, self.above)))


def _effects(mean: Floats, count: int) -> Floats:
    """Return how many rows are worth one, from the mean of -ln p over `count` windows; 1 where it may be chance."""
    return np.where(mean > 1.0 + 1.0 / math.sqrt(count), mean, 1.0)


def _distances(window: Floats, reference: Floats) -> tuple[float, float]:
    """Return how far the window's distribution function lies below the reference's at most, and how far above.

    Both sorted, without NaN. Between two values of the window its own function is flat while the reference's rises:
    it is furthest below just before a value of the window, furthest above at one.
    """
    n, m = len(window), len(reference)
    last = np.concatenate((window[1:] != window[:-1], [True])).nonzero()[0]  # of each run of equal values
    distinct = window[last]
    through = last + 1
    before = np.concatenate(([0], through[:-1]))
    below = np.searchsorted(reference, distinct, side="left") / m - before / n
    above = through / n - np.searchsorted(reference, distinct, side="right") / m
    return max(0.0, float(below.max())), max(0.0, float(above.max()))


def _log_p_apart(n: int, m: int) -> float:
    """Return the log of the exact p of two samples that do not overlap: two of the ways to choose n of n + m."""
    ways = math.lgamma(n + m + 1) - math.lgamma(n + 1) - math.lgamma(m + 1)
    return min(0.0, math.log(2.0) - ways)


def _quantiles(values: Floats) -> tuple[float, ...]:
    """Return values that are there, not interpolated: between an infinity and a number there is none."""
    if not len(values):
        return ()
    return tuple(float(values[max(0, math.ceil(share * len(values)) - 1)]) for share in QUANTILES)
