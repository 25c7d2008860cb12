"""Events: CloudEvents 1.0, binary and structured, as they lie in a topic.

Our own codec, because it is on the hot path; `to_sdk` and `from_sdk` are the bridge to the CloudEvents SDK,
which is also the second opinion in the property tests. One file past 400 lines, because the two modes, the bridge
and the ids share the same few rules and must change together.

Source: CloudEvents 1.0.2, Kafka protocol binding 1.0.2, JSON event format 1.0.2; W3C Trace Context.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from streamlets.errors import Broken, Rejected

Headers = list[tuple[str, bytes]]

JSON = "application/json"
STRUCTURED = "application/cloudevents+json"

_PLAIN_TYPE = "dev.knative.kafka.event"  # what Knative's KafkaSource calls a record that is no CloudEvent
_FORMAT = b"application/cloudevents"
_JSON = b"application/json"
_SPECVERSION = ("ce_specversion", b"1.0")
_STRUCTURED_HEADERS: Headers = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
_NAME = re.compile(r"[a-z0-9]+")
_JSON_TYPE = re.compile(r"\s*[\w.-]+/(?:[\w.-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)
_TEXT_TYPE = re.compile(r"\s*text/[\w.+-]+\s*(?:;\s*charset=\"?utf-8\"?\s*)?", re.IGNORECASE)
_TRACE_ALPHABET = "0123456789abcdef-"
_ZERO_TRACE, _ZERO_SPAN = "0" * 32, "0" * 16
# Made once: msgspec prepares a type each time it is given one.
_RAW = msgspec.json.Decoder(msgspec.Raw)
_RAW_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_JSON_VALUE = msgspec.json.Decoder()
# What the JSON event format keeps for itself: an extension of such a name could not be written.
_RESERVED = frozenset(
    ["specversion", "id", "source", "type", "subject", "time", "dataschema", "datacontenttype", "data"]
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
        """Return the text of the last header called `name`, or None; undecodable bytes count as absent."""
        for found, value in reversed(self.headers):
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


def timestamp(unix_s: float) -> str:
    """Return Unix seconds as RFC 3339 text in UTC, to the millisecond."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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


def is_json(content_type: str | None) -> bool:
    """Return whether a content type declares JSON: `application/json`, `text/json`, anything `+json`."""
    return content_type == JSON or (
        content_type is not None and _JSON_TYPE.fullmatch(content_type) is not None
    )


def is_structured(delivery: Delivery) -> bool:
    """Return whether the record is a structured CloudEvent: its content type alone decides, in any case."""
    content_type = delivery.header("content-type")
    return content_type is not None and content_type[:23].lower() == "application/cloudevents"


def data_of(delivery: Delivery) -> bytes | None:
    """Return an event's data, reading no more than it must: whether the event is whole is not looked at.

    Raises: Rejected (`undecodable`) when a structured event cannot be read.
    """
    for name, value in reversed(delivery.headers):  # our own codec writes it last
        if name == "content-type":
            if value is not None and value != _JSON and value[:23].lower() == _FORMAT:
                return decode(delivery).data
            break
    return delivery.value


def identity(delivery: Delivery) -> tuple[str, str]:
    """Return (source, id) of the event, reading no more than it must. A plain record's come from its place.

    Raises: Rejected (`undecodable`) as `decode` does.
    """
    headers = dict(delivery.headers)
    content_type = headers.get("content-type")
    if content_type is None or content_type == _JSON or content_type[:23].lower() != _FORMAT:
        source, event_id = headers.get("ce_source"), headers.get("ce_id")
        if source and event_id:
            try:
                return source.decode(), event_id.decode()
            except UnicodeDecodeError:
                pass  # decode names the header
        elif not any(name.startswith("ce_") for name in headers):
            return f"/{delivery.topic}", plain_id(delivery.topic, delivery.partition, delivery.offset)
    event = decode(delivery)
    return event.source, event.id


