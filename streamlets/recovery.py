"""What to do when a call fails: wait, try again, bisect, probe, give up on one row. Used for model calls and functions.

The decisions are those of the failure table in ARCHITECTURE.md; the state of a circuit belongs to its target.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from streamlets.errors import Broken, Rejected
from streamlets.ports import Clock

R = TypeVar("R")
A = TypeVar("A")


class Failure(msgspec.Struct, frozen=True):
    """Why one row got no answer: the error that decided it, and how many attempts were made."""

    error: Rejected | Broken
    attempts: int


class Recovery(Generic[R, A]):
    """Calls that come back with an answer or a Failure for each row, whatever the target does in between."""

    def __init__(
        self,
        *,
        attempts: int,
        clock: Clock,
        random: random.Random,
        waiting: Callable[[str | None], None],
        lone_is_at_fault: bool,
    ) -> None:
        """`waiting` is told what is waited for, and None when it is over.

        `lone_is_at_fault`: whether a row that breaks is to blame when there was never another one to compare it
        with. True for functions in this process, False for servers, which may be sick.
        """
        raise NotImplementedError

    async def run(
        self,
        rows: Sequence[R],
        call: Callable[[Sequence[R]], Awaitable[Sequence[A]]],
    ) -> list[A | Failure]:
        """Return one answer or Failure for each row, in order.

        `call` answers for all the rows it is given, or raises a typed error for the whole. Unavailable is waited out
        (full-jitter backoff, Retry-After honoured) without end; Rejected is bisected; Broken is tried `attempts`
        times, bisected, and judged by the probe: rows are at fault only if the target has answered another row well
        since the first failure, else it is treated as Unavailable. Fatal goes through. Cancellation goes through.
        """
        raise NotImplementedError
