"""A V2 server for tests that can be told what to do: y = a + 2·b, and whatever misfortune is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import orjson

from tests.servers.running import Exchange, scripted

Fault = Callable[[Exchange, list[list[float]]], Awaitable[bool]]
"""Given a call and its rows; returns whether it has dealt with it."""


class Stub:
    """What the server is like, and what it has seen."""

    def __init__(self, version: str = "1", bias: float = 0.0) -> None:
        self.version = version
        self.bias = bias
        self.columns = 2
        self.outputs = ["y"]
        self.is_ready = True
        self.fault: Fault | None = None
        self.calls: list[int] = []  # rows of each call
        self.versions: list[str] | None = None
        self.delay_s = 0.0

    async def script(self, exchange: Exchange) -> None:
        if not exchange.path.endswith("/infer"):
            if exchange.path.endswith("/ready"):
                exchange.answer(200 if self.is_ready else 503)
            else:
                exchange.answer(200, self._metadata())
            return
        body = orjson.loads(exchange.body)
        flat = body["inputs"][0]["data"]
        rows = [flat[i : i + 2] for i in range(0, len(flat), 2)]
        self.calls.append(len(rows))
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.fault is None or not await self.fault(exchange, rows):
            exchange.answer(200, self.answer(rows))

    def answer(self, rows: list[list[float]], **changes: object) -> bytes:
        values = [a + 2 * b + self.bias for a, b in rows]
        output = {"datatype": "FP32", "shape": [len(values), 1], "data": values, **changes}
        outputs = [{"name": name, **output} for name in self.outputs]
        return orjson.dumps({"model_name": "delay", "model_version": self.version, "outputs": outputs})

    def _metadata(self) -> bytes:
        return orjson.dumps(
            {
                "name": "delay",
                "versions": self.versions or [self.version],
                "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, self.columns]}],
                "outputs": [{"name": name, "datatype": "FP32", "shape": [-1, 1]} for name in self.outputs],
            }
        )


@asynccontextmanager
async def stub_server(stub: Stub, port: int = 0) -> AsyncIterator[str]:
    """Enter as the server's URL."""
    async with scripted(stub.script, port) as url:
        yield url
