"""Tracebacks and log lines: where, and never what."""

import asyncio
import logging

import pytest

from blueprints.veil import Veil
from streamlets.cli.tracebacks import LogFormatter, as_text
from streamlets.errors import Rejected


def raised(make):
    try:
        make()
    except BaseException as exc:
        return exc
    raise AssertionError("nothing was raised")


def foreign():
    raise ValueError("hunter2 of an event")


def chained():
    try:
        foreign()
    except ValueError as exc:
        raise Rejected("refused with t0ken-1234", code="no", hint="ask for another") from exc


def while_handled():
    try:
        foreign()
    except ValueError:
        raise KeyError("hunter2")  # noqa: B904 - what is tried


def grouped():
    raise ExceptionGroup("hunter2", [raised(foreign), raised(chained)])


def test_of_a_foreign_exception_the_kind_and_every_frame_are_told_and_its_text_is_not():
    told = as_text(raised(foreign), Veil())
    assert "in foreign" in told
    assert "test_tracebacks.py" in told
    assert "ValueError (its text is not shown" in told
    assert "hunter2 of" not in told.replace('raise ValueError("hunter2 of an event")', "")


def test_of_ours_the_words_are_told_under_the_veil():
    told = as_text(raised(chained), Veil(["t0ken-1234"]))
    assert "Rejected (no): refused with ***; ask for another" in told
    assert told.index("ValueError (its") < told.index("Which caused:") < told.index("Rejected (no)")


def test_what_was_being_handled_and_the_parts_of_a_group_are_told_as_well():
    assert "While it was handled:" in as_text(raised(while_handled), Veil())
    told = as_text(raised(grouped), Veil())
    assert "Its part 1:" in told
    assert "Its part 2:" in told
    assert "ExceptionGroup (its text" in told


def test_an_exception_that_caused_itself_ends():
    exc = raised(foreign)
    exc.__context__ = exc
    assert as_text(exc, Veil()).count("ValueError (its text") == 1


def record(message, *arguments, exc=None, name="streamlets.engine"):
    info = None if exc is None else (type(exc), exc, exc.__traceback__)
    return logging.LogRecord(name, logging.ERROR, __file__, 1, message, arguments, info)


def test_a_log_line_passes_the_veil_and_its_traceback_shows_no_text():
    line = LogFormatter(Veil(["t0ken-1234"])).format(
        record("with %s", "t0ken-1234", exc=raised(while_handled))
    )
    assert line.splitlines()[0].endswith("ERROR streamlets.engine with ***")
    assert "KeyError (its text is not shown" in line


def test_what_another_handler_has_kept_of_an_exception_is_not_used():
    kept = record("failed", exc=raised(foreign))
    logging.Formatter().format(kept)
    assert "hunter2 of an event\n" not in LogFormatter(Veil()).format(kept).replace('an event")', "")


@pytest.mark.filterwarnings("ignore")
def test_a_task_that_nobody_asked_is_told_without_the_text_of_its_exception():
    lines = []
    handler = logging.Handler()
    handler.emit = lambda found: lines.append(LogFormatter(Veil()).format(found))
    logger = logging.getLogger("asyncio")
    logger.addHandler(handler)

    async def main():
        import gc

        async def fail():
            raise ValueError("hunter2 (of) an event")

        task = asyncio.create_task(fail())
        await asyncio.wait({task})
        del task
        gc.collect()

    try:
        asyncio.run(main())
    finally:
        logger.removeHandler(handler)
    (line,) = lines
    assert "never retrieved" in line
    assert "exception=ValueError" in line
    assert "an event" not in line.replace('raise ValueError("hunter2 (of) an event")', "")
