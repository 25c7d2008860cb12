"""Keys of topics: what a topic's `key` in the blueprint makes of an event's data."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
import orjson

from blueprints.plan import TopicPlan
from streamlets.errors import Fatal, Rejected
from streamlets.event import Headers

KeyOf = Callable[[bytes | None, Headers], bytes | None]
"""(data, headers) → the record's key; None where the event has none."""

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EXACT = 1 << 53  # whole numbers up to here are the same as doubles


def key_of(topic: TopicPlan) -> KeyOf | None:
    """Return what computes the topic's key, or None where the producer's key is taken over.

    A plain name is a field of the data, anything else a CEL expression over its fields and the event's attributes.
    Text is the key as it is, other values as JSON, 3.0 as `3`; lists and objects are no keys. The function raises
    Rejected (`no-key`) where it cannot be computed.
    """
    text = topic.key
    if text is None:
        return None
    if _FIELD.fullmatch(text):
        return _field(topic.name, text)
    from blueprints.expressions import ExpressionError
    from streamlets.evaluation import Evaluation  # here, because a key mostly is a field

    try:
        evaluation = Evaluation(text, f"the key of topic {topic.name!r},", topic.schemas)
    except ExpressionError as exc:
        raise Fatal(f"the key of {topic.name!r}: {exc}", code="bad-expression", exit_code=64) from exc

    def by_expression(data: bytes | None, headers: Headers) -> bytes | None:
        try:
            value = evaluation.of(data, _attributes(headers) if evaluation.asks_for_event else None)
        except Rejected as exc:
            is_told = exc.code == "bad-expression"
            message = exc.message if is_told else f"the key of topic {topic.name!r}: {exc.message}"
            raise Rejected(message, code="no-key") from exc
        return _encode(topic.name, value)

    return by_expression


def _field(topic: str, name: str) -> KeyOf:
    # Only the one field is decoded; the rest of the data is skipped over.
    shape = msgspec.defstruct("Keyed", [("key", Any, msgspec.field(name=name))])
    decoder = msgspec.json.Decoder(shape)

    def by_field(data: bytes | None, headers: Headers) -> bytes | None:
        try:
            value = decoder.decode(data or b"null").key  # type: ignore[attr-defined]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise Rejected(
                f"the key of topic {topic!r} is the field {name!r}, which the event does not have",
                code="no-key",
            ) from exc
        return value.encode() if value.__class__ is str else _encode(topic, value)

    return by_field


def _attributes(headers: Headers) -> dict[str, str]:
    found = {
        name[3:]: (value or b"").decode(errors="replace")
        for name, value in headers
        if name.startswith("ce_") and name != "ce_specversion"
    }
    content_type = next((value for name, value in headers if name == "content-type"), None)
    return (
        found if content_type is None else {**found, "datacontenttype": content_type.decode(errors="replace")}
    )


def _encode(topic: str, value: Any) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        value = int(value)  # a producer may write 3 or 3.0: it is one key, and one partition
    if not isinstance(value, bool | int | float):
        raise Rejected(
            f"the key of topic {topic!r} gives neither text nor a number nor true or false", code="no-key"
        )
    return orjson.dumps(value)
