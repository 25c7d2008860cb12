"""A serving at work: its servers, what is known of its tensors, and the calls that are made of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any

import orjson

from streamlets.builtin.scoring.batcher import Batcher
from streamlets.builtin.scoring.fit import fit
from streamlets.builtin.scoring.inputs import Inputs, Row
from streamlets.builtin.scoring.options import ScoreOptions
from streamlets.builtin.scoring.outputs import Outputs
from streamlets.builtin.scoring.replicas import Replica, Replicas
from streamlets.builtin.scoring.serving import Serving
from streamlets.errors import Fatal, Rejected, StreamletsError, Unavailable
from streamlets.inference import InferRequest, ServerSpec, Tensor
from streamlets.ports import Context
from streamlets.recovery import Failure, Recovery


class Moved(StreamletsError):
    """Nobody can be called here any more, but another serving has taken over: its `successor`."""

    code = "moved"


class Answered:
    """One call that was answered: who answered what, and the rows' predictions, already encoded."""

    __slots__ = ("extensions", "heads", "label", "rows", "tail", "tensors", "version")

    def __init__(
        self, rows: Sequence[Row], tensors: list[Tensor], heads: list[bytes], version: str | None, label: str
    ) -> None:
        self.rows = rows
        self.tensors = tensors
        self.heads = heads
        self.version = version
        self.label = label
        self.tail = b""
        self.extensions: dict[str, str] = {}


Answer = tuple[Answered, int]
"""A call and the row's place in it."""


class Target:
    """Who is asked while a serving is in force. Shared by all partitions that are scored with it."""

    def __init__(
        self,
        serving: Serving,
        specs: Sequence[ServerSpec],
        options: ScoreOptions,
        context: Context,
        blocked: str | None = None,
    ) -> None:
        """`blocked`: why nobody can ever be called.

        Raises: Fatal for servers that cannot be opened.
        """
        self.serving = serving
        self.successor: Target | None = None
        self.inputs: Inputs | None = None
        self.outputs: Outputs | None = None
        self.users = 0  # partitions that are scored with it, and batches that are in process with it
        # told why nobody can be called, and None when somebody can
        self.on_reason: Callable[[Target, str | None], None] = lambda target, reason: None
        self._options = options
        self._context = context
        self._blocked = blocked
        self._n_waiting = 0  # who cannot go on until a circuit moves
        self._versions: dict[Replica, str | None] = {}
        self._number = 0
        self.replicas = Replicas(
            [Replica(spec, context.open_server(serving.protocol, spec), label_of(spec)) for spec in specs],
            balance=options.balance,
            clock=context.clock,
            random=context.random,
            check=self._check,
            changed=self.tell,
        )
        self._recovery: Recovery[Row, Answer] = Recovery(
            attempts=options.attempts,
            clock=context.clock,
            random=context.random,
            waiting=self._recovering,
            lone_is_at_fault=False,
        )
        self._recovery_reason: str | None = None
        self.batcher: Batcher[Row, Answer | Failure] = Batcher(
            self._run,
            max_rows=options.batch.max_events,
            max_wait_s=options.batch.max_wait,
            concurrency=options.concurrency,
            clock=context.clock,
            n_paused=lambda: self._recovery.n_waiting,
        )

    def __repr__(self) -> str:
        return f"<Target {self.name} epoch {self.serving.epoch}>"

    @property
    def name(self) -> str:
        """The model with its version, where one is named."""
        serving = self.serving
        return serving.model if serving.version is None else f"{serving.model}@{serving.version}"

    @property
    def reason(self) -> str | None:
        """Why nobody can be called; None while somebody can."""
        return self._blocked or self.replicas.reason

    @property
    def was_ready(self) -> bool:
        return any(replica.was_ready for replica in self.replicas.all)

    @property
    def is_idle(self) -> bool:
        return not self.users and not self.batcher.running

    def start(self) -> None:
        """Begin to ask the servers whether they are ready."""
        self.replicas.start()
        self.tell()

    async def close(self) -> None:
        """Give up what is in flight and close the connections."""
        self.replicas.close()
        self.batcher.close()
        self.on_reason(self, None)
        await asyncio.gather(
            *(replica.server.close() for replica in self.replicas.all), return_exceptions=True
        )

    # --- readiness

    async def wait_known(self) -> Inputs:
        """Return how events become rows, once a server has said what the model takes.

        Raises: Fatal where the model does not fit the blueprint; Moved when another serving has taken over meanwhile.
        """
        while self.inputs is None:
            await self._wait_moved()
        return self.inputs

    async def wait_asked(self) -> None:
        """Return once a server has said what the model takes, or each has been asked once. Raises: as `wait_known`."""
        while self.inputs is None and not all(replica.asked for replica in self.replicas.all):
            await self._wait_moved()
        self._raise_if_over()

    async def _wait_moved(self) -> None:
        self._raise_if_over()
        self._n_waiting += 1
        self.tell()
        try:
            await self.replicas.wait_moved()
        finally:
            self._n_waiting -= 1
            self.tell()

    def _raise_if_over(self) -> None:
        if self.successor is not None and not self.replicas.is_any_closed:
            raise Moved(f"model {self.name} was replaced")
        if self.replicas.failure is not None and self.serving.epoch == 0:
            raise self.replicas.failure

    async def _check(self, replica: Replica) -> None:
        """Return when the server can be called and its model fits. Raises: Unavailable, Fatal (`tensor-mismatch`)."""
        what = f"model {self.serving.model} at {replica.label}"
        inputs, outputs, asked = await fit(
            replica.server, self.serving, self._options, what, self._context.contracts.get("in", ())
        )
        if self.inputs is None:
            self.inputs, self.outputs = inputs, outputs
            self.batcher.max_rows = inputs.max_rows or self.batcher.max_rows
        elif inputs.layout != self.inputs.layout or (self.outputs and outputs.fields != self.outputs.fields):
            raise Fatal(f"{what}: its tensors differ from those of the other servers", code="tensor-mismatch")
        self._versions[replica] = asked

    def tell(self) -> None:
        """Say why nobody can be called, if somebody misses it."""
        is_missed = self._n_waiting or self.batcher.running or not (self.was_ready or self.successor)
        self.on_reason(self, (self._recovery_reason or self.reason) if is_missed else None)

    def _recovering(self, reason: str | None) -> None:
        self._recovery_reason = reason
        if reason is not None:
            self.batcher.pump()
        self.tell()

    # --- calls

    async def submit(self, rows: Sequence[Row]) -> list[Answer | Failure]:
        """Return what became of each row. Raises: Fatal; Moved when another serving has taken over."""
        return await self.batcher.submit(rows)

    async def _run(self, rows: list[Row]) -> list[Answer | Failure]:
        return await self._recovery.run(rows, _Calls(self))

    async def take(self, *, is_repeat: bool, avoid: Replica | None) -> Replica:
        """Return a server for a call; waits while nobody can be called."""
        while True:
            replica = await self.replicas.take(is_repeat=is_repeat, avoid=avoid)
            if replica is not None:
                return replica
            await self._wait_moved()

    async def ask(self, replica: Replica, rows: Sequence[Row]) -> Answered:
        """Return one server's answer to one call, checked. Raises: as `ModelServer.infer`."""
        inputs, outputs, serving = self.inputs, self.outputs, self.serving
        assert inputs is not None
        assert outputs is not None
        self._number += 1
        answer = await replica.server.infer(
            InferRequest(
                id=f"{self._context.streamlet}-{self._number}",
                model=serving.model,
                version=self._versions.get(replica),
                inputs=inputs.tensors(rows),
                outputs=outputs.tensors,
            )
        )
        what = f"model {serving.model} at {replica.label}"
        tensors = outputs.read(answer, len(rows), what)
        heads = outputs.encode(tensors, len(rows))
        answered = Answered(rows, tensors, heads, answer.version or serving.version, replica.label)
        self._describe(answered)
        return answered

    def _describe(self, answered: Answered) -> None:
        """Put together what is the same for all predictions of a call."""
        serving = self.serving
        model: Mapping[str, Any] = {
            "name": serving.model,
            "version": answered.version,
            "server": answered.label,
            "update": serving.update,
            "strategy": None if serving.update is None else "blue-green",
            "fallback": False,
        }
        answered.tail = b'},"model":' + orjson.dumps(model)
        answered.heads = [b'{"prediction":' + head for head in answered.heads]
        answered.extensions = {"modelname": serving.model}
        if answered.version:
            answered.extensions["modelversion"] = answered.version


