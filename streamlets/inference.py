"""The words of a model call, and the one narrow Protocol that every model-server protocol implements.

Rows are events in a call; a tensor is column-wise: one tensor holds the values of all rows of a call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec


class ServerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model server is and how to speak to it. `headers` and `metadata` may hold secrets: never log them.

    `path` goes before the protocol's own paths. `reach`: None for a URL that the operator wrote; for one that came in
    an event, the networks (CIDR) that it may lead to beside public addresses: the address that is connected to is
    checked against them at every new connection.
    """

    url: str
    headers: dict[str, str] = {}
    metadata: dict[str, str] = {}
    path: str = ""
    timeout_s: float = 10.0
    weight: float = 1.0
    reach: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        return f"<ServerSpec {self.url.rpartition('@')[2]}>"


class Tensor(msgspec.Struct, gc=False):
    """A named tensor of one call. `data`: a flat list, row-major; `shape[0]` is the number of rows."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any]


class TensorSpec(msgspec.Struct, frozen=True):
    """What a model says of a tensor. -1 in `shape` is any size."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(msgspec.Struct, frozen=True):
    """What a server says of a model; `versions` are those that it serves, where it names them."""

    name: str
    versions: list[str]
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]


class InferRequest(msgspec.Struct, kw_only=True):
    """One call. `id` is always sent: some servers fail without one. `version` None: the server's choice."""

    id: str
    model: str
    version: str | None = None
    inputs: list[Tensor]
    outputs: list[str] = []


class InferAnswer(msgspec.Struct, kw_only=True):
    """One answer; `version` is the one that the answer names, when it names one."""

    model: str
    version: str | None = None
    outputs: list[Tensor]


class ModelServer(Protocol):
    """One model server, spoken to in one protocol.

    Every method may be cancelled at any await; a cancelled call leaves the client usable.
    Errors are typed (`streamlets.errors`): Unavailable for an outage or a server that is not ready (with the
    server's Retry-After), Rejected where the server refuses what was sent (400, 413, 422), Broken for a 500 or an
    answer that cannot be read. A 404 is Unavailable (`model-missing`) where this client has seen the model served
    or the server says that it is not ready, else Rejected; deciding that is the implementation's duty.
    """

    async def is_ready(self, model: str, version: str | None) -> bool:
        """Return whether the model can be called now. Never raises for a server that is away: that is False."""
        ...

    async def metadata(self, model: str, version: str | None) -> ModelMetadata | None:
        """Return what the server says of the model, or None where the protocol has no metadata."""
        ...

    async def infer(self, request: InferRequest) -> InferAnswer:
        """Return the answer, its tensors decoded but not yet compared with the request's rows."""
        ...

    async def close(self) -> None:
        """Close connections; calls in flight are abandoned."""
        ...


OpenServer = Callable[[str, ServerSpec], ModelServer]
"""(protocol, where) → a client. The engine gives it, so that tests and simulations can give another."""
