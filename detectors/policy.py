"""Policies: when windows in drift become an alert, and when it is over. Persistence, and a latch with hysteresis.

A verdict on one window is not an alert: with thirty features and one window in twenty in drift by chance, nobody would
read the second. A policy is pure: its state is a few JSON values, given and returned, so it survives a restart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from detectors.detector import Floats

Transition = Literal["firing", "resolved"]

_TWO_FIRE = 1.05  # two windows that count the most, on an average of nothing, end this much of the limit
LEAST_WINDOWS = 5  # fewer tell nothing of how windows vary
MOST_WINDOWS = 100  # more cost time at the start (5 ms each for 500 x 30) and add little
_LEAST_SD = 1.0 / math.log(10.0)  # of -log10 of a uniform p-value: what is below it is luck


def cut(rows: Floats, n_rows: int) -> list[Floats]:
    """Return consecutive windows of `n_rows` rows, at most 100, spread over all rows where there are more.

    Raises: ValueError when there are fewer than five: a policy would be calibrated on chance.
    """
    count = len(rows) // n_rows
    if count < LEAST_WINDOWS:
        raise ValueError(
            f"{len(rows)} calibration rows give {count} windows of {n_rows}; at least {LEAST_WINDOWS} are needed: "
            f"hold out {LEAST_WINDOWS * n_rows} rows, or take smaller windows"
        )
    taken = min(count, MOST_WINDOWS)
    starts = [n_rows * (i * count // taken) for i in range(taken)]
    return [rows[start : start + n_rows] for start in starts]


@dataclass(frozen=True, slots=True)
class Step:
    """What a window made of the state. `value` is what is compared with `limit`; `state` is to be kept.

    `features`: the indexes of those that the alert is about, the worst first; empty where a policy cannot tell.
    """

    state: dict[str, Any]
    transition: Transition | None
    is_firing: bool
    value: float
    limit: float
    windows_in_breach: int
    features: tuple[int, ...] = ()


class Policy(Protocol):
    """Says when an alert fires and when it is over. `name` is what a blueprint calls it."""

    @property
    def name(self) -> str: ...

    def step(self, state: dict[str, Any] | None, scores: Sequence[float], is_drift: bool) -> Step:
        """Return what the next window's verdict makes of the state; None: the first window. `scores`: by feature."""
        ...


@dataclass(frozen=True, slots=True)
class Baseline:
    """How a feature's scores lie in windows without drift: mean, standard deviation, and from how many windows."""

    mean: float
    sd: float
    n_windows: int

    @classmethod
    def of(cls, scores: Sequence[float]) -> Baseline:
        """Return the baseline of scores; few of them give a wider one, since their spread may be luck."""
        n = len(scores)
        mean = math.fsum(scores) / n
        variance = math.fsum((score - mean) ** 2 for score in scores) / (n - 1)
        return cls(mean, max(_LEAST_SD, math.sqrt(variance * (1.0 + 4.0 / n))), n)


def baselines(scores: Sequence[Sequence[float]]) -> tuple[Baseline, ...]:
    """Return the baseline of each feature from its scores in windows without drift: (n_windows, n_features)."""
    return tuple(Baseline.of(column) for column in zip(*scores, strict=True))


