"""The Open Inference Protocol (V2) over REST, as KServe, MLServer and Triton speak it.

Source: Open Inference Protocol, REST; where the servers differ is in the tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec
import orjson

from streamlets.errors import Broken, Fatal, Rejected, StreamletsError, Unavailable
from streamlets.inference import InferAnswer, InferRequest, ModelMetadata, ServerSpec, Tensor, TensorSpec
from streamlets.servers.addresses import parse_url
from streamlets.servers.http import Answer, HttpClient
from streamlets.servers.statuses import decode_as, raise_for

PROBE_TIMEOUT_S = 2.0  # readiness and metadata cost a server nothing; who takes longer is not ready


class _Output(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class _Inferred(msgspec.Struct):
    outputs: list[_Output]
    model_name: str | None = None
    model_version: str | None = None


class _TensorMetadata(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]


class _Metadata(msgspec.Struct):
    name: str = ""
    versions: list[str] | None = None
    inputs: list[_TensorMetadata] | None = None
    outputs: list[_TensorMetadata] | None = None


class V2Server:
    """A model server at an HTTP address."""

    def __init__(self, spec: ServerSpec) -> None:
        """Raises: Fatal where the URL or a header cannot be used."""
        try:
            origin = parse_url(
                spec.url.rstrip("/") + ("/" + spec.path.strip("/") if spec.path.strip("/") else "")
            )
        except Rejected as exc:
            raise Fatal(f"server {spec.url!r}: {exc.message}", code="bad-option", hint=exc.hint) from exc
        self._http = HttpClient(origin, headers=spec.headers, reach=spec.reach)
        self._timeout_s = spec.timeout_s
        self._heads: dict[tuple[str, str | None], bytes] = {}
        self._served: set[tuple[str, str | None]] = set()

    async def is_ready(self, model: str, version: str | None) -> bool:
        try:
            answer = await self._get(_path(model, version) + "/ready", model)
        except (Unavailable, Broken):
            return False
        return answer.status == 200

    async def metadata(self, model: str, version: str | None) -> ModelMetadata | None:
        """Return what the server says of the model; None where it keeps its tensors to itself.

        Raises: Unavailable (`model-missing`) for a model that it does not know (yet); else as for any call.
        """
        what = self._what(model)
        answer = await self._get(_path(model, version), model)
        if answer.status in (400, 404):  # Triton answers 400 for a model that it does not know
            raise Unavailable(f"{what} is not there", code="model-missing")
        if answer.status == 501 and version is not None:
            raise Fatal(
                f"{what}: the server knows no versions", code="bad-option", hint="leave `version` out"
            )
        if answer.status != 200:
            raise_for(answer, what)
        found: _Metadata = decode_as(answer.body, _Metadata, what)
        if not found.inputs and not found.outputs:
            return None
        return ModelMetadata(
            name=found.name or model,
            versions=found.versions or [],
            inputs=[TensorSpec(t.name, t.datatype, t.shape) for t in found.inputs or ()],
            outputs=[TensorSpec(t.name, t.datatype, t.shape) for t in found.outputs or ()],
        )

    async def infer(self, request: InferRequest) -> InferAnswer:
        key = (request.model, request.version)
        head = self._heads.get(key)
        if head is None:
            head = self._heads[key] = self._http.head("POST", _path(*key) + "/infer")
        document: dict[str, Any] = {
            "id": request.id,
            "inputs": [
                {"name": t.name, "shape": t.shape, "datatype": t.datatype, "data": t.data}
                for t in request.inputs
            ],
        }
        if request.outputs:
            document["outputs"] = [{"name": name} for name in request.outputs]
        try:
            body = orjson.dumps(document)
        except orjson.JSONEncodeError as exc:
            raise Rejected("the values cannot be written as JSON", code="undecodable") from exc
        what = self._what(request.model)
        answer = await self._http.send(head, body, self._timeout_s, what)
        if answer.status != 200:
            await self._refused(answer, request)
        found: _Inferred = decode_as(answer.body, _Inferred, what)
        self._served.add(key)
        try:
            outputs = [Tensor(o.name, o.datatype, o.shape, flat(o.data)) for o in found.outputs]
        except RecursionError as exc:
            raise Broken(f"{what}: the answer is nested too deep", code="bad-answer") from exc
        return InferAnswer(
            model=found.model_name or request.model, version=found.model_version or None, outputs=outputs
        )

    async def close(self) -> None:
        await self._http.close()

    def _what(self, model: str) -> str:
        return f"model {model} at {self._http.where}"

    async def _get(self, path: str, model: str) -> Answer:
        timeout_s = min(PROBE_TIMEOUT_S, self._timeout_s)
        return await self._http.send(self._http.head("GET", path), None, timeout_s, self._what(model))

    async def _refused(self, answer: Answer, request: InferRequest) -> None:
        what = self._what(request.model)
        if answer.status in (404, 409):
            served = (request.model, request.version) in self._served
            try:
                is_missing = served or not await self.is_ready(request.model, request.version)
            except StreamletsError:
                is_missing = True
            if is_missing:
                raise Unavailable(
                    f"{what} is not there", code="model-missing", retry_after_s=answer.retry_after_s
                )
        raise_for(answer, what)


def _path(model: str, version: str | None) -> str:
    path = f"/v2/models/{quote(model, safe='')}"
    return path if version is None else f"{path}/versions/{quote(version, safe='')}"


def flat(data: list[Any]) -> list[Any]:
    """Return nested data row by row; what is flat already as it is."""
    return list(_leaves(data)) if data and isinstance(data[0], list) else data


def _leaves(data: list[Any]) -> Iterator[Any]:
    for entry in data:
        if isinstance(entry, list):
            yield from _leaves(entry)
        else:
            yield entry
