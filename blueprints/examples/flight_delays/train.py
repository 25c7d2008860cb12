"""Trains both versions of the delay model and judges them: `make retrain` (needs the extra `train`).

Version 1 is a ridge regression, version 2 a small gradient boosting. Both see two thirds of January to March, by
weeks, and are judged on the third that they have not seen, and on April to June. Everything is seeded and the
packages are pinned, so training again writes the same files.
"""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from blueprints.examples.flight_delays.features import FEATURES
from blueprints.examples.flight_delays.history import TRAINING, Rows, rows

MODELS = Path(__file__).parent / "models"
SPRING = (date(2013, 4, 1), date(2013, 7, 1))


def estimators() -> dict[str, Any]:
    """Return the unfitted estimators by version.

    The delays have a long tail (one flight in a hundred is more than three hours late), which a Huber loss keeps from
    steering every tree; leaves of at least 400 flights keep a tree from learning one day's weather by heart.
    """
    return {
        "1": make_pipeline(StandardScaler(), Ridge(alpha=1.0)),
        "2": GradientBoostingRegressor(
            loss="huber",
            n_estimators=100,
            max_depth=3,
            learning_rate=0.08,
            min_samples_leaf=400,
            random_state=0,
        ),
    }


def landed(found: Rows) -> Rows:
    """Return the flights that arrived where they were to: a diverted one has no delay."""
    known = ~np.isnan(found.y)
    return Rows(found.x[known], found.y[known], found.week[known])


def error(predicted: Any, found: Rows) -> dict[str, float]:
    """Return the mean absolute and the root mean square error, in minutes."""
    difference = np.asarray(predicted) - found.y
    return {
        "mae": round(float(np.abs(difference).mean()), 2),
        "rmse": round(float(np.sqrt((difference**2).mean())), 2),
    }


def train(folder: Path) -> dict[str, Any]:
    """Write `delay-1.onnx`, `delay-2.onnx` and `metrics.json` to the folder; return the metrics."""
    winter = landed(rows(*TRAINING))
    fitted = Rows(*(np.concatenate(pair) for pair in zip(winter.third(0), winter.third(1), strict=True)))
    judged = {"weeks held out of January to March": winter.third(2), "April to June": landed(rows(*SPRING))}
    mean = fitted.y.mean()
    metrics: dict[str, Any] = {
        "unit": "minutes",
        "trained on": f"{len(fitted.y)} flights of January to March 2013, two weeks of every three",
        "judged on": {
            name: {"flights": len(found.y), "the mean of the training flights": error(mean, found)}
            for name, found in judged.items()
        },
    }
    for version, estimator in estimators().items():
        # The server gets float32, so the thresholds are learned from float32.
        estimator.fit(fitted.x.astype(np.float32), fitted.y)
        for name, found in judged.items():
            predicted = estimator.predict(found.x.astype(np.float32))
            metrics["judged on"][name][f"version {version}"] = error(predicted, found)
        model = to_onnx(
            estimator,
            name="delay",  # the default is a random one, and the file would differ each time
            initial_types=[("x", FloatTensorType([None, len(FEATURES)]))],
            final_types=[("y", FloatTensorType([None, 1]))],
        )
        model.doc_string = "Delay at arrival, in minutes, of a flight from New York; x: " + ", ".join(
            FEATURES
        )
        opsets = sorted(
            model.opset_import, key=lambda opset: opset.domain
        )  # they come from a set, in any order
        del model.opset_import[:]
        model.opset_import.extend(opsets)
        (folder / f"delay-{version}.onnx").write_bytes(model.SerializeToString(deterministic=True))
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    return metrics


def main() -> None:
    """Train into the folder given, or into the example's own, and print the metrics."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else MODELS
    folder.mkdir(parents=True, exist_ok=True)
    json.dump(train(folder), sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
