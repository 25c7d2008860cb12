"""What the reader answers is of one moment, whatever is committed while it looks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from streamlets.suites.transport import event
from streamlets.transports.embedded_chunks import encode
from streamlets.transports.embedded_reader import Reader, Request
from streamlets.transports.embedded_writer import Group, Writer
from streamlets.transports.transport import TopicPartition, TopicSpec
from tests.transports.embedded_place import EmbeddedPlace


@pytest.mark.parametrize("moment", range(8))
def test_an_event_added_between_any_two_looks_of_a_read_is_not_passed_over(
    tmp_path: Path, moment: int
) -> None:
    place = EmbeddedPlace(tmp_path)

    async def make() -> None:
        log = place.transport()
        await log.start()
        await log.ensure([TopicSpec(name="t")])
        await log.append([event("t", n) for n in range(3)])
        await log.close()

    asyncio.run(make())
    writer = Writer(place.path, "worker", "full", None)
    reader = Reader(place.path, "worker", "full", None, lambda ends: None)
    number = reader.catalog()[1][TopicPartition("t", 0)]
    reader.fetch([Request(number, 3, 1000)])
    looks = 0

    def look(_cursor: Any, _statement: str, _values: Any) -> bool:
        nonlocal looks
        if looks == moment:
            chunks = encode([event("t", "added")], now_ms=1)
            assert writer.commit(Group({number: chunks}, {}, 1)) == {number: 3}
        looks += 1
        return True

    assert reader._connection is not None
    reader._connection.exec_trace = look
    (found,) = reader.fetch([Request(number, 3, 1000)])
    assert [last for last, *_ in found.chunks] in ([], [3])
    assert found.end == 3 + len(found.chunks), (
        "the position would step over an event that was never delivered"
    )
    reader.close()
    writer.close()
