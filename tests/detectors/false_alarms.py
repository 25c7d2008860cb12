"""How often a detector with its policy cries wolf, and how soon it sees one: `python -m tests.detectors.false_alarms`.

Streams of 30 features in windows of 500 rows, against a reference of 10,000: independent rows; means that wobble by
0.05 standard deviations from window to window; rows that repeat their neighbour with correlation 0.5. Calibrated on
held-out windows of the same stream, then 500 windows without drift, then a shift of 0.2 standard deviations in 3 of
the 30 features.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from detectors.detector import Floats, Verdict
from detectors.ks import KS
from detectors.policy import Ewma, Policy, Votes, baselines

STREAMS = ("independent", "wobbling", "autocorrelated")
WARM_UP = 50  # rows until an autocorrelated stream has forgotten its start


def windows(stream: str, rng: np.random.Generator, count: int, rows: int, width: int) -> Iterator[Floats]:
    """Yield windows of a stream without drift."""
    for _ in range(count):
        values = rng.normal(size=(rows + WARM_UP, width))
        if stream == "autocorrelated":
            values = lfilter([np.sqrt(0.75)], [1.0, -0.5], values, axis=0)
        values = values[WARM_UP:]
        if stream == "wobbling":
            values = values + rng.normal(size=width) * 0.05
        yield values


@dataclass(frozen=True)
class Measured:
    """`raw`: windows in drift before adapting. `windows`: after. `alerts`: episodes. `delay`: windows before firing."""

    raw: int
    windows: int
    alerts: int
    delay: int | None


def measure(
    stream: str,
    seed: int,
    *,
    policy: str = "ewma",
    calibration: int = 100,
    count: int = 500,
    rows: int = 500,
    width: int = 30,
    reference_rows: int = 10_000,
) -> Measured:
    """Return what one stream gives, all of it drawn from `seed`."""
    rng = np.random.default_rng([seed, STREAMS.index(stream), calibration, reference_rows])
    reference = np.concatenate(list(windows(stream, rng, reference_rows // rows, rows, width)))
    plain = KS(reference, [f"f{i}" for i in range(width)])
    detector, scores = plain.adapted(list(windows(stream, rng, calibration, rows, width)))
    rule: Policy = Ewma(baselines(scores)) if policy == "ewma" else Votes()

    def fired(verdicts: Iterator[Verdict]) -> list[int]:
        state, found = None, []
        for number, verdict in enumerate(verdicts):
            step = rule.step(state, [f.score for f in verdict.features], verdict.is_drift)
            state = step.state
            if step.transition == "firing":
                found.append(number)
        return found

    clean = list(windows(stream, rng, count, rows, width))
    verdicts = [detector.judge(window) for window in clean]
    shift = np.zeros(width)
    shift[:3] = 0.2
    delays = fired(detector.judge(window + shift) for window in windows(stream, rng, 40, rows, width))
    return Measured(
        raw=sum(plain.judge(window).is_drift for window in clean),
        windows=sum(verdict.is_drift for verdict in verdicts),
        alerts=len(fired(iter(verdicts))),
        delay=delays[0] if delays else None,
    )


def main() -> None:
    """Print the table for five seeds."""
    for policy, calibration, reference_rows in (
        ("ewma", 100, 10_000),
        ("ewma", 54, 10_000),
        ("ewma", 10, 10_000),
        ("ewma", 100, 500),
        ("votes", 100, 10_000),
    ):
        print(f"{policy}, {calibration} calibration windows, reference of {reference_rows} rows")
        for stream in STREAMS:
            found = [
                measure(stream, seed, policy=policy, calibration=calibration, reference_rows=reference_rows)
                for seed in range(5)
            ]
            print(
                f"  {stream:15} windows in drift {[m.raw for m in found]}, adapted {[m.windows for m in found]}; "
                f"alerts {[m.alerts for m in found]}; windows before a shift fires {[m.delay for m in found]}"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
