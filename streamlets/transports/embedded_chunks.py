"""Chunks: the records that one commit adds to one partition, as one blob laid out by column.

One row of SQLite for each chunk, not for each record, because the cost of SQLite is per row: measured with six headers
and 250 bytes, 500 at a time, a record costs 2.0 µs to append (5.4 as a row of its own) and 0.6 µs to read (3.2).
A header that is the same in every record of a chunk is kept once, and the deliveries share it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from typing import Any

import msgspec

from streamlets.event import Delivery, Headers, Record

MAX_CHUNK_RECORDS = 1000  # decoding is whole chunks: at most about a millisecond of the event loop at once
MAX_CHUNK_BYTES = 256 * 1024  # likewise; a larger record is a chunk of its own

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode

Columns = list[tuple[str, Any]]
"""Headers of one shape: (name, the one value of all records) or (name, list of values)."""


class Chunk(msgspec.Struct, gc=False):
    """`count` records over `span` consecutive offsets (more than `count` after compaction), encoded."""

    span: int
    count: int
    body: bytes


def encode(records: Sequence[Record], now_ms: int) -> list[Chunk]:
    """Return the records as chunks, in order; a timestamp of 0 becomes `now_ms`.

    Raises: TypeError when a key, a value or a header cannot be encoded.
    """
    chunks: list[Chunk] = []
    for start in range(0, len(records), MAX_CHUNK_RECORDS):
        _encode_within(records[start : start + MAX_CHUNK_RECORDS], now_ms, chunks)
    return chunks


def _encode_within(records: Sequence[Record], now_ms: int, chunks: list[Chunk]) -> None:
    count = len(records)
    body = _body(
        count,
        None,
        [r.timestamp_ms or now_ms for r in records],
        [r.key for r in records],
        [r.value for r in records],
        [r.headers for r in records],
    )
    if len(body) > MAX_CHUNK_BYTES and count > 1:
        # Rare: large records. Halving costs log2(count) encodings at worst and keeps the common path free of sums.
        _encode_within(records[: count // 2], now_ms, chunks)
        _encode_within(records[count // 2 :], now_ms, chunks)
    else:
        chunks.append(Chunk(count, count, body))


def encode_kept(deliveries: Sequence[Delivery], first: int, last: int) -> Chunk:
    """Return one chunk over the offsets `first` to `last` that holds these deliveries at their own offsets."""
    span = last - first + 1
    return Chunk(
        span,
        len(deliveries),
        _body(
            span,
            [d.offset - first for d in deliveries],
            [d.timestamp_ms for d in deliveries],
            [d.key for d in deliveries],
            [d.value for d in deliveries],
            [d.headers for d in deliveries],
        ),
    )


def decode(topic: str, partition: int, last: int, body: bytes) -> list[Delivery]:
    """Return the deliveries of the chunk whose last offset is `last`, in order.

    Raises: ValueError when the body is not a chunk.
    """
    try:
        span, places, times, keys, values, shapes, order = _decode(body)
        first = last - span + 1
        offsets: Iterable[int]
        if places is None:
            count = span
            offsets = range(first, last + 1)
        else:
            count = len(places)
            offsets = [first + place for place in places]
        if type(times) is int:
            times = repeat(times)
        if keys is None:
            keys = repeat(None)
        headers: Iterable[Headers]
        if order is None:
            headers = _headers(shapes[0], count) if count else ()
        else:
            iterators = [_headers(columns, count) for columns in shapes]
            headers = [next(iterators[shape]) for shape in order]
        return list(
            map(Delivery, repeat(topic, count), repeat(partition), offsets, times, keys, values, headers)
        )
    except (msgspec.DecodeError, ValueError, TypeError, IndexError, StopIteration) as exc:
        raise ValueError(f"not a chunk: {exc}") from exc


def _body(
    span: int,
    places: list[int] | None,
    times: list[int],
    keys: list[bytes | None],
    values: list[bytes | None],
    headers: list[Headers],
) -> bytes:
    count = len(times)
    shapes, order = _shapes(headers)
    return _encode(
        (
            span,
            places,
            times[0] if count and times.count(times[0]) == count else times,
            None if keys.count(None) == count else keys,
            values,
            shapes,
            order,
        )
    )


def _shapes(headers: list[Headers]) -> tuple[list[Columns], list[int] | None]:
    """Return the columns of each shape (its names, in order), and which shape each record has; None: all the first."""
    if not headers:
        return [], None
    columns = _columns(headers)
    if columns is not None:
        return [columns], None
    numbers: dict[tuple[str, ...], int] = {}
    members: list[list[Headers]] = []
    order: list[int] = []
    for each in headers:
        names = tuple([name for name, _ in each])
        number = numbers.setdefault(names, len(numbers))
        if number == len(members):
            members.append([])
        members[number].append(each)
        order.append(number)
    return [_columns(member) or [] for member in members], order


def _columns(headers: list[Headers]) -> Columns | None:
    """Return the headers by column, or None when they are not all of one shape."""
    count = len(headers)
    length = len(headers[0])
    columns: Columns = []
    try:
        for pairs in zip(*headers, strict=True):
            names, values = zip(*pairs)
            if names.count(names[0]) != count:
                return None
            columns.append((names[0], values[0] if values.count(values[0]) == count else values))
    except ValueError:  # the lists differ in length
        return None
    return columns if len(columns) == length else None


def _headers(columns: Columns, count: int) -> Iterator[Headers]:
    """Return the headers of `count` records, a list for each; constant ones are one shared tuple."""
    if not columns:
        return ([] for _ in range(count))
    pairs: list[Iterable[tuple[str, bytes]]] = []
    constant = True
    for name, value in columns:
        name = sys.intern(name)
        if type(value) is list:
            constant = False
            pairs.append(zip(repeat(name), value))
        else:
            pairs.append(repeat((name, value)))
    if constant:
        shared = [next(iter(pair)) for pair in pairs]
        return (list(shared) for _ in range(count))
    return map(list, zip(*pairs))


def size(record: Record) -> int:
    """Return the bytes of a record's key, value and headers: what its limit is counted in."""
    return (
        len(record.key or b"")
        + len(record.value or b"")
        + sum(map(len, chain.from_iterable((name, value or b"") for name, value in record.headers)))
    )
