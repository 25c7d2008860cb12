"""`detect`: windows of rows, alerts as transitions, and nothing held that a crash could lose."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from pydantic import ValidationError

from detectors.detector import Floats
from detectors.reference import Reference, save
from streamlets.builtin.detect import Detect
from streamlets.builtin.detecting import monitor
from streamlets.builtin.detecting.options import DetectOptions
from streamlets.engine.apart import ChildProcess, InProcess
from streamlets.engine.virtual import VirtualClock
from streamlets.engine.virtual import virtual_run as run
from streamlets.errors import Broken, Fatal, Unavailable
from streamlets.event import Delivery
from streamlets.ports import Amount, Batch, Fate, Outcome, Wiring
from tests.contexts import MapState, batch, context, delivery

FEATURES = ("distance", "hour", "wind")
REQUEST = "org.kubeflow.serving.inference.request"
RESPONSE = "org.kubeflow.serving.inference.response"
WINDOW = 100
ROWS = 20  # of a payload event


def clean(seed: int, rows: int, shift: float = 0.0) -> Floats:
    values = np.random.default_rng(seed).normal(size=(rows, 3)) * [500.0, 5.0, 10.0]
    return np.asarray(values + np.array([0.0, 0.0, 10.0 * shift]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("app")
    save(
        Reference("flights", FEATURES, clean(1, 2_000), clean(2, 3_000), "January"), folder / "reference.npz"
    )
    return folder


def payload(number: int, rows: Floats, kind: str = REQUEST, **attributes: Any) -> Delivery:
    """Return a logged call: its rows as one tensor, the columns named."""
    tensor = {
        "name": "x",
        "datatype": "FP64",
        "shape": list(rows.shape),
        "data": rows.ravel().tolist(),
        "parameters": {"columns": list(FEATURES)},
    }
    side = "inputs" if kind == REQUEST else "outputs"
    attributes.setdefault("extensions", {"modelname": "delay", "modelversion": "1"})
    attributes.setdefault("time", f"2013-04-01T00:{number // 60 % 60:02}:{number % 60:02}Z")
    return delivery(number, {"id": str(number), side: [tensor]}, type=kind, **attributes)


def payloads(first: int, windows: int, shift: float = 0.0) -> list[Delivery]:
    """Return the calls of so many windows, numbered from `first`."""
    calls = windows * WINDOW // ROWS
    return [payload(first + i, clean(10_000 + first + i, ROWS, shift)) for i in range(calls)]


def options(**others: Any) -> DetectOptions:
    return DetectOptions.model_validate(
        {"reference": "reference.npz", "window": {"events": WINDOW}, **others}
    )


class Apart:
    """Answers in process, but fails as it is told to: with an error, or with none."""

    def __init__(self, failures: Sequence[Exception | None] = (), on: str = ":judge") -> None:
        self.failures = list(failures)
        self.on = on
        self.called = 0

    async def call(self, function: str, *arguments: Any) -> Any:
        if function.endswith(self.on):
            self.called += 1
            failure = self.failures.pop(0) if self.failures else None
            if failure is not None:
                raise failure
        return await InProcess().call(function, *arguments)


async def started(
    folder: Path, apart: Any = None, clock: VirtualClock | None = None, **others: Any
) -> Detect:
    given = {"clock": clock} if clock is not None else {}
    made = context("drift", base_dir=folder, **given)
    made.apart = apart or InProcess()
    found = Detect(options(**others), made)
    await found.set_up()
    return found


def on(folder: Path, test: Callable[[Detect], Any], **others: Any) -> Any:
    async def go() -> Any:
        return await test(await started(folder, **others))

    return run(go())


def data(outcome: Outcome, port: str) -> list[dict[str, Any]]:
    return [orjson.loads(emit.data or b"") for emit in outcome.emits if emit.port == port]


async def feed(detect: Detect, deliveries: list[Delivery], state: MapState, size: int = 7) -> list[Outcome]:
    """Process deliveries in batches of `size`; return the outcomes."""
    return [
        await detect.process(batch(deliveries[i : i + size], state)) for i in range(0, len(deliveries), size)
    ]


def emits(outcomes: list[Outcome]) -> list[tuple[str, str | None, bytes | None]]:
    return [(emit.port, emit.id, emit.data) for outcome in outcomes for emit in outcome.emits]


# --- windows


def test_the_delivery_that_reaches_the_count_closes_the_window_with_all_its_rows(folder: Path) -> None:
    async def test(detect: Detect) -> None:
        state = MapState()
        first = await detect.process(batch(payloads(0, 1)[:4], state))
        assert (list(first.held), list(first.settles), first.emits) == ([0, 1, 2, 3], [], [])
        assert state.entries == {}
        second = await detect.process(batch([payload(4, clean(4, 33)), payload(5, clean(5, ROWS))], state))
        assert (list(second.held), list(second.settles)) == ([1], [(0, 3)])
        assert (second.settled_fate, second.fates) == (Fate.OUT, None)
        found = data(second, "statistics")[0]["window"]
        assert (found["rows"], found["events"], found["closed"], found["number"]) == (113, 5, "count", 1)
        assert (found["topic"], found["partition"], found["offsets"]) == ("topic", 0, [0, 4])
        assert (found["start"], found["end"]) == ("2013-04-01T00:00:00.000Z", "2013-04-01T00:00:04.000Z")
        assert found["models"] == {"delay@1": 113}

    on(folder, test)


def test_several_windows_may_close_in_one_batch(folder: Path) -> None:
    async def test(detect: Detect) -> None:
        state = MapState()
        await detect.process(batch(payloads(0, 1)[:2], state))
        outcome = await detect.process(batch(payloads(2, 3), state))
        assert list(outcome.settles) == [(0, 1)]
        assert list(outcome.held) == [13, 14]
        assert [s["window"]["number"] for s in data(outcome, "statistics")] == [1, 2, 3]
        assert [emit.parent for emit in outcome.emits] == [2, 7, 12]

    on(folder, test)


def test_what_a_window_says_does_not_depend_on_how_its_deliveries_came(folder: Path) -> None:
    deliveries = [*payloads(0, 4), *payloads(20, 4, 2.0)]

    async def test(detect: Detect) -> Any:
        found = [emits(await feed(detect, deliveries, MapState(), size)) for size in (1,)]
        detect.lost("topic", 0)
        for size in (3, 5, 7, 40):
            found.append(emits(await feed(detect, deliveries, MapState(), size)))
            detect.lost("topic", 0)
        return found

    first, *others = on(folder, test)
    assert len(first) == 8 + 1  # statistics, and one alert
    assert all(other == first for other in others)


def test_a_window_closes_after_its_longest_wait(folder: Path) -> None:
    clock = VirtualClock()

    async def go() -> None:
        detect = await started(folder, clock=clock, window={"events": WINDOW, "wait": "10m"})
        state = MapState()
        outcome = await detect.process(batch(payloads(0, 1)[:3], state))
        assert outcome.wake_s == clock.monotonic_s() + 600
        await clock.sleep(599)
        early = await detect.due(batch([], state))
        assert (early.emits, early.wake_s, list(early.settles)) == ([], outcome.wake_s, [])
        await clock.sleep(1)
        closed = await detect.due(batch([], state))
        assert data(closed, "statistics")[0]["window"]["closed"] == "wait"
        assert (list(closed.settles), closed.wake_s) == ([(0, 2)], None)
        assert (await detect.due(batch([], state))).emits == []

    run(go())


@pytest.mark.parametrize(("flag", "closed"), [("ending", "end"), ("full", "bound")])
def test_an_open_window_closes_at_the_end_and_at_the_bound(folder: Path, flag: str, closed: str) -> None:
    async def test(detect: Detect) -> None:
        state = MapState()
        await detect.process(batch(payloads(0, 1)[:3], state))
        last = Batch("in", "topic", 0, [], state, **{flag: True})
        outcome = await detect.due(last)
        assert data(outcome, "statistics")[0]["window"]["closed"] == closed
        assert list(outcome.settles) == [(0, 2)]
        assert outcome.emits[0].parent == -1

    on(folder, test)


def test_a_window_of_a_few_rows_is_reported_and_not_judged(folder: Path) -> None:
    async def test(detect: Detect) -> None:
        state = MapState()
        await feed(detect, payloads(0, 1), state)
        before = state.entries["detect"]["policy"]
        await detect.process(batch([payload(9, clean(1, 5, 9.0))], state))
        outcome = await detect.due(Batch("in", "topic", 0, [], state, ending=True))
        found = data(outcome, "statistics")[0]
        assert found["too_few_rows"] is True
        assert found["window"]["rows"] == 5
        assert "score" not in found
        assert state.entries["detect"]["policy"] == before
        assert state.entries["detect"]["number"] == 2

    on(folder, test)


def test_a_partition_that_is_lost_takes_its_window_along(folder: Path) -> None:
    async def test(detect: Detect) -> None:
        state = MapState()
        await detect.process(batch(payloads(0, 1)[:4], state))
        detect.lost("topic", 0)
        outcome = await detect.process(batch(payloads(0, 1)[:4], state))
        assert list(outcome.held) == [0, 1, 2, 3]
        assert outcome.emits == []

    on(folder, test)


def test_partitions_have_windows_of_their_own(folder: Path) -> None:
    async def test(detect: Detect) -> None:
        states = MapState(), MapState()
        for partition in (0, 1):
            calls = [payload(i, clean(i, ROWS), partition=partition) for i in range(4)]
            assert (await detect.process(batch(calls, states[partition], partition=partition))).emits == []
        last = payload(4, clean(4, ROWS), partition=1)
        outcome = await detect.process(batch([last], states[1], partition=1))
        assert [emit.partition for emit in outcome.emits] == [1]
        assert states[0].entries == {}

    on(folder, test, per="partition")


# --- alerts


def test_drift_is_one_alert_when_it_begins_and_one_when_it_is_over(folder: Path) -> None:
    links = {"runbook": "https://wiki.example.org/drift", "dashboard": None}
    deliveries = [*payloads(0, 6), *payloads(30, 6, 2.0), *payloads(60, 20)]

    async def test(detect: Detect) -> list[Outcome]:
        return await feed(detect, deliveries, MapState())

    outcomes = on(folder, test, **links)
    alerts = [emit for outcome in outcomes for emit in outcome.emits if emit.port == "alerts"]
    firing, resolved = (orjson.loads(alert.data or b"") for alert in alerts)
    assert (firing["state"], resolved["state"]) == ("firing", "resolved")
    assert 8 <= firing["window"]["number"] <= 9  # the second or third with drift
    assert firing["since"] == resolved["since"] == firing["window"]["end"]
    assert firing["top"] == ["wind"]
    wind = firing["features"][2]
    assert (wind["name"], wind["direction"], wind["drift"]) == ("wind", "up", True)
    assert wind["quantiles"]["0.5"] > wind["quantiles_reference"]["0.5"]
    assert wind["p"] < wind["threshold"]
    assert firing["breach"] == 1
    assert firing["links"] == {"runbook": links["runbook"]}
    assert firing["reference"]["id"].startswith("flights@")
    assert set(firing["detector"]) == {"name", "version", "config"}
    assert firing["window"]["samples"][0] == {
        "topic": "topic",
        "partition": 0,
        "offset": firing["window"]["offsets"][0],
    }
    assert [alert.subject for alert in alerts] == ["delay@1", "delay@1"]
    assert alerts[0].id != alerts[1].id
    assert alerts[0].time == firing["window"]["end"]


@pytest.mark.parametrize("policy", [{"use": "ewma"}, {"use": "votes"}])
def test_a_restart_after_any_window_gives_the_same_verdicts(folder: Path, policy: dict[str, Any]) -> None:
    deliveries = [*payloads(0, 3), *payloads(15, 4, 1.0), *payloads(35, 30)]

    async def go() -> None:
        whole_state = MapState()
        whole = emits(await feed(await started(folder, policy=policy), deliveries, whole_state, 5))
        state, parts = MapState(), []
        for first in range(0, len(deliveries), 5):  # a window
            saved = MapState(orjson.loads(orjson.dumps(state.entries)))
            parts += emits(
                await feed(await started(folder, policy=policy), deliveries[first : first + 5], saved)
            )
            state = saved
        assert parts == whole
        assert state.entries == whole_state.entries
        assert len([port for port, _, _ in whole if port == "alerts"]) == 2

    run(go())


def test_the_state_is_a_few_values(folder: Path) -> None:
    async def test(detect: Detect) -> None:
        state = MapState()
        await feed(detect, payloads(0, 3), state)
        assert list(state.entries) == ["detect"]
        assert len(orjson.dumps(state.entries)) < 300

    on(folder, test)


def test_another_configuration_begins_anew_and_resolves_what_it_could_never_resolve(folder: Path) -> None:
    async def go() -> None:
        state = MapState()
        await feed(await started(folder), payloads(0, 6, 2.0), state)
        assert state.entries["detect"]["policy"]["episode"]
        outcomes = await feed(await started(folder, alpha=0.01), payloads(30, 1), state)
        (alert,) = data(outcomes[0], "alerts")
        assert (alert["state"], alert["reason"]) == ("resolved", "configuration changed")
        assert not state.entries["detect"]["policy"]["episode"]
        assert state.entries["detect"]["number"] == 7

    run(go())


# --- what is read


def test_plain_events_are_a_row_each_and_others_are_filtered(folder: Path) -> None:
    rows = clean(3, WINDOW)
    plain = [
        delivery(i, {**dict(zip(FEATURES, row)), "carrier": "UA"}) for i, row in enumerate(rows.tolist())
    ]
    plain.insert(5, delivery(500, {"carrier": "UA"}))
    plain.insert(9, delivery(501, {"rating": 1}, type="io.seldon.serving.feedback"))
    plain.insert(12, payload(502, rows, RESPONSE))

    async def test(detect: Detect) -> None:
        outcome = await detect.process(batch(plain, MapState()))
        assert list(outcome.filtered) == [5, 9, 12]
        (found,) = data(outcome, "statistics")
        assert (found["window"]["rows"], found["window"]["models"]) == (WINDOW, {})
        assert outcome.emits[0].subject is not None
        assert outcome.emits[0].subject.startswith("flights@")

    on(folder, test)


def test_responses_are_read_where_the_options_say_so_and_failed_calls_have_none(folder: Path) -> None:
    calls = [payload(i, clean(i, ROWS), RESPONSE) for i in range(5)]
    calls.insert(2, payload(90, clean(1, ROWS), REQUEST))
    calls.insert(3, delivery(91, {"error": "away"}, type=RESPONSE))

    async def test(detect: Detect) -> None:
        outcome = await detect.process(batch(calls, MapState()))
        assert list(outcome.filtered) == [2, 3]
        assert data(outcome, "statistics")[0]["window"]["rows"] == 5 * ROWS

    on(folder, test, on="response")


def test_null_is_missing_and_a_jump_of_it_is_drift(folder: Path) -> None:
    def call(number: int, lacking: bool) -> Delivery:
        body = {
            "inputs": [
                {"name": "hour", "datatype": "FP32", "shape": [ROWS], "data": [None if lacking else 1.5] * ROWS},
                {"name": "distance", "datatype": "INT64", "shape": [ROWS, 1], "data": [[7]] * ROWS},
                {"name": "carrier", "datatype": "BYTES", "shape": [ROWS], "data": ["UA"] * ROWS},
                {"name": "w", "datatype": "FP32", "shape": [ROWS, 2], "data": [1.0, True] * ROWS,
                 "parameters": {"columns": ["wind", "gust"]}},
            ]
        }  # fmt: skip
        return delivery(number, body, type=REQUEST)

    async def test(detect: Detect) -> None:
        outcome = await detect.process(batch([call(i, i == 4) for i in range(5)], MapState()))
        hour = data(outcome, "statistics")[0]["features"][1]
        assert (hour["missing"], hour["missing_reference"], hour["drift"]) == (0.2, 0.0, True)
        assert hour["missing_p"] < 1e-20

    on(folder, test)


@pytest.mark.parametrize(
    ("extensions", "subject"),
    [
        ({"modelname": "delay", "modelversion": "2"}, "delay@2"),
        ({"inferenceservicename": "delay", "modelversion": "3"}, "delay@3"),
        ({"inferenceservicename": "delay"}, "delay"),
    ],
)
def test_an_alert_is_about_the_model_that_the_log_names(
    folder: Path, extensions: dict[str, str], subject: str
) -> None:
    async def test(detect: Detect) -> None:
        calls = [payload(i, clean(i, ROWS), extensions=extensions) for i in range(5)]
        outcome = await detect.process(batch(calls, MapState()))
        assert outcome.emits[0].subject == subject
        assert data(outcome, "statistics")[0]["window"]["models"] == {subject: WINDOW}

    on(folder, test)


def test_a_part_of_the_features_may_be_watched(folder: Path) -> None:
    async def test(detect: Detect) -> None:
        outcomes = await feed(detect, payloads(0, 1), MapState())
        assert [f["name"] for f in data(outcomes[0], "statistics")[0]["features"]] == ["wind", "hour"]

    on(folder, test, features=["wind", "hour"])


@pytest.mark.parametrize(
    ("value", "kind", "code", "reason"),
    [
        (b"{", "test", "undecodable", "the data is not JSON"),
        (b"[1]", "test", "against-contract", "Expected `object`, got `array`"),
        ({"hour": "secret"}, "test", "against-contract", r"got `str` - at `$.hour`"),
        ({"inputs": []}, REQUEST, "against-contract", "no V2 body"),
        ({"inputs": [{"name": "x", "shape": [1, 2], "data": [1, 2]}]}, REQUEST, "against-contract",
         "feature 'distance' is not among x[0], x[1]"),
        ({"inputs": [{"name": "x", "shape": [2, 3], "data": [1], "parameters": {"columns": ["hour"]}}]}, REQUEST,
         "against-contract", "3 columns and 1 names"),
        ({"inputs": [{"name": "x", "shape": [1], "data": [1]}, {"name": "y", "shape": [2], "data": [1, 2]}]}, REQUEST,
         "against-contract", "differ in their numbers of rows"),
        ({"inputs": [{"name": n, "shape": [1], "datatype": "BYTES", "data": ["secret"]} for n in FEATURES]}, REQUEST,
         "against-contract", "holds texts"),
        ({"inputs": [{"name": n, "shape": [1], "parameters": {"binary_data_size": 8}} for n in FEATURES]}, REQUEST,
         "against-contract", "no JSON numbers"),
    ],
)  # fmt: skip
def test_an_event_that_cannot_be_read_is_a_dead_letter_at_once(
    folder: Path, value: Any, kind: str, code: str, reason: str
) -> None:
    async def test(detect: Detect) -> None:
        deliveries = [payload(0, clean(0, ROWS)), delivery(1, value, type=kind), payload(2, clean(2, ROWS))]
        outcome = await detect.process(batch(deliveries, MapState()))
        assert list(outcome.held) == [0, 2]
        (letter,) = outcome.dead
        assert (letter.index, letter.code) == (1, code)
        assert reason in letter.reason
        assert "secret" not in letter.reason

    on(folder, test)


def test_numbers_that_are_none_leave_out_their_event_and_are_counted(folder: Path) -> None:
    short = orjson.loads(payload(1, clean(1, ROWS)).value or b"")
    short["inputs"][0]["data"].pop()
    texts = orjson.loads(payload(2, clean(2, ROWS)).value or b"")
    texts["inputs"][0]["data"][7] = "secret"

    async def test(detect: Detect) -> None:
        calls = [
            payload(0, clean(0, ROWS)),
            delivery(1, short, type=REQUEST),
            delivery(2, texts, type=REQUEST),
        ]
        calls += [payload(3, clean(3, ROWS)), payload(4, clean(4, ROWS))]
        outcome = await detect.process(batch(calls, MapState()))
        (found,) = data(outcome, "statistics")
        assert (found["window"]["rows"], found["window"]["n_unreadable"]) == (60, 2)
        assert found["window"]["unreadable"] == [
            {"offset": 1, "reason": "tensor 'x' of shape [20, 3] holds 59 numbers"},
            {"offset": 2, "reason": "tensor 'x' holds something else than numbers"},
        ]

    on(folder, test)


# --- failures


def test_a_window_that_always_fails_settles_with_a_failed_event_and_the_next_goes_on(folder: Path) -> None:
    apart = Apart(
        [Broken("MemoryError: "), Unavailable("killed", code="child-died"), Broken("MemoryError: ")]
    )

    async def test(detect: Detect) -> None:
        state = MapState()
        await detect.process(batch(payloads(0, 1)[:2], state))
        outcome = await detect.process(batch(payloads(2, 2)[:8], state))
        failed, good = data(outcome, "statistics")
        assert failed["failed"] == {"code": "broken", "reason": "MemoryError: ", "attempts": 3}
        assert "score" in good
        assert (list(outcome.settles), outcome.settled_fate) == ([(0, 1)], Fate.FAILED)
        assert outcome.fates == {0: Fate.FAILED, 1: Fate.FAILED, 2: Fate.FAILED}
        assert (outcome.dead, list(outcome.held)) == ([], [])
        assert state.entries["detect"]["number"] == 2
        assert apart.called == 4

    on(folder, test, apart=apart)


def test_a_child_that_dies_once_costs_a_second_try_and_nothing_else(folder: Path) -> None:
    async def go() -> None:
        good = emits(await feed(await started(folder), payloads(0, 2), MapState()))
        apart = Apart([Unavailable("killed", code="child-died"), None])
        assert emits(await feed(await started(folder, apart), payloads(0, 2), MapState())) == good
        assert apart.called == 3

    run(go())


def test_where_no_child_can_be_started_the_batch_waits_with_nothing_changed(folder: Path) -> None:
    apart = Apart([Unavailable("no memory", code="child-not-started")])

    async def test(detect: Detect) -> None:
        state = MapState()
        await detect.process(batch(payloads(0, 1)[:3], state))
        rest = payloads(3, 1)[:2]
        with pytest.raises(Unavailable):
            await detect.process(batch(rest, state))
        assert state.entries == {}
        outcome = await detect.process(batch(rest, state))
        assert list(outcome.settles) == [(0, 2)]
        assert data(outcome, "statistics")[0]["window"]["rows"] == WINDOW

    on(folder, test, apart=apart)


def test_a_start_waits_for_a_child_and_gives_up_on_one_that_always_dies(folder: Path) -> None:
    away = Apart([Unavailable("no memory", code="child-not-started")] * 5, ":prepare")
    assert run(started(folder, away)) is not None
    assert away.called == 6
    dying = Apart([Unavailable("killed", code="child-died")] * 5, ":prepare")
    with pytest.raises(Fatal, match="killed"):
        run(started(folder, dying))
    assert dying.called == 3


def test_a_reference_that_is_replaced_while_in_use_stops_the_stage_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "reference.npz"
    save(Reference("flights", FEATURES, clean(1, 2_000), clean(2, 3_000)), path)

    async def test(detect: Detect) -> None:
        state = MapState()
        await feed(detect, payloads(0, 1), state)
        save(Reference("flights", FEATURES, clean(3, 2_000), clean(2, 3_000)), path)
        monitor._monitor.cache_clear()  # as a new child would begin
        before = dict(state.entries)
        with pytest.raises(Fatal, match="was replaced while it was in use; restart"):
            await feed(detect, payloads(5, 1), state)
        assert state.entries == before

    on(tmp_path, test)


def test_a_cancelled_batch_leaves_what_is_held_as_it_was(folder: Path) -> None:
    class Stuck(InProcess):
        is_stuck = True

        async def call(self, function: str, *arguments: Any) -> Any:
            if function.endswith(":judge") and self.is_stuck:
                await asyncio.get_running_loop().create_future()
            return await super().call(function, *arguments)

    stuck = Stuck()

    async def test(detect: Detect) -> None:
        state = MapState()
        await detect.process(batch(payloads(0, 1)[:3], state))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await detect.process(batch(payloads(3, 1)[:2], state))
        stuck.is_stuck = False
        outcome = await detect.process(batch(payloads(3, 1)[:2], state))
        assert data(outcome, "statistics")[0]["window"]["events"] == 5

    on(folder, test, apart=stuck)


@pytest.mark.slow
def test_a_real_child_says_the_same_and_is_replaced_when_it_is_killed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliveries = [*payloads(0, 2), *payloads(10, 3, 2.0)]

    async def go() -> list[Any]:
        child = ChildProcess("drift")
        try:
            detect = await started(folder, child)
            state = MapState()
            found = emits(await feed(detect, deliveries[:10], state))
            assert child.pid is not None
            os.kill(child.pid, 9)
            return found + emits(await feed(detect, deliveries[10:], state))
        finally:
            await child.close()

    async def alone() -> list[Any]:
        return emits(await feed(await started(folder), deliveries, MapState()))

    monkeypatch.setattr("streamlets.builtin.detect.RETRY_S", (0.0, 0.0))
    assert asyncio.run(go()) == run(alone())


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("none.npz", "missing-file", "does not exist"),
        ("text.npz", "bad-option", "no .npz archive"),
        ("../reference.npz", "untrusted-path", "outside the blueprint's folder"),
        ("small.npz", "bad-option", "150 calibration rows give 1 windows of 100; at least 5 are needed"),
    ],
)
def test_a_reference_that_cannot_be_used_is_refused_by_the_linter_and_at_start_alike(
    folder: Path, name: str, code: str, message: str
) -> None:
    (folder / "text.npz").write_text("hello")
    save(Reference("small", FEATURES, clean(1, 2_000), clean(2, 150)), folder / "small.npz")
    with pytest.raises(Fatal) as caught:
        run(started(folder, reference=name))
    assert caught.value.code == code
    assert message in caught.value.message
    wiring = Wiring(partitions={}, replicas=1, base_dir=folder)
    if code == "untrusted-path":  # a general rule says it, of what the streamlet names
        assert Detect.needs(options(reference=name), wiring).trusted_files[0].text == name
        assert Detect.check(options(reference=name), wiring) == []
    else:
        (finding,) = Detect.check(options(reference=name), wiring)
        assert (finding.code, finding.severity) == (code, "error")


# --- options and wiring


def findings(
    folder: Path, partitions: int = 1, replicas: int = 1, **others: Any
) -> list[tuple[str, str, str]]:
    wiring = Wiring(partitions={"in": partitions, "alerts": 4}, replicas=replicas, base_dir=folder)
    return [(f.code, f.severity, f.message) for f in Detect.check(options(**others), wiring)]


def test_one_window_over_several_partitions_is_refused_unless_asked_for(folder: Path) -> None:
    wiring = Wiring(partitions={"in": 4}, replicas=1, base_dir=folder)
    assert "'per: partition'" in Detect.needs(options(), wiring).single_reader
    assert Detect.needs(options(per="partition"), wiring).single_reader == ""


def test_the_linter_is_told_what_a_window_holds(folder: Path) -> None:
    wiring = Wiring(partitions={"in": 1}, replicas=1, base_dir=folder)
    (hold,) = Detect.needs(options(window={"events": 700, "wait": "2h"}), wiring).holds
    assert hold.longest_s == Amount(7200.0, ("window", "wait"))
    assert hold.events == Amount(700, ("window", "events"))


def test_the_linter_names_features_that_the_reference_lacks_and_windows_that_are_too_few(
    folder: Path,
) -> None:
    assert findings(folder, features=["wind", "winds"])[0][:2] == ("bad-option", "error")
    code, severity, message = findings(folder, window={"events": 400})[0]
    assert (code, severity) == ("bad-option", "warning")
    assert "3000 calibration rows give 7 windows of 400" in message
    assert findings(folder, window={"events": 1_000})[0][1] == "error"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"per": "key"}, "windows by key are not built yet"),
        ({"detector": "kx"}, "there is no detector 'kx'; there is: ks"),
        ({"window": {"events": 5}}, "greater than or equal to 20"),
        ({"window": {"wait": 5}}, "needs its unit"),
        ({"policy": {"use": "votes", "needed": 6}}, "can never be in drift"),
        ({"policy": {"use": "luck"}}, "'ewma', 'votes'"),
        ({"features": ["a", "a"]}, "is there twice"),
        ({"treshold": 1}, "Extra inputs are not permitted"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        options(**given)
    assert message in str(caught.value)
