"""One window of the KS detector beside scipy's ks_2samp, feature by feature. `python -m tests.benchmarks.ks_window`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import ks_2samp

from detectors.ks import KS


def best_ms(work: Callable[[], Any], turns: int = 15) -> float:
    """Return the shortest of some turns: what the work costs when nobody else is at the machine."""
    found = []
    for _ in range(turns):
        began = time.perf_counter()
        work()
        found.append((time.perf_counter() - began) * 1000)
    return min(found)


def main() -> None:
    rng = np.random.default_rng(1)
    reference = rng.normal(size=(10_000, 30))
    window = rng.normal(size=(500, 30))
    detector = KS(reference, [f"x{i}" for i in range(30)])
    ours = best_ms(lambda: detector.judge(window))
    scipy = best_ms(lambda: [ks_2samp(reference[:, i], window[:, i], method="asymp") for i in range(30)])
    print(json.dumps({"ours_ms": ours, "scipy_ms": scipy}))


if __name__ == "__main__":
    main()
