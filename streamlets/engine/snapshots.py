"""Workers' snapshots: what each worker does, written to the compacted topic `<application>.workers`.

Whoever wants to know the state of an application reads them here: a snapshot carries its time, so that its age can be
shown, and the last one of a worker that ended says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from streamlets.engine.source import SourceStage
from streamlets.engine.stage import Stage
from streamlets.event import Record
from streamlets.ports import Clock
from streamlets.transports.transport import TopicPartition, Transport

PERIOD_S = 2.0
STALE_S = 10.0  # older than five periods: the worker is gone or stuck


class Snapshots:
    """Writes one worker's snapshots."""

    def __init__(
        self, transport: Transport, topic: str, worker: str, revision: str, pid: int, clock: Clock
    ) -> None:
        self._transport = transport
        self._topic = topic
        self._worker = worker
        self._revision = revision
        self._pid = pid
        self._clock = clock
        self._started_s = clock.now_s()
        self._last: bytes | None = None

    async def write(
        self, stages: Mapping[str, Stage | SourceStage], state: str, *, only_change: bool
    ) -> None:
        """Append what the worker does now; `only_change`: nothing when it is what was written last."""
        body = {
            "worker": self._worker,
            "pid": self._pid,
            "revision": self._revision,
            "state": state,
            "started": self._started_s,
            "stages": {name: describe(stage) for name, stage in stages.items()},
        }
        encoded = orjson.dumps(body)
        if only_change and encoded == self._last:
            return
        self._last = encoded
        body["at"] = self._clock.now_s()
        record = Record(
            self._topic, 0, self._worker.encode(), orjson.dumps(body), [], int(self._clock.now_s() * 1000)
        )
        await self._transport.append([record])


def describe(stage: Stage | SourceStage) -> dict[str, Any]:
    """Return what a stage says of itself, as JSON values."""
    gauges = stage.gauges
    described: dict[str, Any] = {
        "partitions": gauges.partitions,
        "released": gauges.n_released,
        "rate": round(gauges.rate(), 1),
        "waiting_on": gauges.waiting_on,
        "failure": gauges.failure,
        "aborted": gauges.aborted,
        "rewinds": gauges.rewinds,
        "skipped": gauges.skipped,
        "values": dict(gauges.values),
    }
    if isinstance(stage, Stage):
        described["in_process"] = stage.n_open
        described["held"] = stage.n_held
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            latency_s = gauges.latency_s(share)
            described[f"latency_{name}_s"] = None if latency_s is None else round(latency_s, 4)
    else:
        described["progress"] = gauges.progress
        described["ended"] = stage.is_ended
    return described


async def read(transport: Transport, topic: str) -> list[dict[str, Any]]:
    """Return the last snapshot of each worker, the newest first."""
    found: dict[bytes, dict[str, Any]] = {}
    offsets = await transport.offsets(topic)
    first, end = offsets.get(0, (0, 0))
    while first < end:
        deliveries = await transport.read(TopicPartition(topic, 0), first, 1_000, end)
        if not deliveries:
            break
        for delivery in deliveries:
            if delivery.key is not None and delivery.value is not None:
                found[delivery.key] = orjson.loads(delivery.value)
        first = deliveries[-1].offset + 1
    return sorted(found.values(), key=lambda snapshot: -float(snapshot["at"]))
