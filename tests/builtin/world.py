"""What the engine gives a streamlet, for tests of one alone: a context, deliveries, and small state that rolls back."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from streamlets.engine.virtual import VirtualClock
from streamlets.event import Delivery
from streamlets.ports import Batch, Clock, Context


class NoApart:
    async def call(self, function: str, *arguments: Any) -> Any:
        raise AssertionError(f"{function} was to run in a child process")


def no_server(spec: Any) -> NoReturn:
    raise AssertionError("a model server was asked for")


def context(base_dir: Path = Path("."), clock: Clock | None = None) -> Context:
    return Context(
        application="app",
        streamlet="it",
        base_dir=base_dir,
        clock=clock or VirtualClock(),
        random=random.Random(0),
        connected=frozenset({"in", "out"}),
        tables={},
        open_server=no_server,
        apart=NoApart(),
    )


class Values:
    """Small state of one partition, as plain values."""

    def __init__(self, values: dict[str, Any] | None = None) -> None:
        self.values = dict(values or {})

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        self.values[key] = value

    def delete(self, key: str) -> None:
        self.values.pop(key, None)

    def keys(self) -> Iterator[str]:
        return iter(list(self.values))


def delivery(data: bytes | None, offset: int = 0, **headers: str) -> Delivery:
    """Return a binary CloudEvent `{"ce_type": …}` of topic `events`, partition 0."""
    given = {"ce_specversion": "1.0", "ce_id": f"id-{offset}", "ce_source": "/test", "ce_type": "test.event"}
    given |= {"content-type": "application/json"} | {f"ce_{name}": text for name, text in headers.items()}
    pairs = [(name, text.encode()) for name, text in given.items()]
    return Delivery("events", 0, offset, 1_767_225_600_000 + offset, b"key", data, pairs)


def batch(deliveries: Sequence[Delivery], state: Values | None = None) -> Batch:
    return Batch("in", "events", 0, list(deliveries), state or Values())
