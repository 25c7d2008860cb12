"""A development model server: ONNX models behind the Open Inference Protocol (V2) over REST, as an ASGI application.

For a first run, the demo and tests. It says what it refuses and why, loads before it is ready, and has no
authentication: it belongs on loopback.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from streamlets.errors import Broken, Rejected
from streamlets.inference import ModelMetadata, Tensor
from streamlets.servers.onnx_model import OnnxModel
from streamlets.servers.v2 import flat

MAX_BODY_BYTES = 64 * 1024 * 1024  # far beyond a sensible call; a bound all the same
THREADS = 2  # models compute outside the event loop, so that health answers under load


class ModelFile(msgspec.Struct, frozen=True):
    """A model to serve: its name, its file, and its version (None: what the file says, else "1")."""

    name: str
    path: Path
    version: str | None = None


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class _Output(msgspec.Struct):
    name: str


class _Call(msgspec.Struct):
    inputs: list[_Input]
    id: str | None = None
    outputs: list[_Output] = []


class ModelServerApp:
    """The application and its models. `load` first or while it serves: until then it is live but not ready."""

    def __init__(self, files: Sequence[ModelFile]) -> None:
        self.files = files
        self.is_loaded = False
        self._models: dict[str, dict[str, OnnxModel]] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="model")
        model = "/v2/models/{model}"
        version = model + "/versions/{version}"
        routes = [
            Route("/v2", self._server),
            Route("/v2/health/live", self._live),
            Route("/v2/health/ready", self._ready),
        ]
        for path in (model, version):
            routes += [
                Route(path, self._metadata),
                Route(path + "/ready", self._model_ready),
                Route(path + "/infer", self._infer, methods=["POST"]),
            ]
        self.asgi = Starlette(
            routes=routes, exception_handlers={HTTPException: _http_error, Exception: _unexpected_error}
        )

    async def load(self) -> list[OnnxModel]:
        """Return the models, loaded; of several versions of a name the last one given is its default.

        Raises: Fatal for a file that is missing or no model, or a name and version given twice.
        """
        loop = asyncio.get_running_loop()
        loaded = []
        for file in self.files:
            model = await loop.run_in_executor(self._threads, OnnxModel, file.path, file.name, file.version)
            model.version = model.version or "1"
            self._models.setdefault(file.name, {})[model.version] = model
            loaded.append(model)
        self.is_loaded = True
        return loaded

    def _find(self, request: Request) -> OnnxModel:
        name = request.path_params["model"]
        versions = self._models.get(name)
        if versions is None:
            if not self.is_loaded:
                raise HTTPException(503, "models are being loaded")
            raise HTTPException(
                404, f"there is no model {name!r}; there are {', '.join(sorted(self._models))}"
            )
        version = request.path_params.get("version")
        if version is None:
            return next(reversed(versions.values()))
        if version not in versions:
            raise HTTPException(
                404, f"model {name!r} has no version {version!r}; it has {', '.join(versions)}"
            )
        return versions[version]

    async def _server(self, request: Request) -> Response:
        return _json({"name": "streamlets model-server", "version": "1", "extensions": []})

    async def _live(self, request: Request) -> Response:
        return _json({"live": True})

    async def _ready(self, request: Request) -> Response:
        return _json({"ready": self.is_loaded}, 200 if self.is_loaded else 503)

    async def _model_ready(self, request: Request) -> Response:
        model = self._find(request)
        return _json({"name": model.name, "ready": True})

    async def _metadata(self, request: Request) -> Response:
        model = self._find(request)
        found: ModelMetadata = model.metadata
        return _json(
            {
                "name": model.name,
                "versions": list(self._models[model.name]),
                "platform": "onnxruntime_onnx",
                "inputs": [msgspec.to_builtins(t) for t in found.inputs],
                "outputs": [msgspec.to_builtins(t) for t in found.outputs],
            }
        )

    async def _infer(self, request: Request) -> Response:
        model = self._find(request)
        parts = []
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise HTTPException(413, f"the body is longer than {MAX_BODY_BYTES} bytes")
            parts.append(part)
        try:
            call = msgspec.json.decode(b"".join(parts), type=_Call)
        except msgspec.ValidationError as exc:
            raise HTTPException(422, str(exc)) from exc
        except (msgspec.DecodeError, RecursionError) as exc:
            raise HTTPException(400, "the body is no JSON") from exc
        tensors = [Tensor(t.name, t.datatype, t.shape, flat(t.data)) for t in call.inputs]
        try:
            outputs = await asyncio.get_running_loop().run_in_executor(
                self._threads, model.run, tensors, [o.name for o in call.outputs]
            )
        except Rejected as exc:
            raise HTTPException(400, exc.message) from exc
        except Broken as exc:
            raise HTTPException(500, exc.message) from exc
        return _json(
            {
                "model_name": model.name,
                "model_version": model.version,
                "id": call.id or "",
                "outputs": [msgspec.to_builtins(t) for t in outputs],
            }
        )


def _json(document: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")


async def _http_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    return _json({"error": exc.detail}, exc.status_code)


async def _unexpected_error(request: Request, exc: Exception) -> Response:
    return _json({"error": type(exc).__name__}, 500)
