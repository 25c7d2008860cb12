"""Packaged data sets, for `replay` and for whoever trains on the same rows. One file a data set."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple, Protocol


class Row(NamedTuple):
    """One event to be. `data`: JSON. `time`: RFC 3339 in UTC, whole seconds."""

    data: bytes
    time: str
    key: bytes
    subject: str


class Rows(Protocol):
    """The rows of a data set, numbered from 0 in the order of their times, at hand a day at a time."""

    def span(self, start: date | None, end: date | None) -> range:
        """Return the numbers of the rows from the day `start` until before the day `end`."""
        ...

    def day(self, number: int) -> tuple[int, list[Row]]:
        """Return all rows of the day in which row `number` lies, and the number of the first of them."""
        ...


class Dataset(Protocol):
    """A data set. `type`: of its events; `first` and `last`: the days between which its rows lie, both included.

    `least_bytes`: what the data of its shortest row take at least."""

    name: str
    type: str
    first: date
    last: date
    least_bytes: int

    def is_installed(self) -> bool:
        """Return whether the package that holds the data is there."""
        ...

    def load(self) -> Rows:
        """Return the rows. May take some tenths of a second. Raises: Fatal (`import-failed`)."""
        ...
