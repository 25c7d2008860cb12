"""What runs in the child process of `apart.py`: one call at a time from stdin, its answer to stdout.

A frame is four bytes of length, big-endian, and that much msgpack. Asked: `[function, arguments]`. Answered:
`[true, value]`, or `[false, exception's type, what may be told of it]`.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import queue
import signal
import struct
import sys
import threading
from typing import Any, BinaryIO

import msgspec

LENGTH = struct.Struct(">I")


def read_frame(file: BinaryIO) -> bytes | None:
    """Return the next frame's content, or None at the end."""
    header = file.read(LENGTH.size)
    if len(header) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(header)
    content = file.read(length)
    return content if len(content) == length else None


def resolve(function: str) -> Any:
    """Return what `package.module:name` names."""
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)


def answer(frame: bytes) -> bytes:
    """Return the answer to a frame; whatever the function raises is an answer too."""
    try:
        function, arguments = msgspec.msgpack.decode(frame)
        return msgspec.msgpack.encode([True, resolve(function)(*arguments)])
    except Exception as exc:  # noqa: BLE001 - the parent decides what a failure means
        return msgspec.msgpack.encode([False, type(exc).__name__, _told(exc)])


def _told(exc: Exception) -> str:
    """Return the words of an exception of ours; of others the place, for their words may hold what was worked on."""
    if type(exc).__module__.partition(".")[0] in ("detectors", "streamlets", "blueprints"):
        return str(exc)
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "no place"


def _limit(niceness: int, memory_bytes: int) -> None:
    os.nice(niceness)
    if memory_bytes:
        import resource

        # What is allocated, not what is mapped: numpy's libraries reserve address space that they never touch.
        with contextlib.suppress(ValueError, OSError):  # not every system has it, and none lets it be raised
            resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))


def _listen(file: BinaryIO, calls: queue.SimpleQueue[bytes]) -> None:
    """Hand over what the parent asks; when it is gone, end at once, also in the middle of a call."""
    while (frame := read_frame(file)) is not None:
        calls.put(frame)
    os._exit(0)


def main() -> None:
    """Answer calls until the parent closes stdin or dies."""
    _limit(int(sys.argv[1]), int(sys.argv[2]))
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle: it drains first
    # What a library prints must not get between the frames.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, calls), daemon=True).start()
    while True:
        content = answer(calls.get())
        answers.write(LENGTH.pack(len(content)) + content)
        answers.flush()


if __name__ == "__main__":
    main()
