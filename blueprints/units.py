"""Durations, sizes, rates and shares: numbers that are written with their unit, in blueprints and options models.

In an options model write `max_wait: Duration = Duration("5ms")`; the value is a float of seconds.
A bare number is refused, because nobody can tell whether 5 means seconds or milliseconds.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Self

_NUMBER = r"(\d{1,15}(?:\.\d{1,9})?)"
_VARIABLE = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"


class UnitError(ValueError):
    """A text that is no quantity of the kind that was asked for; says what to write."""


class _Quantity:
    """What the four have in common: parsed from text, written back as text, a string with a pattern in JSON Schema."""

    what: ClassVar[str]
    examples: ClassVar[tuple[str, ...]]
    units: ClassVar[dict[str, float]]

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Return the quantity of a text with its unit, or a quantity as it is. Raises: UnitError."""
        if isinstance(value, cls):
            return value
        example = " or ".join(f"'{text}'" for text in cls.examples[:2])
        bare = f"{cls.what} needs its unit: write {example}, not the bare number"
        if not isinstance(value, str):
            if isinstance(value, int | float) and not isinstance(value, bool):
                raise UnitError(f"{bare} {value}")
            raise UnitError(f"{cls.what} is written as text with its unit, like {example}")
        found = re.fullmatch(rf"\s*{_NUMBER}\s*(\D*?)\s*", value)
        if not found:
            raise UnitError(f"{value[:40]!r} is not {cls.what}; write {example}")
        if not found[2]:
            raise UnitError(f"{bare} {found[1]}")
        if found[2] not in cls.units:
            raise UnitError(f"{value[:40]!r} has no unit of {cls.what}; the units are {', '.join(cls.units)}")
        return cls._of(float(found[1]) * cls.units[found[2]])

    @classmethod
    def _of(cls, number: float) -> Self:
        return cls(number)  # type: ignore[call-arg]

    @classmethod
    def json_schema(cls, above_zero: bool = False) -> dict[str, Any]:
        """Return the quantity as JSON Schema; `${NAME}` is accepted in its place."""
        units = "|".join(map(re.escape, cls.units))
        number = r"(?=[\d.]*[1-9])" + _NUMBER if above_zero else _NUMBER
        pattern = rf"^(\s*{number}\s*({units})\s*|.*{_VARIABLE}.*)$"
        return {"type": "string", "pattern": pattern, "examples": list(cls.examples)}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json")
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return cls.json_schema()


def _write(number: float, units: dict[str, float], order: tuple[str, ...]) -> str:
    """Return the number in the first unit of `order` that leaves a whole count, else in the last one."""
    for unit in order:
        count = round(number / units[unit], 9)
        if count and count == int(count):
            return f"{int(count)}{unit}"
    return f"{number / units[order[-1]]:g}{order[-1]}"


class Duration(_Quantity, float):
    """A duration: `5ms`, `1.5s`, `7d`. A float of seconds."""

    what = "a duration"
    examples = ("5ms", "2s", "7d")
    units: ClassVar[dict[str, float]] = {
        "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0,
    }  # fmt: skip

    def __new__(cls, value: str | float) -> Self:
        """Return the seconds of a text; a number is seconds already."""
        return cls.parse(value) if isinstance(value, str) else float.__new__(cls, value)

    def __str__(self) -> str:
        return _write(self, self.units, ("d", "h", "m", "s", "ms", "us", "ns", "s"))


class Size(_Quantity, int):
    """A size: `1MiB`, `500kB`. An int of bytes."""

    what = "a size"
    examples = ("1MiB", "500kB")
    units: ClassVar[dict[str, float]] = {
        "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
        "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
    }  # fmt: skip

    def __new__(cls, value: str | float) -> Self:
        """Return the bytes of a text; a number is bytes already."""
        return cls.parse(value) if isinstance(value, str) else int.__new__(cls, round(value))

    def __str__(self) -> str:
        return _write(int(self), self.units, ("TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "kB", "B"))


class Rate(_Quantity, float):
    """A rate: `100/s`, `6/m`. A float per second."""

    what = "a rate"
    examples = ("100/s", "6/m")
    units: ClassVar[dict[str, float]] = {"/s": 1.0, "/m": 1 / 60, "/h": 1 / 3600, "/d": 1 / 86400}

    def __new__(cls, value: str | float) -> Self:
        """Return the rate per second of a text; a number is per second already."""
        return cls.parse(value) if isinstance(value, str) else float.__new__(cls, value)

    def __str__(self) -> str:
        return _write(self, self.units, ("/s", "/m", "/h", "/d", "/s"))


class Share(_Quantity, float):
    """A share: `10%`. A float from 0 to 1."""

    what = "a share"
    examples = ("10%",)
    units: ClassVar[dict[str, float]] = {"%": 0.01}

    def __new__(cls, value: str | float) -> Self:
        """Return the fraction of a text; a number is a fraction already. Raises: UnitError above 100%."""
        if isinstance(value, str):
            return cls.parse(value)
        if not 0 <= value <= 1:
            raise UnitError(f"a share lies between 0% and 100%, not at {value * 100:g}%")
        return float.__new__(cls, value)

    def __str__(self) -> str:
        return f"{round(self * 100, 9):g}%"
