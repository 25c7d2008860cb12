"""Policies: alerts are few, come soon, end once, and survive a restart."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from detectors.policy import LEAST_WINDOWS, Baseline, Ewma, Policy, Step, Votes, cut
from tests.detectors.false_alarms import STREAMS, measure

BASELINE = Baseline(mean=1.7, sd=0.56, n_windows=100)
POLICIES: list[Policy] = [Ewma([BASELINE]), Votes()]


def run(policy: Policy, scores: list[float], state: dict[str, Any] | None = None) -> list[Step]:
    steps = []
    for score in scores:
        step = policy.step(state, [score], score > 3.0)
        state = step.state
        steps.append(step)
    return steps


def transitions(steps: list[Step]) -> list[tuple[int, str]]:
    return [(number, step.transition) for number, step in enumerate(steps) if step.transition]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: p.name)
def test_one_window_alone_never_fires_however_bad(policy: Policy) -> None:
    assert transitions(run(policy, [1.7] * 10 + [4_000.0] + [1.7] * 20)) == []


def test_two_very_bad_windows_in_a_row_fire() -> None:
    assert transitions(run(Ewma([BASELINE]), [1.7] * 10 + [50.0] * 2)) == [(11, "firing")]


@pytest.mark.parametrize("n_windows", [LEAST_WINDOWS, 100])
@pytest.mark.parametrize("smoothing", [0.05, 0.2, 0.5])
def test_persistence_holds_for_every_baseline_and_smoothing(n_windows: int, smoothing: float) -> None:
    policy = Ewma([Baseline(1.7, 0.56, n_windows)], smoothing=smoothing)
    assert transitions(run(policy, [1.7, 4_000.0, 1.7])) == []
    assert transitions(run(policy, [1.7] + [4_000.0] * 5)) == [(2, "firing")]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: p.name)
def test_an_episode_fires_once_and_resolves_once(policy: Policy) -> None:
    found = transitions(run(policy, [1.0] * 10 + [8.0] * 50 + [1.0] * 50))
    assert [state for _, state in found] == ["firing", "resolved"]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: p.name)
def test_windows_around_the_limit_do_not_flap(policy: Policy) -> None:
    rng = np.random.default_rng(1)
    scores = [8.0] * 5 + rng.normal(3.6, 0.6, 200).tolist()  # above the mean, now and then clean
    assert len(transitions(run(policy, scores))) == 1


def test_a_bad_window_now_and_then_does_not_end_an_episode_early_nor_start_one() -> None:
    policy = Votes()
    assert transitions(run(policy, [8.0, 1.0, 1.0, 1.0, 1.0] * 10)) == []
    assert transitions(run(policy, [8.0] * 3 + [1.0, 1.0, 1.0, 1.0, 8.0] * 4)) == [(2, "firing")]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: p.name)
def test_a_restart_at_any_window_changes_nothing(policy: Policy) -> None:
    rng = np.random.default_rng(2)
    scores = np.concatenate(
        (rng.gumbel(1.7, 0.4, 30), rng.normal(6.0, 1.0, 20), rng.gumbel(1.7, 0.4, 30))
    ).tolist()
    whole = run(policy, scores)
    for restart in range(1, len(scores)):
        state = json.loads(json.dumps(whole[restart - 1].state))
        assert run(policy, scores[restart:], state) == whole[restart:]


def test_an_alert_names_the_features_that_it_is_about_the_worst_first() -> None:
    policy, state = Ewma([BASELINE] * 3), None
    clean, worse, better = [1.7, 1.7, 1.7], [1.7, 3.2, 9.0], [1.7, 1.7, 9.0]
    found = []
    for scores in [clean] * 5 + [worse] * 10 + [better] * 30 + [clean] * 30:
        step = policy.step(state, scores, is_drift=True)
        state = step.state
        found.append((step.transition, step.features))
    assert [(transition, names) for transition, names in found if transition] == [
        ("firing", (2,)),
        ("resolved", (2,)),
    ]
    assert found[14] == (None, (2, 1))  # the second has joined
    assert found[44] == (None, (2,))  # and left
    assert found[-1] == (None, ())


def test_what_is_worst_now_here_and_now_there_is_no_drift() -> None:
    policy, state = Ewma([BASELINE] * 30), None
    for number in range(300):
        scores = [1.7] * 30
        scores[number % 30] = 9.0
        step = policy.step(state, scores, is_drift=True)
        state = step.state
        assert not step.is_firing


def test_windows_in_breach_are_counted_by_episode() -> None:
    steps = run(Votes(), [1.0, 8.0, 8.0, 8.0, 8.0, 1.0])
    assert [step.windows_in_breach for step in steps] == [0, 0, 0, 3, 4, 4]


def test_a_baseline_of_few_windows_is_wider() -> None:
    scores = [1.0, 2.0, 1.5, 3.0, 2.0]
    few, many = Baseline.of(scores), Baseline.of(scores * 20)
    assert few.mean == many.mean == 1.9
    assert few.sd > many.sd
    assert Baseline.of([1.0] * 50).sd > 0.4  # a spread below that of a single p-value is luck


def test_windows_are_cut_in_order_and_spread_over_the_rows() -> None:
    rows = np.arange(1_000.0)
    assert [w[0] for w in cut(rows, 100)] == [
        0.0,
        100.0,
        200.0,
        300.0,
        400.0,
        500.0,
        600.0,
        700.0,
        800.0,
        900.0,
    ]
    many = cut(rows, 4)
    assert len(many) == 100
    assert many[-1][0] > 980.0
    assert {len(w) for w in many} == {4}


def test_too_few_calibration_rows_are_refused_with_what_is_needed() -> None:
    with pytest.raises(ValueError, match="2499 calibration rows give 4 windows of 500; at least 5") as caught:
        cut(np.zeros(2_499), 500)
    assert "hold out 2500 rows" in str(caught.value)


def test_a_shift_in_a_few_features_fires_within_three_windows() -> None:
    found = measure("independent", 1, calibration=40, count=20, width=30)
    assert found.alerts == 0
    assert found.delay is not None
    assert found.delay <= 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("stream", STREAMS)
def test_at_most_one_alert_in_500_windows_without_drift(stream: str, seed: int) -> None:
    assert measure(stream, seed).alerts <= 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("calibration", "reference_rows"), [(10, 10_000), (100, 500)])
def test_few_calibration_windows_or_reference_rows_make_it_slower_not_noisier(
    seed: int, calibration: int, reference_rows: int
) -> None:
    found = measure("independent", seed, calibration=calibration, reference_rows=reference_rows)
    assert found.alerts <= 1


@pytest.mark.slow
def test_a_shift_of_a_fifth_of_a_standard_deviation_fires_after_one_to_three_windows() -> None:
    delays = [measure("independent", seed, count=1).delay for seed in range(5)]
    assert all(delay is not None and delay <= 3 for delay in delays)
