"""`streamlets model-server MODEL.onnx`: a development model server for a first run, the demo and tests."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamlets.errors import Fatal

if TYPE_CHECKING:
    from streamlets.servers.model_server import ModelFile, ModelServerApp

GRACE_S = 2.0  # for calls in flight at SIGTERM; a development server's calls take milliseconds
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command("model-server")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=9101, show_default=True, type=click.IntRange(0, 65535), help="Port; 0: a free one."
)
@click.option("--name", help="The model's name; by default its file's name without .onnx. For one MODEL.")
@click.option("--version", help="The model's version; by default what its file says, else 1. For one MODEL.")
def model_server(
    models: tuple[str, ...], host: str, port: int, name: str | None, version: str | None
) -> None:
    """Serve ONNX models by the Open Inference Protocol (V2) over REST.

    MODEL is a file, or NAME=FILE, or NAME=FILE@VERSION; of several versions of a name the last is its default.
    There is no authentication: keep it on loopback.
    """
    if (name or version) and len(models) > 1:
        raise click.UsageError("--name and --version are for one MODEL; for several write NAME=FILE@VERSION")
    try:
        files = [_file(text, name, version) for text in models]
        seen = set()
        for file in files:
            if not file.path.is_file():
                raise Fatal(f"there is no file {file.path}", code="missing-file")
            if (file.name, file.version) in seen:
                raise Fatal(f"{file.name}@{file.version} is given twice", code="bad-option")
            seen.add((file.name, file.version))
        with _listen(host, port) as listener:
            asyncio.run(_serve(files, host, listener))
    except Fatal as exc:
        raise click.ClickException(str(exc)) from exc


def _file(text: str, name: str | None, version: str | None) -> ModelFile:
    from streamlets.servers.model_server import ModelFile

    given, equals, rest = text.partition("=")
    path = rest if equals else text
    if not Path(path).is_file() and "@" in path:
        path, _, told = path.rpartition("@")
        version = version or told
    return ModelFile(name or (given if equals else Path(path).stem), Path(path), version or None)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as exc:
        raise Fatal(
            f"cannot listen on {host}:{port}: {os.strerror(exc.errno) if exc.errno and exc.errno > 0 else exc}",
            code="no-listener",
            hint="choose another --host or --port",
        ) from exc


async def _serve(files: list[ModelFile], host: str, listener: socket.socket) -> None:
    import uvicorn

    from streamlets.servers.model_server import ModelServerApp

    app = ModelServerApp(files)
    server = uvicorn.Server(
        uvicorn.Config(
            app.asgi,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=int(GRACE_S),
            server_header=False,
        )
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        # the server stops at the signal and then raises it again: nothing more is to happen, exit 0
        signal.signal(number, lambda *_: None)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await _load(app, host, listener.getsockname()[1])
    except BaseException:
        server.should_exit = True
        await serving
        raise
    await serving


async def _load(app: ModelServerApp, host: str, port: int) -> None:
    where = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    if host not in LOOPBACK:
        click.echo(f"warning: {where} has no authentication; whoever reaches it can ask the models", err=True)
    for model in await app.load():
        click.echo(f"model {model.name} version {model.version} ready at {where}")
