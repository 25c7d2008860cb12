"""What a model server can do to events: nothing is lost, nobody innocent is dead-lettered, calls stay bounded."""

from __future__ import annotations

import asyncio
import math
import time

import orjson
import pytest

from tests.builtin.scoring.driving import Driven, driven, events, of, predictions, rows
from tests.builtin.scoring.stub import Fault, Stub, stub_server
from tests.servers.running import Exchange, free_port


def scored(driver: Driven, outcome: object, n: int, first: int = 0) -> None:
    assert predictions(outcome) == [i + 2.0 for i in range(first, first + n)]  # type: ignore[arg-type]
    assert not outcome.dead  # type: ignore[attr-defined]


def test_a_server_that_is_stopped_under_load_dead_letters_nothing_and_catches_up() -> None:
    async def main() -> None:
        port = free_port()
        stub = Stub()
        async with driven({"servers": [f"http://127.0.0.1:{port}"]}) as driver:
            async with stub_server(stub, port):
                await driver.give(rows(300))
            tasks = [asyncio.create_task(driver.give(rows(200, 200 * i))) for i in range(8)]
            await driver.until(lambda: driver.waiting[-1:] != [] and driver.waiting[-1] is not None)
            before = len(stub.calls)
            await asyncio.sleep(0.3)
            assert not any(task.done() for task in tasks)
            async with stub_server(stub, port):
                for i, outcome in enumerate(await asyncio.gather(*tasks)):
                    scored(driver, outcome, 200, 200 * i)
            assert len(stub.calls) - before <= math.ceil(1600 / 128) + 8
            assert driver.waiting[-1] is None

    asyncio.run(main())


@pytest.mark.parametrize("status", [500, 503, 429, 404, 502])
def test_a_server_that_fails_everything_for_a_while_dead_letters_nothing(status: int) -> None:
    async def main() -> None:
        stub = Stub()
        until = [0.0]

        async def sick(exchange: Exchange, rows: list[list[float]]) -> bool:
            if time.monotonic() > until[0]:
                return False
            exchange.answer(status, b'{"error": "sick"}', "retry-after: 0\r\n")
            return True

        async with stub_server(stub) as url, driven({"servers": [url]}) as driver:
            scored(driver, await driver.give(rows(10)), 10)
            stub.fault = sick
            until[0] = time.monotonic() + 0.6
            tasks = [asyncio.create_task(driver.give(rows(100, 100 * i))) for i in range(6)]
            for i, outcome in enumerate(await asyncio.gather(*tasks)):
                scored(driver, outcome, 100, 100 * i)
            assert len(stub.calls) < 120

    asyncio.run(main())


