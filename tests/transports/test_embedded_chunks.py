"""Whatever is put into a chunk comes out of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlets.event import Delivery, Headers, Record
from streamlets.transports.embedded_chunks import (
    MAX_CHUNK_BYTES,
    MAX_CHUNK_RECORDS,
    Chunk,
    decode,
    encode,
    encode_kept,
)

names = st.sampled_from(["ce_id", "ce_source", "ce_type", "x", "", "ü"])
headers = st.lists(st.tuples(names, st.binary(max_size=8)), max_size=5)
records = st.lists(
    st.builds(
        Record,
        topic=st.just("t"),
        partition=st.just(3),
        key=st.none() | st.binary(max_size=5),
        value=st.none() | st.binary(max_size=20),
        headers=headers,
        timestamp_ms=st.integers(0, 2**62),
    ),
    min_size=1,
    max_size=40,
)


def decoded(chunks: list[Chunk], first: int = 0) -> list[Delivery]:
    out: list[Delivery] = []
    for chunk in chunks:
        first += chunk.span
        out += decode("t", 3, first - 1, chunk.body)
    return out


@settings(max_examples=50)
@given(records, st.integers(0, 2**40))
def test_events_come_back_at_their_offsets(given_records: list[Record], first: int) -> None:
    expected = [
        Delivery("t", 3, first + index, r.timestamp_ms or 7, r.key, r.value, r.headers)
        for index, r in enumerate(given_records)
    ]
    assert decoded(encode(given_records, now_ms=7), first) == expected


@settings(max_examples=50)
@given(records, st.data())
def test_what_compaction_keeps_stays_at_its_offset(given_records: list[Record], data: st.DataObject) -> None:
    deliveries = decoded(encode(given_records, now_ms=7), first=100)
    chosen = data.draw(st.lists(st.booleans(), min_size=len(deliveries), max_size=len(deliveries)))
    kept = [delivery for delivery, is_kept in zip(deliveries, chosen, strict=True) if is_kept]
    last = deliveries[-1].offset
    chunk = encode_kept(kept, 100, last)
    assert (chunk.span, chunk.count) == (len(deliveries), len(kept))
    assert decode("t", 3, last, chunk.body) == kept


def test_headers_of_one_shape_are_shared_and_lists_are_not() -> None:
    shared: Headers = [("ce_type", b"flight"), ("ce_source", b"/flights")]
    first, second = decoded(encode([Record("t", 3, None, b"v", shared) for _ in range(2)], now_ms=7))
    assert first.headers == second.headers == shared
    assert first.headers[0] is second.headers[0]
    first.headers.append(("mine", b""))
    assert second.headers == shared


def test_many_events_and_large_ones_are_cut_into_several_chunks() -> None:
    many = encode([Record("t", 3, None, b"%d" % n, []) for n in range(2 * MAX_CHUNK_RECORDS + 1)], now_ms=7)
    assert [chunk.span for chunk in many] == [MAX_CHUNK_RECORDS, MAX_CHUNK_RECORDS, 1]
    large = encode([Record("t", 3, None, bytes(MAX_CHUNK_BYTES // 3), []) for _ in range(7)], now_ms=7)
    assert sum(chunk.span for chunk in large) == 7
    assert all(len(chunk.body) <= MAX_CHUNK_BYTES for chunk in large)
    huge = encode([Record("t", 3, None, bytes(n), []) for n in (1, 5 * MAX_CHUNK_BYTES, 2)], now_ms=7)
    assert [delivery.value for delivery in decoded(huge)] == [bytes(1), bytes(5 * MAX_CHUNK_BYTES), bytes(2)]


@pytest.mark.parametrize(
    "body", [b"\xc1", b"\x01", b"\x90", b"not a chunk", b"\x97\x01\xc0\xc0\xc0\xc0\xc0\xc0"]
)
def test_what_is_no_chunk_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="not a chunk"):
        decode("t", 0, 5, body)
