"""The demo's model servers: child processes that are started again when they die, and die when this process does."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from streamlets.engine.apart import minimal
from streamlets.errors import Fatal

HOST = "127.0.0.1"
MOST_DEATHS = 5  # of one server: then it is not bad luck
READY_S = 0.1  # between looks at servers that load
STOP_S = 3.0  # above the server's own grace of two seconds


class _Child:
    def __init__(self, name: str, command: list[str], log: Path) -> None:
        self.name = name
        self.n_deaths = 0
        self._command = command
        self._log = log
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as out:
            # Our end of its stdin closes when we die, however that happens. A session of its own: Ctrl-C is for us to
            # handle, and what is in flight needs the servers until it is settled.
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module, no shell
                self._command,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env=minimal(os.environ),
            )


class ModelServers:
    """Model servers on this machine, each a process of `streamlets model-server`. Their output goes to `log`."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._children: list[_Child] = []

    def start(self, model: str, version: str, file: Path, ports: Sequence[int]) -> list[str]:
        """Return the URLs of one server for each port; they are not waited for."""
        for port in ports:
            module = ["-P", "-m", "streamlets.cli.demo_servers"]  # -P: the folder we are in hides no module
            arguments = [f"{model}={file}@{version}", "--host", HOST, "--port", str(port)]
            command = [sys.executable, *module, *arguments]
            self._children.append(_Child(f"{model} version {version} on port {port}", command, self._log))
        return [url(port) for port in ports]

    def revive(self) -> list[str]:
        """Start those that have ended again and return their names. Raises: Fatal for one that keeps dying."""
        revived = []
        for child in self._children:
            if child.process.poll() is None:
                continue
            child.n_deaths += 1
            if child.n_deaths > MOST_DEATHS:
                raise Fatal(
                    f"the model server {child.name} does not stay up (exit code {child.process.returncode})",
                    code="server-died",
                    hint=f"what it said is at the end of {self._log}",
                )
            child.start()
            revived.append(child.name)
        return revived

    async def wait_ready(self, urls: Sequence[str]) -> None:
        """Return when all of these servers are ready. Raises: Fatal for one that keeps dying."""
        while True:
            self.revive()
            if all([await asyncio.to_thread(_is_ready, server) for server in urls]):
                return
            await asyncio.sleep(READY_S)

    def stop(self) -> None:
        """End all of them."""
        for child in self._children:
            if child.process.stdin is not None:
                child.process.stdin.close()
        for child in self._children:
            try:
                child.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        self._children.clear()


def url(port: int) -> str:
    """Return the address of a server on this machine."""
    return f"http://{HOST}:{port}"


def _is_ready(server: str) -> bool:
    try:
        with urllib.request.urlopen(f"{server}/v2/health/ready", timeout=1.0) as answer:  # noqa: S310 - http, ours
            return bool(answer.status == 200)
    except OSError:  # nobody listens yet, or it says 503
        return False


def free_ports(preferred: Sequence[int], patience_s: float = 0.0) -> list[int]:
    """Return as many ports as are preferred: those themselves where they are free, else others that are.

    `patience_s`: how long to wait for a preferred one in all.
    """
    until_s = time.monotonic() + patience_s
    held: list[socket.socket] = []  # kept open meanwhile, so that no port is chosen twice
    try:
        for port in preferred:
            held.append(_listen(port, until_s))
        return [listener.getsockname()[1] for listener in held]
    finally:
        for listener in held:
            listener.close()


def _listen(port: int, until_s: float) -> socket.socket:
    while True:
        try:
            return socket.create_server((HOST, port))
        except OSError:
            if time.monotonic() >= until_s:
                return socket.create_server((HOST, 0))
        time.sleep(0.05)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)  # nobody is left to answer to


def main() -> None:
    """Serve models as `streamlets model-server` does, until standard input is closed."""
    from streamlets.cli.main import run

    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(run(["model-server", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
