"""Events: CloudEvents 1.0, binary and structured, as they lie in a topic.

Our own codec, because it is on the hot path; `to_sdk` and `from_sdk` are the bridge to the CloudEvents SDK,
which is also the second opinion in the property tests.

Source: CloudEvents 1.0.2, Kafka protocol binding 1.0.2, JSON event format 1.0.2; W3C Trace Context.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from streamlets.errors import Rejected

Headers = list[tuple[str, bytes]]

JSON = "application/json"
STRUCTURED = "application/cloudevents+json"

_ATTRIBUTES = frozenset(
    {"ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "ce_dataschema"}
)


class Record(msgspec.Struct, gc=False):
    """What is appended to a topic. A `value` of None is a tombstone; `headers` are shared, never changed."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int = 0


class Delivery(msgspec.Struct, gc=False):
    """A record with the place it was read from: topic, partition, offset."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    def header(self, name: str) -> str | None:
        """Return the text of the first header called `name`, or None; undecodable bytes count as absent."""
        for found, value in self.headers:
            if found == name:
                try:
                    return value.decode()
                except (UnicodeDecodeError, AttributeError):
                    return None
        return None


class Event(msgspec.Struct, gc=False, kw_only=True):
    """A CloudEvent 1.0. `data` is encoded as `datacontenttype` says; `key` is the record's key."""

    id: str
    source: str
    type: str
    data: bytes | None = None
    datacontenttype: str | None = None
    subject: str | None = None
    time: str | None = None
    dataschema: str | None = None
    extensions: dict[str, str] = {}
    key: bytes | None = None


def derived_id(source: str, parent_id: str, streamlet: str, port: str, index: int) -> str:
    """Return the id of an emit: equal inputs give equal ids on purpose (32 hexadecimal digits).

    Hash of the parent's source and id, the streamlet, the port and the index among its emits there.
    """
    text = f"{source}\0{parent_id}\0{streamlet}\0{port}\0{index}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def plain_id(topic: str, partition: int, offset: int) -> str:
    """Return the id of a plain record, one that is not a CloudEvent: a hash of its place."""
    return hashlib.blake2b(f"{topic}\0{partition}\0{offset}".encode(), digest_size=16).hexdigest()


def window_id(streamlet: str, port: str, partition: int, key: str, first: str, last: str) -> str:
    """Return the id of what a window emits: a hash of streamlet, port, partition, key, first and last id."""
    text = f"{streamlet}\0{port}\0{partition}\0{key}\0{first}\0{last}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def fingerprint(event_id: str) -> int:
    """Return the id as a number below 2**128, for the account's sums: our own ids as they are, others hashed."""
    if len(event_id) == 32:
        try:
            return int(event_id, 16)
        except ValueError:
            pass
    return int.from_bytes(hashlib.blake2b(event_id.encode(), digest_size=16).digest(), "big")


def fingerprints(event_ids: Iterable[str]) -> int:
    """Return the sum modulo 2**128 of the ids' fingerprints."""
    return sum(map(fingerprint, event_ids)) % (1 << 128)


def is_structured(delivery: Delivery) -> bool:
    """Return whether the record is a structured CloudEvent: its content type alone decides, in any case."""
    content_type = delivery.header("content-type")
    return content_type is not None and content_type[:23].lower() == "application/cloudevents"


def identity(delivery: Delivery) -> tuple[str, str]:
    """Return (source, id) of the event, reading no more than it must. A plain record's come from its place.

    Raises: Rejected when a structured event cannot be read.
    """
    source = event_id = None
    for name, value in delivery.headers:
        if name == "ce_id":
            event_id = value
        elif name == "ce_source":
            source = value
        elif name == "content-type" and value[:23].lower() == b"application/cloudevents":
            event = decode(delivery)
            return event.source, event.id
    if source is None or event_id is None:
        return f"/{delivery.topic}", plain_id(delivery.topic, delivery.partition, delivery.offset)
    try:
        return source.decode(), event_id.decode()
    except UnicodeDecodeError as exc:
        raise Rejected("a CloudEvents header is not UTF-8", code="undecodable") from exc


def decode(delivery: Delivery) -> Event:
    """Return the CloudEvent of a delivery: binary, structured, or a plain record wrapped as one.

    Raises: Rejected (`undecodable`) when required attributes are missing or the bytes are no event.
    """
    raise NotImplementedError


def encode(event: Event) -> tuple[bytes | None, bytes | None, Headers]:
    """Return (key, value, headers) of an event in binary mode."""
    raise NotImplementedError


def encode_structured(event: Event) -> tuple[bytes | None, bytes | None, Headers]:
    """Return (key, value, headers) of an event in structured mode (JSON event format)."""
    raise NotImplementedError


def to_sdk(event: Event) -> Any:
    """Return the event as the CloudEvents SDK's object, for the edges."""
    raise NotImplementedError


def from_sdk(sdk_event: Any, key: bytes | None = None) -> Event:
    """Return our event of the CloudEvents SDK's object."""
    raise NotImplementedError
