"""The example's features: what is filtered and why, and that no hour borrows the weather of a later one."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from blueprints.examples.flight_delays.features import FEATURES, Departure, FlightFeatures, features
from blueprints.examples.flight_delays.history import departures, flight_week, row_of
from blueprints.examples.flight_delays.weather import hourly

FIRST = {
    "carrier": "UA",
    "flight": 1545,
    "origin": "EWR",
    "dest": "IAH",
    "distance": 1400,
    "hour": 5,
    "time_hour": "2013-01-01T10:00:00Z",
    "dep_time": 517,
}


def departure(**changes: Any) -> Departure:
    return Departure.model_validate(FIRST | changes)


def scored(**changes: Any) -> FlightFeatures:
    found = features(departure(**changes))
    assert found is not None
    return found


def test_a_flight_gets_the_weather_of_its_airport_and_hour() -> None:
    assert row_of(scored()) == pytest.approx([1400, 5, 0, 11, 39.02, 12.65858, 10, 1011.9])
    assert len(FEATURES) == len(row_of(scored()))


def test_a_cancelled_flight_is_filtered() -> None:
    assert features(departure(dep_time=None)) is None


def test_a_flight_without_weather_is_filtered() -> None:
    assert features(departure(time_hour="2014-06-01T10:00:00Z")) is None
    assert features(departure(origin="ORD")) is None


def test_an_airline_nobody_has_seen_gets_a_code_of_its_own() -> None:
    assert scored(carrier="ZZ").carrier_code == -1


def test_a_missing_reading_is_the_last_one_measured_and_never_a_later_one() -> None:
    # EWR, 1 January: the pressure of 1012 at 06:00 UTC is the first there is.
    assert ("EWR", datetime(2013, 1, 1, 5, tzinfo=UTC)) not in hourly()
    assert hourly()["EWR", datetime(2013, 1, 1, 6, tzinfo=UTC)].pressure == 1012


def test_a_reading_counts_for_six_hours() -> None:
    last = max(hour for origin, hour in hourly() if origin == "JFK")
    assert hourly()["JFK", last] == hourly()["JFK", last - timedelta(hours=6)]


def test_flights_come_by_their_scheduled_departure_and_know_their_week() -> None:
    flights = [flight for flight, _ in departures(date(2013, 1, 7), date(2013, 1, 9))]
    assert [flight_week(flight) for flight in flights] == sorted(flight_week(flight) for flight in flights)
    assert {flight_week(flight) for flight in flights} == {0, 1}
    hours = np.array([flight.time_hour.timestamp() for flight in flights])
    assert (np.diff(hours) >= 0).all()
