"""What the demo sees in the topics: predictions by version, switches, updates and alerts, read as any client would."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from blueprints.plan import Plan
from streamlets.event import Delivery
from streamlets.transports.transport import TopicPartition, Transport

READ_EVENTS = 2_000

SCORED, ALERTS, UPDATES = "predictions", "drift-alerts", "model-updates"
"""Topics of the example, in its words."""


class Switch(msgspec.Struct):
    """Where a partition began to be scored by another version."""

    topic: str
    partition: int
    offset: int
    version: str


class Seen(msgspec.Struct):
    """What was seen so far. `n_repeated` and `n_misplaced` stay 0: each flight once, in its partition's order."""

    n_scored: int = 0
    by_version: Counter[str] = msgspec.field(default_factory=Counter)
    n_repeated: int = 0
    n_misplaced: int = 0
    until: str = ""
    switches: list[Switch] = []
    steps: list[dict[str, Any]] = []
    alerts: list[dict[str, Any]] = []
    updates: list[dict[str, Any]] = []

    def newest_update(self) -> dict[str, Any] | None:
        """Return the update of the highest epoch, if there is any."""
        return max(self.updates, key=lambda update: int(update["epoch"]), default=None)


class Watch:
    """Follows the topics of the example from their beginning."""

    def __init__(self, plan: Plan, transport: Transport) -> None:
        self.seen = Seen()
        self._transport = transport
        self._names = {
            plan.topics[SCORED].log_name: self._prediction,
            plan.topics[ALERTS].log_name: self._alert,
            plan.topics[UPDATES].log_name: self._update,
            plan.status_topic: self._status,
        }
        self._next: dict[TopicPartition, int] = {}
        self._origins: dict[bytes, int] = {}

    async def look(self) -> None:
        """Take up what has been appended since the last look."""
        there = await self._transport.topics()
        for name, take in self._names.items():
            if name not in there:
                continue
            for partition, (first, end) in (await self._transport.offsets(name)).items():
                where = TopicPartition(name, partition)
                at = self._next.get(where, first)
                while at < end:
                    deliveries = await self._transport.read(where, at, READ_EVENTS, end)
                    if not deliveries:
                        break
                    for delivery in deliveries:
                        take(delivery)
                    at = deliveries[-1].offset + 1
                self._next[where] = at

    def _prediction(self, delivery: Delivery) -> None:
        seen = self.seen
        headers = dict(delivery.headers)
        seen.n_scored += 1
        seen.by_version[headers.get("ce_modelversion", b"?").decode()] += 1
        source, _, offset = headers.get("ce_origin", b"?/0").rpartition(b"/")
        before, number = self._origins.get(source, -1), int(offset)
        seen.n_repeated += number == before
        seen.n_misplaced += number < before
        self._origins[source] = max(before, number)
        seen.until = max(seen.until, headers.get("ce_time", b"").decode())

    def _status(self, delivery: Delivery) -> None:
        step = msgspec.json.decode(delivery.value or b"{}")
        self.seen.steps.append(step)
        if step.get("step") == "applied" and step.get("epoch"):
            switch = {name: step[name] for name in ("topic", "partition", "offset", "version")}
            self.seen.switches.append(msgspec.convert(switch, Switch))

    def _alert(self, delivery: Delivery) -> None:
        self.seen.alerts.append(msgspec.json.decode(delivery.value or b"{}"))

    def _update(self, delivery: Delivery) -> None:
        if delivery.value is not None:
            self.seen.updates.append(msgspec.json.decode(delivery.value))