class _Calls:
    """The calls of one run of the recovery: each goes to a server that did not just fail it."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._is_repeat = False  # of a call that a server could not answer; telling rows apart is no storm
        self._avoid: Replica | None = None
        self.by: Replica | None = None  # whom the last call was made of

    async def __call__(self, rows: Sequence[Row]) -> list[Answer]:
        replica = await self._target.take(is_repeat=self._is_repeat, avoid=self._avoid)
        return await self._make(replica, rows)

    async def ask(self, by: Replica, rows: Sequence[Row]) -> list[Answer]:
        """Return one server's answer. Raises: Unavailable where it cannot be called now."""
        replica = await self._target.replicas.take(is_repeat=True, avoid=None, only=by)
        if replica is None:
            raise Unavailable(by.reason)
        return await self._make(replica, rows)

    async def _make(self, replica: Replica, rows: Sequence[Row]) -> list[Answer]:
        target = self._target
        self.by = replica
        clock = target._context.clock
        started_s = clock.monotonic_s()
        error: BaseException | None = None
        try:
            answered = await target.ask(replica, rows)
        except BaseException as exc:
            error = exc
            self._is_repeat = not isinstance(exc, Rejected)
            self._avoid = replica if self._is_repeat else None
            raise
        finally:
            target.replicas.put_back(replica, error, clock.monotonic_s() - started_s)
        return list(zip(repeat(answered), range(len(rows)), strict=False))


def label_of(spec: ServerSpec) -> str:
    """Return how a server is named in predictions and messages: its host and port, or its file's name."""
    from urllib.parse import urlsplit

    return urlsplit(spec.url).netloc.rpartition("@")[2] or spec.url.rpartition("/")[2]
