"""The seam between JSON, which events are inside an application, and what a topic's events are in the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from blueprints.plan import ContractPlan, Plan, TopicPlan
from streamlets.contracts import decode_json
from streamlets.errors import Broken, Rejected
from streamlets.event import Delivery, Headers, is_json, is_structured
from streamlets.event import decode as decode_event
from streamlets.event import encode as encode_event

_WIDEST = 120  # of a path in a message, in characters: names of unknown fields come from outside


class Misfit(Exception):
    """Data do not fit their schema. `path` leads to the place, the reason names no value."""

    def __init__(self, reason: str, *path: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = list(path)

    def __str__(self) -> str:
        path = ".".join(self.path)[:_WIDEST]
        return f"{path}: {self.reason}" if path else self.reason


class Format(Protocol):
    """A format with the schema of one contract. To decode is to check: what comes out keeps the contract."""

    @property
    def content_type(self) -> str:
        """The `datacontenttype` of events in this format."""
        ...

    def decode(self, data: bytes) -> bytes:
        """Return the JSON of an event's data. Raises: Misfit."""
        ...

    def encode(self, value: object) -> bytes:
        """Return the data of a JSON value. Raises: Misfit."""
        ...


class Transcoded(Delivery, gc=False):
    """A delivery whose data are JSON now. A dead letter has the `original`, a copy the bytes of the `data`."""

    original: Delivery
    data: bytes
    channel: Channel


class Channel:
    """A topic's way in and out of its format: deliveries become JSON, emits become the format's bytes."""

    def __init__(self, name: str, made: Format) -> None:
        """`name`: the contract's."""
        self._name = name
        self._format = made
        self.content = ("content-type", made.content_type.encode())

    def __repr__(self) -> str:
        return f"<Channel {self._name} {self._format.content_type}>"

    def read(self, delivery: Delivery) -> Transcoded:
        """Return the delivery with its data as JSON, in binary mode. Raises: Rejected."""
        data, headers = delivery.value, delivery.headers
        content_type = delivery.header("content-type")
        if is_structured(delivery):
            event = decode_event(delivery)
            _, data, headers = encode_event(event)
            content_type = event.datacontenttype
        if data is None:
            raise self._rejected("no data (a tombstone)")
        if is_json(content_type):
            raise self._rejected(f"it says that its data are {content_type}, not {self._format.content_type}")
        try:
            decoded = self._format.decode(data)
        except Misfit as exc:
            raise self._rejected(f"{exc}{_framed(data)}") from exc
        return Transcoded(
            delivery.topic,
            delivery.partition,
            delivery.offset,
            delivery.timestamp_ms,
            delivery.key,
            decoded,
            _as_json(headers),
            delivery,
            data,
            self,
        )

    def write(self, data: bytes | None) -> bytes | None:
        """Return an emit's JSON data in the format; no data stay none. Raises: Broken (`against-contract`)."""
        if data is None:
            return None
        try:
            return self._format.encode(decode_json(data, self._name))
        except Misfit as exc:
            raise Broken(f"against contract {self._name}: {exc}", code="against-contract") from exc
        except Rejected as exc:
            raise Broken(exc.message, code=exc.code) from exc

    def _rejected(self, why: str) -> Rejected:
        return Rejected(f"against contract {self._name}: {why}", code="against-contract")


class Channels:
    """The channels of a plan's topics, each contract prepared once."""

    def __init__(self, plan: Plan) -> None:
        self._by_log_name: Mapping[str, TopicPlan] = {t.log_name: t for t in plan.topics.values()}
        self._made: dict[str, Channel] = {}

    def of(self, topic: TopicPlan) -> Channel | None:
        """Return the channel of a topic; None where its events are JSON in the log."""
        contract = topic.contract
        if topic.format == "json" or contract is None:
            return None
        if contract.name not in self._made:
            self._made[contract.name] = Channel(contract.name, _format(contract))
        return self._made[contract.name]

    def named(self, log_name: str | None) -> Channel | None:
        """Return the channel of a topic by its name in the log; None where it is JSON, or not of the plan."""
        topic = self._by_log_name.get(log_name or "")
        return self.of(topic) if topic is not None else None

    def shown(self, delivery: Delivery, log_name: str | None = None) -> Delivery:
        """Return a delivery for people to read: as JSON where that can be. `log_name`: where it was written first."""
        channel = self.named(log_name or delivery.topic)
        if channel is None or delivery.value is None:
            return delivery
        try:
            return channel.read(delivery)
        except Rejected:
            return delivery  # what cannot be decoded is shown as it is


_JSON_CONTENT = ("content-type", b"application/json")


def _as_json(headers: Headers) -> Headers:
    """Return the headers of the same event with JSON data, in their order: ours are known by it."""
    found = [_JSON_CONTENT if header[0] == "content-type" else header for header in headers]
    return found if _JSON_CONTENT in found else [*found, _JSON_CONTENT]


def _format(contract: ContractPlan) -> Format:
    # Each is loaded where a contract needs it: Protobuf brings a library.
    if contract.kind == "avro":
        from streamlets.formats.avro import AvroFormat

        return AvroFormat(contract.definition)
    from streamlets.formats.protobuf import ProtobufFormat

    return ProtobufFormat(contract.definition, contract.message)


def _framed(data: bytes) -> str:
    """Return a hint where data begin as the schema registry frames them: a zero byte, then a number of four."""
    return "; it may have a schema registry's framing, which is not read" if data[:2] == b"\0\0" else ""
