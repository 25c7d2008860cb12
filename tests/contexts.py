"""What a streamlet is given in a test in plain Python: a context on virtual time, a state, batches."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from streamlets.engine.virtual import VirtualClock
from streamlets.event import Delivery, Event, Headers, encode
from streamlets.ports import Batch, Context


class MapState:
    """A partition's small state, kept in a dict."""

    def __init__(self, entries: dict[str, Any] | None = None) -> None:
        self.entries: dict[str, Any] = {} if entries is None else entries

    def get(self, key: str, default: Any = None) -> Any:
        return self.entries.get(key, default)

    def set(self, key: str, value: Any) -> None:
        self.entries[key] = value

    def delete(self, key: str) -> None:
        self.entries.pop(key, None)

    def keys(self) -> Iterator[str]:
        return iter(self.entries)


class NoServers:
    """Neither servers nor child processes: who asks for one is wrong."""

    def __call__(self, *arguments: Any) -> Any:
        raise AssertionError("this streamlet calls nobody")

    async def call(self, function: str, *arguments: Any) -> Any:
        raise AssertionError("this streamlet calls nobody")


def context(
    streamlet: str = "it",
    *,
    base_dir: Path = Path("/"),
    attempts: int = 3,
    connected: Iterable[str] = (),
    **others: Any,
) -> Context:
    return Context(
        application="app",
        streamlet=streamlet,
        base_dir=base_dir,
        clock=others.pop("clock", VirtualClock()),
        random=random.Random(1),
        connected=frozenset(connected),
        tables={},
        open_server=NoServers(),
        apart=NoServers(),
        attempts=attempts,
        **others,
    )


def event(number: int, data: Any = None, **attributes: Any) -> Event:
    """Return an event with JSON data; `data` given as bytes goes in as it is."""
    value = data if isinstance(data, bytes) else orjson.dumps({"n": number} if data is None else data)
    defaults = {"source": "/test", "type": "test", "datacontenttype": "application/json"}
    return Event(**{"id": str(number), "data": value, **defaults, **attributes})


def delivery(number: int, data: Any = None, *, partition: int = 0, **attributes: Any) -> Delivery:
    """Return an event's delivery at the offset of its number."""
    key, value, headers = encode(event(number, data, **attributes))
    return raw(number, value, headers, key=key, partition=partition)


def raw(
    offset: int, value: bytes | None, headers: Headers, *, key: bytes | None = None, partition: int = 0
) -> Delivery:
    return Delivery("topic", partition, offset, 1_357_017_300_000, key, value, headers)


def batch(deliveries: list[Delivery], state: MapState | None = None, *, partition: int = 0) -> Batch:
    return Batch("in", "topic", partition, deliveries, MapState() if state is None else state)


def numbered(values: Iterable[Any]) -> list[Delivery]:
    """Return a delivery for each value, with offsets from 0."""
    return [delivery(number, value) for number, value in enumerate(values)]
