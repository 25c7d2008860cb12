"""`console`: prints events, one line each, for a first look."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import msgspec
from pydantic import Field

from streamlets.errors import Rejected
from streamlets.event import Delivery, Event, decode, is_json
from streamlets.ports import Batch, Context, DeadLetter, Inlet, OptionsBase, Outcome

_ABSENT = "-"


class Console:
    """Prints each event as one plain line on the standard output: time, type, subject, data. For a first look.

    Printed at least once: after a crash the last lines may come again. When the output is closed (`| head`), printing
    ends and the events go on.
    """

    class Options(OptionsBase):
        fields: list[str] = Field(
            default=[],
            description="the fields of the data to print, in this order, as field=value; empty: the data as they are",
        )
        width: int = Field(
            default=200,
            ge=20,
            description="the longest line in characters; what is longer ends in an ellipsis",
        )

    inlets = (Inlet("in", description="any events"),)
    outlets = ()

    def __init__(self, options: Options, context: Context) -> None:
        self._fields = options.fields
        self._width = options.width
        self._is_closed = False

    async def process(self, batch: Batch) -> Outcome:
        """Print the events of a batch at once."""
        lines: list[str] = []
        dead: list[DeadLetter] = []
        for index, delivery in enumerate(batch.deliveries):
            try:
                lines.append(self._line(delivery))
            except Rejected as exc:
                dead.append(DeadLetter(index, exc.code, str(exc)))
        if lines and not self._is_closed:
            # In a thread, because a terminal that is held (Ctrl-S) blocks, and the loop must go on.
            await asyncio.to_thread(self._print, "\n".join(lines) + "\n")
        return Outcome(dead=dead)

    def _line(self, delivery: Delivery) -> str:
        event = decode(delivery)
        text = f"{event.time or _ABSENT} {event.type} {event.subject or _ABSENT} {self._data(event)}"
        if not text.isprintable():  # an event may not move the cursor
            text = "".join(one if one.isprintable() else " " for one in text)
        return text if len(text) <= self._width else text[: self._width - 1] + "…"

    def _data(self, event: Event) -> str:
        if event.data is None:
            return _ABSENT
        if not self._fields:
            return event.data[: 4 * self._width].decode(errors="replace")
        values: Any = None
        if event.datacontenttype is None or is_json(event.datacontenttype):
            try:
                values = msgspec.json.decode(event.data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                values = None
        if not isinstance(values, dict):
            return " ".join(f"{name}={_ABSENT}" for name in self._fields)
        return " ".join(f"{name}={_shown(values.get(name, msgspec.UNSET))}" for name in self._fields)

    def _print(self, text: str) -> None:
        out = sys.stdout
        try:
            try:
                out.write(text)
            except UnicodeEncodeError:  # a terminal that is not UTF-8
                encoding = out.encoding or "ascii"
                out.write(text.encode(encoding, "replace").decode(encoding))
            out.flush()
        except (BrokenPipeError, ValueError):  # ValueError: closed by this process itself
            self._is_closed = True
            _silence()


def _shown(value: Any) -> str:
    if value is msgspec.UNSET:
        return _ABSENT
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _silence() -> None:
    """Point the standard output at nothing, so that Python does not fail on it once more at its exit."""
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError):
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, number)
    os.close(nothing)
