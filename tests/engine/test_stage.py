"""A stage at work in a whole worker, over the simulated transport on a virtual clock."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from streamlets.engine.virtual import virtual_run
from streamlets.errors import Broken, Rejected, Unavailable
from streamlets.ports import Batch, Context, Emit, Inlet, Outcome, Outlet
from tests.engine.application import Application, plan, topic


class Copy:
    inlets = (Inlet("in"),)
    outlets = (Outlet("out", type="copied"),)

    def __init__(self, options: Any, context: Context) -> None:
        self.context = context

    async def process(self, batch: Batch) -> Outcome:
        return Outcome(emits=[Emit("out", d.value, i) for i, d in enumerate(batch.deliveries)])


def copying(cls: type = Copy, **settings: Any) -> Application:
    partitions = settings.pop("partitions", 1)
    topics = [
        topic("numbers", (), ("copy.in",), partitions=partitions),
        topic("copies", ("copy.out",), partitions=partitions),
    ]
    return Application(plan(["copy"], topics, **settings), {"copy": cls})


def test_every_event_comes_out_once_and_in_order() -> None:
    async def main() -> None:
        app = copying()
        await app.worker()
        await app.put("numbers", list(range(2500)))
        ended = await app.until_idle()
        assert (ended.exit_code, ended.held, ended.causes) == (0, 0, [])
        assert await app.values("copies") == list(range(2500))

    virtual_run(main())


def test_a_second_run_has_nothing_left_to_do() -> None:
    async def main() -> None:
        app = copying()
        await app.worker()
        await app.put("numbers", [1, 2, 3])
        await app.until_idle()
        await app.until_idle()
        assert await app.values("copies") == [1, 2, 3]

    virtual_run(main())


def test_an_emit_names_its_origin_its_cause_and_its_correlation() -> None:
    async def main() -> None:
        app = copying()
        await app.worker()
        await app.put("numbers", [1])
        await app.until_idle()
        (copy,) = await app.read("copies")
        assert copy.header("ce_origin") == "app.numbers/0/0"
        assert copy.header("ce_causationid") == "numbers-0-0"
        assert copy.header("ce_correlationid") == "numbers-0-0"
        assert copy.header("ce_source") == "/app/copy"
        assert copy.header("ce_type") == "copied"
        assert len(copy.header("ce_id") or "") == 32

    virtual_run(main())


def test_results_that_come_out_of_order_are_released_in_order() -> None:
    class Shuffled(Copy):
        overlap = 8
        max_events = 10

        async def process(self, batch: Batch) -> Outcome:
            first = orjson.loads(batch.deliveries[0].value or b"0")
            await self.context.clock.sleep((first * 7919) % 13)
            return await super().process(batch)

    async def main() -> None:
        app = copying(Shuffled)
        await app.worker()
        await app.put("numbers", list(range(1000)))
        await app.until_idle()
        assert await app.values("copies") == list(range(1000))

    virtual_run(main())


def test_a_poison_event_is_dead_lettered_with_its_reason_and_its_neighbours_go_on() -> None:
    class Picky(Copy):
        async def process(self, batch: Batch) -> Outcome:
            if any(d.value == b"13" for d in batch.deliveries):
                raise Rejected("thirteen is not taken", code="unlucky")
            return await super().process(batch)

    async def main() -> None:
        app = copying(Picky)
        await app.worker()
        await app.put("numbers", list(range(100)))
        await app.until_idle()
        assert await app.values("copies") == [n for n in range(100) if n != 13]
        (letter,) = await app.read("dead-letters")
        assert letter.value == b"13"
        assert letter.header("ce_id") == "numbers-0-13"
        assert letter.header("deadletter-code") == "unlucky"
        assert letter.header("deadletter-streamlet") == "copy"
        assert letter.header("deadletter-topic") == "app.numbers"
        assert letter.header("deadletter-offset") == "13"

    virtual_run(main())


def test_an_exception_on_one_event_does_not_spoil_its_neighbours() -> None:
    class Broken13(Copy):
        async def process(self, batch: Batch) -> Outcome:
            if any(d.value == b"13" for d in batch.deliveries):
                raise ValueError("secret payload")
            return await super().process(batch)

    async def main() -> None:
        app = copying(Broken13)
        await app.worker()
        await app.put("numbers", list(range(40)))
        await app.until_idle()
        assert await app.values("copies") == [n for n in range(40) if n != 13]
        (letter,) = await app.read("dead-letters")
        assert "ValueError" in (letter.header("deadletter-reason") or "")
        assert "secret payload" not in (letter.header("deadletter-reason") or "")

    virtual_run(main())


def test_an_outage_is_waited_out_and_nothing_is_dead_lettered() -> None:
    class Away(Copy):
        until_s = 300.0

        async def process(self, batch: Batch) -> Outcome:
            if self.context.clock.monotonic_s() < self.until_s:
                raise Unavailable("the database is away")
            return await super().process(batch)

    async def main() -> None:
        app = copying(Away)
        await app.worker()
        await app.put("numbers", list(range(50)))
        await app.until_idle()
        assert await app.values("copies") == list(range(50))
        assert await app.read("dead-letters") == []

    virtual_run(main())


def test_state_is_saved_with_the_events_that_changed_it_and_restored() -> None:
    class Count(Copy):
        async def process(self, batch: Batch) -> Outcome:
            emits = []
            for i, _ in enumerate(batch.deliveries):
                n = batch.state.get("n", 0) + 1
                batch.state.set("n", n)
                emits.append(Emit("out", orjson.dumps(n), i))
            return Outcome(emits=emits)

    async def main() -> None:
        app = copying(Count, partitions=2)
        await app.worker()
        await app.put("numbers", [0] * 30, 0)
        await app.put("numbers", [0] * 10, 1)
        await app.until_idle()
        await app.put("numbers", [0] * 5, 0)
        await app.until_idle()
        assert await app.values("copies", 0) == list(range(1, 36))
        assert await app.values("copies", 1) == list(range(1, 11))

    virtual_run(main())


def test_state_changed_by_an_attempt_that_failed_is_as_it_was_before() -> None:
    class Fickle(Copy):
        tries = 0

        async def process(self, batch: Batch) -> Outcome:
            batch.state.set("n", batch.state.get("n", 0) + len(batch.deliveries))
            Fickle.tries += 1
            if Fickle.tries < 3:
                raise Broken("flaky", code="flaky")
            return Outcome(emits=[Emit("out", orjson.dumps(batch.state.get("n")), 0)])

    async def main() -> None:
        app = copying(Fickle)
        await app.worker()
        await app.put("numbers", [0] * 4)
        await app.until_idle()
        assert (await app.values("copies"))[-1] == 4

    virtual_run(main())


class Tumbling:
    """Windows of three, closed early after ten seconds; emits the members' sum."""

    inlets = (Inlet("in"),)
    outlets = (Outlet("out", type="sum"),)
    holds = True

    def __init__(self, options: Any, context: Context) -> None:
        self.clock = context.clock
        self.windows: dict[int, list[tuple[int, int]]] = {}
        self.since: dict[int, float] = {}

    async def process(self, batch: Batch) -> Outcome:
        window = self.windows.setdefault(batch.partition, [])
        emits: list[Emit] = []
        held: list[int] = []
        settles: list[tuple[int, int]] = []
        for i, delivery in enumerate(batch.deliveries):
            if not window:
                self.since[batch.partition] = self.clock.monotonic_s()
            window.append((delivery.offset, orjson.loads(delivery.value or b"0")))
            held.append(i)
            if len(window) == 3:
                first = window[0][0]
                if first < batch.deliveries[0].offset:
                    settles.append((first, batch.deliveries[0].offset - 1))
                held = [k for k in held if batch.deliveries[k].offset < first]
                emits.append(Emit("out", orjson.dumps(sum(v for _, v in window)), i))
                window.clear()
        wake_s = self.since[batch.partition] + 10 if window else None
        return Outcome(emits=emits, held=held, settles=settles, wake_s=wake_s)

    async def due(self, batch: Batch) -> Outcome:
        window = self.windows.get(batch.partition, [])
        if not window:
            return Outcome()
        emit = Emit("out", orjson.dumps(sum(v for _, v in window)), id=f"w{window[0][0]}")
        settles = [(window[0][0], window[-1][0])]
        window.clear()
        return Outcome(emits=[emit], settles=settles)

    def lost(self, topic: str, partition: int) -> None:
        self.windows.pop(partition, None)


