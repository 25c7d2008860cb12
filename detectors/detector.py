"""The Protocol of a detector: fitted once on a reference, then asked about windows. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""The shares at which reference and window are described: what a person needs to see how they differ."""


@dataclass(frozen=True, slots=True)
class FeatureVerdict:
    """What was found for one feature.

    `statistic` and `p_value` compare the values that are there; `missing` is the window's share of missing ones, and
    `missing_p_value` compares it with the reference's. `is_drift`: either p-value is at or below `threshold`.
    `score`: larger the further from the reference, comparable between features, also where p is too small for a float.
    `direction`: "up", "down" or "" (where the test has none). Quantiles are at `QUANTILES`, empty without values.
    """

    name: str
    score: float
    statistic: float
    p_value: float
    threshold: float
    is_drift: bool
    missing: float
    missing_reference: float
    missing_p_value: float
    direction: str
    reference_quantiles: tuple[float, ...]
    window_quantiles: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found in a window. `score` is the largest of its features'."""

    is_drift: bool
    score: float
    n_rows: int
    features: tuple[FeatureVerdict, ...]


class Detector(Protocol):
    """Says whether a window of rows comes from the reference's distribution.

    `name` and `version` go into every alert: the version changes when the same window would be judged otherwise.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def feature_names(self) -> Sequence[str]: ...

    def judge(self, window: Floats) -> Verdict:
        """Return the verdict on a window: float64 (n_rows, n_features), rows are events, oldest first; NaN is missing.

        Deterministic, and it learns nothing from what it judges. The window is not changed.
        Raises: ValueError for a window of the wrong width or without rows.
        """
        ...

    def adapted(self, windows: Sequence[Floats]) -> tuple[Detector, tuple[tuple[float, ...], ...]]:
        """Return this detector adjusted to how windows without drift vary, and these windows' scores by feature.

        `windows` are consecutive and held out from the reference; at least two. A window's scores are those that it
        gets from a detector adjusted to the others alone: one's own verdict on what one has learnt from is too mild.
        A detector that has nothing to adjust returns itself. Raises: ValueError as `judge`, or for fewer than two.
        """
        ...
