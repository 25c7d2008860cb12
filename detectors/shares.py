"""Whether two shares differ: Fisher's exact test, for the shares of missing values."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from detectors.detector import Floats


def log_fisher(marked: int, rows: int, marked_reference: int, rows_reference: int) -> float:
    """Return the log of the two-sided p-value of the difference between two shares: twice the smaller tail.

    Exact given both margins, so it holds for one row in ten thousand as well as for half of them. The tails agree
    with `scipy.stats.hypergeom` to 1e-9 in test_shares.py.

    >>> round(math.exp(log_fisher(5, 500, 0, 10_000)), 9)
    4.8e-07
    >>> log_fisher(0, 500, 0, 10_000)
    0.0

    Source: R. A. Fisher, "The Logic of Inductive Inference", JRSS 98 (1935); doubled as F. Yates, JRSS A 147 (1984).
    """
    total, all_marked = rows + rows_reference, marked + marked_reference
    if all_marked in (0, total) or rows == 0 or rows_reference == 0:
        return 0.0
    logs = _log_factorials(total)
    lowest, highest = max(0, rows - (total - all_marked)), min(rows, all_marked)
    k = np.arange(lowest, highest + 1)
    log_weights = (
        logs[all_marked] - logs[k] - logs[all_marked - k]
        + logs[total - all_marked] - logs[rows - k] - logs[total - all_marked - rows + k]
        - (logs[total] - logs[rows] - logs[total - rows])
    )  # fmt: skip
    here = marked - lowest
    smaller = min(_log_sum(log_weights[: here + 1]), _log_sum(log_weights[here:]))
    return min(0.0, math.log(2.0) + smaller)


def _log_sum(logs: Floats) -> float:
    highest = float(logs.max())
    return highest + math.log(float(np.exp(logs - highest).sum()))


@lru_cache(maxsize=8)  # windows closed early have other sizes; 80 KB for 10,000 rows
def _log_factorials(n: int) -> Floats:
    """Return log(k!) for k = 0 … n."""
    return np.concatenate(([0.0], np.cumsum(np.log(np.arange(1.0, n + 1.0)))))
