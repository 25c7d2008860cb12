"""Work that must not run on the event loop: a child process, or for simulated runs this one."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from streamlets.engine.apart_child import LENGTH, answer
from streamlets.errors import Broken, Unavailable

log = logging.getLogger("streamlets.engine")

TIMEOUT_S = 120.0  # far above any window; what hangs is killed, and its window tried again
NICENESS = 10  # scoring goes first where both want the processor
MEMORY_BYTES = 2 << 30  # what is allocated beyond raises MemoryError in the child, not the machine's killer
PIPE_BYTES = 1 << 20  # what an unprivileged Linux user may have; 64 KiB otherwise
CLOSE_S = 2.0  # to end by itself when asked; adds at most this to a stop
STDERR_LINES, STDERR_WIDTH = 20, 200  # of each child; a library that chatters does not fill the log

# Nothing of the parent's environment but what a Python needs to start: secrets stay where they are.
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def minimal(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a child process gets of an environment."""
    return {name: environ[name] for name in _PASSED_ON if name in environ}


class ChildProcess:
    """A child process that answers calls, one at a time; started at the first, anew after a death.

    It ends when `close` is called and when this process dies, however that happens.
    """

    def __init__(
        self,
        name: str = "",
        *,
        timeout_s: float = TIMEOUT_S,
        niceness: int = NICENESS,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        """`name`: whose child it is, for the log. `memory_bytes` 0: no limit."""
        self._name = name
        self._timeout_s = timeout_s
        self._arguments = (str(niceness), str(memory_bytes))
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._stderr: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id, or None when there is none now."""
        return None if self._process is None else self._process.pid

    async def call(self, function: str, *arguments: Any) -> Any:
        """Return what `function` (`package.module:name`) returns for the arguments, all msgpack values or bytes.

        Cancelled in the middle, the child is killed: it would answer a question that nobody asks any more.
        Raises: Unavailable (`child-died`, `child-timeout`, `child-not-started`); Broken when the function raised.
        """
        content = msgspec.msgpack.encode((function, arguments))
        async with self._turn:
            process = await self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                async with asyncio.timeout(self._timeout_s):
                    process.stdin.write(LENGTH.pack(len(content)) + content)
                    await process.stdin.drain()
                    (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
                    answered = await process.stdout.readexactly(length)
            except TimeoutError as exc:
                await self._end(process)
                raise Unavailable(
                    f"the child process took more than {self._timeout_s:g} s for {function}",
                    code="child-timeout",
                ) from exc
            except (asyncio.IncompleteReadError, ConnectionError) as exc:
                await self._end(process, grace_s=CLOSE_S)
                raise Unavailable(
                    f"the child process died ({_status(process.returncode)}) in {function}", code="child-died"
                ) from exc
            except BaseException:
                await self._end(process)
                raise
        return _unpacked(answered)

    async def close(self) -> None:
        """End the child: by closing its stdin, after two seconds by killing it."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await process.wait()
        except TimeoutError:
            log.warning("apart.killed streamlet=%s pid=%d", self._name, process.pid)
        await self._end(process)

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is not None:
            if self._process.returncode is None:
                return self._process
            await self._end(self._process)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # the working folder's modules do not hide ours
                "-m",
                "streamlets.engine.apart_child",
                *self._arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=minimal(os.environ) | _ONE_THREAD,
            )
        except OSError as exc:
            raise Unavailable(
                f"a child process could not be started: {exc.strerror}", code="child-not-started"
            ) from exc
        _widen(process)
        self._process = process
        self._stderr = asyncio.create_task(self._pass_on(process), name=f"{self._name}.stderr")
        log.info("apart.started streamlet=%s pid=%d", self._name, process.pid)
        return process

    async def _end(self, process: asyncio.subprocess.Process, grace_s: float = 0.0) -> None:
        """Make sure that the child is gone and reaped. Not to be interrupted: a second cancellation waits for it.

        `grace_s` for one that is dying by itself: to kill it in that instant would lose what it died of.
        """
        self._process = None
        try:
            if process.returncode is None and grace_s:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(grace_s):
                        await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
        await asyncio.shield(process.wait())
        if process.returncode:
            log.warning(
                "apart.ended streamlet=%s pid=%d status=%s",
                self._name,
                process.pid,
                _status(process.returncode),
            )
        if self._stderr is not None:
            await self._stderr
            self._stderr = None

    async def _pass_on(self, process: asyncio.subprocess.Process) -> None:
        """Log what the child writes to stderr: the interpreter's and libraries' own words, never an answer."""
        assert process.stderr is not None
        count = 0
        while line := await _line(process.stderr):
            count += 1
            if count <= STDERR_LINES:
                text = line.decode(errors="replace").rstrip()[:STDERR_WIDTH]
                log.warning("apart.stderr streamlet=%s pid=%d text=%s", self._name, process.pid, text)


class InProcess:
    """The same without a child: for simulated runs and blueprint tests, where time must not pass by itself."""

    async def call(self, function: str, *arguments: Any) -> Any:
        """Return what the function returns, after the same encoding as a child's. Raises: Broken."""
        return _unpacked(answer(msgspec.msgpack.encode((function, arguments))))

    async def close(self) -> None:
        """Do nothing."""


def _widen(process: asyncio.subprocess.Process) -> None:
    """Let a whole window into the pipe at once, where the system lets us: each refill is a turn of the loop."""
    if sys.platform == "linux":
        assert process.stdin is not None
        pipe = process.stdin.transport.get_extra_info("pipe")
        with contextlib.suppress(OSError, AttributeError):  # more than an unprivileged user may have
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _unpacked(answered: bytes) -> Any:
    is_good, *content = msgspec.msgpack.decode(answered)
    if is_good:
        return content[0]
    kind, text = content
    raise Broken(f"{kind}: {text}", code="exception")


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError:  # a line beyond the buffer: what it held is dropped with it
        return b"(a line too long)"


def _status(returncode: int | None) -> str:
    if returncode is None or returncode >= 0:
        return f"status {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"
