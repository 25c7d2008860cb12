"""Tracebacks and log lines that say where, and never what: no text of a foreign exception, and no known secret.

The text of an exception that is not ours may hold whatever was at hand when it was raised: an event, a header, a token.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import traceback
from types import TracebackType

import click

from blueprints.diagnostics import BlueprintError
from blueprints.veil import Veil
from streamlets.errors import StreamletsError

_META = "streamlets.veil"
_NOT_SHOWN = " (its text is not shown: it may hold a payload or a secret)"


def draw_veil(secrets: frozenset[str]) -> None:
    """Keep these secrets out of everything that the command says from now on."""
    context = click.get_current_context(silent=True)
    if context is not None:
        meta = context.find_root().meta
        meta[_META] = meta.get(_META, Veil()).with_more(secrets)


def veil_of(context: click.Context | None = None) -> Veil:
    """Return what keeps secrets out of what the command says."""
    context = context or click.get_current_context(silent=True)
    veil: Veil = context.find_root().meta.get(_META, Veil()) if context is not None else Veil()
    return veil


def as_text(exc: BaseException, veil: Veil) -> str:
    """Return a traceback: every frame, the kinds of the exceptions, and the words of those that are ours."""
    return veil("".join(_chain(exc, set())))


def _chain(exc: BaseException, seen: set[int]) -> list[str]:
    seen.add(id(exc))
    before = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)
    lines: list[str] = []
    if before is not None and id(before) not in seen:
        link = "\nWhich caused:\n\n" if exc.__cause__ is not None else "\nWhile it was handled:\n\n"
        lines += [*_chain(before, seen), link]
    if exc.__traceback__ is not None:
        lines += ["Traceback (most recent call last):\n", *traceback.format_tb(exc.__traceback__)]
    lines.append(f"{_told(exc)}\n")
    if isinstance(exc, BaseExceptionGroup):
        for number, inner in enumerate(exc.exceptions, 1):
            lines += [f"\nIts part {number}:\n\n", *_chain(inner, seen)]
    return lines


def _told(exc: BaseException) -> str:
    kind = type(exc).__name__
    if isinstance(exc, StreamletsError):
        return f"{kind} ({exc.code}): {exc}"
    if isinstance(exc, BlueprintError | click.ClickException):
        return f"{kind}: {exc}"
    return kind + _NOT_SHOWN


_RAISED = re.compile(r"(\bexception=\w+)\(.*\)", re.DOTALL)


class LogFormatter(logging.Formatter):
    """Log lines under a veil, their tracebacks without the texts of foreign exceptions."""

    def __init__(self, veil: Veil) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")
        self._veil = veil

    def format(self, record: logging.LogRecord) -> str:
        record.exc_text = None  # another handler's, with the texts
        text = super().format(record)
        if record.name == "asyncio":  # it prints tasks with their exceptions, texts and all
            text = _RAISED.sub(r"\1", text)
        return self._veil(text)

    def formatException(  # noqa: N802 - the standard library's name
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        return "" if ei[1] is None else as_text(ei[1], self._veil).rstrip("\n")


def log_to_stderr(level: str) -> None:
    """Send log lines to standard error, and what dies in a thread or a finaliser as log lines too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogFormatter(veil_of()))
    logging.basicConfig(level=level, handlers=[handler])
    log = logging.getLogger("streamlets.process")

    def in_thread(found: threading.ExceptHookArgs) -> None:
        name = found.thread.name if found.thread is not None else "?"
        log.error("thread.failed thread=%s", name, exc_info=found.exc_value)

    def in_finaliser(found: sys.UnraisableHookArgs) -> None:
        log.error("unraisable", exc_info=found.exc_value)

    threading.excepthook = in_thread
    sys.unraisablehook = in_finaliser
