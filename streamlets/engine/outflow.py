"""The outflow: emits become records of the outlets' topics, with id, origin, correlation, causation and traceparent.

On the hot path: what is the same for every emit of a port is made once, a parent's attributes are read once, and the
header tuples of a parent that a child only repeats are shared, not made again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from blueprints.plan import Plan, TopicPlan
from streamlets.engine.keys import KeyOf
from streamlets.engine.tally import MODULUS, Tally
from streamlets.errors import Rejected
from streamlets.event import Delivery, Headers, Record, child_traceparent, derived_id, fingerprint, identity
from streamlets.ports import DeadLetter, Emit, Outlet
from streamlets.transports.transport import partition_for

SPECVERSION = ("ce_specversion", b"1.0")
CONTENT_JSON = ("content-type", b"application/json")
_CORE = frozenset(
    {
        "ce_id",
        "ce_source",
        "ce_specversion",
        "ce_type",
        "ce_time",
        "ce_subject",
        "ce_correlationid",
        "ce_causationid",
        "ce_traceparent",
        "ce_origin",
        "content-type",
    }
)
_MEMO = 20_000  # keys whose partition is remembered: 16 bytes and an int each, at most about 3 MiB


class KeyRejected(Rejected):
    """The key of an emit cannot be computed; `parent` is the index of the delivery it stems from, or -1."""

    parent = -1


class Route:
    """Where one outlet's emits go, and what is the same for all of them."""

    def __init__(
        self, outlet: Outlet, topic: TopicPlan, partitions: int, source: str, key_of: KeyOf | None
    ) -> None:
        self.topic = topic.log_name
        self.partitions = partitions
        self.key_of = key_of
        self.type = None if outlet.type is None else ("ce_type", outlet.type.encode())
        self.source = ("ce_source", source.encode())
        self._memo: dict[bytes, int] = {}

    def partition(self, key: bytes) -> int:
        """Return the partition of a key."""
        if self.partitions == 1:
            return 0
        found = self._memo.get(key)
        if found is None:
            if len(self._memo) >= _MEMO:
                self._memo.clear()
            found = self._memo[key] = partition_for(key, self.partitions)
        return found


