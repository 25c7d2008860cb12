"""Events become predictions by position, whatever the batch, the partition and the server do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamlets.errors import Fatal
from streamlets.event import encode_structured
from streamlets.servers.model_server import ModelFile
from tests.builtin.scoring.driving import driven, events, of, predictions, rows
from tests.contexts import event, raw
from tests.onnx_files import linear
from tests.servers.running import Exchange, free_port, model_server, scripted


def served(folder: Path, version: str = "1", bias: float = 0.0) -> list[ModelFile]:
    """Return a model y = a + 2·b + bias."""
    path = linear(folder / f"delay-{version}-{bias}.onnx", [1.0, 2.0], bias)
    return [ModelFile("delay", path, version)]


def test_each_event_becomes_one_prediction_that_names_its_model(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            model_server(served(tmp_path)) as url,
            driven({"servers": [url], "include": ["a", "note", "absent"]}) as driver,
        ):
            outcome = await driver.give(
                events([{"a": 1, "b": 2.5, "note": "é"}, {"a": 3.0, "b": 0, "c": None}])
            )
            first, second = of(outcome, "out")
            assert orjson.loads(first.data or b"") == {
                "prediction": {"y": 6.0},
                "model": {
                    "name": "delay",
                    "version": "1",
                    "server": url.removeprefix("http://"),
                    "update": None,
                    "strategy": None,
                    "fallback": False,
                },
                "input": {"a": 1, "note": "é"},
            }
            assert orjson.loads(second.data or b"")["prediction"] == {"y": 3.0}
            assert first.extensions == {"modelname": "delay", "modelversion": "1"}
            assert [first.parent, second.parent] == [0, 1]
            assert not outcome.dead

    asyncio.run(main())


def test_rows_of_many_batches_and_partitions_share_calls_and_each_gets_its_own_answer(tmp_path: Path) -> None:
    async def main() -> None:
        async with model_server(served(tmp_path)) as url, driven({"servers": [url]}) as driver:
            sizes = [1, 3, 500, 2, 128, 127, 129, 7] * 4
            outcomes = await asyncio.gather(
                *(driver.give(rows(n, 1000 * i, i % 4), i % 4) for i, n in enumerate(sizes))
            )
            for i, (n, outcome) in enumerate(zip(sizes, outcomes, strict=True)):
                assert predictions(outcome) == [1000.0 * i + k + 2.0 for k in range(n)]
                assert [e.parent for e in of(outcome, "out")] == list(range(n))
            batcher = driver.score._targets[driver.score._places.initial()].batcher
            assert batcher.calls <= 1.1 * sum(sizes) / 128 + 4

    asyncio.run(main())


@pytest.mark.parametrize(
    ("bad", "code", "words"),
    [
        ({"a": 1.0}, "against-contract", "field 'b' is missing"),
        ({"a": None, "b": 1.0}, "against-contract", "field 'a': expected a number, got null"),
        ({"a": "SECRET", "b": 1.0}, "against-contract", "field 'a': expected a number, got `str`"),
        ({"a": True, "b": 1.0}, "against-contract", "field 'a'"),
        (b'{"a": NaN, "b": 1.0}', "against-contract", "field 'a' is NaN"),
        (b'{"a": 1.0, "b": -Infinity}', "against-contract", "field 'b' is NaN or infinite"),
        (b'{"a": 1.0, "b": 1e999}', "against-contract", "field 'b'"),
        (b'{"a": 1.0, "b": 1.0', "undecodable", "no JSON"),
        (b'{"a": 1.0, "b": 1.0},{"a": 2.0, "b": 1.0}', "undecodable", "no JSON"),
        (b"\xff\xfe", "undecodable", "no JSON"),
        (b"[1.0, 1.0]", "against-contract", "array"),
        (b"[" * 10_000, "against-contract", ""),
        (b"", "undecodable", "no JSON"),
    ],
)
def test_an_event_that_cannot_be_scored_is_a_dead_letter_that_names_the_field_and_its_neighbours_are_scored(
    tmp_path: Path, bad: Any, code: str, words: str
) -> None:
    async def main() -> None:
        async with model_server(served(tmp_path)) as url, driven({"servers": [url]}) as driver:
            outcome = await driver.give(events([{"a": 1.0, "b": 1.0}, bad, {"a": 2.0, "b": 1.0}]))
            assert predictions(outcome) == [3.0, 4.0]
            assert [e.parent for e in of(outcome, "out")] == [0, 2]
            (letter,) = outcome.dead
            assert (letter.index, letter.code) == (1, code)
            assert words in letter.reason
            assert "SECRET" not in letter.reason

    asyncio.run(main())


def test_a_tombstone_is_a_dead_letter(tmp_path: Path) -> None:
    async def main() -> None:
        async with model_server(served(tmp_path)) as url, driven({"servers": [url]}) as driver:
            outcome = await driver.give([raw(0, None, [])])
            assert outcome.dead[0].reason == "the event has no data"

    asyncio.run(main())


def test_an_event_in_structured_mode_is_scored_by_its_data_and_not_by_its_envelope(tmp_path: Path) -> None:
    async def main() -> None:
        async with model_server(served(tmp_path)) as url, driven({"servers": [url]}) as driver:
            # the extensions carry the names of the fields, so that the envelope itself looks like an event's data
            structured = event(7, {"a": 1.0, "b": 1.0}, extensions={"a": "x", "b": "y"})
            _, value, headers = encode_structured(structured)
            outcome = await driver.give([raw(0, value, headers)])
            assert predictions(outcome) == [3.0]

    asyncio.run(main())


def test_inputs_are_single_fields_stacked_fields_vectors_and_expressions() -> None:
    seen: list[Any] = []
    specs = {
        "s": {"datatype": "INT64", "shape": [-1]},
        "t": {"datatype": "BYTES", "shape": [-1, 1]},
        "v": {"datatype": "FP32", "shape": [-1, 3]},
        "w": {"datatype": "FP64", "shape": [-1, 2]},
        "e": {"datatype": "FP32", "shape": [-1, 1]},
        "f": {"datatype": "BOOL", "shape": [-1]},
    }

    async def script(exchange: Exchange) -> None:
        if exchange.path.endswith("/infer"):
            body = orjson.loads(exchange.body)
            seen.append({t["name"]: (t["datatype"], t["shape"], t["data"]) for t in body["inputs"]})
            outputs = [
                {"name": "p", "datatype": "FP32", "shape": [2, 2], "data": [[0.1, 0.9], [0.5, 0.5]]},
                {"name": "label", "datatype": "BYTES", "shape": [2, 1], "data": ["a,b", '"']},
                {"name": "n", "datatype": "INT64", "shape": [2], "data": [1, 2]},
            ]
            exchange.answer(200, orjson.dumps({"model_name": "delay", "outputs": outputs}))
        elif exchange.path.endswith("/ready"):
            exchange.answer(200)
        else:
            inputs = [{"name": name, **spec} for name, spec in specs.items()]
            exchange.answer(
                200, orjson.dumps({"name": "delay", "versions": None, "inputs": inputs, "outputs": []})
            )

    async def main() -> None:
        options = {
            "inputs": {
                "s": "count",
                "t": "name",
                "v": "vector",
                "w": ["x", "count"],
                "e": "x * 2.0 + double(count)",
                "f": "name == 'b'",
            },
            "outputs": {"probabilities": "p", "label": "label", "n": "n", "again": "n"},
        }
        async with scripted(script) as url, driven({"servers": [url], **options}) as driver:
            outcome = await driver.give(
                events(
                    [
                        {"count": 1, "name": "a", "vector": [1, 2, 3], "x": 0.5},
                        {"count": 2, "name": "b", "vector": [4, 5, 6.5], "x": 1.5},
                        {"count": 2, "name": "b", "vector": [4, 5], "x": 1.5},
                        {"count": 2.5, "name": "b", "vector": [4, 5, 6], "x": 1.5},
                    ]
                )
            )
            assert seen == [
                {
                    "s": ("INT64", [2], [1, 2]),
                    "t": ("BYTES", [2, 1], ["a", "b"]),
                    "v": ("FP32", [2, 3], [1, 2, 3, 4, 5, 6.5]),
                    "w": ("FP64", [2, 2], [0.5, 1, 1.5, 2]),
                    "e": ("FP32", [2, 1], [2.0, 5.0]),
                    "f": ("BOOL", [2], [False, True]),
                }
            ]
            found = [orjson.loads(e.data or b"")["prediction"] for e in of(outcome, "out")]
            assert found == [
                {"probabilities": [0.1, 0.9], "label": "a,b", "n": 1, "again": 1},
                {"probabilities": [0.5, 0.5], "label": '"', "n": 2, "again": 2},
            ]
            assert [letter.index for letter in outcome.dead] == [2, 3]
            assert "vector" in outcome.dead[0].reason
            assert outcome.dead[1].reason == "field 'count': expected an integer, got `float`"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"inputs": {"x": ["a", "b", "c"]}}, "input 'x' is FP32 [-1, 2], but 3 fields are mapped to it"),
        ({"inputs": {"z": ["a", "b"]}}, "there is no input 'z'"),
        ({"inputs": {"x": ["a", "b"], "z": "c"}}, "there is no input 'z'"),
        ({"outputs": {"y": "delay"}}, "there is no output 'delay'; the model gives y FP32 [-1, 1]"),
    ],
)
def test_a_model_that_does_not_fit_the_blueprint_ends_the_start_with_what_differs(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    async def main() -> None:
        async with model_server(served(tmp_path)) as url:
            with pytest.raises(Fatal) as caught:
                async with driven({"servers": [url], **options}):
                    pass
            assert caught.value.code == "tensor-mismatch"
            assert words in str(caught.value)

    asyncio.run(main())


def test_a_server_that_is_not_there_at_the_start_is_waited_for_and_said_so(tmp_path: Path) -> None:
    async def main() -> None:
        port = free_port()
        async with driven({"servers": [f"http://127.0.0.1:{port}"]}) as driver:
            scoring = asyncio.create_task(driver.give(rows(10)))
            reason = f"model delay at 127.0.0.1:{port}: connection refused"
            await driver.until(lambda: reason in driver.waiting)
            assert not scoring.done()
            async with model_server(served(tmp_path), port):
                outcome = await asyncio.wait_for(scoring, 10)
                assert len(predictions(outcome)) == 10
                assert not outcome.dead
                assert driver.waiting[-1] is None

    asyncio.run(main())


def test_an_embedded_onnx_model_scores_without_a_server(tmp_path: Path) -> None:
    linear(tmp_path / "m.onnx", [1.0, 2.0], version="9")

    async def main() -> None:
        async with driven({"servers": ["m.onnx"], "protocol": "onnx"}, base_dir=tmp_path) as driver:
            outcome = await driver.give(rows(300))
            assert predictions(outcome) == [i + 2.0 for i in range(300)]
            assert orjson.loads(of(outcome, "out")[0].data or b"")["model"]["version"] == "9"
        with pytest.raises(Fatal) as caught:
            async with driven({"servers": ["none.onnx"], "protocol": "onnx"}, base_dir=tmp_path):
                pass
        assert caught.value.code == "missing-file"

    asyncio.run(main())


def test_a_cancelled_batch_leaves_the_others_their_answers(tmp_path: Path) -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def script(exchange: Exchange) -> None:
            if exchange.path.endswith("/infer"):
                await gate.wait()
                body = orjson.loads(exchange.body)
                n = body["inputs"][0]["shape"][0]
                data = body["inputs"][0]["data"][::2]
                outputs = [{"name": "y", "datatype": "FP32", "shape": [n], "data": data}]
                exchange.answer(200, orjson.dumps({"outputs": outputs}))
            else:
                exchange.answer(200, b"{}")

        async with scripted(script) as url, driven({"servers": [url], "concurrency": 2}) as driver:
            tasks = [asyncio.create_task(driver.give(rows(50, 100 * i))) for i in range(8)]
            await asyncio.sleep(0.05)
            for i in (0, 3, 7):
                tasks[i].cancel()
            gate.set()
            for i in (1, 2, 4, 5, 6):
                assert predictions(await asyncio.wait_for(tasks[i], 10)) == [100.0 * i + k for k in range(50)]
            assert all(tasks[i].cancelled() for i in (0, 3, 7))
            assert predictions(await driver.give(rows(3, 900))) == [900.0, 901.0, 902.0]

    asyncio.run(main())
