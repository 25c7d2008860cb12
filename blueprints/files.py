"""The bytes of a file that somebody names: at most so many, and never waited for."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

PIPE_WAIT_S = (
    5.0  # for what `verify <(…)` writes; a pipe that nobody writes to would be waited for until doomsday
)


class NotRead(ValueError):
    """A file that is not read, and why."""


class TooLarge(NotRead):
    """A file of more bytes than are read; `size` where it is known."""

    def __init__(self, size: int | None) -> None:
        super().__init__("it is too large")
        self.size = size


def read_bytes(path: Path, max_bytes: int, *, may_be_pipe: bool = False) -> bytes:
    """Return what is in a regular file, or what is written to a pipe. Raises: OSError, NotRead, ValueError (a NUL)."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(handle)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if stat.S_ISFIFO(found.st_mode) and may_be_pipe:
            return _from_pipe(handle, max_bytes)
        if not stat.S_ISREG(found.st_mode):
            raise NotRead("it is no regular file")
        if found.st_size > max_bytes:
            raise TooLarge(found.st_size)
        with os.fdopen(os.dup(handle), "rb") as file:
            raw = file.read(max_bytes + 1)
    finally:
        os.close(handle)
    if len(raw) > max_bytes:  # it grew, or it is of a file system that tells no sizes
        raise TooLarge(None)
    return raw


def _from_pipe(handle: int, max_bytes: int) -> bytes:
    import select
    import time

    parts: list[bytes] = []
    size, until = 0, time.monotonic() + PIPE_WAIT_S
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    while size <= max_bytes:
        try:
            part = os.read(handle, 1 << 16)
        except BlockingIOError:  # somebody has it open to write
            if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
                raise NotRead(f"it is a pipe, and nothing came within {PIPE_WAIT_S:.0f} s") from None
            continue
        if not part:
            if not parts:
                raise NotRead("it is a pipe that nobody writes to")
            return b"".join(parts)
        parts.append(part)
        size += len(part)
    raise TooLarge(None)