class Outflow:
    """Turns outcomes into records. Holds no event back and no state: equal inputs give equal records."""

    def __init__(
        self,
        plan: Plan,
        streamlet: str,
        outlets: Sequence[Outlet],
        partitions: Mapping[str, int],
        key_of: Callable[[TopicPlan], KeyOf | None],
    ) -> None:
        """`partitions`: of the topics in the log, by their name there."""
        self._streamlet = streamlet
        self._source = f"/{plan.name}/{streamlet}"
        wired = plan.streamlets[streamlet].outlets
        self._routes: dict[str, Route] = {}
        for outlet in outlets:
            if outlet.name in wired:
                topic = plan.topics[wired[outlet.name]]
                self._routes[outlet.name] = Route(
                    outlet, topic, partitions[topic.log_name], self._source, key_of(topic)
                )
        dead = plan.dead_letters
        self._dead_topic = dead.log_name
        self._dead_partitions = partitions[dead.log_name]

    @property
    def topics(self) -> dict[str, str]:
        """The connected outlets' topics in the log, by port."""
        return {port: route.topic for port, route in self._routes.items()}

    def records(
        self,
        emits: Sequence[Emit],
        deliveries: Sequence[Delivery],
        origin: str,
        tally: Tally,
        timestamp_ms: int,
    ) -> list[Record]:
        """Return the records of `emits`, in their order, and count them in `tally`.

        `origin` is that of emits without a parent. Emits to an outlet that is not connected are left out.
        """
        records: list[Record] = []
        routes = self._routes
        parents: dict[int, _Parent] = {}
        counts: dict[str, list[int]] = {}
        for emit in emits:
            route = routes.get(emit.port)
            if route is None:
                continue
            if emit.parent >= 0:
                parent = parents.get(emit.parent)
                if parent is None:
                    parent = parents[emit.parent] = _Parent(deliveries[emit.parent])
            else:
                parent = None
            try:
                record, event_id = self._record(emit, route, parent, origin, timestamp_ms)
            except Rejected as exc:
                rejected = KeyRejected(exc.message, code=exc.code, hint=exc.hint)
                rejected.parent = emit.parent
                raise rejected from exc
            records.append(record)
            count = counts.get(emit.port)
            if count is None:
                counts[emit.port] = [1, fingerprint(event_id)]
            else:
                count[0] += 1
                count[1] += fingerprint(event_id)
        for port, (n, total) in counts.items():
            tally.emit(port, n, total % MODULUS)
        return records

    def _record(
        self, emit: Emit, route: Route, parent: _Parent | None, origin: str, timestamp_ms: int
    ) -> tuple[Record, str]:
        event_id = emit.id
        if event_id is None:
            if parent is None:
                raise AssertionError(f"{self._streamlet}.{emit.port}: an emit without a parent needs an id")
            event_id = derived_id(parent.source, parent.id, self._streamlet, emit.port, emit.index)
        source = route.source if emit.source is None else ("ce_source", emit.source.encode())
        headers: Headers = [("ce_id", event_id.encode()), source, SPECVERSION]
        key = emit.key
        if parent is not None:
            attributes = parent.attributes
            if emit.type is not None:
                headers.append(("ce_type", emit.type.encode()))
            elif route.type is not None and not emit.copies:
                headers.append(route.type)
            else:
                headers.append(("ce_type", attributes.get("ce_type", b"streamlets.event")))
            _inherit(headers, "ce_time", emit.time, attributes)
            _inherit(headers, "ce_subject", emit.subject, attributes)
            headers.append(parent.correlation)
            headers.append(parent.causation)
            headers.append(
                (
                    "ce_traceparent",
                    child_traceparent(parent.traceparent, parent.correlation_id, event_id).encode(),
                )
            )
            headers.append(parent.origin)
            if emit.copies:
                headers.append(("content-type", attributes.get("content-type", b"application/json")))
                headers.extend(item for item in parent.headers if item[0] not in _CORE)
            elif emit.datacontenttype == "application/json":
                headers.append(CONTENT_JSON)
            else:
                headers.append(("content-type", emit.datacontenttype.encode()))
            is_rekeyed = key is not None and key != parent.key
            if key is None:
                key = parent.key
        else:
            headers.append(
                ("ce_type", (emit.type or "").encode()) if emit.type else route.type or _PLAIN_TYPE
            )
            _inherit(headers, "ce_time", emit.time, {})
            _inherit(headers, "ce_subject", emit.subject, {})
            headers.append(("ce_correlationid", event_id.encode()))
            headers.append(("ce_traceparent", child_traceparent(None, event_id, event_id).encode()))
            headers.append(("ce_origin", origin.encode()))
            headers.append(
                CONTENT_JSON
                if emit.datacontenttype == "application/json"
                else ("content-type", emit.datacontenttype.encode())
            )
            is_rekeyed = key is not None
        if emit.extensions:
            headers.extend((f"ce_{name}", value.encode()) for name, value in emit.extensions.items())
        if route.key_of is not None:
            key = route.key_of(emit.data, headers)
            is_rekeyed = True
        if route.partitions == 1:
            partition = 0
        elif emit.partition is not None:
            partition = emit.partition % route.partitions
        elif is_rekeyed and key is not None:
            partition = route.partition(key)
        elif parent is not None:
            partition = parent.partition % route.partitions
        elif key is not None:
            partition = route.partition(key)
        else:
            # No key and no parent: spread by the id, so that a repeat goes to the same place.
            partition = fingerprint(event_id) % route.partitions
        return Record(route.topic, partition, key, emit.data, headers, timestamp_ms), event_id

    def dead_letter(self, delivery: Delivery, letter: DeadLetter, now: str, timestamp_ms: int) -> Record:
        """Return the dead letter of a delivery: its key, bytes and headers as they were, the reason beside them."""
        place = [
            ("deadletter-topic", delivery.topic.encode()),
            ("deadletter-partition", str(delivery.partition).encode()),
            ("deadletter-offset", str(delivery.offset).encode()),
        ]
        headers = [h for h in delivery.headers if not h[0].startswith("deadletter-")]
        headers += self._reason(letter.code, letter.reason, letter.attempts, letter.model, now) + place
        return Record(
            self._dead_topic,
            delivery.partition % self._dead_partitions,
            delivery.key,
            delivery.value,
            headers,
            timestamp_ms,
        )

    def dead_input(
        self, raw: bytes, code: str, reason: str, origin: str, now: str, timestamp_ms: int
    ) -> Record:
        """Return the dead letter of what a source could not decode; `origin` says where it was read."""
        headers = [*self._reason(code, reason, 1, None, now), ("deadletter-origin", origin.encode())]
        return Record(self._dead_topic, 0, None, raw, headers, timestamp_ms)

    def _reason(self, code: str, reason: str, attempts: int, model: str | None, now: str) -> Headers:
        headers = [
            ("deadletter-code", code.encode()),
            ("deadletter-reason", reason.encode()),
            ("deadletter-streamlet", self._streamlet.encode()),
            ("deadletter-attempts", str(attempts).encode()),
            ("deadletter-time", now.encode()),
        ]
        if model:
            headers.append(("deadletter-model", model.encode()))
        return headers


_PLAIN_TYPE = ("ce_type", b"streamlets.event")


def _inherit(headers: Headers, name: str, value: str | None, attributes: Mapping[str, bytes]) -> None:
    if value is not None:
        headers.append((name, value.encode()))
    elif name in attributes:
        headers.append((name, attributes[name]))


class _Parent:
    """What the children of one delivery share."""

    __slots__ = (
        "attributes",
        "causation",
        "correlation",
        "correlation_id",
        "headers",
        "id",
        "key",
        "origin",
        "partition",
        "source",
        "traceparent",
    )

    def __init__(self, delivery: Delivery) -> None:
        self.source, self.id = identity(delivery)
        self.headers = delivery.headers
        attributes = self.attributes = dict(delivery.headers)
        correlation = attributes.get("ce_correlationid")
        own_id = self.id.encode()
        self.correlation = ("ce_correlationid", correlation if correlation is not None else own_id)
        self.correlation_id = self.id if correlation is None else correlation.decode(errors="replace")
        self.causation = ("ce_causationid", own_id)
        trace = attributes.get("ce_traceparent")
        self.traceparent = None if trace is None else trace.decode(errors="replace")
        self.origin = ("ce_origin", f"{delivery.topic}/{delivery.partition}/{delivery.offset}".encode())
        self.partition = delivery.partition
        self.key = delivery.key if delivery.key is not None else attributes.get("ce_partitionkey")
