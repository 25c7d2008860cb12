"""The example's reference: made of the right months, reproducible, and quiet where nothing drifts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from blueprints.examples import flight_delays
from blueprints.examples.flight_delays.features import FEATURES
from blueprints.examples.flight_delays.reference import main
from detectors.reference import inspect, load

FILE = Path(flight_delays.__file__).parent / "reference.npz"


def test_the_reference_speaks_of_the_features_of_the_model() -> None:
    about = inspect(FILE)
    assert about.features == FEATURES
    assert "month" not in about.features
    assert not np.isnan(load(FILE).rows).any()


@pytest.mark.slow
def test_making_the_reference_again_gives_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["reference", str(tmp_path / "reference.npz")])
    main()
    assert (tmp_path / "reference.npz").read_bytes() == FILE.read_bytes()
