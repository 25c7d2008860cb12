"""The payload log: what was sent and what came back, one request and one response event for each call and slice of it.

A slice is the rows of one call that stem from one batch of one partition; a partition's batch that was scored by three
calls gives three pairs. Each row occurs once, under the call that decided it: the one that answered it, or for a row
that failed the last one that was made with it alone. Earlier attempts are a number. Both events go to the partition
number of their rows, in the release of the predictions.

CloudEvents types `org.kubeflow.serving.inference.request` and `.response`, with KServe's extensions
`inferenceservicename`, `namespace`, `component`, our `modelname` and `modelversion`, and `requestid`, the same in
both. The data are JSON bodies of the Open Inference Protocol:

    request   {"id", "inputs": [{"name", "shape", "datatype", "parameters": {"columns": [field, …]}, "data": flat}],
               "parameters": {"events": [id, …], "partition": n}}
    response  {"model_name", "model_version"?, "id", "outputs": [{"name", "shape", "datatype", "data"}],
               "parameters": {"events": [id, …], "partition": n, "server": "host:port"}}
    failure   {"model_name", "model_version"?, "id", "error": text,
               "parameters": {"events": [id], "partition": n, "code": code, "attempts": n}}

Rows are in the order of their events, `shape[0]` is their number, `data` is row-major, and row i of every tensor
belongs to `events[i]`. An id is derived from the events of its rows, their ids and offsets: a replay that groups calls
in another way gives other ids, and only what was released is visible.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import orjson

from streamlets.builtin.scoring.inputs import Inputs, Row
from streamlets.builtin.scoring.target import Answer, Answered
from streamlets.event import Delivery, identity, timestamp
from streamlets.inference import Tensor
from streamlets.ports import Batch, Emit
from streamlets.recovery import Failure

REQUEST_TYPE = "org.kubeflow.serving.inference.request"
RESPONSE_TYPE = "org.kubeflow.serving.inference.response"


class PayloadLog:
    """Makes the events of the payload log. `mode`: all, request, response."""

    def __init__(self, *, application: str, streamlet: str, model: str, mode: str) -> None:
        self._streamlet = streamlet
        self._model = model
        self._has_requests = mode in ("all", "request")
        self._has_responses = mode in ("all", "response")
        self._extensions = {"inferenceservicename": model, "namespace": application, "component": "predictor"}

    def emits(
        self,
        batch: Batch,
        inputs: Inputs,
        rows: Sequence[Row],
        indexes: Sequence[int],
        results: Sequence[Answer | Failure],
        version: str | None,
        now_s: float,
    ) -> list[Emit]:
        """Return the events of a batch's calls, in the order of their rows."""
        emits: list[Emit] = []
        ids = [_id(batch.deliveries[i]) for i in indexes]
        time = timestamp(now_s)
        for call, members in groupby(range(len(rows)), lambda at: _call(results[at], at)):
            places = list(members)
            events = [ids[at] for at in places]
            first_offset = batch.deliveries[indexes[places[0]]].offset
            request_id = self._derived(batch, first_offset, events)
            parameters: dict[str, Any] = {"events": events, "partition": batch.partition}
            extensions = {**self._extensions, "requestid": request_id, "modelname": self._model}
            served = call.version if isinstance(call, Answered) else version
            if served is not None:
                extensions["modelversion"] = served
            if self._has_requests:
                taken = rows[places[0] : places[-1] + 1]
                body: dict[str, Any] = {
                    "id": request_id,
                    "inputs": [
                        {**_tensor(tensor), "parameters": {"columns": columns}}
                        for tensor, columns in zip(inputs.tensors(taken), inputs.names, strict=True)
                    ],
                    "parameters": parameters,
                }
                emits.append(self._emit(REQUEST_TYPE, request_id, body, batch, extensions, time))
            if self._has_responses:
                body = {"model_name": self._model, "id": request_id}
                if isinstance(call, Answered):
                    first, last = results[places[0]], results[places[-1]]
                    assert not isinstance(first, Failure)
                    assert not isinstance(last, Failure)
                    body["outputs"] = [
                        _tensor(cut) for cut in _cut(call.tensors, first[1], last[1] + 1, len(call.rows))
                    ]
                    body["parameters"] = {**parameters, "server": call.label}
                else:
                    failure = results[places[0]]
                    assert isinstance(failure, Failure)
                    body["error"] = failure.error.message
                    body["parameters"] = {
                        **parameters,
                        "code": failure.error.code,
                        "attempts": failure.attempts,
                    }
                if served is not None:
                    body["model_version"] = served
                emits.append(self._emit(RESPONSE_TYPE, request_id, body, batch, extensions, time))
        return emits

    def _derived(self, batch: Batch, offset: int, events: Iterable[str]) -> str:
        text = "\0".join((self._streamlet, batch.topic, f"{batch.partition}/{offset}", *events))
        return hashlib.blake2b(text.encode(), digest_size=15).hexdigest()

    def _emit(
        self, type_: str, request_id: str, body: Any, batch: Batch, extensions: dict[str, str], time: str
    ) -> Emit:
        return Emit(
            port="payloads",
            data=orjson.dumps(body),
            id=request_id + ("01" if type_ is REQUEST_TYPE else "02"),
            type=type_,
            subject=self._model,
            time=time,
            partition=batch.partition,
            extensions=extensions,
        )


def _call(result: Answer | Failure, at: int) -> Any:
    """Return what tells calls apart: rows that failed did so alone."""
    return at if isinstance(result, Failure) else result[0]


def _cut(tensors: Sequence[Tensor], first: int, end: int, n: int) -> Iterable[Tensor]:
    """Return the rows from `first` to `end` of a call of n rows: a batch's rows are neighbours in a call."""
    for tensor in tensors:
        width = len(tensor.data) // n
        data = tensor.data if end - first == n else tensor.data[first * width : end * width]
        yield Tensor(tensor.name, tensor.datatype, [end - first, *tensor.shape[1:]], data)


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "shape": tensor.shape, "datatype": tensor.datatype, "data": tensor.data}


def _id(delivery: Delivery) -> str:
    return identity(delivery)[1]
