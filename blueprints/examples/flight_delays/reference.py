"""Makes `reference.npz`, which the drift detector compares the stream with: `make retrain`.

The reference and the rows that the detector is calibrated on are every third week of January to March each; the
remaining third is in neither (`history.Rows.third`). The calibration rows are whole weeks in their order, because so
comes the stream: two thousand flights are two days, and two days have one weather. Windows drawn at random would hide
that, and every cold snap would be called drift.
"""

from __future__ import annotations

import sys
from pathlib import Path

from blueprints.examples.flight_delays.features import FEATURES
from blueprints.examples.flight_delays.history import TRAINING, rows
from detectors.reference import Reference, save

FILE = Path(__file__).parent / "reference.npz"


def reference() -> Reference:
    """Return the detector's reference."""
    winter = rows(*TRAINING)
    return Reference(
        name="flights",
        features=FEATURES,
        rows=winter.third(0).x,
        calibration=winter.third(1).x,
        created_from="flights from New York in January to March 2013, every third week each",
    )


def main() -> None:
    """Write the reference to the file given, or to the example's own, and print its id."""
    made = reference()
    save(made, Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)
    about = made.description
    print(f"{about.id}: {about.rows} rows, and {about.calibration_rows} to calibrate on")


if __name__ == "__main__":
    main()
