"""The command `model-server` as its user meets it: it serves, says what is wrong, and ends at once when asked to."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
from click.testing import CliRunner

from streamlets.cli.model_server import model_server
from tests.onnx_files import linear

COMMAND = [sys.executable, "-c", "from streamlets.cli.model_server import model_server; model_server()"]


def test_it_serves_several_versions_names_them_and_ends_quickly_at_sigterm(tmp_path: Path) -> None:
    one = linear(tmp_path / "one.onnx", [1.0])
    two = linear(tmp_path / "two.onnx", [2.0])
    process = subprocess.Popen(
        [*COMMAND, f"delay={one}@1", f"delay={two}@2", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        said = [process.stdout.readline(), process.stdout.readline()]
        assert re.match(r"model delay version 1 ready at http://127\.0\.0\.1:\d+\n", said[0])
        url = said[0].split()[-1]
        body = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [3]}]}
        with httpx.Client(base_url=url, trust_env=False) as client:
            assert client.get("/v2/health/ready").status_code == 200
            for path, version, value in (("", "2", 6.0), ("/versions/1", "1", 3.0)):
                answer = client.post(f"/v2/models/delay{path}/infer", json=body).json()
                assert answer["model_version"] == version
                assert answer["outputs"][0]["data"] == [value]
            assert client.get("/v2/models/delay/versions/3/ready").status_code == 404
            assert client.post("/v2/models/delay/infer", content=b"{").status_code == 400
            assert client.post("/v2/models/delay/infer", json={}).status_code == 422
            started = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            assert time.monotonic() - started < 3
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_what_is_wrong_with_the_arguments_is_said_in_one_line(tmp_path: Path) -> None:
    good = str(linear(tmp_path / "m.onnx", [1.0]))
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    runner = CliRunner()
    for arguments, words in (
        ([], "Missing argument"),
        ([str(tmp_path / "none.onnx")], "there is no file"),
        ([good, good, "--name", "x"], "--name and --version are for one MODEL"),
        ([f"a={good}@1", f"a={good}@1"], "a@1 is given twice"),
        ([good, "--host", "203.0.113.1"], "cannot listen on 203.0.113.1:9101"),
        ([str(tmp_path / "bad.onnx"), "--port", "0"], "is no ONNX model that can be loaded"),
    ):
        result = runner.invoke(model_server, arguments)
        assert result.exit_code != 0
        assert words in result.output
        assert "Traceback" not in result.output
