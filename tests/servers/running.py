"""Servers for tests: the development model server in this process, and scripted ones that misbehave."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import uvicorn

from streamlets.servers.model_server import ModelFile, ModelServerApp

DEADLINE_S = 20.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@asynccontextmanager
async def model_server(files: Sequence[ModelFile], port: int = 0) -> AsyncIterator[str]:
    """Enter as the URL of the development model server, loaded and listening."""
    app = ModelServerApp(files)
    await app.load()
    listener = socket.create_server(("127.0.0.1", port))
    server = uvicorn.Server(
        uvicorn.Config(app.asgi, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        server.force_exit = True
        async with asyncio.timeout(DEADLINE_S):
            await serving
        listener.close()


class Exchange:
    """One request as a scripted server sees it, and the connection to answer on."""

    def __init__(
        self, head: bytes, body: bytes, writer: asyncio.StreamWriter, number: int, on_connection: int
    ) -> None:
        self.head = head
        self.body = body
        self.writer = writer
        self.number = number
        self.on_connection = on_connection
        self.path = head.split(b" ", 2)[1].decode()

    def answer(self, status: int, body: bytes = b"", headers: str = "") -> None:
        """Write a whole answer."""
        self.writer.write(
            f"HTTP/1.1 {status} Reason\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body
        )

    def reset(self) -> None:
        self.writer.transport.abort()


Script = Callable[[Exchange], Awaitable[None]]


@asynccontextmanager
async def scripted(script: Script, port: int = 0) -> AsyncIterator[str]:
    """Enter as the URL of a server that does for each request what the script does."""
    count = 0
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        on_connection = 0
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = 0
                for line in head.split(b"\r\n"):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.partition(b":")[2])
                body = await reader.readexactly(length)
                count += 1
                on_connection += 1
                await script(Exchange(head, body, writer, count, on_connection))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
