"""Trying an update out before it counts: its servers are ready, its tensors fit, its golden events are answered."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from streamlets.builtin.scoring.target import Target
from streamlets.builtin.updates import Golden, Update
from streamlets.errors import Rejected, StreamletsError
from streamlets.event import Delivery
from streamlets.ports import Clock


async def try_out(target: Target, update: Update, within_s: float, clock: Clock) -> None:
    """Return when everything that the update names is as it says.

    The target is started here, and the caller's to close.
    Raises: Rejected (`not-ready`, `tensor-mismatch`, `golden-mismatch`, `digest-differs`, …).
    """
    _check_digest(target, update)
    target.start()
    await _wait_ready(target, within_s, clock)
    for i, golden in enumerate(update.golden):
        for replica in target.replicas.all:
            await _ask_golden(target, replica, golden, f"golden event {i + 1} at {replica.label}")


async def _wait_ready(target: Target, within_s: float, clock: Clock) -> None:
    deadline = asyncio.create_task(clock.sleep(within_s))
    try:
        while True:
            if target.replicas.failure is not None:
                failure = target.replicas.failure
                raise Rejected(failure.message, code=failure.code, hint=failure.hint)
            away = [replica for replica in target.replicas.all if replica.is_open]
            if not away:
                return
            if deadline.done():
                raise Rejected(f"{away[0].reason}, after {within_s:g} s", code="not-ready")
            moved = target.replicas.wait_moved()
            try:
                await asyncio.wait({moved, deadline}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                moved.cancel()
    finally:
        deadline.cancel()


async def _ask_golden(target: Target, replica: Any, golden: Golden, what: str) -> None:
    assert target.inputs is not None
    event = Delivery("golden", 0, 0, 0, None, orjson.dumps(golden.event), [])
    rows, _, _, dead = target.inputs.rows([event])
    if dead:
        raise Rejected(f"{what}: {dead[0].reason}", code="bad-update")
    try:
        answered = await target.ask(replica, rows)
    except StreamletsError as exc:
        raise Rejected(f"{what}: {exc.message}", code="golden-mismatch") from exc
    found = orjson.loads(answered.heads[0].removeprefix(b'{"prediction":') + b"}")
    if not _agrees(golden.prediction, found, golden.tolerance):
        raise Rejected(f"{what} is answered otherwise than expected", code="golden-mismatch")


def _agrees(wanted: Any, found: Any, tolerance: float) -> bool:
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return all(name in found and _agrees(value, found[name], tolerance) for name, value in wanted.items())
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(
            _agrees(w, f, tolerance) for w, f in zip(wanted, found, strict=True)
        )
    numbers = (int, float)
    if type(wanted) in numbers and type(found) in numbers:
        return math.isclose(wanted, found, rel_tol=0.0, abs_tol=tolerance)
    return bool(wanted == found)


def _check_digest(target: Target, update: Update) -> None:
    if update.digest is None:
        return
    if target.serving.protocol != "onnx":
        raise Rejected("a digest can be compared for ONNX files only", code="not-built-yet")
    for replica in target.replicas.all:
        try:
            digest = hashlib.sha256(Path(replica.spec.url).read_bytes()).hexdigest()
        except OSError as exc:
            raise Rejected(f"{replica.label}: {exc.strerror}", code="missing-file") from exc
        if update.digest != f"sha256:{digest}":
            raise Rejected(f"{replica.label} is another file than the digest says", code="digest-differs")
