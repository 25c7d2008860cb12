"""The flights of 2013 as rows for the models and the detector, in the order in which they were to leave."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from blueprints.examples.flight_delays.features import FEATURES, Departure, FlightFeatures, features
from blueprints.examples.flight_delays.weather import data_dir

TRAINING = (date(2013, 1, 1), date(2013, 4, 1))
"""January to March: all that the models and the detector have seen. The demo streams on from the second date."""


class Rows(NamedTuple):
    """x: float64 (n_rows, 8), the columns `FEATURES`; y: the delay at arrival in minutes, NaN where the flight was
    diverted; week: of the year, from 0. Rows are flights, in the order of their scheduled departures."""

    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    week: npt.NDArray[np.int64]

    def third(self, number: int) -> Rows:
        """Return the rows of every third week, from week `number` on.

        Whole weeks, so that each third has consecutive days, and all days of the week; every third one, so that each
        has January, February and March. 0: the models and the reference are made of it. 1: the detector is calibrated
        on it. 2: neither; the models are judged and false alarms are counted on it.
        """
        chosen = self.week % 3 == number
        return Rows(self.x[chosen], self.y[chosen], self.week[chosen])


def _number(text: str) -> float | None:
    return None if text in ("", "NA") else float(text)


def departures(first: date, end: date) -> Iterator[tuple[Departure, float | None]]:
    """Yield each flight from `first` until before `end` with its delay at arrival, by scheduled departure."""
    with zipfile.ZipFile(data_dir() / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        table = csv.reader(io.TextIOWrapper(file, newline=""))
        header = next(table)  # year, month and day come first
        chosen = [row for row in table if first <= date(int(row[0]), int(row[1]), int(row[2])) < end]
    scheduled = header.index("sched_dep_time")
    chosen.sort(key=lambda row: (int(row[1]), int(row[2]), int(row[scheduled])))
    for row in chosen:
        fields: dict[str, object] = dict(zip(header, row, strict=True))
        fields["dep_time"] = _number(row[header.index("dep_time")])
        yield Departure.model_validate(fields), _number(row[header.index("arr_delay")])


def row_of(found: FlightFeatures) -> list[float]:
    """Return the features in the order of the model's columns."""
    return [getattr(found, name) for name in FEATURES]


def rows(first: date, end: date) -> Rows:
    """Return the flights that `features` lets through, from `first` until before `end`."""
    x: list[list[float]] = []
    y: list[float] = []
    week: list[int] = []
    for flight, delay in departures(first, end):
        found = features(flight)
        if found is None:
            continue
        x.append(row_of(found))
        y.append(np.nan if delay is None else delay)
        week.append(flight_week(flight))
    return Rows(np.array(x), np.array(y), np.array(week))


def flight_week(flight: Departure) -> int:
    """Return the week of the year, from 0: days 1 to 7 of January are week 0."""
    # The latest flight of a New York day leaves before midnight, so before 05:00 UTC of the next.
    return (flight.time_hour.timetuple().tm_yday - 1 - (flight.time_hour.hour < 5)) // 7
