"""Dates and times as JSON has them: ISO 8601 text, with 0, 3, 6 or 9 digits of a second. Numbers are since 1970."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1)
_EPOCH_DAY: Final = _EPOCH.toordinal()
NANOS: Final = 1_000_000_000  # in a second
_DAY: Final = 86_400 * NANOS
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?", re.ASCII)
_OFFSET = re.compile(r"[Zz]|([+-])(\d\d):(\d\d)", re.ASCII)


def date_text(days: int) -> str:
    """Return a day as text. Raises: ValueError outside of the years 1 to 9999."""
    try:
        return date.fromordinal(days + _EPOCH_DAY).isoformat()
    except (OverflowError, ValueError):
        raise ValueError("a date outside of the years 1 to 9999") from None  # Python's words name the date


def time_text(nanos: int) -> str:
    """Return nanoseconds since midnight as text. Raises: ValueError for a time that no day has."""
    if not 0 <= nanos < _DAY:
        raise ValueError("a time that no day has")
    seconds, rest = divmod(nanos, NANOS)
    minutes, second = divmod(seconds, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{second:02}{fraction(rest)}"


def local_text(nanos: int) -> str:
    """Return nanoseconds as a date and a time of no zone. Raises: ValueError outside of the years 1 to 9999."""
    seconds, rest = divmod(nanos, NANOS)
    try:
        return (_EPOCH + timedelta(seconds=seconds)).isoformat() + fraction(rest)
    except OverflowError as exc:
        raise ValueError("a time outside of the years 1 to 9999") from exc


def timestamp_text(nanos: int) -> str:
    """Return nanoseconds as a time in UTC. Raises: ValueError outside of the years 1 to 9999."""
    return local_text(nanos) + "Z"


def fraction(nanos: int) -> str:
    """Return what follows the second: nothing, or a point and 3, 6 or 9 digits."""
    if nanos == 0:
        return ""
    digits = f"{nanos:09}"
    return "." + (digits[:3] if digits[3:] == "000000" else digits[:6] if digits[6:] == "000" else digits)


def date_number(text: str) -> int:
    """Return the days of a date. Raises: ValueError."""
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError("no date such as 2013-04-01")
    try:
        return date(*map(int, found.groups())).toordinal() - _EPOCH_DAY
    except ValueError:
        raise ValueError("a day that no calendar has") from None  # Python's own words repeat the date


def time_number(text: str) -> int:
    """Return the nanoseconds since midnight. Raises: ValueError."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("no time of day such as 05:30:00")
    hour, minute, second = (int(part) for part in found.groups()[:3])
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("a time that no day has")
    return (hour * 3600 + minute * 60 + second) * NANOS + int((found[4] or "").ljust(9, "0"))


def local_number(text: str) -> int:
    """Return the nanoseconds of a date and a time without a zone. Raises: ValueError."""
    if text[10:11] not in ("T", "t", " "):
        raise ValueError("no date and time such as 2013-04-01T05:30:00")
    return date_number(text[:10]) * _DAY + time_number(text[11:])


def timestamp_number(text: str) -> int:
    """Return the nanoseconds of a time with its offset from UTC, as RFC 3339 has it. Raises: ValueError."""
    at = len(text) - 1 if text[-1:] in ("Z", "z") else len(text) - 6
    offset = _OFFSET.fullmatch(text[max(at, 0) :])
    if offset is None:
        raise ValueError("no time with its offset from UTC, such as 2013-04-01T05:30:00Z")
    nanos = local_number(text[:at])
    if offset[1] is None:
        return nanos
    hours, minutes = int(offset[2]), int(offset[3])
    if hours > 23 or minutes > 59:
        raise ValueError("an offset from UTC that no place has")
    away = (hours * 3600 + minutes * 60) * NANOS
    return nanos - away if offset[1] == "+" else nanos + away
