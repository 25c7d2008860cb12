"""The flights of 2013 as rows for the models and the detector, in the order in which they were to leave."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from blueprints.examples.flight_delays.features import FEATURES, Departure, FlightFeatures, features
from streamlets.builtin.datasets.nycflights13 import DATASET

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
        has January, February and March. 0: the detector's reference. 1: what it is calibrated
        on. Both train the models. 2: in neither; on it the models are judged and false alarms are counted.
        """
        chosen = self.week % 3 == number
        return Rows(self.x[chosen], self.y[chosen], self.week[chosen])


def departures(first: date, end: date) -> Iterator[tuple[Departure, float | None]]:
    """Yield each flight from `first` until before `end` with its delay at arrival: the rows that `replay` gives."""
    flights = DATASET.load()
    numbers = flights.span(first, end)
    number = numbers.start
    while number < numbers.stop:
        begin, day = flights.day(number)
        for row in day:
            fields = msgspec.json.decode(row.data)
            yield Departure.model_validate(fields), fields["arr_delay"]
        number = begin + len(day)


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
