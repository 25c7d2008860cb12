"""Keys of topics: what a topic's `key` in the blueprint makes of an event's data."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
import orjson

from blueprints.plan import TopicPlan
from streamlets.errors import Rejected
from streamlets.event import Headers

KeyOf = Callable[[bytes | None, Headers], bytes | None]
"""(data, headers) → the record's key; None where the event has none."""

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def key_of(topic: TopicPlan) -> KeyOf | None:
    """Return what computes the topic's key, or None where the producer's key is taken over.

    A plain name is a field of the data, anything else a CEL expression over its fields. Text is the key as it is,
    other values as JSON. The function raises Rejected (`no-key`) where it cannot be computed.
    """
    text = topic.key
    if text is None:
        return None
    if _FIELD.fullmatch(text):
        return _field(topic.name, text)
    from blueprints.expressions import Expression

    expression = Expression(text)

    def by_expression(data: bytes | None, headers: Headers) -> bytes | None:
        try:
            return _encode(expression.evaluate(orjson.loads(data or b"null")))
        except Exception as exc:
            raise Rejected(
                f"the key of topic {topic.name!r}, {text!r}, cannot be computed: {type(exc).__name__}",
                code="no-key",
            ) from exc

    return by_expression


def _field(topic: str, name: str) -> KeyOf:
    # Only the one field is decoded; the rest of the data is skipped over.
    shape = msgspec.defstruct("Keyed", [("key", Any, msgspec.field(name=name))])
    decoder = msgspec.json.Decoder(shape)

    def by_field(data: bytes | None, headers: Headers) -> bytes | None:
        try:
            return _encode(decoder.decode(data or b"null").key)  # type: ignore[attr-defined]
        except msgspec.DecodeError as exc:
            raise Rejected(
                f"the key of topic {topic!r} is the field {name!r}, which the event does not have",
                code="no-key",
            ) from exc

    return by_field


def _encode(value: Any) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, str):
        return value.encode()
    return orjson.dumps(value)
