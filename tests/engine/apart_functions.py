"""What the tests of `apart` have called in a child process."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any


def echo(*values: Any) -> list[Any]:
    return list(values)


def fail(text: str) -> None:
    raise ValueError(text)


def unpackable() -> object:
    return object()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def chatter(lines: int) -> int:
    for number in range(lines):
        print("on stdout", number)
        print("on stderr", number, file=sys.stderr)
    return lines


def about() -> dict[str, Any]:
    return {"pid": os.getpid(), "niceness": os.nice(0), "environment": dict(os.environ), "path": sys.path}


def allocate(n_bytes: int) -> int:
    return len(bytearray(n_bytes))
