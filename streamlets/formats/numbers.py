"""Floating-point numbers between JSON and binary formats: finite ones only, and 32 bits with no digit too many."""

from __future__ import annotations

import struct

from streamlets.formats.format import Misfit

_FLOAT = struct.Struct("<f")


def finite(number: float) -> float:
    """Return the number. Raises: Misfit where JSON has none for it."""
    if number - number != 0:
        raise Misfit("not a finite number")
    return number


def shortest(number: float) -> float:
    """Return the number of fewest digits that is this one in 32 bits: 0.1, not 0.10000000149011612."""
    for digits in (6, 7, 8):
        short = float(f"{number:.{digits}g}")
        try:
            if _FLOAT.unpack(_FLOAT.pack(short))[0] == number:
                return short
        except OverflowError:
            continue  # rounded up, past the greatest there is
    return float(f"{number:.9g}")


def packed_float(number: float) -> bytes:
    """Return the 32 bits of a number. Raises: Misfit where it is beyond them."""
    try:
        return _FLOAT.pack(number)
    except (OverflowError, struct.error) as exc:
        raise Misfit("a number beyond 32 bits") from exc
