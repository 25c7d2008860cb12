"""What `score` logs is what `detect` reads: both sides of the payload log, at one table."""

from __future__ import annotations

import asyncio

import pytest

from streamlets.builtin.detecting.rows import Rows, Side, Taken
from streamlets.event import Event
from tests.builtin.scoring.driving import driven, rows
from tests.builtin.scoring.stub import Stub, stub_server


@pytest.mark.parametrize(
    ("on", "features", "expected"),
    [
        ("request", ["b", "a"], [[1.0, float(i)] for i in range(40)]),
        ("response", ["y"], [[i + 2.0] for i in range(40)]),
    ],
)
def test_detect_reads_the_rows_that_score_logs(
    on: Side, features: list[str], expected: list[list[float]]
) -> None:
    async def main() -> None:
        options = {"batch": {"max_events": 16}}
        async with stub_server(Stub()) as url, driven({"servers": [url], **options}) as driver:
            outcome = await driver.give(rows(40))
            logged = [emit for emit in outcome.emits if emit.port == "payloads"]
            reader = Rows(features, on)
            taken: list[Taken] = []
            for emit in logged:
                event = Event(
                    id=emit.id or "",
                    source="/app/score",
                    type=emit.type or "",
                    data=emit.data,
                    extensions=emit.extensions or {},
                )
                found = reader.take(event)
                if found is not None:
                    taken.append(found)
            assert 2 * len(taken) == len(logged)
            assert {one.model for one in taken} == {"delay@1"}
            assert sum(one.n_rows for one in taken) == 40
            assert [row for one in taken for row in reader.read(one.parts).tolist()] == expected

    asyncio.run(main())
