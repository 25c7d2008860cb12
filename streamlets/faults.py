"""Fault points: named places where a test can kill, stop or fail the process. Off unless STREAMLETS_FAULT is set.

`STREAMLETS_FAULT=release.committed:kill:3` sends SIGKILL at the third passing of the point `release.committed`;
several, separated by commas. Actions: `kill`, `stop` (SIGSTOP), `error` (raises OSError).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

VARIABLE = "STREAMLETS_FAULT"


def _parse(text: str) -> dict[str, tuple[str, int]]:
    armed = {}
    for part in filter(None, text.split(",")):
        name, action, *rest = part.split(":")
        if action not in ("kill", "stop", "error"):
            raise ValueError(f"{VARIABLE}: unknown action {action!r} in {part!r}; use kill, stop or error")
        armed[name] = (action, int(rest[0]) if rest else 1)
    return armed


_armed: dict[str, tuple[str, int]] = _parse(os.environ.get(VARIABLE, ""))
_passed: dict[str, int] = {}

hook: Callable[[str], None] | None = None
"""Called at every point when set: how the simulator injects crashes without a process to kill."""


def point(name: str) -> None:
    """Do nothing, unless a fault is armed for this point or the simulator listens."""
    if hook is not None:
        hook(name)
    if not _armed or name not in _armed:
        return
    action, at = _armed[name]
    _passed[name] = _passed.get(name, 0) + 1
    if _passed[name] != at:
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        raise OSError(f"injected at {name}")
