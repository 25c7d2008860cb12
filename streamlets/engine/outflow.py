"""The outflow: emits become records of the outlets' topics, with id, origin, correlation, causation and traceparent.

On the hot path: what is the same for every emit of a port is made once, a parent's attributes are read once, and the
header tuples of a parent that a child only repeats are shared, not made again. Just past 400 lines, because
these caches are of use only beside each other.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence

from blueprints.plan import Plan, TopicPlan
from blueprints.veil import Veil
from streamlets.engine.keys import KeyOf
from streamlets.engine.tally import MODULUS, Tally
from streamlets.engine.wiring import outlet_topics
from streamlets.errors import Broken, Rejected
from streamlets.event import (
    Delivery,
    Headers,
    Record,
    child_traceparent,
    decode,
    derived_id,
    encode,
    fingerprint,
    identity,
    plain_id,
)
from streamlets.formats.format import Channel, Transcoded
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


class EmitRejected(Rejected):
    """An emit has no key, or does not fit its topic's schema. `parent`: the index of its delivery, or -1."""

    parent = -1
    port = ""


class Route:
    """Where one outlet's emits go, and what is the same for all of them."""

    def __init__(
        self,
        outlet: Outlet,
        topic: TopicPlan,
        partitions: int,
        source: str,
        key_of: KeyOf | None,
        channel: Channel | None,
    ) -> None:
        self.topic = topic.log_name
        self.partitions = partitions
        self.key_of = key_of
        self.channel = channel
        self.content = None if channel is None else channel.content
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
        channel_of: Callable[[TopicPlan], Channel | None],
    ) -> None:
        """`partitions`: of the topics in the log, by their name there."""
        self._streamlet = streamlet
        self._source = f"/{plan.name}/{streamlet}"
        self._routes: dict[str, Route] = {}
        topics = outlet_topics(plan, streamlet, outlets)
        for outlet in outlets:
            if (topic := topics.get(outlet.name)) is not None:
                self._routes[outlet.name] = Route(
                    outlet,
                    topic,
                    partitions[topic.log_name],
                    self._source,
                    key_of(topic),
                    channel_of(topic),
                )
        self.veil = Veil(plan.secrets)
        """Keeps secrets out of reasons: what a user's code or a server says may hold one."""
        dead = plan.dead_letters
        self._dead_topic = dead.log_name
        self._dead_partitions = partitions[dead.log_name]

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
        Raises: EmitRejected for an emit whose key cannot be computed, or that does not fit its topic's schema.
        """
        records: list[Record] = []
        routes = self._routes
        lineages: dict[int, Lineage] = {}
        counts: dict[str, list[int]] = {}
        for emit in emits:
            port = emit.port
            route = routes.get(port)
            if route is None:
                continue
            parent = emit.parent
            if parent < 0:
                lineage = None
            elif (lineage := lineages.get(parent)) is None:
                lineage = lineages[parent] = Lineage(deliveries[parent])
            event_id = emit.id
            if event_id is None:
                if lineage is None:
                    raise AssertionError(f"{self._streamlet}.{port}: an emit without a parent needs an id")
                event_id = derived_id(lineage.source, lineage.id, self._streamlet, port, emit.index)
            if lineage is not None:
                headers = _headers_of_child(emit, event_id, route, lineage)
            else:
                headers = _headers_of_orphan(emit, event_id, route, origin)
            if emit.extensions:
                headers.extend([(f"ce_{name}", value.encode()) for name, value in emit.extensions.items()])
            key = emit.key
            if route.key_of is not None:
                key = _key(route.key_of, emit, headers)
                is_rekeyed = True
            elif lineage is not None:
                is_rekeyed = key is not None and key != lineage.key
                if key is None:
                    key = lineage.key
            else:
                is_rekeyed = key is not None
            partitions = route.partitions
            if partitions == 1:
                partition = 0
            elif emit.partition is not None:
                partition = emit.partition % partitions
            elif key is not None and is_rekeyed:
                partition = route.partition(key)
            elif lineage is not None:
                partition = lineage.partition % partitions
            else:
                # No key and no parent: spread by the id, so that a repeat goes to the same place.
                partition = fingerprint(event_id) % partitions
            data = emit.data
            if route.channel is not None:
                data = _written(route.channel, emit, None if parent < 0 else deliveries[parent])
            records.append(Record(route.topic, partition, key, data, headers, timestamp_ms))
            count = counts.get(port)
            if count is None:
                counts[port] = [1, fingerprint(event_id)]
            else:
                count[0] += 1
                count[1] += fingerprint(event_id)
        for port, (n, total) in counts.items():
            tally.emit(port, n, total % MODULUS)
        return records

    def dead_letter(self, delivery: Delivery, letter: DeadLetter, now: str, timestamp_ms: int) -> Record:
        """Return the dead letter of a delivery: its key, bytes and headers as they were, the reason beside them."""
        if isinstance(delivery, Transcoded):
            delivery = delivery.original
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
            ("deadletter-reason", self.veil(reason).encode(errors="replace")),
            ("deadletter-streamlet", self._streamlet.encode()),
            ("deadletter-attempts", str(attempts).encode()),
            ("deadletter-time", now.encode()),
        ]
        if model:
            headers.append(("deadletter-model", model.encode()))
        return headers


def _headers_of_child(emit: Emit, event_id: str, route: Route, parent: Lineage) -> Headers:
    attributes = parent.attributes
    copies = emit.copies
    if route.content is not None:
        content = route.content
    elif copies:
        content = ("content-type", attributes.get("content-type", b"application/json"))
    elif emit.datacontenttype == "application/json":
        content = CONTENT_JSON
    else:
        content = ("content-type", emit.datacontenttype.encode())
    own_id = event_id.encode()
    # The id and the content type come first: `own_id` finds them there.
    headers: Headers = [
        ("ce_id", own_id),
        content,
        route.source if emit.source is None else ("ce_source", emit.source.encode()),
        SPECVERSION,
    ]
    append = headers.append
    if emit.type is not None:
        append(("ce_type", emit.type.encode()))
    elif route.type is not None and not copies:
        append(route.type)
    else:
        append(("ce_type", attributes.get("ce_type", b"streamlets.event")))
    if emit.time is not None:
        append(("ce_time", emit.time.encode()))
    elif (time := attributes.get("ce_time")) is not None:
        append(("ce_time", time))
    if emit.subject is not None:
        append(("ce_subject", emit.subject.encode()))
    elif (subject := attributes.get("ce_subject")) is not None:
        append(("ce_subject", subject))
    append(parent.correlation)
    append(parent.causation)
    append(("ce_traceparent", parent.trace + _span(own_id) + parent.trace_flags))
    append(parent.origin)
    if copies:
        headers.extend([item for item in attributes.items() if item[0] not in _CORE])
    return headers


def _headers_of_orphan(emit: Emit, event_id: str, route: Route, origin: str) -> Headers:
    headers: Headers = [
        ("ce_id", event_id.encode()),
        route.content
        if route.content is not None
        else CONTENT_JSON
        if emit.datacontenttype == "application/json"
        else ("content-type", emit.datacontenttype.encode()),
        route.source if emit.source is None else ("ce_source", emit.source.encode()),
        SPECVERSION,
        ("ce_type", emit.type.encode()) if emit.type else route.type or ("ce_type", b"streamlets.event"),
    ]
    if emit.time is not None:
        headers.append(("ce_time", emit.time.encode()))
    if emit.subject is not None:
        headers.append(("ce_subject", emit.subject.encode()))
    given = emit.extensions or ()
    if "correlationid" not in given:
        headers.append(("ce_correlationid", event_id.encode()))
    if "traceparent" not in given:
        headers.append(("ce_traceparent", child_traceparent(None, event_id, event_id).encode()))
    headers.append(("ce_origin", origin.encode()))
    return headers


def _key(key_of: KeyOf, emit: Emit, headers: Headers) -> bytes | None:
    try:
        return key_of(emit.data, headers)
    except Rejected as exc:
        raise _rejected(emit, exc) from exc


def _written(channel: Channel, emit: Emit, parent: Delivery | None) -> bytes | None:
    """Return an emit's data in the topic's format: the parent's very bytes where it only forwards them."""
    data = emit.data
    if isinstance(parent, Transcoded) and parent.channel is channel and data is parent.value:
        return parent.data
    try:
        return channel.write(data)
    except Broken as exc:
        raise _rejected(emit, exc) from exc


