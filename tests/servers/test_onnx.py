"""The embedded ONNX protocol passes the suite, and says what is wrong with a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from streamlets.errors import Fatal
from streamlets.inference import ServerSpec
from streamlets.servers.onnx import OnnxServer
from streamlets.suites.model_server import ModelServerSuite, Served
from tests.onnx_files import DOUBLE, linear


class TestOnnx(ModelServerSuite):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def serving(self) -> AbstractAsyncContextManager[Served]:
        @asynccontextmanager
        async def serve() -> AsyncIterator[Served]:
            yield Served(
                protocol="onnx",
                spec=ServerSpec(
                    url=str(linear(self.folder / "m.onnx", [1.0, 2.0], version="7", kind=DOUBLE))
                ),
                absent=ServerSpec(url=str(self.folder / "nothing.onnx")),
                model="delay",
                datatype="FP64",
                version="7",
                knows_names=False,
            )

        return serve()


def test_a_file_that_is_no_model_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")

    async def main(name: str) -> str:
        server = OnnxServer(ServerSpec(url=str(tmp_path / name)))
        with pytest.raises(Fatal) as caught:
            await server.metadata("m", None)
        await server.close()
        return caught.value.code

    assert asyncio.run(main("bad.onnx")) == "bad-model"
    assert asyncio.run(main("missing.onnx")) == "missing-file"


def test_a_file_takes_no_options_of_remote_servers() -> None:
    with pytest.raises(Fatal):
        OnnxServer(ServerSpec(url="m.onnx", headers={"a": "b"}))
