"""`console`: prints events, one line each, for a first look."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import select
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import msgspec
from pydantic import Field

from streamlets.errors import Rejected, Unavailable
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
    keeps_state = False
    critical = False  # a first look may not end what it looks at

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
            text = "\n".join(lines) + "\n"
            await asyncio.get_running_loop().run_in_executor(_DaemonThread(), self._print, text)
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
        """Print, or find out that nobody reads any more. Raises: Unavailable when it goes to a disk that is full."""
        out = sys.stdout
        try:
            out.flush()  # what others have printed comes first
            encoding = out.encoding or "utf-8"
            data = text.encode(encoding, "replace")  # a terminal need not be UTF-8
            try:
                number = out.fileno()
            except io.UnsupportedOperation:  # no file: a notebook, a test
                out.write(data.decode(encoding))
                out.flush()
            else:
                _write(number, data)
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Unavailable(
                    "the standard output cannot be written: no space left on device",
                    code="disk-full",
                    hint="printing goes on when there is room",
                ) from exc
            self._is_closed = True  # a pipe without its reader, a terminal that hung up
            _silence()
        except (AttributeError, ValueError):  # there is none, or this process has closed it
            self._is_closed = True


class _DaemonThread(Executor):
    """Runs a call in a thread of its own that does not hold up the end of the process.

    A terminal that is held (Ctrl-S) and a pipe that nobody reads block the writer for ever: the loop must go on, and
    so must a stop.
    """

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def run() -> None:
            future.set_running_or_notify_cancel()
            try:
                future.set_result(function(*arguments, **named))
            except BaseException as exc:  # noqa: BLE001 - it belongs to who waits for it
                future.set_exception(exc)

        threading.Thread(target=run, name="console", daemon=True).start()
        return future


def _write(number: int, data: bytes) -> None:
    """Write to the descriptor itself: the lock of a buffer, held by a blocked thread, would abort Python's exit."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(number, view) :]
        except BlockingIOError:  # whoever shares it has made it non-blocking
            select.select([], [number], [])


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
