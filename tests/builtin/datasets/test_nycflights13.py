"""The flights of 2013: what a row says is what the tables say, and no hour borrows the weather of a later one."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from datetime import date, datetime
from typing import Any

import pytest

from streamlets.builtin.datasets import Row
from streamlets.builtin.datasets.nycflights13 import DATASET, Departures, Weather, data_dir, weather


@pytest.fixture(scope="module")
def flights() -> Departures:
    return DATASET.load()


@pytest.fixture(scope="module")
def hours() -> dict[tuple[str, str], Weather]:
    return weather()


def day(flights: Departures, of: date) -> list[Row]:
    return flights.day(flights.span(of, None).start)[1]


def test_there_are_336776_of_them(flights: Departures) -> None:
    assert flights.span(None, None) == range(336_776)
    assert flights.span(DATASET.first, DATASET.last) == range(336_776 - 776)
    assert len(flights.span(date(2013, 4, 1), date(2013, 4, 1))) == 0


@pytest.mark.slow
def test_the_shortest_row_takes_as_much_as_the_linter_is_told(flights: Departures) -> None:
    number, shortest = 0, 10_000
    while number < 336_776:
        first, rows = flights.day(number)
        shortest = min(shortest, *(len(row.data) for row in rows))
        number = first + len(rows)
    assert shortest == DATASET.least_bytes


def test_a_day_is_found_from_any_of_its_rows(flights: Departures) -> None:
    for of in (DATASET.first, date(2013, 4, 1), DATASET.last):
        numbers = flights.span(of, date.fromordinal(of.toordinal() + 1))
        for number in (numbers.start, numbers.stop - 1):
            first, rows = flights.day(number)
            assert (first, len(rows)) == (numbers.start, len(numbers))
            assert json.loads(rows[0].data)["day"] == of.day


def test_a_row_says_what_the_table_says_and_the_weather_at_its_airport(flights: Departures) -> None:
    row = day(flights, date(2013, 1, 1))[0]
    assert json.loads(row.data) == {
        "year": 2013, "month": 1, "day": 1, "dep_time": 517, "sched_dep_time": 515, "dep_delay": 2,
        "arr_time": 830, "sched_arr_time": 819, "arr_delay": 11, "carrier": "UA", "flight": 1545,
        "tailnum": "N14228", "origin": "EWR", "dest": "IAH", "air_time": 227, "distance": 1400, "hour": 5,
        "minute": 15, "time_hour": "2013-01-01T10:00:00Z",
        "temp": 39.02, "wind": pytest.approx(12.65858), "visibility": 10.0, "pressure": 1011.9,
    }  # fmt: skip
    assert (row.time, row.key, row.subject) == ("2013-01-01T10:15:00Z", b"UA", "UA1545")


def test_what_is_not_known_is_null(flights: Departures) -> None:
    cancelled = [json.loads(row.data) for row in day(flights, date(2013, 2, 9))]
    gone = [row for row in cancelled if row["dep_time"] is None]
    assert gone
    assert all(row["arr_delay"] is None and row["distance"] > 0 for row in gone)
    assert json.loads(day(flights, DATASET.last)[0].data)["temp"] is None


def test_readers_at_the_same_time_share_what_is_in_memory() -> None:
    one = DATASET.load()
    assert DATASET.load() is one


def test_the_days_follow_each_other(flights: Departures) -> None:
    evening, morning = day(flights, date(2013, 3, 9))[-1], day(flights, date(2013, 3, 10))[0]
    assert evening.time < morning.time


def test_a_missing_reading_is_the_last_one_measured_and_never_a_later_one(
    hours: dict[tuple[str, str], Weather],
) -> None:
    # EWR, 1 January: the pressure of 1012 at 06:00 UTC is the first there is.
    assert ("EWR", "2013-01-01T05:00:00Z") not in hours
    assert hours["EWR", "2013-01-01T06:00:00Z"].pressure == 1012


def test_a_reading_counts_for_six_hours(hours: dict[tuple[str, str], Weather]) -> None:
    last = [hour for origin, hour in hours if origin == "JFK"][-7:]
    span = datetime.fromisoformat(last[-1]) - datetime.fromisoformat(last[0])
    assert span.total_seconds() == 6 * 3600
    assert len({hours["JFK", hour] for hour in last}) == 1


def _value(name: str, text: str) -> Any:
    if text == "NA":
        return None
    return text if name in ("carrier", "tailnum", "origin", "dest", "time_hour") else int(text)


@pytest.mark.slow
def test_every_row_is_that_of_the_table_and_in_order(flights: Departures) -> None:
    with zipfile.ZipFile(data_dir() / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        table = list(csv.DictReader(io.TextIOWrapper(file, newline="")))
    table.sort(key=lambda row: (int(row["month"]), int(row["day"]), int(row["sched_dep_time"])))
    number, time = 0, ""
    while number < len(table):
        _, rows = flights.day(number)
        for row in rows:
            found = json.loads(row.data)
            known = [found.pop(name) is not None for name in Weather._fields]
            assert all(known) or not any(known)
            assert found == {name: _value(name, text) for name, text in table[number].items()}
            assert row.time >= time
            number, time = number + 1, row.time
    assert number == 336_776