def decode(delivery: Delivery) -> Event:
    """Return the CloudEvent of a delivery: binary, structured, or a plain record wrapped as one.

    Of headers with the same name the last counts, a null header counts as absent. `data` are the bytes as they lie
    in the record; they are not parsed, and neither is `time`.
    Raises: Rejected (`undecodable`) when required attributes are missing or the bytes are no event.
    """
    headers = dict(delivery.headers)
    pop = headers.pop
    content_type = pop("content-type", None)
    # Compared with the usual one first: that is four times as quick as cutting and lowering it.
    if content_type is not None and content_type != _JSON and content_type[:23].lower() == _FORMAT:
        return _decode_structured(delivery, content_type)
    event_id = pop("ce_id", None)
    source = pop("ce_source", None)
    kind = pop("ce_type", None)
    if pop("ce_specversion", None) != b"1.0" or not event_id or not source or not kind:
        return _wrap_plain(delivery)
    subject = pop("ce_subject", None)
    time = pop("ce_time", None)
    schema = pop("ce_dataschema", None)
    try:
        return Event(
            id=event_id.decode(),
            source=source.decode(),
            type=kind.decode(),
            data=delivery.value,
            datacontenttype=None if content_type is None else content_type.decode(),
            subject=None if subject is None else subject.decode(),
            time=None if time is None else time.decode(),
            dataschema=None if schema is None else schema.decode(),
            extensions={
                extension: value.decode()
                for name, value in headers.items()
                if value is not None and (extension := _extension(name)) is not None
            }
            if headers
            else {},
            key=delivery.key,
        )
    except UnicodeDecodeError as exc:
        raise _undecodable(f"header {_not_utf8(delivery)} is not UTF-8") from exc


@functools.lru_cache(4096)  # a handful of names make up a stream; bounded because names come from outside
def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


@functools.lru_cache(4096)
def _extension(header: str) -> str | None:
    if not header.startswith("ce_"):
        return None
    name = header[3:]
    if not _is_name(name) or name in _RESERVED:
        raise _undecodable(
            f"header {header[:40]!r} names no CloudEvents attribute (lower-case letters and digits)"
        )
    return name


def _undecodable(what: str) -> Rejected:
    return Rejected(f"not a CloudEvent: {what}", code="undecodable")


def _not_utf8(delivery: Delivery) -> str:
    for name, value in delivery.headers:
        try:
            (value or b"").decode()
        except UnicodeDecodeError:
            return name
    return "?"


def _wrap_plain(delivery: Delivery) -> Event:
    """Return the event of a record without CloudEvents headers; raises when it has some, but not all it needs."""
    headers = dict(delivery.headers)
    if any(name.startswith("ce_") for name in headers):
        _require({name[3:]: value for name, value in headers.items() if name.startswith("ce_")}, b"1.0")
    return Event(
        id=plain_id(delivery.topic, delivery.partition, delivery.offset),
        source=f"/{delivery.topic}",
        type=_PLAIN_TYPE,
        data=delivery.value,
        datacontenttype=delivery.header("content-type"),
        time=timestamp(delivery.timestamp_ms / 1000) if delivery.timestamp_ms > 0 else None,
        key=delivery.key,
    )


def _require(attributes: dict[str, Any], version: Any) -> None:
    missing = [name for name in ("specversion", "id", "source", "type") if not attributes.get(name)]
    if missing:
        raise _undecodable(f"{', '.join(missing)} missing")
    if attributes["specversion"] != version:
        raise _undecodable("specversion is not 1.0, the only one that is read")


