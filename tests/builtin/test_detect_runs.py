"""`detect` on the engine: whatever is interrupted, every window is told of once, and in the same words."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from detectors.reference import Reference, save
from streamlets.builtin.detect import Detect
from streamlets.engine.apart import InProcess
from streamlets.engine.virtual import virtual_run
from streamlets.event import Record, encode
from tests.builtin.test_detect import FEATURES, REQUEST, ROWS, WINDOW, clean, payload
from tests.contexts import event
from tests.engine.application import Application, plan, topic

CALLS = [clean(i, ROWS, 2.0 if 35 <= i < 60 else 0.0) for i in range(123)]  # 24 windows, and three calls


def application(folder: Path) -> Application:
    save(Reference("flights", FEATURES, clean(1, 2_000), clean(2, 3_000)), folder / "reference.npz")
    made = plan(
        ["drift"],
        [
            topic("payloads", consumers=["drift.in"]),
            topic("statistics", producers=["drift.statistics"]),
            topic("alerts", producers=["drift.alerts"]),
        ],
    )
    settings = {"reference": "reference.npz", "window": {"events": WINDOW}}
    streamlets = {"drift": replace(made.streamlets["drift"], options=settings)}
    app = Application(replace(made, streamlets=streamlets, path=folder / "app.yaml"), {"drift": Detect})
    app.open_apart = lambda name: InProcess()
    return app


async def put(app: Application, first: int, end: int) -> None:
    records = []
    for number in range(first, end):
        made = payload(number, CALLS[number])
        records.append(Record("app.payloads", 0, made.key, made.value, made.headers, 0))
    await app.transport().append(records)


async def told(app: Application) -> dict[str, list[tuple[str | None, str | None, bytes | None]]]:
    return {
        name: [(d.header("ce_id"), d.header("ce_subject"), d.value) for d in await app.read(name)]
        for name in ("statistics", "alerts")
    }


async def whole(folder: Path) -> dict[str, Any]:
    app = application(folder)
    await app.worker()
    await put(app, 0, len(CALLS))
    ended = await app.until_idle()
    assert (ended.exit_code, ended.held) == (0, 0)
    return await told(app)


def test_a_bounded_run_tells_of_every_window_and_closes_the_last(tmp_path: Path) -> None:
    found = virtual_run(whole(tmp_path))
    assert len(found["statistics"]) == 25
    assert b'"closed":"end"' in found["statistics"][-1][2]
    assert [value.count(b'"state":"firing"') for _, _, value in found["alerts"]] == [1, 0]


def test_killed_after_every_few_windows_it_tells_the_same_once(tmp_path: Path) -> None:
    async def main() -> None:
        expected = await whole(tmp_path)
        app = application(tmp_path)
        await app.worker()
        for end in (*range(7, len(CALLS), 19), len(CALLS)):
            await put(app, max(0, end - 19) if end != len(CALLS) else 121, end)
            n_windows = end * ROWS // WINDOW
            running = asyncio.create_task((await app.worker()).run())
            while len((await told(app))["statistics"]) < min(n_windows, 24):
                await app.clock.sleep(0.01)
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
        await app.until_idle()
        assert await told(app) == expected

    virtual_run(main())


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_what_cannot_be_read_is_a_dead_letter_and_the_window_goes_on(tmp_path: Path, delivery: str) -> None:
    async def main() -> None:
        app = application(tmp_path)
        app.plan = replace(app.plan, delivery=delivery)
        await app.worker()
        key, value, headers = encode(event(999, b"{", type=REQUEST))
        await put(app, 0, 3)
        await app.transport().append([Record("app.payloads", 0, key, value, headers, 0)])
        await put(app, 3, 5)
        await app.until_idle()
        (letter,) = await app.read("dead-letters")
        assert letter.header("deadletter-code") == "undecodable"
        assert len((await told(app))["statistics"]) == 1

    virtual_run(main())
