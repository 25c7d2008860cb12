"""An ONNX model embedded in the worker: `servers: [models/delay.onnx]`. No process to run, no network to fail.

The file is loaded once, in a thread; calls run in threads too, so that the event loop never waits for arithmetic.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from streamlets.errors import Fatal, StreamletsError
from streamlets.inference import InferAnswer, InferRequest, ModelMetadata, ServerSpec
from streamlets.servers.onnx_model import OnnxModel

THREADS = (
    4  # calls at once; each is one core's work, and there are rarely more cores to spare beside the engine
)


class OnnxServer:
    """A model file, spoken to like a server."""

    def __init__(self, spec: ServerSpec) -> None:
        """`spec.url` is the path of the file. Raises: Fatal where options for remote servers are given."""
        if spec.headers or spec.metadata or spec.path:
            raise Fatal(f"{spec.url}: a file takes no headers, metadata or path", code="bad-option")
        self._path = Path(spec.url)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="onnx")
        self._loading: asyncio.Future[OnnxModel] | None = None

    async def _model(self, name: str, version: str | None) -> OnnxModel:
        loading = self._loading
        if loading is None or (loading.done() and (loading.cancelled() or loading.exception() is not None)):
            loop = asyncio.get_running_loop()
            loading = loop.run_in_executor(self._threads, OnnxModel, self._path, name, version)
            self._loading = loading
        return await asyncio.shield(loading)

    async def is_ready(self, model: str, version: str | None) -> bool:
        try:
            await self._model(model, version)
        except StreamletsError:
            return False
        return True

    async def metadata(self, model: str, version: str | None) -> ModelMetadata | None:
        """Return what the file says. Raises: Fatal for a file that is not there or no model, or a missing extra."""
        return (await self._model(model, version)).metadata

    async def infer(self, request: InferRequest) -> InferAnswer:
        model = await self._model(request.model, request.version)
        loop = asyncio.get_running_loop()
        outputs = await loop.run_in_executor(self._threads, model.run, request.inputs, request.outputs)
        return InferAnswer(model=request.model, version=model.version, outputs=outputs)

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
