"""A model is deployed, rejected, rolled back and listed while the application runs, as its user does it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamlets.cli.main import run
from tests.builtin.scoring.stub import Stub, stub_server
from tests.servers.running import free_port

BLUEPRINT = """
name: app
streamlets:
  rows: {{ use: file, with: {{ path: rows.jsonl, follow: true }} }}
  score:
    use: score
    with:
      model: delay
      servers: [ "{url}" ]
      inputs: {{ x: [a, b] }}
      outputs: {{ y: y }}
      include: [ n ]
      updates: {{ allow: [ "http://127.0.0.1:*" ], ready_within: 1s }}
  out: {{ use: file-sink, with: {{ path: out.jsonl }} }}
topics:
  rows: {{ producers: [rows.out], consumers: [score.in], key: k, partitions: 2 }}
  predictions: {{ producers: [score.out], consumers: [out.in], partitions: 1 }}
  model-updates: {{ consumers: [score.updates], compacted: true, external: true }}
"""


class Folder:
    """An application's folder, its worker, and what is typed there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.n = 0
        self.worker: asyncio.subprocess.Process | None = None

    async def streamlets(self, *arguments: str, **environment: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "streamlets", *arguments),
            cwd=self.path,
            env={**os.environ, **environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode or 0, output.decode()

    async def start(self) -> None:
        with (self.path / "run.txt").open("ab") as said:
            self.worker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "streamlets", "run", "app.yaml"),
                cwd=self.path,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=said,
            )

    async def kill(self) -> None:
        if self.worker is not None and self.worker.returncode is None:
            self.worker.kill()
            await self.worker.wait()

    async def feed(self, n: int) -> None:
        """Append rows and return when they have been scored."""
        with (self.path / "rows.jsonl").open("a") as file:
            for i in range(self.n, self.n + n):
                file.write(json.dumps({"k": f"k{i % 5}", "n": i, "a": float(i), "b": 1.0}) + "\n")
        self.n += n
        await self.until(lambda: len(self.scored()) == self.n)

    def scored(self) -> list[dict[str, Any]]:
        file = self.path / "out.jsonl"
        found = (
            [orjson.loads(line)["data"] for line in file.read_bytes().splitlines()] if file.exists() else []
        )
        return sorted(found, key=lambda data: data["input"]["n"])

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                assert self.worker is None or self.worker.returncode is None, (
                    self.path / "run.txt"
                ).read_text()
                await asyncio.sleep(0.05)


@pytest.mark.slow
def test_a_model_is_deployed_rejected_rolled_back_and_listed_while_the_application_runs(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        folder = Folder(tmp_path)
        (tmp_path / "rows.jsonl").touch()
        async with stub_server(Stub("1")) as first, stub_server(Stub("2", bias=100.0)) as second:
            (tmp_path / "app.yaml").write_text(BLUEPRINT.format(url=first))
            code, text = await folder.streamlets("models", "list", "app.yaml")
            assert code == 1
            assert "run `streamlets run app.yaml` first" in text
            await folder.start()
            try:
                await folder.feed(50)
                code, text = await folder.streamlets("models", "list", "app.yaml", "--output", "json")
                assert code == 0
                assert [(r["epoch"], r["state"], r["partitions"]) for r in json.loads(text)] == [
                    (0, "serving", [0, 1])
                ]

                code, text = await folder.streamlets(
                    *("models", "deploy", "app.yaml", "--output", "json", "--result", "outcome.json"),
                    STREAMLETS_VERSION="2",
                    STREAMLETS_SERVERS=second,
                    STREAMLETS_ORIGIN="commit=4f2a",
                )
                assert code == 0, text
                assert json.loads(text)["step"] == "validated"
                assert json.loads((tmp_path / "outcome.json").read_text()) == json.loads(text)
                await folder.feed(50)
                versions = [data["model"]["version"] for data in folder.scored()]
                assert versions == ["1"] * 50 + ["2"] * 50

                away = f"http://127.0.0.1:{free_port()}"
                for server, words in (
                    ("http://10.0.0.1:80", "not on the allow list"),
                    (away, "connection refused"),
                ):
                    code, text = await folder.streamlets(
                        "models", "deploy", "app.yaml", "--version", "3", "--server", server
                    )
                    assert code == 1
                    assert "was rejected" in text
                    assert words in text

                await folder.kill()
                await folder.start()
                await folder.feed(20)
                assert {data["model"]["version"] for data in folder.scored()[100:]} == {"2"}

                code, text = await folder.streamlets("models", "rollback", "app.yaml")
                assert code == 0, text
                assert "delay@1 (epoch 4" in text
                await folder.feed(20)
                assert {data["model"]["version"] for data in folder.scored()[120:]} == {"1"}
                assert [data["prediction"]["y"] for data in folder.scored()[120:]] == [
                    i + 2.0 for i in range(120, 140)
                ]

                code, text = await folder.streamlets("models", "list", "app.yaml", "--output", "json")
                rows = [(r["epoch"], r["version"], r["state"]) for r in json.loads(text)]
                assert rows == [
                    (0, None, "blueprint"),
                    (1, "2", "superseded"),
                    (3, "3", "rejected"),
                    (4, "1", "serving"),
                ]
                code, text = await folder.streamlets("account", "app.yaml")
                assert code == 0, text
                assert "0 missing" in text
            finally:
                await folder.kill()

    asyncio.run(main())


def test_what_is_wrong_with_a_deploy_is_said_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").touch()
    (tmp_path / "app.yaml").write_text(BLUEPRINT.format(url="http://127.0.0.1:1"))
    deploy = ("models", "deploy", "app.yaml", "--version", "2", "--server", "http://127.0.0.1:2")
    for arguments, expected, words in (
        (("models", "deploy", "app.yaml"), 64, "--version"),
        ((*deploy, "--timeout", "5"), 64, "needs its unit"),
        ((*deploy, "--origin", "x"), 64, "NAME=VALUE"),
        ((*deploy, "--streamlet", "nobody"), 64, "there is no streamlet 'nobody'"),
        (deploy, 1, "there is no log"),
    ):
        code = run(arguments)
        said = capsys.readouterr()
        assert (code, words in said.err) == (expected, True), said.err
