"""Exceptions of other people's code, typed by what to do about them. Translated once, at the edge.

A message has the exception's type and the place in the code, never its text: that may hold what the event held.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from pydantic import ValidationError

from streamlets.contracts import problems
from streamlets.errors import Broken, Fatal, Rejected, StreamletsError, Unavailable

_FOREIGN = (
    ("httpx", "TransportError", True),
    ("aiohttp", "ClientConnectionError", True),
    ("aiohttp", "ClientPayloadError", True),
    ("requests", "ConnectionError", True),
    ("requests", "Timeout", True),
    ("requests", "RequestException", False),  # an OSError to Python, but a wrong URL is no outage
)
_OUTAGES = (408, 429, 502, 503, 504)


def typed(exc: Exception, who: str, file: str, base_dir: Path) -> StreamletsError:
    """Return the error by what to do: Unavailable where the world failed, else Broken; ours stay what they are.

    `who` is the streamlet, `file` that of its code: the place named is the innermost there, else the innermost of all.
    """
    if isinstance(exc, Unavailable | Rejected | Broken | Fatal):
        return exc
    if isinstance(exc, StreamletsError):
        return Broken(f"{who}: {exc}", code=exc.code)
    said = f"{who}: {type(exc).__name__} at {_place(exc, file, base_dir)}"
    if isinstance(exc, ValidationError):
        return Broken(f"{said}: {problems(exc)}", code="exception")
    status = _status(exc)
    if status is not None:
        said = f"{said}: the answer was {status}"
    if status in _OUTAGES or (status is None and _is_outage(exc)):
        return Unavailable(said)
    return Broken(said, code="exception")


def _place(exc: Exception, file: str, base_dir: Path) -> str:
    frames = traceback.extract_tb(exc.__traceback__)
    own = [frame for frame in frames if frame.filename == file] or frames
    if not own:
        return "an unknown place"
    path, folder = Path(own[-1].filename), base_dir.resolve()
    if path.is_relative_to(folder):
        path = path.relative_to(folder)
    return f"{path}:{own[-1].lineno}"


def _is_outage(exc: Exception) -> bool:
    """Return whether what failed is the world, not the event: connections, timeouts, the system's own errors."""
    if isinstance(
        exc, FileNotFoundError | FileExistsError | IsADirectoryError | NotADirectoryError | PermissionError
    ):
        return False  # waiting for a file that an event names would hold its partition for ever
    for module, name, is_transport in _FOREIGN:
        loaded = sys.modules.get(module)  # not loaded: the exception cannot be one of its
        if loaded is not None and isinstance(exc, getattr(loaded, name, ())):
            return is_transport
    return isinstance(exc, OSError | TimeoutError)


def _status(exc: Exception) -> int | None:
    """Return the HTTP status of an answer that httpx, requests or aiohttp turned into an exception, or None."""
    if type(exc).__module__.split(".")[0] not in ("httpx", "requests", "aiohttp"):
        return None
    for status in (
        getattr(getattr(exc, "response", None), "status_code", None),
        getattr(exc, "status", None),
    ):
        if isinstance(status, int) and status > 0:
            return status
    return None
