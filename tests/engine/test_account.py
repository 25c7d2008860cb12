"""The account finds what was lost, repeated or made up, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from streamlets.component import Component
from streamlets.engine.account import Account, account
from streamlets.engine.virtual import virtual_run
from streamlets.errors import Rejected
from streamlets.event import Record, decode
from streamlets.ports import Batch, Context, Emit, Inlet, Outcome, Outlet, Portion
from streamlets.transports.transport import TopicPartition
from tests.engine.application import Application, plan, topic
from tests.engine.test_stage import Copy, Tumbling, copying


class Elsewhere:
    """A source of events that were named, and correlated, by another application."""

    outlets = (Outlet("out"),)

    def __init__(self, options: Any, context: Context) -> None:
        pass

    def splits(self) -> list[str]:
        return ["all"]

    async def read(self, split: str, position: Any, max_events: int) -> Portion:
        extensions = {"correlationid": "c", "traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
        emits = [Emit("out", b"1", id=f"{n}", source="/elsewhere", extensions=extensions) for n in range(5)]
        return Portion(emits, "end", ended=True)


class Mixed(Copy):
    """Filters every third, dead-letters every tenth, copies the rest twice."""

    async def process(self, batch: Batch) -> Outcome:
        emits: list[Emit] = []
        filtered: list[int] = []
        for i, delivery in enumerate(batch.deliveries):
            number = int(delivery.value or b"0")
            if number % 10 == 0:
                raise Rejected("tens are not taken")
            if number % 3 == 0:
                filtered.append(i)
            else:
                emits += [Emit("out", delivery.value, i), Emit("out", delivery.value, i, index=1)]
        return Outcome(emits=emits, filtered=filtered)


async def taken(app: Application) -> Account:
    return await account(app.plan, app.transport(), lambda use: Component(use, app.classes[use]))


async def run_mixed(partitions: int = 2) -> Application:
    app = copying(Mixed, partitions=partitions)
    await app.worker()
    for partition in range(partitions):
        await app.put("numbers", list(range(200)), partition)
    await app.until_idle()
    return app


def test_every_event_is_counted_once_by_its_last_fate() -> None:
    async def main() -> None:
        app = await run_mixed()
        found = await taken(app)
        (line,) = found.lines
        assert found.is_balanced
        assert found.missing == 0
        assert line.fates == {"dead-lettered": 40, "filtered": 120, "out": 240}
        assert (line.n_in, line.n_open) == (400, 0)
        assert line.emitted == {"out": 480}

    virtual_run(main())


def test_events_that_wait_in_the_topic_are_open_not_missing() -> None:
    async def main() -> None:
        app = await run_mixed()
        await app.put("numbers", [1, 2, 3], 1)
        found = await taken(app)
        assert found.is_balanced
        assert found.lines[0].n_open == 3

    virtual_run(main())


def test_members_of_a_window_are_counted_when_it_closes() -> None:
    async def main() -> None:
        app = copying(Tumbling)
        await app.worker()
        await app.put("numbers", [1] * 7)
        await app.until_idle()
        found = await taken(app)
        assert found.is_balanced
        assert found.lines[0].fates == {"out": 7}

    virtual_run(main())


def test_an_output_that_is_not_there_is_found() -> None:
    async def main() -> None:
        app = await run_mixed()
        partition = app.log.partition(TopicPartition("app.copies", 0))
        del partition._stored[3]
        del partition._offsets[3]
        found = await taken(app)
        assert not found.is_balanced
        assert found.missing == 1
        assert "copy.out" in found.lines[0].differences[0]

    virtual_run(main())


def test_an_output_that_stands_twice_is_found() -> None:
    async def main() -> None:
        app = await run_mixed()
        twice: Any = (await app.transport().read(TopicPartition("app.copies", 0), 0, 1))[0]
        await app.transport().append([Record("app.copies", 0, twice.key, twice.value, twice.headers, 0)])
        found = await taken(app)
        assert not found.is_balanced

    virtual_run(main())


def test_events_that_a_source_brings_with_their_own_names_are_counted_and_keep_them() -> None:
    async def main() -> None:
        app = Application(plan(["source"], [topic("out", ["source.out"])]), {"source": Elsewhere})
        await app.until_idle()
        assert (await taken(app)).is_balanced
        names = [name for name, _ in (await app.read("out"))[0].headers]
        assert len(names) == len(set(names))
        first = decode((await app.read("out"))[0])
        assert (first.id, first.source, first.extensions["correlationid"]) == ("0", "/elsewhere", "c")

    virtual_run(main())


class Counts(Copy):
    """Copies what comes in on two inlets, with a count for each inlet."""

    inlets = (Inlet("left"), Inlet("right"))

    async def process(self, batch: Batch) -> Outcome:
        emits = []
        for i, delivery in enumerate(batch.deliveries):
            count = batch.state.get("count", 0) + 1
            batch.state.set("count", count)
            emits.append(Emit("out", f"[{delivery.value!r}, {count}]".encode(), i))
        return Outcome(emits=emits)


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_each_inlet_of_several_goes_on_where_it_was_and_is_accounted_for(delivery: str) -> None:
    async def main() -> None:
        topics = [
            topic("l", consumers=["counts.left"], partitions=2),
            topic("r", consumers=["counts.right"], partitions=2),
            topic("o", producers=["counts.out"], partitions=2),
        ]
        wired = plan(["counts"], topics, delivery=delivery)
        app = Application(wired, {"counts": Counts})
        await app.worker()
        for life, (n_left, n_right) in enumerate([(5, 3), (0, 4), (6, 0), (2, 2)]):
            for partition in (0, 1):
                await app.put("l", [f"l{life}{n}" for n in range(n_left)], partition)
                await app.put("r", [f"r{life}{n}" for n in range(n_right)], partition)
            app = Application(wired, {"counts": Counts}, app.log)
            assert (await app.until_idle()).causes == []
        for partition in (0, 1):
            copies = await app.read("o", partition)
            counts = {"l": list[int](), "r": list[int]()}
            for copy in copies:
                text = (copy.value or b"").decode()
                counts["l" if '"l' in text else "r"].append(int(text.rpartition(" ")[2].rstrip("]")))
            assert counts == {"l": list(range(1, 14)), "r": list(range(1, 10))}
        (line,) = (await taken(app)).lines
        assert (line.n_in, line.differences) == (44, [])

    virtual_run(main())
