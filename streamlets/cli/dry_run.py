"""`streamlets run --dry-run`: everything that start-up does, short of reading an event, and nothing of it stays.

Every streamlet is made with its options and context and is set up, on a log that is thrown away; the topics of the real
log, where there is one, are compared with the blueprint's. Model servers over the network are not called: what they
would say is what `verify --online` asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamlets.cli.application import components, log_file, open_transport
from streamlets.engine.apart import InProcess
from streamlets.engine.clock import SystemClock
from streamlets.engine.worker import Worker
from streamlets.errors import Fatal, Unavailable
from streamlets.servers.protocols import open_server
from streamlets.transports.embedded import EmbeddedTransport

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from blueprints.plan import Plan
    from streamlets.inference import InferAnswer, InferRequest, ModelMetadata, ModelServer, ServerSpec
    from streamlets.transports.transport import TopicSpec, Transport

SET_UP_S = 30.0  # for what is read from the disk: a model of a gigabyte loads in ten
_LOCAL = ("onnx",)  # protocols that read a file and call nobody


class NotCalled:
    """A model server that is not called: its address and headers have been looked at, and it is away."""

    def __init__(self, behind: ModelServer) -> None:
        self._behind = behind

    async def is_ready(self, model: str, version: str | None) -> bool:
        return False

    async def metadata(self, model: str, version: str | None) -> ModelMetadata | None:
        raise Unavailable("nothing is called in a dry run")

    async def infer(self, request: InferRequest) -> InferAnswer:
        raise Unavailable("nothing is called in a dry run")

    async def close(self) -> None:
        await self._behind.close()


def open_uncalled(protocol: str, spec: ServerSpec) -> ModelServer:
    """Return a client as start-up makes it, which calls nobody. Raises: Fatal, as start-up would."""
    server = open_server(protocol, spec)
    return server if protocol in _LOCAL else NotCalled(server)


async def rehearse(
    plan: Plan,
    transport: Transport,
    chosen: Collection[str] | None = None,
    there: Mapping[str, TopicSpec] = {},
) -> list[TopicSpec]:
    """Return the topics that there would be, everything having been made and set up once on a transport.

    `there`: the topics of the real log. Raises: Fatal, as start-up would; `topic-differs` against what is there.
    """
    import random

    await transport.ensure(list(there.values()))
    worker = Worker(
        plan,
        transport,
        components(plan),
        clock=SystemClock(),
        random=random.Random(),
        open_server=open_uncalled,
        open_apart=lambda name: InProcess(),
        only=chosen,
    )
    await worker.start()
    for running in worker.running.values():
        for table in running.tables:
            await table.catch_up()
    await asyncio.gather(*(_set_up(running.name, running.streamlet) for running in worker.running.values()))
    return sorted((await transport.topics()).values(), key=lambda spec: spec.name)


async def _set_up(name: str, streamlet: Any) -> None:
    set_up, tear_down = getattr(streamlet, "set_up", None), getattr(streamlet, "tear_down", None)
    try:
        if set_up is not None:
            async with asyncio.timeout(SET_UP_S):
                await set_up()
    except Unavailable:
        pass  # what is away at the start is waited for
    except TimeoutError:
        raise Fatal(
            f"{name} was not set up within {SET_UP_S:.0f} s",
            code="set-up-slow",
            hint="a start would wait for it, too; see what its `set_up` waits for",
        ) from None
    finally:
        if tear_down is not None:
            await tear_down()


async def dry_run(plan: Plan, on: str, chosen: Collection[str] | None) -> list[TopicSpec]:
    """Return the topics that there would be on a log. Raises: Fatal, where a start would be refused."""
    file = log_file(on, plan)
    there: Mapping[str, TopicSpec] = {}
    if file.exists():
        real = open_transport(on, plan, is_worker=False)
        await real.start()
        try:
            there = await real.topics()
        finally:
            await real.close()
    else:
        _check_place(file)
    with tempfile.TemporaryDirectory(prefix="streamlets-dry-run-") as folder:
        transport = EmbeddedTransport(Path(folder) / "log", plan.name, clock=SystemClock(), role="worker")
        await transport.start()
        try:
            return await rehearse(plan, transport, chosen, there)
        finally:
            with contextlib.suppress(OSError):
                await transport.close()


def _check_place(file: Path) -> None:
    """Look whether a log can be made. Raises: Fatal (`log-cannot-open`), as making it would."""
    folder = file.absolute().parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise Fatal(
            f"{file} cannot be made: nothing can be written in {folder}",
            code="log-cannot-open",
            hint="check folder, owner and mode, or name another by --on embedded:FILE",
        )
