"""What a worker promises around its stages: entrances, failures, bounds, sources, ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import orjson
import pytest

from blueprints.plan import ContractPlan, Plan
from streamlets.component import Component
from streamlets.engine import stage as stage_module
from streamlets.engine.account import account
from streamlets.engine.snapshots import read as read_snapshots
from streamlets.engine.virtual import virtual_run
from streamlets.errors import Fatal, Unavailable
from streamlets.ports import Batch, Context, Emit, Inlet, Needs, Outcome, Outlet, Portion, State, Wiring
from streamlets.transports.transport import TopicPartition, TopicSpec
from tests.engine.application import Application, plan, topic
from tests.engine.test_stage import Copy, Tumbling, copying

NUMBER = ContractPlan(
    "number",
    "json-schema",
    "number.json",
    {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
)


def checked(on_invalid: str) -> Application:
    app = copying()
    topics = {**app.plan.topics, "numbers": replace(app.plan.topics["numbers"], contract=NUMBER)}
    streamlets = {"copy": replace(app.plan.streamlets["copy"], on_invalid=on_invalid)}
    app.plan = replace(app.plan, topics=topics, streamlets=streamlets)
    return app


MIXED: list[Any] = [{"n": 1}, {"n": "secret"}, b"{not json", {"n": 2}]


def test_what_is_against_its_contract_is_a_dead_letter_that_names_the_field_and_not_the_value() -> None:
    async def main() -> None:
        app = checked("dead-letter")
        await app.worker()
        await app.put("numbers", MIXED)
        assert (await app.until_idle()).exit_code == 0
        assert await app.values("copies") == [{"n": 1}, {"n": 2}]
        letters = await app.read("dead-letters")
        assert [d.header("deadletter-offset") for d in letters] == ["1", "2"]
        reason = letters[0].header("deadletter-reason") or ""
        assert "n" in reason
        assert "secret" not in reason

    virtual_run(main())


def test_on_invalid_drop_counts_what_it_drops() -> None:
    async def main() -> None:
        app = checked("drop")
        await app.worker()
        await app.put("numbers", MIXED)
        await app.until_idle()
        assert await app.values("copies") == [{"n": 1}, {"n": 2}]
        assert await app.read("dead-letters") == []
        found = await account(app.plan, app.transport(), lambda use: Component(use, app.classes[use]))
        assert found.is_balanced
        assert found.lines[0].fates == {"out": 2, "filtered": 2}

    virtual_run(main())


def test_on_invalid_stop_stops_before_the_event_and_says_where_it_is() -> None:
    async def main() -> None:
        app = checked("stop")
        await app.worker()
        await app.put("numbers", MIXED)
        ended = await app.until_idle()
        assert ended.exit_code == 1
        assert "app.numbers/0/1" in ended.causes[0]
        assert await app.read("dead-letters") == []

    virtual_run(main())


def test_a_fatal_of_a_critical_stage_ends_the_worker_with_its_exit_code_and_its_place() -> None:
    class Doomed(Copy):
        async def process(self, batch: Batch) -> Outcome:
            raise Fatal("no such table", code="no-table", exit_code=3)

    async def main() -> None:
        app = copying(Doomed)
        await app.worker()
        await app.put("numbers", [1])
        ended = await app.until_idle()
        assert ended.exit_code == 3
        assert ended.causes == ["application.yaml:1:1 no-table: no such table"]

    virtual_run(main())


def test_a_fatal_of_a_stage_that_is_not_critical_ends_that_stage_alone() -> None:
    class Doomed(Copy):
        critical = False

        async def process(self, batch: Batch) -> Outcome:
            raise Fatal("no such table", code="no-table", exit_code=3)

    async def main() -> None:
        topics = [
            topic("numbers", (), ("copy.in",)),
            topic("copies", ("copy.out",), ("doomed.in",)),
            topic("nothing", ("doomed.out",)),
        ]
        app = Application(plan(["copy", "doomed"], topics), {"copy": Copy, "doomed": Doomed})
        await app.worker()
        await app.put("numbers", [1, 2, 3])
        ended = await app.until_idle()
        assert ended.exit_code == 0
        assert "no such table" in ended.causes[0]
        assert await app.values("copies") == [1, 2, 3]

    virtual_run(main())


def test_a_slow_stage_takes_in_no_more_than_its_bound_and_goes_on_below_the_low_mark() -> None:
    class Slow(Copy):
        overlap = 100
        is_open = False

        async def process(self, batch: Batch) -> Outcome:
            while not Slow.is_open:
                await self.context.clock.sleep(1)
            return await super().process(batch)

    async def main() -> None:
        app = copying(Slow)
        worker = await app.worker()
        await app.put("numbers", list(range(20_000)))
        running = asyncio.create_task(worker.run(until_idle=True))
        await app.clock.sleep(30)
        found: Any = worker.running["copy"].stage
        high = stage_module.HIGH_EVENTS
        assert high <= found.n_open <= high + stage_module.POLL_EVENTS
        Slow.is_open = True
        await running
        assert await app.values("copies") == list(range(20_000))

    virtual_run(main())


def test_a_window_that_reaches_the_bound_of_what_is_held_is_closed_early() -> None:
    class Endless(Tumbling):
        """A window that only the bound closes."""

        async def process(self, batch: Batch) -> Outcome:
            window = self.windows.setdefault(batch.partition, [])
            window += [(d.offset, 1) for d in batch.deliveries]
            return Outcome(held=range(len(batch.deliveries)))

        async def due(self, batch: Batch) -> Outcome:
            assert batch.full or batch.ending
            return await super().due(batch)

    async def main() -> None:
        app = copying(Endless)
        await app.worker()
        await app.put("numbers", [1] * 1200)
        await app.until_idle()
        sums = await app.values("copies")
        assert sum(sums) == 1200
        assert len(sums) > 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage_module, "HELD_EVENTS", 500)
        patch.setattr(stage_module, "POLL_EVENTS", 100)
        patch.setattr(stage_module, "HIGH_EVENTS", 100)
        patch.setattr(stage_module, "LOW_EVENTS", 50)
        virtual_run(main())


def test_events_cut_by_retention_before_they_were_read_stop_a_critical_stage() -> None:
    async def main() -> None:
        app = copying()
        await app.worker()
        await app.put("numbers", list(range(10)))
        await app.until_idle()
        await app.put("numbers", list(range(10)))
        app.log.partition(TopicPartition("app.numbers", 0)).expire(15)
        ended = await app.until_idle()
        assert ended.exit_code == 1
        assert "5 events of app.numbers/0 are gone by retention" in ended.causes[0]

    virtual_run(main())


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_an_inlet_that_moved_to_another_topic_does_not_pass_events_over(delivery: Any) -> None:
    def reading(name: str) -> Plan:
        topics = [topic(name, (), ("copy.in",)), topic("copies", ("copy.out",))]
        return plan(["copy"], topics, delivery=delivery)

    async def main() -> None:
        app = Application(reading("numbers"), {"copy": Copy})
        await app.worker()
        await app.put("numbers", list(range(10)))
        assert (await app.until_idle()).exit_code == 0
        moved = Application(reading("others"), {"copy": Copy}, app.log)
        worker = await moved.worker()
        await moved.put("others", list(range(7)))
        ended = await worker.run(until_idle=True)
        assert ended.exit_code == 1
        assert "belongs to app.numbers" in ended.causes[0]
        assert "app.others" in ended.causes[0]

    virtual_run(main())


class Numbers:
    """A source of two splits; some of what it reads cannot be decoded."""

    outlets = (Outlet("out", type="number"),)

    def __init__(self, options: Any, context: Context) -> None:
        self.clock = context.clock

    def splits(self) -> list[str]:
        return ["a", "b"]

    async def read(self, split: str, position: Any, max_events: int) -> Portion:
        await self.clock.sleep(0.1)
        first = position or 0
        emits = [
            Emit("out", orjson.dumps({"n": n}), id=f"{split}{n}", key=split.encode())
            for n in range(first, min(100, first + 7))
        ]
        dead = [(b"bad line", "undecodable", "no JSON")] if first == 49 else []
        return Portion(emits, first + len(emits), ended=first + len(emits) >= 100, dead=dead)


def test_a_source_gives_each_of_its_events_once_though_it_is_stopped_and_started() -> None:
    async def main() -> None:
        topics = [
            topic("numbers", ("numbers.out",), ("copy.in",), partitions=3),
            topic("copies", ("copy.out",)),
        ]
        app = Application(plan(["numbers", "copy"], topics), {"numbers": Numbers, "copy": Copy})
        worker = await app.worker()
        running = asyncio.create_task(worker.run())
        await app.clock.sleep(0.75)
        worker.stop()
        await running
        assert 0 < len(await app.values("copies")) < 200
        ended = await app.until_idle()
        assert ended.exit_code == 0
        copies = [d.header("ce_causationid") for d in await app.read("copies")]
        assert sorted(copies) == sorted([f"{s}{n}" for s in "ab" for n in range(100)])
        assert len(await app.read("dead-letters")) == 2
        found = await account(app.plan, app.transport(), lambda use: Component(use, app.classes[use]))
        assert found.is_balanced, found

    virtual_run(main())


def test_an_announcement_lands_on_the_reserved_status_topic_when_nothing_is_connected() -> None:
    class Announcing(Copy):
        outlets = (Outlet("out"), Outlet("status", type="said"))

        async def set_up(self) -> None:
            self.context.announce(Emit("status", b'"hello"', id="hello"))

    async def main() -> None:
        app = copying(Announcing)
        await app.worker()
        await app.put("numbers", [1])
        await app.until_idle()
        assert await app.values("status") == ["hello"]
        assert (await app.read("status"))[0].header("ce_type") == "said"

    virtual_run(main())


def test_what_is_announced_is_in_the_state_of_every_partition_also_without_events_and_after_a_restart() -> (
    None
):
    gained: list[tuple[int, Any]] = []

    class Deciding(Copy):
        overlap = 2
        outlets = (Outlet("out"), Outlet("status"))

        def gained(self, topic: str, partition: int, state: State) -> None:
            gained.append((partition, state.get("verdict")))

        def admit(self, batch: Batch) -> Any:
            return batch.state.get("verdict")

        async def process(self, batch: Batch) -> Outcome:
            return Outcome(
                emits=[Emit("out", orjson.dumps(batch.plan), i) for i in range(len(batch.deliveries))]
            )

    async def main() -> None:
        app = copying(Deciding, partitions=3)
        worker = await app.worker()
        running = asyncio.create_task(worker.run())
        await app.clock.sleep(1)
        context = worker.running["copy"].streamlet.context
        for i in range(20):
            context.announce(Emit("status", orjson.dumps(i), id=f"{i:032x}"), state={"verdict": i})
            await asyncio.sleep(0)
        await app.put("numbers", [0], 1)
        await app.clock.sleep(1)
        assert await app.values("copies", 1) == [19]
        worker.stop()
        await running
        assert await app.values("status") == list(range(20))  # none is lost while a release is under way
        assert sorted(gained) == [(0, None), (1, None), (2, None)]
        gained.clear()
        await app.put("numbers", [0], 2)
        await app.until_idle()
        assert sorted(gained) == [(0, 19), (1, 19), (2, 19)]
        assert await app.values("copies", 2) == [19]

    virtual_run(main())


def test_a_set_up_that_meets_an_outage_is_tried_again() -> None:
    class Later(Copy):
        tries = 0

        async def set_up(self) -> None:
            Later.tries += 1
            if Later.tries < 4:
                raise Unavailable("not yet")

    async def main() -> None:
        app = copying(Later)
        await app.worker()
        await app.put("numbers", [1])
        assert (await app.until_idle()).exit_code == 0
        assert Later.tries == 4
        assert await app.values("copies") == [1]

    virtual_run(main())


def test_an_emit_whose_key_cannot_be_computed_makes_a_dead_letter_of_its_event_with_all_its_siblings() -> (
    None
):
    class Twice(Copy):
        outlets = (Outlet("out"), Outlet("keyed"))

        async def process(self, batch: Batch) -> Outcome:
            emits = []
            for i, delivery in enumerate(batch.deliveries):
                emits += [Emit("out", delivery.value, i), Emit("keyed", delivery.value, i)]
            return Outcome(emits=emits)

    async def main() -> None:
        topics = [
            topic("numbers", (), ("copy.in",)),
            topic("copies", ("copy.out",)),
            topic("keyed", ("copy.keyed",), key="k", partitions=4),
        ]
        app = Application(plan(["copy"], topics), {"copy": Twice})
        await app.worker()
        await app.put("numbers", [{"k": "a"}, {"no": 1}, {"k": "b"}])
        await app.until_idle()
        assert await app.values("copies") == [{"k": "a"}, {"k": "b"}]
        (letter,) = await app.read("dead-letters")
        assert letter.header("deadletter-code") == "no-key"

    virtual_run(main())


def test_the_last_snapshot_of_a_worker_says_that_it_stopped_and_what_it_did() -> None:
    async def main() -> None:
        app = copying()
        await app.worker()
        await app.put("numbers", [1, 2, 3])
        await app.until_idle()
        (snapshot,) = await read_snapshots(app.transport(), app.plan.workers_topic)
        assert snapshot["state"] == "stopped"
        assert snapshot["stages"]["copy"]["released"] == 3

    virtual_run(main())


class Lookup:
    """Copies what its table says of each event."""

    inlets = (Inlet("in"), Inlet("table", kind="table"))
    outlets = (Outlet("out"),)

    def __init__(self, options: Any, context: Context) -> None:
        self.table = context.tables["table"]

    async def process(self, batch: Batch) -> Outcome:
        emits = []
        for i, delivery in enumerate(batch.deliveries):
            entry = self.table.entries().get((delivery.value or b"").decode())
            emits.append(Emit("out", entry.data if entry is not None else b"null", i))
        return Outcome(emits=emits)


def test_a_table_is_read_whole_before_the_first_event_and_followed_afterwards() -> None:
    async def main() -> None:
        topics = [
            topic("numbers", (), ("look.in",)),
            topic("names", (), ("look.table",), compacted=True, partitions=2),
            topic("found", ("look.out",)),
        ]
        app = Application(plan(["look"], topics), {"look": Lookup})
        worker = await app.worker()
        await app.put_keyed("names", {"1": "one", "2": "two"})
        await app.put("numbers", [1, 2])
        running = asyncio.create_task(worker.run())
        while len(await app.values("found")) < 2:
            await app.clock.sleep(0.1)
        await app.put_keyed("names", {"2": "zwei"})
        await app.clock.sleep(2)
        await app.put("numbers", [2])
        while len(await app.values("found")) < 3:
            await app.clock.sleep(0.1)
        worker.stop()
        await running
        assert await app.values("found") == ["one", "two", "zwei"]

    virtual_run(main())


def test_a_stop_while_a_set_up_waits_is_at_once() -> None:
    class Never(Copy):
        async def set_up(self) -> None:
            raise Unavailable("not yet")

    async def main() -> None:
        app = copying(Never)
        worker = await app.worker()
        running = asyncio.create_task(worker.run())
        await app.clock.sleep(30)
        before_s = app.clock.monotonic_s()
        worker.stop()
        assert (await running).exit_code == 0
        assert app.clock.monotonic_s() - before_s < 1

    virtual_run(main())


class Both(Copy):
    inlets = (Inlet("left"), Inlet("right"))


def test_topics_that_are_read_together_must_have_the_same_partitions_also_where_others_made_them() -> None:
    async def main() -> None:
        wired = plan(
            ["both"],
            [
                topic("left", consumers=["both.left"]),
                topic("right", consumers=["both.right"], partitions=2),
            ],
        )
        with pytest.raises(Fatal) as caught:
            await Application(wired, {"both": Both}).worker()
        assert (caught.value.code, caught.value.exit_code) == ("partitions-differ", 64)
        assert "1 of app.left and 2 of app.right" in str(caught.value)

    virtual_run(main())


def test_one_reader_is_asked_for_at_start_too_because_others_may_have_made_the_topic() -> None:
    class Alone(Copy):
        @staticmethod
        def needs(options: Any, wiring: Wiring) -> Needs:
            return Needs(single_reader="it counts them all; give the topic 'partitions: 1'")

    async def main() -> None:
        app = copying(Alone)
        app.log.create(TopicSpec(name="app.numbers", partitions=3))  # others were here first
        with pytest.raises(Fatal) as caught:
            await app.worker()
        assert (caught.value.code, caught.value.exit_code) == ("single-reader", 64)
        assert "3 of app.numbers: it counts them all" in str(caught.value)

    virtual_run(main())
