"""What the linter learns of `score` before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from streamlets.builtin.score import Score
from streamlets.builtin.scoring.options import ScoreOptions
from streamlets.ports import Needs, Said, Wiring

GOOD: dict[str, Any] = {
    "model": "delay",
    "servers": ["http://127.0.0.1:9101"],
    "inputs": {"x": ["a"]},
    "outputs": {"y": "y"},
}


def findings(folder: Path, connected: tuple[str, ...], **options: Any) -> list[tuple[str, tuple[Any, ...]]]:
    wiring = Wiring(partitions=dict.fromkeys(connected, 1), replicas=1, base_dir=folder)
    return [(f.code, f.path) for f in Score.check(ScoreOptions.model_validate({**GOOD, **options}), wiring)]


def needs(**options: Any) -> Needs:
    wiring = Wiring(partitions={}, replicas=1, base_dir=Path())
    return Score.needs(ScoreOptions.model_validate({**GOOD, **options}), wiring)


def test_updates_need_an_allow_list_and_options_need_their_port(tmp_path: Path) -> None:
    allow = {"allow": ["http://127.0.0.1:*"]}
    assert findings(tmp_path, ("in", "out")) == []
    assert needs().unguarded == (Said("updates", ("updates", "allow")),)
    assert needs(updates=allow).unguarded == ()
    assert findings(tmp_path, ("in", "updates"), updates=allow) == []
    assert findings(tmp_path, ("in",), updates=allow) == [("unconnected-inlet", ("updates",))]
    assert findings(tmp_path, ("in",), payloads={"mode": "all"}) == [("unconnected-outlet", ("payloads",))]


def test_a_models_file_lies_in_the_blueprints_folder_and_is_there(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").touch()
    onnx = {"protocol": "onnx"}
    assert findings(tmp_path, (), servers=["m.onnx"], **onnx) == []
    assert findings(tmp_path, (), servers=["n.onnx"], **onnx) == [("missing-file", ("servers", 0))]
    assert findings(tmp_path, (), servers=[{"url": "../m.onnx"}], **onnx) == []  # the general rule says it
    assert needs(servers=[{"url": "../m.onnx"}], **onnx).trusted_files == (
        Said("../m.onnx", ("servers", 0, "url")),
    )
    outside = {"allow": ["file:/etc"]}
    assert needs(updates=outside).trusted_files == (Said("/etc", ("updates", "allow", 0)),)


def test_it_says_whom_secrets_are_sent_to() -> None:
    secret = {"url": "http://models:8000", "headers": {"authorization": "hunter2"}}
    found = needs(servers=["http://other:8000", secret]).secrets_to
    assert found == (Said("http://models:8000", ("servers", 1, "url")),)


def test_it_says_what_a_prediction_waits_for() -> None:
    slow = {"url": "http://models:8000", "timeout": "30s"}
    batch, call, between = needs(servers=["http://a", slow], attempts=4).waits
    assert (batch.longest_s.value, batch.longest_s.option) == (0.005, ("batch", "max_wait"))
    assert (call.longest_s.value, call.longest_s.option, call.times) == (30.0, ("servers", 1, "timeout"), 4)
    assert between.on_retry
    assert between.longest_s.value == pytest.approx(0.1 + 0.2 + 0.4)
    assert not any(wait.blocks for wait in (batch, call, between))


def test_a_bad_url_is_told_at_its_server_and_not_repeated() -> None:
    servers = ["http://good", "ftp://bad", {"url": "http://user:hunter2@h"}]
    with pytest.raises(ValidationError) as caught:
        ScoreOptions.model_validate({**GOOD, "servers": servers})
    assert [error["loc"] for error in caught.value.errors()] == [("servers", 1), ("servers", 2, "url")]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"protocol": "kserve"}, "protocol 'kserve' is not built yet"),
        ({"servers": []}, "at least 1"),
        ({"servers": ["http://u:p@h"]}, "credentials"),
        ({"inputs": {"x": []}}, "tensor 'x' has no fields"),
        ({"updates": {"allow": ["anything"]}}, "is no pattern"),
        ({"fallback": "constant"}, "Extra inputs"),
        ({"timeout": "0s"}, "more than 0s"),
        ({"concurrency": 0}, "greater than or equal to 1"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused_with_what_to_write(
    change: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        ScoreOptions.model_validate({**GOOD, **change})
    assert words in str(caught.value)


def test_nothing_heavy_is_imported_with_the_streamlet() -> None:
    import subprocess
    import sys

    heavy = "{'aiohttp', 'numpy', 'onnxruntime', 'httptools', 'uvicorn', 'starlette'}"
    code = f"import sys, streamlets.builtin.score; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
