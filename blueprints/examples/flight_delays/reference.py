"""Makes `reference.npz`, which the drift detector compares the stream with: `make retrain`.

The reference and the rows that the detector is calibrated on are every third week of January to March each; the
remaining third is in neither (`history.Rows.third`). The calibration rows are whole weeks, because so comes the
stream: two thousand flights are two days, and two days have one weather. Windows drawn at random would hide that, and
every cold snap would be called drift. And they are mixed as the payload log mixes them, which holds the calls of four
partitions, keyed by carrier, a slice of one after a slice of another: in strict order every window would have the
same share of each carrier, and a partition that is a little ahead would be called drift.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from blueprints.examples.flight_delays.features import CARRIERS, FEATURES
from blueprints.examples.flight_delays.history import TRAINING, rows
from detectors.detector import Floats
from detectors.reference import Reference, save
from streamlets.transports.transport import partition_for

FILE = Path(__file__).parent / "reference.npz"
PARTITIONS = 4  # of the blueprint's topics
LEAST_AHEAD, MOST_AHEAD = 200, 2_000  # flights that the partitions run apart: live, and with a backlog
SEED = 3


def as_logged(x: Floats) -> Floats:
    """Return the rows, oldest first, in the order in which a payload log of all partitions holds them.

    x: float64 (n_rows, 8), the columns `FEATURES`. Stretches of 200 to 2,000 rows, in each of them the partitions one
    after another, in any order.
    """
    rng = np.random.default_rng(SEED)
    partition_of = np.array([partition_for(carrier.encode(), PARTITIONS) for carrier in CARRIERS])
    slices = []
    begin = 0
    while begin < len(x):
        stretch = x[begin : begin + int(rng.integers(LEAST_AHEAD, MOST_AHEAD + 1))]
        partitions = partition_of[stretch[:, FEATURES.index("carrier_code")].astype(int)]
        slices += [stretch[partitions == partition] for partition in rng.permutation(PARTITIONS)]
        begin += len(stretch)
    return np.concatenate(slices)


def reference() -> Reference:
    """Return the detector's reference."""
    winter = rows(*TRAINING)
    return Reference(
        name="flights",
        features=FEATURES,
        rows=winter.third(0).x,
        calibration=as_logged(winter.third(1).x),
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
