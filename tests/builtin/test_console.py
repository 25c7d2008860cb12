"""`console`: one plain line for each event, whatever is in it and wherever it goes."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import pytest

from streamlets.builtin.console import Console
from streamlets.engine.virtual import virtual_run
from streamlets.errors import Unavailable
from streamlets.event import Delivery, Headers
from streamlets.ports import Outcome
from tests.contexts import batch, context, delivery, raw


def run(deliveries: list[Delivery], **options: Any) -> Outcome:
    return virtual_run(Console(Console.Options(**options), context()).process(batch(deliveries)))


def printed(capsys: pytest.CaptureFixture[str], deliveries: list[Delivery], **options: Any) -> list[str]:
    outcome = run(deliveries, **options)
    assert (outcome.emits, outcome.dead, outcome.filtered) == ([], [], ())
    return capsys.readouterr().out.splitlines()


FLIGHT = delivery(
    1,
    {"carrier": "UA", "delay": 2.5, "tail": None},
    time="2013-01-01T05:15:00Z",
    subject="UA1545",
    type="flight",
)


def test_an_event_is_a_line_of_time_type_subject_and_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, [FLIGHT, delivery(2)]) == [
        '2013-01-01T05:15:00Z flight UA1545 {"carrier":"UA","delay":2.5,"tail":null}',
        '- test - {"n":2}',
    ]


def test_only_the_fields_asked_for_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, [FLIGHT, delivery(2, b"not json")], fields=["delay", "carrier", "tail", "none"])
    assert lines == [
        "2013-01-01T05:15:00Z flight UA1545 delay=2.5 carrier=UA tail=null none=-",
        "- test - delay=- carrier=- tail=- none=-",
    ]


def test_a_long_line_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = printed(capsys, [delivery(1, {"text": "x" * 5000})], width=40)
    assert (len(line), line[-1]) == (40, "…")


def test_an_event_cannot_move_the_cursor_or_make_a_second_line(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = printed(capsys, [delivery(1, b"\x1b[2J\r\nfake", type="a\x07b")])
    assert line == "- a b -  [2J  fake"
    assert "\x1b" not in line


def test_what_is_no_event_is_a_dead_letter(capsys: pytest.CaptureFixture[str]) -> None:
    headers: Headers = [("ce_id", b"1")]
    outcome = run([raw(0, b"x", headers), delivery(1)])
    assert [(dead.index, dead.code) for dead in outcome.dead] == [(0, "undecodable")]
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_terminal_that_is_not_utf8_gets_what_it_can_show(monkeypatch: pytest.MonkeyPatch) -> None:
    raw_out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw_out, encoding="ascii"))
    run([delivery(1, "é")])
    assert raw_out.getvalue() == b'- test - "?"\n'


def outside(code: str) -> subprocess.Popen[str]:
    """Return a process of its own that runs the code, where `console` and `events` are at hand."""
    head = """
import asyncio, sys
from streamlets.builtin.console import Console
from tests.contexts import batch, context, delivery
console, events = Console(Console.Options(), context()), batch([delivery(1)] * 5000)
"""
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", head + code], stdout=pipe, stderr=pipe, text=True)


def test_a_closed_pipe_ends_the_printing_and_not_the_stage() -> None:
    with outside("""
async def main():
    for _ in range(10):
        await console.process(events)
asyncio.run(main())
print("done", file=sys.stderr)
""") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == "done\n"
        assert process.wait(30) == 0


def test_a_reader_that_does_not_read_holds_up_neither_the_loop_nor_the_end() -> None:
    with outside("""
async def main():
    printing = asyncio.create_task(console.process(events))
    await asyncio.wait({printing}, timeout=0.1)
    print("waits" if not printing.done() else "printed", file=sys.stderr)
    printing.cancel()
asyncio.run(main())
""") as process:
        assert process.stderr is not None
        assert process.stderr.read() == "waits\n"
        assert process.wait(30) == 0


def test_a_full_disk_behind_the_output_is_waited_for() -> None:
    with open("/dev/full", "w") as full, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        with pytest.raises(Unavailable, match="no space left"):
            run([delivery(1)])


def test_without_an_output_the_events_go_on() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        assert run([delivery(1)]).dead == []
