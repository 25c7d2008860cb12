"""The example's features: what is filtered and why, and the order in which history is told."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest

from blueprints.examples.flight_delays.features import FEATURES, Departure, FlightFeatures, features
from blueprints.examples.flight_delays.history import departures, flight_week, row_of

FIRST = {
    "carrier": "UA",
    "flight": 1545,
    "origin": "EWR",
    "dest": "IAH",
    "distance": 1400,
    "hour": 5,
    "time_hour": "2013-01-01T10:00:00Z",
    "dep_time": 517,
    "temp": 39.02,
    "wind": 12.65858,
    "visibility": 10,
    "pressure": 1011.9,
}


def departure(**changes: Any) -> Departure:
    return Departure.model_validate(FIRST | changes)


def scored(**changes: Any) -> FlightFeatures:
    found = features(departure(**changes))
    assert found is not None
    return found


def test_the_features_are_the_columns_of_the_models_in_their_order() -> None:
    assert row_of(scored()) == [1400, 5, 0, 11, 39.02, 12.65858, 10, 1011.9]
    assert len(FEATURES) == len(row_of(scored()))


def test_a_cancelled_flight_is_filtered() -> None:
    assert features(departure(dep_time=None)) is None


@pytest.mark.parametrize("name", ["temp", "wind", "visibility", "pressure"])
def test_a_flight_without_one_of_the_readings_is_filtered(name: str) -> None:
    assert features(departure(**{name: None})) is None


def test_an_airline_nobody_has_seen_gets_a_code_of_its_own() -> None:
    assert scored(carrier="ZZ").carrier_code == -1


def test_flights_come_by_their_scheduled_departure_and_know_their_week() -> None:
    flights = [flight for flight, _ in departures(date(2013, 1, 7), date(2013, 1, 9))]
    assert [flight_week(flight) for flight in flights] == sorted(flight_week(flight) for flight in flights)
    assert {flight_week(flight) for flight in flights} == {0, 1}
    hours = np.array([flight.time_hour.timestamp() for flight in flights])
    assert (np.diff(hours) >= 0).all()
