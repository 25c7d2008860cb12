"""Which tensors of an answer become which fields of a prediction, said or not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from blueprints.load import load, verify
from streamlets.builtin.scoring.outputs import Outputs
from streamlets.catalog import Streamlets
from streamlets.errors import Broken, Rejected
from streamlets.inference import InferAnswer, ModelMetadata, Tensor, TensorSpec
from streamlets.servers.model_server import ModelFile
from tests.builtin.scoring.driving import driven, events, of
from tests.onnx_files import recommender
from tests.servers.running import model_server

WHOLE = """\
# yaml-language-server: $schema=blueprint.schema.json
name: recommender
streamlets:
  score:
    use: score
    with:
      servers: [ "http://recommender:8501" ]
      protocol: tensorflow
      model: recommender
      inputs: { products: product, users: user }
topics:
  requests:        { external: true, consumers: [score.in] }
  recommendations: { producers: [score.out] }
"""


def test_a_whole_application_in_thirteen_lines_is_right_but_for_a_protocol_that_is_not_built_yet(
    tmp_path: Path,
) -> None:
    path = tmp_path / "recommender.yaml"
    path.write_text(WHOLE)
    found = [(one.severity, one.code, one.mark.line) for one in verify(path, Streamlets(), {})]
    assert found == [("error", "bad-option", 8), ("warning", "no-consumer", 13)]
    path.write_text(WHOLE.replace("tensorflow", "v2"))
    assert [one.code for one in verify(path, Streamlets(), {})] == ["no-consumer"]


def test_it_scores_and_each_tensor_of_the_answer_is_the_field_of_its_name(tmp_path: Path) -> None:
    async def main() -> None:
        async with model_server([ModelFile("recommender", recommender(tmp_path / "r.onnx"), "1")]) as url:
            path = tmp_path / "recommender.yaml"
            path.write_text(WHOLE.replace("tensorflow", "v2").replace("http://recommender:8501", url))
            options = load(path, Streamlets(), {}).streamlets["score"].options
            async with driven({"outputs": {}, **options}) as driver:
                outcome = await driver.give(events([{"product": 3, "user": 4.5}, {"product": 1, "user": 1}]))
                made = [orjson.loads(emit.data or b"")["prediction"] for emit in of(outcome, "out")]
                assert made == [{"rating": 7.5, "pair": [3.0, 4.5]}, {"rating": 2.0, "pair": [1.0, 1.0]}]
                assert not outcome.dead

    asyncio.run(main())


def metadata(*outputs: TensorSpec) -> ModelMetadata:
    return ModelMetadata("m", [], [], list(outputs))


def answer(*tensors: Tensor) -> InferAnswer:
    return InferAnswer(model="m", outputs=list(tensors))


def column(name: str, *values: Any, datatype: str = "FP32") -> Tensor:
    return Tensor(name, datatype, [len(values), 1], list(values))


def made(outputs: Outputs, found: InferAnswer, n: int) -> list[Any]:
    return [orjson.loads(head + b"}") for head in outputs.encode(outputs.read(found, n, "it"), n)]


def test_a_model_that_tells_its_outputs_is_asked_for_all_of_them() -> None:
    outputs = Outputs({}, metadata(TensorSpec("y", "FP32", [-1, 1]), TensorSpec("label", "BYTES", [-1])))
    assert outputs.tensors == ["y", "label"]
    label = Tensor("label", "BYTES", [2], ["a", "b"])
    assert made(outputs, answer(label, column("y", 1.5, 2.5)), 2) == [
        {"y": 1.5, "label": "a"},
        {"y": 2.5, "label": "b"},
    ]
    with pytest.raises(Broken, match="no tensor 'label'"):
        outputs.read(answer(column("y", 1.0)), 1, "it")


def test_where_nobody_tells_them_the_answer_does() -> None:
    outputs = Outputs({}, None)
    assert outputs.tensors == []
    assert made(outputs, answer(column("a", 1.0), column("b", 2.0)), 1) == [{"a": 1.0, "b": 2.0}]
    with pytest.raises(Broken, match="no tensor"):
        outputs.read(answer(), 1, "it")
    with pytest.raises(Broken, match="alike"):
        outputs.read(answer(column("a", 1.0), column("a", 2.0)), 1, "it")


def test_an_only_tensor_without_a_name_is_the_one_that_was_meant() -> None:
    unnamed = answer(column("", 1.0))
    assert made(Outputs({}, None), unnamed, 1) == [{"output": 1.0}]
    assert made(Outputs({}, metadata(TensorSpec("y", "FP32", [-1, 1]))), unnamed, 1) == [{"y": 1.0}]
    assert made(Outputs({"rating": "scores"}, None), unnamed, 1) == [{"rating": 1.0}]
    with pytest.raises(Broken, match="no tensor 'b'"):
        Outputs({"a": "a", "b": "b"}, None).read(answer(column("a", 1.0), column("", 1.0)), 1, "it")


def test_two_fields_may_be_made_of_one_tensor() -> None:
    assert made(Outputs({"a": "y", "b": "y"}, None), answer(column("y", 1.0)), 1) == [{"a": 1.0, "b": 1.0}]


def test_an_output_that_json_cannot_carry_has_to_be_left_out_by_name() -> None:
    told = metadata(TensorSpec("y", "FP32", [-1, 1]), TensorSpec("half", "COMPLEX64", [-1, 1]))
    with pytest.raises(Rejected, match=r"JSON cannot carry; name those that are wanted under 'outputs'"):
        Outputs({}, told)
    assert Outputs({"y": "y"}, told).tensors == ["y"]
