"""Simulated model servers: right, slow, sick, lying, away, cold, or reloading, and never told apart by the address.

The model is y = 2·a + b + 1000·version, so that an answer names the version that made it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from streamlets.errors import Broken, Rejected, Unavailable
from streamlets.inference import InferAnswer, InferRequest, ModelMetadata, ServerSpec, Tensor, TensorSpec
from tests.simulation.storm import Life, Storm

POISON = -1.0  # as the first column: refused with every neighbour in the call
BREAKING = -2.0  # breaks the call it is in
MODES = ["away", "sick", "slow", "short", "nan", "strings", "cold", "missing"]


def answer(row: Sequence[float], version: int) -> float:
    """Return what the model says of one row."""
    return 2 * row[0] + row[1] + 1000 * version


class SimulatedServer:
    """One model server, on the far side of the network: it does not crash with its callers."""

    def __init__(self, storm: Storm, url: str, version: int, columns: int = 2) -> None:
        self.url = url
        self.version = version
        self.columns = columns
        self.mode = "fine"
        self.calls = 0
        self._storm = storm

    def turn(self, mode: str) -> None:
        """Change what the server does from now on."""
        self.mode = mode
        if mode != "fine":
            self._storm.fire(f"server-{mode}", self.url)

    async def infer(self, request: InferRequest) -> InferAnswer:
        """Answer, or fail as the mode has it."""
        self.calls += 1
        mode = self.mode
        if mode == "away":
            raise Unavailable(f"{self.url}: connection refused")
        if mode == "cold":
            raise Unavailable(f"{self.url}: 503", retry_after_s=1.0)
        if mode == "missing":
            raise Unavailable(f"{self.url}: 404", code="model-missing")
        if mode == "sick":
            raise Broken(f"{self.url}: 500", code="internal")
        if mode == "slow":
            await asyncio.sleep(self._storm.random.uniform(0.5, 4.0))
        rows = self._rows(request)
        if any(row[0] == POISON for row in rows):
            raise Rejected(f"{self.url}: 400", code="bad-input")
        if any(row[0] == BREAKING for row in rows):
            raise Broken(f"{self.url}: 500", code="internal")
        values: list[Any] = [answer(row, self.version) for row in rows]
        datatype = "FP64"
        if mode == "short":
            values = values[:-1]
        elif mode == "nan":
            values[-1] = math.nan
        elif mode == "strings":
            values, datatype = [str(value) for value in values], "BYTES"
        return InferAnswer(
            model=request.model,
            version=str(self.version),
            outputs=[Tensor(name="y", datatype=datatype, shape=[len(values)], data=values)],
        )

    def _rows(self, request: InferRequest) -> list[Sequence[float]]:
        tensor = request.inputs[0]
        width = tensor.shape[1]
        if width != self.columns:
            raise Rejected(f"{self.url}: 400: {width} columns, not {self.columns}")
        return [tensor.data[at : at + width] for at in range(0, len(tensor.data), width)]

    def metadata(self, model: str) -> ModelMetadata:
        """Say what the model takes and gives."""
        return ModelMetadata(
            model,
            [str(self.version)],
            [TensorSpec("x", "FP64", [-1, self.columns])],
            [TensorSpec("y", "FP64", [-1])],
        )

    @property
    def is_ready(self) -> bool:
        return self.mode not in ("away", "cold", "missing")


class SimulatedClient:
    """A `ModelServer` in one simulated process; it dies with it."""

    def __init__(self, server: SimulatedServer, life: Life) -> None:
        self._server = server
        self._life = life

    async def is_ready(self, model: str, version: str | None) -> bool:
        await self._life.disturb("before is_ready")
        return self._server.is_ready

    async def metadata(self, model: str, version: str | None) -> ModelMetadata | None:
        await self._life.disturb("before metadata")
        if not self._server.is_ready:
            raise Unavailable(f"{self._server.url}: not ready")
        return self._server.metadata(model)

    async def infer(self, request: InferRequest) -> InferAnswer:
        await self._life.disturb("before infer")
        found = await self._server.infer(request)
        await self._life.disturb("after infer")
        storm = self._life.storm
        if not storm.is_healed and storm.random.random() < storm.lost_answers:
            storm.fire("lost-answer", self._server.url)
            raise Unavailable(f"{self._server.url}: connection reset")
        return found

    async def close(self) -> None:
        pass


class Servers:
    """The servers of a run, by address; `open` is the engine's `OpenServer` for one process.

    `asked`: the addresses that were ever opened.
    """

    def __init__(self, servers: Sequence[SimulatedServer]) -> None:
        self.by_url = {server.url: server for server in servers}
        self.asked: set[str] = set()

    def open(self, life: Life, protocol: str, spec: ServerSpec) -> SimulatedClient:
        """Return a client of the server at the spec's address; one that nobody knows is away."""
        self.asked.add(spec.url)
        server = self.by_url.get(spec.url)
        if server is None:
            server = SimulatedServer(life.storm, spec.url, 0)
            server.mode = "away"
        return SimulatedClient(server, life)
