"""The example's reference: made of the right months, reproducible, and quiet where nothing drifts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from blueprints.examples import flight_delays
from blueprints.examples.flight_delays.features import FEATURES
from blueprints.examples.flight_delays.history import TRAINING, rows
from blueprints.examples.flight_delays.reference import as_logged, main
from detectors.detector import Floats
from detectors.ks import KS
from detectors.policy import Ewma, baselines, cut
from detectors.reference import inspect, load

FILE = Path(flight_delays.__file__).parent / "reference.npz"
WINDOW = 2_000  # the blueprint's


def test_the_reference_speaks_of_the_features_of_the_model() -> None:
    about = inspect(FILE)
    assert about.features == FEATURES
    assert "month" not in about.features
    assert not np.isnan(load(FILE).rows).any()


def alerts(windows: Iterable[Floats], n_rows: int) -> list[tuple[int, tuple[str, ...]]]:
    """Return the window at which each alert fires, from 1, and the features that it names."""
    made = load(FILE)
    detector, scores = KS(made.rows, made.features).adapted(cut(made.calibration, n_rows))
    policy, state = Ewma(baselines(scores)), None
    found = []
    for number, window in enumerate(windows, 1):
        verdict = detector.judge(window)
        step = policy.step(state, [feature.score for feature in verdict.features], verdict.is_drift)
        state = step.state
        if step.transition == "firing":
            found.append((number, tuple(made.features[i] for i in step.features)))
    return found


def cut_all(rows: Floats, n_rows: int) -> Iterator[Floats]:
    return (rows[at : at + n_rows] for at in range(0, len(rows) - n_rows + 1, n_rows))


@pytest.fixture(scope="module")
def unseen() -> Floats:
    """The third of January to March that is in neither reference nor calibration."""
    return rows(*TRAINING).third(2).x


@pytest.mark.slow
@pytest.mark.parametrize("n_rows", [500, WINDOW])
@pytest.mark.parametrize("seed", range(5))
def test_at_most_one_alert_in_500_windows_drawn_from_unseen_weeks(
    seed: int, n_rows: int, unseen: Floats
) -> None:
    rng = np.random.default_rng(seed)
    drawn = (unseen[rng.integers(0, len(unseen), n_rows)] for _ in range(500))
    assert len(alerts(drawn, n_rows)) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("is_mixed", [False, True])
def test_unseen_weeks_of_winter_do_not_alarm_in_strict_order_nor_mixed(
    is_mixed: bool, unseen: Floats
) -> None:
    stream = as_logged(unseen) if is_mixed else unseen
    assert alerts(cut_all(stream, WINDOW), WINDOW) == []


@pytest.mark.slow
@pytest.mark.parametrize("is_mixed", [False, True])
def test_spring_is_told_by_its_temperature_alone(is_mixed: bool) -> None:
    spring = rows(TRAINING[1], date(2013, 5, 4)).x
    stream = as_logged(spring) if is_mixed else spring
    assert [features for _, features in alerts(cut_all(stream, WINDOW), WINDOW)] == [("temp",)]


@pytest.mark.slow
def test_windows_of_500_see_the_spring_too() -> None:
    assert alerts(cut_all(as_logged(rows(TRAINING[1], date(2013, 5, 4)).x), 500), 500)


@pytest.mark.slow
def test_making_the_reference_again_gives_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["reference", str(tmp_path / "reference.npz")])
    main()
    assert (tmp_path / "reference.npz").read_bytes() == FILE.read_bytes()