def _decode_structured(delivery: Delivery, content_type: bytes) -> Event:
    media_type = content_type.split(b";")[0].strip().lower()
    if media_type not in (b"application/cloudevents+json", b"application/cloudevents"):
        if media_type.startswith(b"application/cloudevents-batch"):
            raise _undecodable("a batch, which Kafka's binding does not have; send one event a record")
        raise _undecodable("an event format other than JSON; send application/cloudevents+json")
    if delivery.value is None:
        raise _undecodable("structured, but without a value")
    try:
        delivery.value.decode()  # the parser below does not look into what it leaves raw
        raw = _RAW_MEMBERS.decode(delivery.value)
        content = raw.pop("data", None)
        attributes = {name: _JSON_VALUE.decode(value) for name, value in raw.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise _undecodable("the value is no JSON object in UTF-8") from exc
    encoded = attributes.pop("data_base64", None)
    texts = {name: _text(name, value) for name, value in attributes.items() if value is not None}
    _require(texts, "1.0")
    del texts["specversion"]
    datacontenttype = texts.pop("datacontenttype", None)
    data: bytes | None = None
    if content is not None and bytes(content) != b"null":
        if encoded is not None:
            raise _undecodable("both data and data_base64 are present")
        data = bytes(content)
        if datacontenttype is None:
            datacontenttype = JSON  # what the JSON event format says of its absence
        elif not is_json(datacontenttype) and data[:1] == b'"':
            data = str(_JSON_VALUE.decode(data)).encode()
    elif encoded is not None:
        try:
            data = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError, TypeError) as exc:
            raise _undecodable("data_base64 is not base64") from exc
    return Event(
        id=texts.pop("id"),
        source=texts.pop("source"),
        type=texts.pop("type"),
        data=data,
        datacontenttype=datacontenttype,
        subject=texts.pop("subject", None),
        time=texts.pop("time", None),
        dataschema=texts.pop("dataschema", None),
        extensions=texts,
        key=delivery.key,
    )


def _text(name: str, value: Any) -> str:
    """Return an attribute's canonical text; in JSON an extension may be a boolean or an integer too."""
    if not _is_name(name):
        raise _undecodable(f"{name[:40]!r} is no attribute's name (lower-case letters and digits)")
    if isinstance(value, str):
        return value
    if name not in _RESERVED and isinstance(value, bool | int):
        return str(value).lower()
    raise _undecodable(f"attribute {name} is not text")


def check(event: Event) -> None:
    """Return when the event may be written. For events from a user's code; ours are right by construction.

    Raises: Broken, naming the attribute.
    """
    for name in ("id", "source", "type"):
        if not getattr(event, name):
            raise Broken(f"a CloudEvent without {name}", hint=f"give the event its {name}")
    for name in event.extensions:
        if not _is_name(name) or name in _RESERVED:
            raise Broken(f"{name[:40]!r} is no extension's name", hint="use lower-case letters and digits")


def encode(event: Event) -> tuple[bytes | None, bytes | None, Headers]:
    """Return (key, value, headers) of an event in binary mode. No data gives a null value: a tombstone."""
    headers: Headers = [
        _SPECVERSION,
        ("ce_id", event.id.encode()),
        ("ce_source", event.source.encode()),
        ("ce_type", event.type.encode()),
    ]
    if event.subject is not None:
        headers.append(("ce_subject", event.subject.encode()))
    if event.time is not None:
        headers.append(("ce_time", event.time.encode()))
    if event.dataschema is not None:
        headers.append(("ce_dataschema", event.dataschema.encode()))
    for name, text in event.extensions.items():
        headers.append(("ce_" + name, text.encode()))
    if event.datacontenttype is not None:
        headers.append(("content-type", event.datacontenttype.encode()))
    return event.key, event.data, headers


def encode_structured(event: Event) -> tuple[bytes | None, bytes | None, Headers]:
    """Return (key, value, headers) of an event in structured mode (JSON event format).

    Data go in as they are where they are JSON, as a string where they are text, else in base64: nothing is lost,
    whatever the content type claims.
    """
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
    }
    for name in ("subject", "time", "dataschema", "datacontenttype"):
        if (text := getattr(event, name)) is not None:
            attributes[name] = text
    attributes.update(event.extensions)
    data = event.data
    if data is not None:
        content_type = event.datacontenttype
        if (content_type is None or is_json(content_type)) and _is_json_value(data):
            attributes["data"] = msgspec.Raw(data)
        elif content_type is not None and _TEXT_TYPE.fullmatch(content_type) and _is_utf8(data):
            attributes["data"] = data.decode()
        else:
            attributes["data_base64"] = base64.b64encode(data).decode()
    return event.key, msgspec.json.encode(attributes), list(_STRUCTURED_HEADERS)