def test_the_end_of_a_bounded_run_closes_the_last_window() -> None:
    async def main() -> None:
        app = copying(Tumbling)
        await app.worker()
        await app.put("numbers", [1] * 7)
        ended = await app.until_idle()
        assert await app.values("copies") == [3, 3, 1]
        assert ended.held == 0

    virtual_run(main())


def test_what_a_stop_leaves_held_is_read_again_and_counted_in_the_same_window() -> None:
    async def main() -> None:
        app = copying(Tumbling)
        worker = await app.worker()
        await app.put("numbers", [1] * 5)
        running = asyncio.create_task(worker.run())
        while len(await app.values("copies")) < 1:
            await app.clock.sleep(0.01)
        worker.stop()
        ended = await running
        assert ended.held == 2
        await app.put("numbers", [1])
        await app.until_idle()
        assert await app.values("copies") == [3, 3]

    virtual_run(main())


def test_a_window_closes_after_its_longest_wait_without_a_new_event() -> None:
    async def main() -> None:
        app = copying(Tumbling)
        worker = await app.worker()
        await app.put("numbers", [1])
        running = asyncio.create_task(worker.run())
        while not await app.values("copies"):
            await app.clock.sleep(0.5)
        assert 9.5 < app.clock.monotonic_s() < 12
        worker.stop()
        assert (await running).held == 0

    virtual_run(main())


def test_a_stop_while_a_server_is_away_ends_within_the_bound_and_says_what_is_read_again() -> None:
    class Away(Copy):
        async def process(self, batch: Batch) -> Outcome:
            raise Unavailable("the database is away")

    async def main() -> None:
        app = copying(Away)
        worker = await app.worker()
        await app.put("numbers", [1] * 5)
        running = asyncio.create_task(worker.run())
        await app.clock.sleep(60)
        assert worker.running["copy"].stage.gauges.waiting_on == "the database is away"
        before_s = app.clock.monotonic_s()
        worker.stop()
        ended = await running
        assert app.clock.monotonic_s() - before_s <= 10
        assert (ended.held, ended.exit_code) == (5, 0)

    virtual_run(main())
