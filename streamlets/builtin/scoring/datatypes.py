"""The datatypes of the Open Inference Protocol: what a JSON value of each may be."""

from __future__ import annotations

from typing import Any

UNKNOWN = "FP64"  # where a server keeps its tensors to itself: every JSON number fits
NUMBER, INTEGER, TRUTH, TEXT = "number", "integer", "truth value", "text"

KINDS: dict[str, str] = {
    "BOOL": TRUTH,
    "BYTES": TEXT,
    **{f"{sign}INT{bits}": INTEGER for sign in ("", "U") for bits in (8, 16, 32, 64)},
    **dict.fromkeys(("FP16", "FP32", "FP64", "BF16"), NUMBER),
}
"""Datatype → the kind of its values, as messages call it."""

A = {NUMBER: "a number", INTEGER: "an integer", TRUTH: "a truth value", TEXT: "text"}
"""Kind → one of it, in a sentence."""

EVENT_TYPES: dict[str, Any] = {NUMBER: int | float, INTEGER: int, TRUTH: bool, TEXT: str}
"""Kind → what a field of an event has to be. An integer stays one: nothing is written otherwise than it came."""

PYTHON_TYPES: dict[str, set[type]] = {NUMBER: {int, float}, INTEGER: {int}, TRUTH: {bool}, TEXT: {str}}
"""Kind → what its values decode to."""
