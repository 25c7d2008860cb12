"""The Protocol of a detector: fitted once on a reference, then asked about windows. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FeatureVerdict:
    """What was found for one feature. `direction`: "up", "down" or "" (where the test has none)."""

    name: str
    statistic: float
    p_value: float
    threshold: float
    is_drift: bool
    missing: float
    direction: str
    reference_quantiles: tuple[float, ...]
    window_quantiles: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found in a window. `score` is larger the further the window is from the reference."""

    is_drift: bool
    score: float
    n_rows: int
    features: tuple[FeatureVerdict, ...]


class Detector(Protocol):
    """Says whether a window of rows comes from the reference's distribution."""

    @property
    def name(self) -> str: ...

    @property
    def feature_names(self) -> Sequence[str]: ...

    def judge(self, window: Floats) -> Verdict:
        """Return the verdict on a window: float64 (n_rows, n_features), rows are events, oldest first; NaN is missing.

        Deterministic. Raises: ValueError for a window of the wrong width or without rows.
        """
        ...