def _rejected(emit: Emit, exc: Rejected | Broken) -> EmitRejected:
    rejected = EmitRejected(exc.message, code=exc.code, hint=exc.hint)
    rejected.parent, rejected.port = emit.parent, emit.port
    return rejected


def _span(own_id: bytes) -> bytes:
    """Return the span of an event: the first half of an id of ours, else of the id's hash."""
    if len(own_id) == 32 and _is_hexadecimal(own_id):
        return own_id[:16]
    return hashlib.blake2b(own_id, digest_size=8).hexdigest().encode()


_is_hexadecimal = re.compile(rb"[0-9a-f]{16}(?<!0{16})[0-9a-f]{16}").fullmatch
_traceparent = re.compile(rb"(00-(?!0{32})[0-9a-f]{32}-)(?!0{16})[0-9a-f]{16}(-[0-9a-f]{2})").fullmatch


class Lineage:
    """What the children of one delivery take over from it, read once."""

    __slots__ = (
        "attributes",
        "causation",
        "correlation",
        "id",
        "key",
        "origin",
        "partition",
        "source",
        "trace",
        "trace_flags",
    )

    def __init__(self, delivery: Delivery) -> None:
        attributes = dict(delivery.headers)
        content = attributes.get("content-type")
        source, own_id = attributes.get("ce_source"), attributes.get("ce_id")
        if source and own_id and (content is None or content[:23].lower() != b"application/cloudevents"):
            self.source, self.id = source.decode(), own_id.decode()
        else:
            # Structured, or no CloudEvent at all: its attributes are read, or made, once for all its children.
            event = decode(delivery)
            self.source, self.id = event.source, event.id
            attributes = dict(encode(event)[2])
            own_id = event.id.encode()
        self.attributes = attributes
        correlation = attributes.get("ce_correlationid")
        if correlation is None:
            correlation = own_id
        self.correlation = ("ce_correlationid", correlation)
        self.causation = ("ce_causationid", own_id)
        trace = attributes.get("ce_traceparent")
        found = None if trace is None else _traceparent(trace)
        if found is not None:
            self.trace, self.trace_flags = found.group(1), found.group(2)
        elif _is_hexadecimal(correlation):
            self.trace, self.trace_flags = b"00-%b-" % correlation, b"-00"
        else:
            made = child_traceparent(None, correlation.decode(errors="replace"), self.id).encode()
            self.trace, self.trace_flags = made[:36], made[52:]
        self.origin = (
            "ce_origin",
            b"%b/%d/%d" % (delivery.topic.encode(), delivery.partition, delivery.offset),
        )
        self.partition = delivery.partition
        self.key = delivery.key if delivery.key is not None else attributes.get("ce_partitionkey")


def own_id(delivery: Delivery) -> str:
    """Return the id of a delivery's event for the account: at once where it is one of ours, else as it is decoded.

    What cannot be decoded is counted by its place.
    """
    headers = delivery.headers
    if len(headers) > 1 and headers[1] == CONTENT_JSON and headers[0][0] == "ce_id":
        return headers[0][1].decode()
    try:
        return identity(delivery)[1]
    except Rejected:
        return plain_id(delivery.topic, delivery.partition, delivery.offset)