def _is_json_value(data: bytes) -> bool:
    """Return whether the bytes are a JSON value other than null, which would read as no data."""
    try:
        return bytes(_RAW.decode(data)) != b"null" and _is_utf8(data)
    except (msgspec.DecodeError, RecursionError):
        return False


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def child_traceparent(parent: str | None, correlation_id: str, event_id: str) -> str:
    """Return the traceparent of an event: its parent's trace with this event as the span.

    Without a valid parent the trace is made of the correlation id, unsampled: equal inputs give equal traces, and
    nobody is told to keep a span that was not recorded. Source: W3C Trace Context, level 1.
    """
    span = event_id[:16]
    if len(event_id) != 32 or span.strip(_TRACE_ALPHABET[:16]) or span == _ZERO_SPAN:
        span = hashlib.blake2b(event_id.encode(), digest_size=8).hexdigest()
    if (
        parent is not None
        and len(parent) == 55
        and parent[:3] == "00-"
        and parent[35] == parent[52] == "-"
        and parent.count("-") == 3
        and not parent.strip(_TRACE_ALPHABET)
        and parent[3:35] != _ZERO_TRACE
        and parent[36:52] != _ZERO_SPAN
    ):
        return parent[:36] + span + parent[52:]
    trace = correlation_id
    if len(trace) != 32 or trace.strip(_TRACE_ALPHABET[:16]) or trace == _ZERO_TRACE:
        trace = hashlib.blake2b(correlation_id.encode(), digest_size=16).hexdigest()
    return f"00-{trace}-{span}-00"


def to_sdk(event: Event) -> Any:
    """Return the event as the CloudEvents SDK's object, for the edges: JSON data parsed, text decoded, else bytes.

    Raises: Rejected (`undecodable`) where the data are not what their content type says, or `time` is no time.
    """
    from cloudevents.core.v1.event import CloudEvent  # here, because it takes 20 ms and only edges need it

    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
    }
    for name in ("subject", "dataschema", "datacontenttype"):
        if text := getattr(event, name):
            attributes[name] = text
    attributes.update(event.extensions)
    data: Any = event.data
    try:
        if event.time is not None:
            attributes["time"] = datetime.fromisoformat(event.time)
        if data is not None and is_json(event.datacontenttype):
            data = json.loads(data, parse_constant=_no_constant)
        elif data is not None and event.datacontenttype and _TEXT_TYPE.fullmatch(event.datacontenttype):
            data = data.decode()
        sdk_event = CloudEvent(attributes, data)
    except (ValueError, RecursionError) as exc:
        raise _undecodable("its time or its data are not what they claim to be") from exc
    if event.time is None:
        del sdk_event.get_attributes()["time"]  # the SDK invents the present
    return sdk_event


def _no_constant(token: str) -> Any:
    raise ValueError(f"{token} is not JSON")


def from_sdk(sdk_event: Any, key: bytes | None = None) -> Event:
    """Return our event of the CloudEvents SDK's object. Data that are not bytes or text become JSON.

    Raises: Rejected (`undecodable`) where the data cannot be written as JSON.
    """
    attributes = {name: _canonical(value) for name, value in sdk_event.get_attributes().items()}
    content_type = attributes.pop("datacontenttype", None)
    data = sdk_event.get_data()
    if isinstance(data, bytearray | memoryview):
        data = bytes(data)
    elif isinstance(data, str) and not is_json(content_type):
        data = data.encode()
    elif data is not None and not isinstance(data, bytes):
        try:
            data = msgspec.json.encode(data)
        except (TypeError, ValueError, RecursionError) as exc:
            raise _undecodable("the data cannot be written as JSON") from exc
        content_type = content_type or JSON
    attributes.pop("specversion", None)
    return Event(
        id=attributes.pop("id"),
        source=attributes.pop("source"),
        type=attributes.pop("type"),
        data=data,
        datacontenttype=content_type,
        subject=attributes.pop("subject", None),
        time=attributes.pop("time", None),
        dataschema=attributes.pop("dataschema", None),
        extensions={name: text for name, text in attributes.items() if text is not None},
        key=key,
    )


def _canonical(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value if value is None else str(value)