def test_poison_events_are_dead_letters_and_their_neighbours_are_scored_within_the_bound_of_calls() -> None:
    async def main() -> None:
        for status in (400, 500):
            stub = Stub()

            async def poisoned(exchange: Exchange, rows: list[list[float]], status: int = status) -> bool:
                if any(a < 0 for a, _ in rows):
                    exchange.answer(status, b'{"error": "negative"}')
                    return True
                return False

            stub.fault = poisoned
            async with stub_server(stub) as url, driven({"servers": [url]}) as driver:
                await driver.give(rows(1))
                for at in (0, 63, 127):
                    stub.calls.clear()
                    values = [{"a": -1.0 if i == at else float(i), "b": 1.0} for i in range(128)]
                    outcome = await driver.give(events(values))
                    assert predictions(outcome) == [i + 2.0 for i in range(128) if i != at]
                    (letter,) = outcome.dead
                    assert letter.index == at
                    assert letter.model == "delay"
                    assert "negative" in letter.reason
                    assert len(stub.calls) <= (1 if status == 400 else 3) + 2 * math.log2(128) + 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"data": [1.0]}, "wrong-shape"),
        ({"shape": [1, 1], "data": [1.0]}, "wrong-length"),
        ({"name": "z"}, "wrong-shape"),
        ({"datatype": "BYTES", "data": ["x", "y", "z"]}, "wrong-type"),
        ({"data": [1.0, None, 2.0]}, "wrong-type"),
        ({"data": [1.0, True, 2.0]}, "wrong-type"),
        ({"shape": [3, 2], "data": [1.0] * 6}, "wrong-shape"),
        ({"shape": []}, "wrong-length"),
    ],
)
def test_an_answer_that_is_not_what_was_asked_is_never_believed(change: dict[str, object], code: str) -> None:
    async def main() -> None:
        stub = Stub()
        lies = [3]

        async def lying(exchange: Exchange, rows: list[list[float]]) -> bool:
            if len(rows) != 3 or not lies[0]:
                return False
            lies[0] -= 1
            exchange.answer(200, stub.answer(rows, **change))
            return True

        stub.fault = lying
        async with stub_server(stub) as url, driven({"servers": [url]}) as driver:
            scored(driver, await driver.give(rows(3)), 3)
            assert lies == [0]  # asked again until the answer was right

            async def lying_always(exchange: Exchange, rows: list[list[float]]) -> bool:
                if any(a == 7.0 for a, _ in rows):
                    wrong = {"data": [0.0] * (len(rows) + 1)} if "data" not in change else {"name": "z"}
                    exchange.answer(200, stub.answer(rows, **wrong))
                    return True
                return False

            stub.fault = lying_always
            outcome = await driver.give(rows(10))
            assert [letter.index for letter in outcome.dead] == [7]
            assert len(predictions(outcome)) == 9

    asyncio.run(main())


def test_nan_for_one_row_is_a_dead_letter_of_that_row_and_nothing_is_made_up() -> None:
    async def main() -> None:
        stub = Stub()

        async def nan(exchange: Exchange, rows: list[list[float]]) -> bool:
            values = [b"NaN" if a == 5.0 else str(a).encode() for a, _ in rows]
            if b"NaN" not in values:
                return False
            data = b"[" + b",".join(values) + b"]"
            exchange.answer(200, stub.answer(rows, data=[]).replace(b"[]", data))
            return True

        stub.fault = nan
        async with stub_server(stub) as url, driven({"servers": [url]}) as driver:
            outcome = await driver.give(rows(20))
            (letter,) = outcome.dead
            assert (letter.index, letter.code) == (5, "not-finite")
            assert len(predictions(outcome)) == 19

    asyncio.run(main())


async def hang(exchange: Exchange, rows: list[list[float]]) -> bool:
    await asyncio.Event().wait()
    return True


async def drip(exchange: Exchange, rows: list[list[float]]) -> bool:
    exchange.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    for _ in range(1000):
        exchange.writer.write(b" ")
        await asyncio.sleep(0.02)
    return True


async def reset(exchange: Exchange, rows: list[list[float]]) -> bool:
    exchange.reset()
    return True