@dataclass(frozen=True, slots=True)
class Ewma:
    """Fires when the moving average of a feature's score is beyond its limit; over when none is above a quarter of it.

    Each feature has an average of its own, exponentially weighted, in standard deviations above its baseline: a shift
    that stays in one feature adds up, and the alert names it; the worst of all features in each window would be now
    this one and now that, also without drift. A window counts at most so much that it takes two in a row to fire,
    however bad they are (one, where the average was at half of its limit already); and the average rises to twice the
    limit at most, so that what has ended is over after some ten windows. The limit is that of a control chart, wider
    by two standard errors of the baseline's mean, and by smoothing * ln(features): the chance that an average is
    beyond x falls by e for each `smoothing` of x, and that of any feature's grows with their number.

    Parameters
    ----------
    baselines
        One for each feature.
    smoothing
        The weight of the newest window.
    limit
        In standard deviations of the average. At 4.5: none to one alert in 500 windows without drift, independent or
        not; a shift of 0.2 standard deviations in 3 of 30 features fires within three windows of 500 (test_policy.py).

    Examples
    --------
    >>> policy, state = Ewma([Baseline(mean=0.4, sd=0.5, n_windows=100)] * 2), None
    >>> for scores in [(0.5, 0.2), (9.0, 0.1), (0.3, 0.4), (5.0, 0.9), (5.0, 0.2), (0.4, 0.1)]:
    ...     step = policy.step(state, scores, is_drift=max(scores) > 3)
    ...     state = step.state
    ...     print(round(step.value, 2), step.transition, step.features)
    0.04 None ()
    1.1 None ()
    0.84 None ()
    1.75 None ()
    2.47 firing (0,)
    1.98 None (0,)

    Source: S. W. Roberts, "Control Chart Tests Based on Geometric Moving Averages", Technometrics 1 (1959).
    """

    baselines: Sequence[Baseline]
    smoothing: float = 0.2
    limit: float = 4.5

    @property
    def name(self) -> str:
        return "ewma"

    def step(self, state: dict[str, Any] | None, scores: Sequence[float], is_drift: bool) -> Step:
        """Return what the next window's scores make of the state. `is_drift` is not used: the scores say more."""
        before, episode, breach = (
            (state["values"], set(state["episode"]), state["breach"])
            if state
            else ([0.0] * len(self.baselines), set[int](), 0)
        )
        limit = self.limit * math.sqrt(self.smoothing / (2.0 - self.smoothing))
        limit += 2.0 / math.sqrt(self.baselines[0].n_windows) + self.smoothing * math.log(len(self.baselines))
        most = _TWO_FIRE / (2.0 - self.smoothing) * limit / self.smoothing
        values = [
            min(
                2.0 * limit,
                (1.0 - self.smoothing) * value
                + self.smoothing * min(most, (score - baseline.mean) / baseline.sd),
            )
            for value, score, baseline in zip(before, scores, self.baselines, strict=True)
        ]
        beyond = {i for i, value in enumerate(values) if value > limit}
        now = beyond | {i for i in episode if values[i] >= 0.25 * limit}
        transition: Transition | None = None
        if now and not episode:
            transition, breach = "firing", 0
        elif episode and not now:
            transition = "resolved"
        breach += bool(beyond)
        about = sorted(now or episode, key=lambda i: -values[i])
        kept = {"values": values, "episode": sorted(now), "breach": breach}
        return Step(kept, transition, bool(now), max(values), limit, breach, tuple(about))


@dataclass(frozen=True, slots=True)
class Votes:
    """Fires when `needed` of the last `of` windows are in drift; over after `clean` windows in a row without.

    It needs no calibration and has no memory beyond that: for streams whose rows are independent.

    Examples
    --------
    >>> policy, state = Votes(), None
    >>> for is_drift in [True, False, True, True] + [False] * 5:
    ...     step = policy.step(state, (), is_drift)
    ...     state = step.state
    ...     print(int(step.value), step.transition)
    1 None
    1 None
    2 None
    3 firing
    3 None
    2 None
    2 None
    1 None
    0 resolved
    """

    needed: int = 3
    of: int = 5
    clean: int = 5

    @property
    def name(self) -> str:
        return "votes"

    def step(self, state: dict[str, Any] | None, scores: Sequence[float], is_drift: bool) -> Step:
        """Return what the next window's verdict makes of the state. `scores` are not used."""
        recent, is_firing, breach = (
            (state["recent"], state["firing"], state["breach"]) if state else ([], False, 0)
        )
        recent = [*recent, is_drift][-max(self.of, self.clean) :]
        votes = sum(recent[-self.of :])
        transition: Transition | None = None
        if not is_firing and votes >= self.needed:
            is_firing, transition, breach = True, "firing", votes - is_drift
        elif is_firing and len(recent) >= self.clean and not any(recent[-self.clean :]):
            is_firing, transition = False, "resolved"
        breach += is_drift and is_firing
        kept = {"recent": recent, "firing": is_firing, "breach": breach}
        return Step(kept, transition, is_firing, float(votes), float(self.needed), breach)