async def half(exchange: Exchange, rows: list[list[float]]) -> bool:
    exchange.writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"outputs": [')
    await exchange.writer.drain()
    exchange.reset()
    return True


async def huge(exchange: Exchange, rows: list[list[float]]) -> bool:
    exchange.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n")
    return True


async def garbage(exchange: Exchange, rows: list[list[float]]) -> bool:
    exchange.answer(200, b"<html>")
    return True


@pytest.mark.parametrize("fault", [hang, drip, reset, half, huge, garbage])
def test_whatever_a_server_answers_for_a_while_no_event_is_lost_and_none_is_blamed(fault: Fault) -> None:
    async def main() -> None:
        stub = Stub()
        left = [6]

        async def failing(exchange: Exchange, rows: list[list[float]]) -> bool:
            if not left[0]:
                return False
            left[0] -= 1
            return await fault(exchange, rows)

        async with stub_server(stub) as url, driven({"servers": [url], "timeout": "150ms"}) as driver:
            scored(driver, await driver.give(rows(5)), 5)
            stub.fault = failing
            for i, outcome in enumerate(
                await asyncio.gather(*(driver.give(rows(40, 40 * i)) for i in range(4)))
            ):
                scored(driver, outcome, 40, 40 * i)
            assert left == [0]

    asyncio.run(main())


def test_a_server_that_is_away_is_left_alone_while_its_neighbour_answers_and_gets_calls_again_when_it_is_back() -> (
    None
):
    async def main() -> None:
        port = free_port()
        one, two = Stub(), Stub()
        async with stub_server(one) as url, driven({"servers": [url, f"http://127.0.0.1:{port}"]}) as driver:
            async with stub_server(two, port):
                await driver.until(lambda: all(not r.is_open for r in _replicas(driver)))
                for _ in range(4):
                    await asyncio.gather(*(driver.give(rows(200)) for _ in range(4)))
                assert len(two.calls) > 5
            for i in range(10):
                scored(driver, await driver.give(rows(200, i)), 200, i)
            assert driver.waiting[-1:] in ([], [None])
            two.calls.clear()
            async with stub_server(two, port):
                await driver.until(lambda: all(not r.is_open for r in _replicas(driver)))
                await asyncio.gather(*(driver.give(rows(500)) for _ in range(4)))
                assert two.calls

    asyncio.run(main())


@pytest.mark.parametrize("balance", ["least-outstanding", "round-robin"])
def test_a_slow_one_of_three_is_taken_out_and_the_others_answer(balance: str) -> None:
    async def main() -> None:
        stubs = [Stub(), Stub(), Stub()]
        for stub in stubs:
            stub.delay_s = 0.002
        stubs[1].delay_s = 0.3
        async with (
            stub_server(stubs[0]) as one,
            stub_server(stubs[1]) as two,
            stub_server(stubs[2]) as three,
            driven({"servers": [one, two, three], "balance": balance, "batch": {"max_events": 32}}) as driver,
        ):
            await driver.until(lambda: all(not r.is_open for r in _replicas(driver)))
            for _ in range(20):
                await asyncio.gather(*(driver.give(rows(64)) for _ in range(4)))
            slow = len(stubs[1].calls)
            started = time.monotonic()
            for i in range(10):
                for outcome in await asyncio.gather(*(driver.give(rows(64, i)) for _ in range(4))):
                    scored(driver, outcome, 64, i)
            assert len(stubs[1].calls) == slow
            assert time.monotonic() - started < 2.0

    asyncio.run(main())


def test_a_failing_one_of_three_hurts_no_event() -> None:
    async def main() -> None:
        stubs = [Stub(), Stub(), Stub()]

        async def broken(exchange: Exchange, rows: list[list[float]]) -> bool:
            exchange.answer(500, b'{"error": "always"}')
            return True

        stubs[2].fault = broken
        async with (
            stub_server(stubs[0]) as one,
            stub_server(stubs[1]) as two,
            stub_server(stubs[2]) as three,
            driven({"servers": [one, two, three], "batch": {"max_events": 16}}) as driver,
        ):
            await driver.until(lambda: all(not r.is_open for r in _replicas(driver)))
            for i in range(20):
                for outcome in await asyncio.gather(*(driver.give(rows(64, i)) for _ in range(4))):
                    scored(driver, outcome, 64, i)
            assert len(stubs[2].calls) < 30  # taken out, and tried again now and then

    asyncio.run(main())


def test_no_secret_and_no_payload_is_in_what_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        stub = Stub()
        seen: list[bytes] = []

        async def refusing(exchange: Exchange, rows: list[list[float]]) -> bool:
            seen.append(exchange.head)
            exchange.answer(500, b'{"error": "no"}')
            return exchange.number > 4

        stub.fault = refusing
        secret = {"Authorization": "Bearer CANARY"}
        async with stub_server(stub) as url, driven({"servers": [{"url": url, "headers": secret}]}) as driver:
            scoring = asyncio.create_task(driver.give(events([{"a": 424242.0, "b": 1.0}])))
            await driver.until(lambda: len(seen) > 3)
            scoring.cancel()
            await asyncio.gather(scoring, return_exceptions=True)
            told = repr(driver.waiting) + caplog.text + repr(driver.score._options)
            assert b"CANARY" in seen[0]
            assert "CANARY" not in told
            assert "424242" not in told

    asyncio.run(main())


def test_the_payload_log_has_each_row_once_under_the_call_that_decided_it() -> None:
    async def main() -> None:
        stub = Stub()

        async def poisoned(exchange: Exchange, rows: list[list[float]]) -> bool:
            if any(a < 0 for a, _ in rows):
                exchange.answer(400, b'{"error": "negative"}')
                return True
            return False

        stub.fault = poisoned
        async with (
            stub_server(stub) as url,
            driven({"servers": [url], "batch": {"max_events": 16}}) as driver,
        ):
            values = [{"a": -1.0 if i in (3, 40) else float(i), "b": 1.0} for i in range(50)]
            values[20] = {"a": "no number", "b": 1.0}
            outcome = await driver.give(events(values, partition=2), 2)
            log = [orjson.loads(e.data or b"") for e in of(outcome, "payloads")]
            kinds = [e.type for e in of(outcome, "payloads")]
            requests = [
                body for body, kind in zip(log, kinds, strict=True) if kind and kind.endswith("request")
            ]
            answers = [
                body for body, kind in zip(log, kinds, strict=True) if kind and kind.endswith("response")
            ]
            wanted = [str(i) for i in range(50) if i != 20]
            assert [id for body in requests for id in body["parameters"]["events"]] == wanted
            assert [id for body in answers for id in body["parameters"]["events"]] == wanted
            for request, answer in zip(requests, answers, strict=True):
                n = len(request["parameters"]["events"])
                (tensor,) = request["inputs"]
                assert tensor["parameters"] == {"columns": ["a", "b"]}
                assert tensor["shape"] == [n, 2]
                assert len(tensor["data"]) == 2 * n
                assert request["id"] == answer["id"]
                if "error" in answer:
                    assert request["parameters"]["events"] in (["3"], ["40"])
                    assert answer["parameters"]["code"] == "http-400"
                    assert answer["parameters"]["attempts"] > 1
                else:
                    a = tensor["data"][::2]
                    assert answer["outputs"][0]["data"] == [value + 2.0 for value in a]
                    assert answer["outputs"][0]["shape"] == [n, 1]
                    assert answer["model_version"] == "1"
                    assert [float(id) for id in request["parameters"]["events"]] == a
            emits = of(outcome, "payloads")
            assert len({e.id for e in emits}) == len(emits)
            assert all(e.partition == 2 and e.parent == -1 for e in emits)
            named = [
                e.extensions["modelname"] + "@" + e.extensions.get("modelversion", "")
                for e in emits
                if e.extensions
            ]
            assert named.count("delay@1") == 2 * sum("error" not in body for body in answers)
            again = of(await driver.give(events(values, partition=2), 2), "payloads")
            assert [e.id for e in again] == [e.id for e in emits]  # the same calls again give the same ids

    asyncio.run(main())


@pytest.mark.parametrize(("mode", "kinds"), [("request", {"request"}), ("response", {"response"})])
def test_half_a_payload_log_is_the_half_that_was_asked_for(mode: str, kinds: set[str]) -> None:
    async def main() -> None:
        async with (
            stub_server(Stub()) as url,
            driven({"servers": [url], "payloads": {"mode": mode}}) as driver,
        ):
            emits = of(await driver.give(rows(10)), "payloads")
            assert {(e.type or "").rpartition(".")[2] for e in emits} == kinds

    asyncio.run(main())


def _replicas(driver: Driven) -> list[object]:
    (target,) = driver.score._targets.values()
    return target.replicas.all  # type: ignore[return-value]
