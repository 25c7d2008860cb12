"""A stage: one streamlet at work in one worker. It opens batches, has them processed, and releases what is settled.

The order of a partition is kept by its ledger, not by the order of processing: batches overlap where the streamlet
allows it, results are aligned with their deliveries, and settled entries leave from the head. Past 400 lines because
intake, processing and release share one life: an assignment, a rewind or a stop touches all three.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Collection, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple

from streamlets import faults
from streamlets.engine.entrance import INVALID, Entrance
from streamlets.engine.gauges import Gauges
from streamlets.engine.ledger import Entry, held_ranges
from streamlets.engine.outflow import EmitRejected, Outflow, own_id
from streamlets.engine.partition import Owned
from streamlets.engine.state import LedgerRow, PartitionState, merge, restore_committed, rows
from streamlets.engine.table import TableReader
from streamlets.engine.tally import MODULUS, Tally
from streamlets.errors import Broken, Fatal, Rejected, StreamletsError, Unavailable
from streamlets.event import Delivery, Record, fingerprint, timestamp
from streamlets.ports import (
    DONE_RANGES,
    HELD_BYTES,
    HELD_EVENTS,
    Batch,
    Clock,
    DeadLetter,
    Emit,
    Fate,
    Outcome,
)
from streamlets.recovery import Failure, Recovery
from streamlets.transports.transport import (
    Aborted,
    Consumer,
    Fenced,
    Release,
    TopicPartition,
    Transport,
    UnknownOutcome,
)

log = logging.getLogger("streamlets.engine")

POLL_S = 0.25  # how long a poll waits when nothing is there; adds at most this to a stop
POLL_EVENTS = 400  # a poll's most deliveries: small enough to overlap, large enough to amortise
# The same where partitions flow together into one: a window of that one is cut between polls, and what it then lacks
# of a partition must be little beside its rows, or a detector takes the order of work for drift.
MIXED_POLL_EVENTS = 128
HIGH_EVENTS = 8_000  # in process: intake pauses here …
LOW_EVENTS = 4_000  # … and resumes here, so that it does not flutter
HIGH_BYTES = 64 << 20
LOW_BYTES = 32 << 20
RELEASE_RECORDS = 10_000  # the most records of one release: a transaction stays open for milliseconds
LOGGED_EACH = 5  # dead letters of one code that are logged one by one
_NOTHING: Mapping[str, Any] = {}
RETRY_S = (0.05, 5.0)  # first and longest wait before an aborted release is tried again


class Stage:
    """One streamlet at work. `run` returns when it was stopped; it raises Fatal when it cannot go on."""

    def __init__(
        self,
        *,
        name: str,
        streamlet: Any,
        group: str,
        state_topic: str,
        inlets: Mapping[str, str],
        scopes: Mapping[str, str] | None = None,
        outflow: Outflow,
        entrance: Entrance,
        transport: Transport,
        clock: Clock,
        recovery: Recovery[Delivery, Outcome],
        gauges: Gauges,
        start: str | float,
        atomic: bool,
        overlap: int,
        max_events: int,
        holds: bool,
        is_critical: bool = True,
        is_mixing: bool = False,
        compacted: Collection[str] = (),
        tables: Sequence[TableReader] = (),
    ) -> None:
        """`inlets`: topic in the log → stream inlet; `compacted`: those topics that are.

        `scopes`: inlet → the scope of its rows in the state; an inlet that is not in it has none.

        `is_mixing`: an outlet's topic has one partition and the inlet's more, so that they flow together.

        `entrance` checks events that enter the application here.
        """
        self.name = name
        self.gauges = gauges
        self._streamlet = streamlet
        self._group = group
        self._state_topic = state_topic
        self._inlets = dict(inlets)
        self._scopes = scopes or {}
        self._outflow = outflow
        self._entrance = entrance
        self._transport = transport
        self._clock = clock
        self._recovery = recovery
        self._start = start
        self._atomic = atomic
        self._overlap = overlap
        self._max_events = max_events
        self._holds = holds
        self._is_critical = is_critical
        self._poll_events = min(POLL_EVENTS, MIXED_POLL_EVENTS) if is_mixing else POLL_EVENTS
        self._compacted = compacted
        self._tables = tables
        self._owned: dict[TopicPartition, Owned] = {}
        self._consumer: Consumer | None = None
        self._early: list[Emit] = []  # announced before there was a partition to carry it
        self._wanted = asyncio.Event()  # something may be releasable
        self._room = asyncio.Event()  # something was released
        self._changed = asyncio.Event()  # for those who wait for a condition of this stage
        self._is_stopping = False
        self._is_released_done = False
        self._failure: Fatal | None = None
        self._n_left: int | None = None
        self._rewinds: set[asyncio.Task[None]] = set()
        self._shared: deque[tuple[Owned, Entry, Batch]] = (
            deque()
        )  # with overlap: what waits to run, as it came
        self._n_running = 0
        self._n_dead: dict[str, int] = {}  # dead letters by code, for the log's sake
        self._admit = getattr(streamlet, "admit", None)
        self._gained = getattr(streamlet, "gained", None)
        self._lost = getattr(streamlet, "lost", None)
        self._is_releasing = False
        self._polling = (
            asyncio.Lock()
        )  # a poll and a rewind exclude each other: no delivery from before a seek

    def __repr__(self) -> str:
        return f"<Stage {self.name} {list(self._owned.values())}>"

    # --- life

    async def run(self) -> None:
        """Work until `stop`. Raises: Fatal when the stage cannot go on; what is settled has then been released."""
        self._consumer = await self._transport.consumer(self._group, list(self._inlets), self)
        intake = asyncio.create_task(self._intake(), name=f"{self.name}.intake")
        release = asyncio.create_task(self._release_loop(), name=f"{self.name}.release")
        try:
            done, _ = await asyncio.wait({intake, release}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            await intake
            self._is_released_done = True
            self._wanted.set()
            await release
        finally:
            tasks = [intake, release, *self._rewinds]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._n_left = self.n_open + self.n_held
            for owned in list(self._owned.values()):
                self._drop(owned)
            self._owned.clear()
            await self._consumer.close()

    def stop(self) -> None:
        """Stop intake; `run` returns once it has drained, or is cancelled."""
        self._is_stopping = True
        self._room.set()
        self._changed.set()

    async def wait_quiet(self) -> None:
        """Return when nothing is in process and nothing waits to be released; what is held may remain."""
        while not self.is_quiet:
            self._changed.clear()
            await self._changed.wait()

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is in process and nothing waits to be released; what is held does not count."""
        return not self._is_releasing and all(o.is_alive and o.is_quiet for o in self._owned.values())

    @property
    def n_held(self) -> int:
        """Deliveries held, which the next start will read again."""
        return sum(len(owned.held) for owned in self._owned.values())

    @property
    def n_open(self) -> int:
        """Deliveries in process or waiting to be released."""
        return sum(owned.n_unsettled for owned in self._owned.values())

    @property
    def n_left(self) -> int:
        """Deliveries opened and not released: in process, waiting, or held. The next start reads them again."""
        return self._n_left if self._n_left is not None else self.n_open + self.n_held

    def owned(self) -> list[Owned]:
        """Return the partitions that are ours now."""
        return list(self._owned.values())

    def positions(self) -> dict[TopicPartition, int]:
        """Return the next offset that each partition of ours will open."""
        return {where: owned.ledger.position for where, owned in self._owned.items()}

    def wait_changed(self) -> Coroutine[Any, Any, bool]:
        """Return what is done when something about this stage has changed, from this very call on.

        No coroutine function: as a task it would begin later, and miss what changed before it had begun.
        """
        self._changed.clear()
        return self._changed.wait()

    def announce(self, *emits: Emit, state: Mapping[str, Any] = _NOTHING) -> None:
        """Queue emits that stem from no delivery, and entries of every partition's state; see `ports.Announce`."""
        alive = {where: owned for where, owned in self._owned.items() if owned.is_alive}
        for owned in alive.values():
            owned.noted.update(owned.state.note(state))
        carrier = alive[min(alive)].announced if alive else self._early
        carrier.extend(emits)
        self._wanted.set()

    # --- partitions come and go (GroupListener)

    async def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        for table in self._tables:
            await table.catch_up()
        starts: dict[TopicPartition, int] = {}
        for where in partitions:
            owned = await self._take_over(where)
            self._own(owned)
            starts[where] = owned.ledger.position
        self.gauges.partitions = len(self._owned)
        self._notify()
        return starts

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        going = [self._owned[where] for where in partitions if where in self._owned]
        for owned in going:
            owned.is_draining = True
        # What came and goes within one poll has had no delivery, and nothing of it may be released yet.
        while any(owned.is_alive and owned.is_ready and not owned.is_quiet for owned in going):
            self._changed.clear()
            await self._changed.wait()
        await self.lost(partitions)

    async def lost(self, partitions: Sequence[TopicPartition]) -> None:
        for where in partitions:
            owned = self._owned.pop(where, None)
            if owned is not None:
                self._drop(owned)
        self.gauges.partitions = len(self._owned)
        self._notify()

    async def _restore(self, where: TopicPartition) -> tuple[int | None, PartitionState, LedgerRow | None]:
        """Return the committed offset and the state that belongs to it; None, and no row, where nobody has been here.

        Raises: Fatal (`state-differs`).
        """
        assert self._consumer is not None
        kept = TopicPartition(self._state_topic, where.partition)
        scope = self._scopes.get(self._inlets[where.topic], "")
        committed, state, row = await restore_committed(self._consumer, self._transport, where, kept, scope)
        if row is not None and row.topic not in ("", where.topic):
            raise Fatal(
                f"{self.name}: the state of partition {where.partition} belongs to {row.topic}, "
                f"and the inlet reads {where.topic} now: the offsets of one say nothing of the other",
                code="state-differs",
                hint="let the inlet read what it read before, or delete the group and its state topic to begin anew",
            )
        if committed == (row.offset if row is not None else None):
            return committed, state, row
        if not self._atomic and row is not None and row.offset > (-1 if committed is None else committed):
            return committed, state, row  # a release broke off after its state: what lies before is done
        if not self._atomic and row is not None:
            # Nobody fences what is written at-least-once: one that was thought dead has come back and saved its own.
            log.warning(
                "state.behind streamlet=%s topic=%s partition=%d committed=%s state=%d",
                self.name,
                *_place(where),
                committed,
                row.offset,
            )
            return committed, state, row
        raise Fatal(
            f"{self.name}: the group's offset in {where.topic}/{where.partition} is {committed}, "
            f"but its state is true at {row.offset if row else 'no offset'}",
            code="state-differs",
            hint="offsets or state were changed from outside: restore both, or delete group and state topic",
        )

    async def _take_over(self, where: TopicPartition) -> Owned:
        """Return the partition with its state restored; where the group has not been here, where to begin is chosen."""
        committed, state, row = await self._restore(where)
        if row is None:
            start = await self._first_offset(where)
            row = LedgerRow(start, [], Tally(), start)
            log.info(
                "start.chosen streamlet=%s topic=%s partition=%d offset=%d", self.name, *_place(where), start
            )
        else:
            first = (await self._transport.offsets(where.topic)).get(where.partition, (0, 0))[0]
            if row.offset < first and where.topic not in self._compacted:
                self._fell_behind(where, row.offset, first)
        owned = Owned(where, self._inlets[where.topic], state, row)
        if committed != row.offset:
            # The choice where to begin, or to go on, is made once, and recorded with the first release.
            self._settle_nothing(owned)
        return owned

    def _own(self, owned: Owned) -> None:
        self._owned[owned.where] = owned
        owned.announced, self._early = self._early, []
        if self._gained is not None:
            self._gained(owned.where.topic, owned.where.partition, owned.state)

    def _fell_behind(self, where: TopicPartition, position: int, first: int) -> None:
        """Stop when events were cut by retention before they were read; a stage that is not critical counts them."""
        if self._is_critical:
            raise Fatal(
                f"{self.name}: {first - position} events of {where.topic}/{where.partition} are gone by retention: "
                f"the next to read is {position}, the first there is {first}",
                code="behind-retention",
                hint="give the topic a longer retention; to go on without them, move the group's offset",
            )
        self.gauges.skipped += first - position
        log.warning(
            "behind-retention streamlet=%s topic=%s partition=%d skipped=%d",
            self.name,
            where.topic,
            where.partition,
            first - position,
        )

    async def _first_offset(self, where: TopicPartition) -> int:
        offsets = await self._transport.offsets(where.topic)
        first, end = offsets.get(where.partition, (0, 0))
        if self._start == "latest":
            return end
        if self._start == "earliest":
            return first
        # Times rise with offsets closely enough for a bisection: the log's own times are those of its appends.
        wanted_ms = int(float(self._start) * 1000)
        low, high = first, end
        while low < high:
            middle = (low + high) // 2
            found = await self._transport.read(where, middle, 1, end)
            if not found or found[0].timestamp_ms >= wanted_ms:
                high = middle
            else:
                low = found[0].offset + 1
        return low

    def _drop(self, owned: Owned) -> None:
        owned.end()
        if self._lost is not None:
            self._lost(owned.where.topic, owned.where.partition)

    def _rewind(self, partitions: Sequence[TopicPartition]) -> None:
        """Forget what is in flight of these partitions and have them read again from what is committed.

        A task of its own: it waits for the poll under way, and that may wait, in a revocation, for a release.
        """
        dropped = {where: self._owned[where] for where in partitions if where in self._owned}
        for owned in dropped.values():
            self._drop(owned)
        task = asyncio.create_task(self._read_again(dropped), name=f"{self.name}.rewind")
        self._rewinds.add(task)
        task.add_done_callback(self._rewinds.discard)
        self._notify()

    async def _read_again(self, dropped: Mapping[TopicPartition, Owned]) -> None:
        assert self._consumer is not None
        try:
            async with self._polling:
                # A poll may have taken it away meanwhile, or even given it back: then it has begun anew already.
                mine = [where for where, owned in dropped.items() if self._owned.get(where) is owned]
                positions = {}
                for where in mine:
                    owned = await self._take_over(where)
                    owned.is_ready = True
                    self._own(owned)
                    positions[where] = owned.ledger.position
                await self._consumer.seek(positions)
        except Fatal as exc:
            self._fail(exc)
            return
        log.warning(
            "rewound streamlet=%s partitions=%s", self.name, [f"{w.topic}/{w.partition}" for w in mine]
        )
        self._notify()

    # --- intake

    async def _intake(self) -> None:
        consumer = self._consumer
        assert consumer is not None
        while not self._is_stopping:
            if self._is_over(HIGH_EVENTS, HIGH_BYTES):
                await self._wait_for_room(consumer)
                continue
            async with self._polling:
                deliveries = await consumer.poll(self._poll_events, POLL_S)
                self._arrive()
                await self._notice_gaps(deliveries)
                if deliveries:
                    self._open(deliveries)
                else:
                    self._step_over_gaps(consumer)
        # Membership is kept while what is in process drains.
        while not self.is_quiet:
            consumer.pause(list(self._owned))
            async with self._polling:
                await consumer.poll(0, 0.02)
            self._arrive()
            await asyncio.sleep(0)

    async def _notice_gaps(self, deliveries: Sequence[Delivery]) -> None:
        """Ask the log why a partition goes on later than where it was read to: retention is not passed in silence."""
        seen: set[TopicPartition] = set()
        topic, partition = "", -1
        for delivery in deliveries:
            if delivery.partition == partition and delivery.topic == topic:
                continue
            topic, partition = delivery.topic, delivery.partition
            where = TopicPartition(topic, partition)
            owned = self._owned.get(where)
            if where in seen or owned is None or topic in self._compacted:
                continue
            seen.add(where)
            position = owned.ledger.position
            if delivery.offset > position:
                first = (await self._transport.offsets(topic)).get(partition, (0, 0))[0]
                if first > position:
                    self._fell_behind(where, position, first)

    def _arrive(self) -> None:
        """Take note that partitions which came during a poll are now the consumer's: they may be released."""
        for owned in self._owned.values():
            if not owned.is_ready:
                owned.is_ready = True
                self._wanted.set()

    def _step_over_gaps(self, consumer: Consumer) -> None:
        """Commit past what a log leaves behind its last record: lag reads zero then."""
        for where, owned in self._owned.items():
            if owned.is_alive and owned.is_quiet and not owned.held and not owned.ledger.has_old_done:
                position = consumer.position(where)
                if position > owned.ledger.position:
                    owned.ledger.position = position
                    self._settle_nothing(owned)
        self._changed.set()

    def _is_over(self, n_events: int, n_bytes: int) -> bool:
        events = size = 0
        for owned in self._owned.values():
            events += owned.ledger.n_in_process
            size += owned.ledger.n_bytes
        return events >= n_events or size >= n_bytes

    async def _wait_for_room(self, consumer: Consumer) -> None:
        paused = list(self._owned)
        consumer.pause(paused)
        try:
            while not self._is_stopping and self._is_over(LOW_EVENTS, LOW_BYTES):
                self._room.clear()
                try:
                    async with asyncio.timeout(POLL_S):
                        await self._room.wait()
                except TimeoutError:
                    pass
                async with self._polling:
                    await consumer.poll(0, 0.0)
                    self._arrive()
        finally:
            consumer.resume([where for where in paused if where in self._owned])

    def _open(self, deliveries: Sequence[Delivery]) -> None:
        by_partition: dict[TopicPartition, list[Delivery]] = {}
        topic, partition, run = "", -1, []
        for delivery in deliveries:
            if delivery.partition != partition or delivery.topic != topic:
                topic, partition = delivery.topic, delivery.partition
                run = by_partition.setdefault(TopicPartition(topic, partition), [])
            run.append(delivery)
        now_s = self._clock.monotonic_s()
        for where, run in by_partition.items():
            owned = self._owned.get(where)
            if owned is None or not owned.is_alive or owned.is_draining:
                continue  # it will be delivered to its owner again
            last = run[-1].offset
            is_exact = owned.ledger.has_old_done
            if is_exact:
                run = [d for d in run if not owned.ledger.is_done(d.offset)]
            for i in range(0, len(run), self._max_events):
                part = run[i : i + self._max_events]
                n_bytes = sum([len(d.value) for d in part if d.value is not None])
                entry = owned.ledger.open(
                    [d.offset for d in part], n_bytes, now_s, part[0].timestamp_ms, is_exact
                )
                batch = Batch(owned.inlet, where.topic, where.partition, part, owned.state)
                if self._overlap == 1:
                    owned.queue.append((entry, batch))
                else:
                    self._shared.append((owned, entry, batch))
            owned.ledger.pass_over(last)
            self._start_work(owned)

    # --- processing

    def _start_work(self, owned: Owned) -> None:
        """Start what may run: one batch of a partition at a time, or with overlap any, in the order they came.

        With overlap the bound is on all partitions together: slots of each would let short partitions run ahead.
        """
        if self._overlap == 1:
            if owned.queue and owned.n_running == 0 and owned.is_alive:
                self._run(owned, *owned.queue.popleft())
            return
        while self._shared and self._n_running < self._overlap * max(1, len(self._owned)):
            owner, entry, batch = self._shared.popleft()
            if owner.is_alive:
                self._run(owner, entry, batch)

    def _run(self, owned: Owned, entry: Entry, batch: Batch) -> None:
        owned.n_running += 1
        self._n_running += 1
        task = asyncio.create_task(self._work(owned, entry, batch))
        owned.tasks.add(task)
        task.add_done_callback(owned.tasks.discard)
        task.add_done_callback(lambda _: self._ran(owned))

    def _ran(self, owned: Owned) -> None:
        owned.n_running -= 1
        self._n_running -= 1
        if self._failure is None:
            self._start_work(owned)
        self._changed.set()

    async def _work(self, owned: Owned, entry: Entry, batch: Batch) -> None:
        try:
            letters: list[tuple[Delivery, DeadLetter]] = []
            changes: dict[str, bytes | None] = {}
            if entry.n_events:
                batch, letters = self._entrance.check(batch)
            if batch.deliveries:
                if self._admit is not None:
                    changes = self._admitted(owned, batch)
                outcome = await self._process(owned, batch)
            elif entry.n_events:
                outcome = Outcome()  # nothing of the segment got in
            else:
                outcome = await self._patiently(owned, lambda: self._streamlet.due(batch))
            if not owned.is_alive:
                return
            if self._admit is None:
                changes = owned.state.take()
            self._settle(owned, entry, batch, outcome, letters, changes)
        except asyncio.CancelledError:
            raise
        except Fatal as exc:
            self._fail(exc)
        except Exception as exc:  # noqa: BLE001 - a bug must end the stage, not vanish with its task
            self._fail(Fatal(f"{self.name}: {type(exc).__name__}{place(exc)}", code="bug", exit_code=70), exc)

    def _fail(self, failure: Fatal, cause: BaseException | None = None) -> None:
        if self._failure is None:
            failure.__cause__ = cause
            self._failure = failure
        self._wanted.set()

    def _admitted(self, owned: Owned, batch: Batch) -> dict[str, bytes | None]:
        """Have the streamlet decide, in the order of the partition, what the batch is processed with."""
        assert self._admit is not None
        owned.state.is_writable = True
        try:
            batch.plan = self._admit(batch)
        finally:
            owned.state.is_writable = False
        return owned.state.take()

    async def _process(self, owned: Owned, batch: Batch) -> Outcome:
        if self._holds:
            return await self._patiently(owned, lambda: self._streamlet.process(batch))
        answers = await self._recovery.run(batch.deliveries, lambda part: self._call(owned, batch, part))
        outcome = answers[0]
        if isinstance(outcome, Outcome) and outcome is answers[-1]:
            return outcome
        return _merge(answers)

    async def _call(self, owned: Owned, batch: Batch, part: Sequence[Delivery]) -> list[Outcome]:
        # A probe sends a row of an earlier batch once more: its answer is dropped, and so is what it does to the state.
        is_probe = len(part) == 1 and not any(part[0] is own for own in batch.deliveries)
        if len(part) != len(batch.deliveries) or is_probe:
            batch = Batch(batch.inlet, batch.topic, batch.partition, list(part), batch.state, batch.plan)
        is_writable = self._overlap == 1 and self._admit is None
        if not is_writable:
            return await self._answer(batch, part)
        # What the batch's other parts did to the state stays; what this one does goes with it when it fails.
        before = owned.state.set_aside()
        owned.state.is_writable = True
        is_kept = False
        try:
            answers = await self._answer(batch, part)
            is_kept = not is_probe
            return answers
        finally:
            owned.state.is_writable = False
            if not is_kept:
                owned.state.roll_back()
            owned.state.put_back(before)

    async def _answer(self, batch: Batch, part: Sequence[Delivery]) -> list[Outcome]:
        try:
            outcome: Outcome = await self._streamlet.process(batch)
        except StreamletsError:
            raise
        except Exception as exc:
            raise Broken(f"{self.name}: {type(exc).__name__}{place(exc)}", code="exception") from exc
        return [outcome] * len(part)

    async def _patiently(self, owned: Owned, call: Any) -> Outcome:
        """Return what a holding streamlet answers; an outage is waited out, anything else ends the stage.

        Windows are not bisected: what a window cannot do it settles with a `failed` event by itself.
        """
        wait_s = RETRY_S[0]
        while True:
            owned.state.is_writable = True
            try:
                outcome: Outcome = await call()
                return outcome
            except Unavailable as exc:
                owned.state.roll_back()
                self.gauges.waiting_on = exc.message
                await self._clock.sleep(exc.retry_after_s or wait_s)
                wait_s = min(wait_s * 2, RETRY_S[1])
                self.gauges.waiting_on = None
            except Fatal:
                owned.state.roll_back()
                raise
            except Exception as exc:
                owned.state.roll_back()
                raise Fatal(
                    f"{self.name}: {type(exc).__name__}{place(exc)} while holding",
                    code="holding-failed",
                    hint="this is a bug in the streamlet: a window that fails settles with a failed event",
                    exit_code=70,
                ) from exc
            finally:
                owned.state.is_writable = False

    # --- settling

    def _settle_nothing(self, owned: Owned) -> None:
        """Settle an entry without deliveries: the next release records how far the partition is."""
        entry = owned.ledger.add(self._clock.monotonic_s())
        owned.ledger.settle(entry, records=[], changes={}, tally=Tally(), held=[], settles=())
        self._wanted.set()

    def _settle(
        self,
        owned: Owned,
        entry: Entry,
        batch: Batch,
        outcome: Outcome,
        letters: list[tuple[Delivery, DeadLetter]],
        changes: dict[str, bytes | None],
    ) -> None:
        deliveries = batch.deliveries
        tally = Tally()
        now_s = self._clock.now_s()
        timestamp_ms = 0  # the log's own time, that of its append: all of a release have the same
        letters = [*letters, *((deliveries[d.index], d) for d in outcome.dead)]
        letters.sort(key=lambda letter: letter[0].offset)  # several reasons, one order: the source's
        records = self._records(
            deliveries, outcome, letters, tally, timestamp_ms, _origin(owned, deliveries, outcome)
        )
        if letters:
            now = timestamp(now_s)
            dropped = INVALID if self._entrance.drops else ()
            for delivery, letter in letters:
                number = fingerprint(own_id(delivery))
                tally.seen = (tally.seen + number) % MODULUS
                if letter.code in INVALID and self._entrance.stops:
                    raise Fatal(
                        f"{self.name}: {letter.reason} at {delivery.topic}/{delivery.partition}/{delivery.offset}",
                        code=letter.code,
                        hint="`on-invalid: stop` stops here; mend the producer, or choose dead-letter or drop",
                    )
                if letter.code in dropped:
                    tally.count(Fate.FILTERED, 1)
                    tally.filtered = (tally.filtered + number) % MODULUS
                    continue
                tally.count(letter.fate, 1)
                records.append(self._outflow.dead_letter(delivery, letter, now, timestamp_ms))
                self._log_dead_letter(delivery, letter)
        held = self._count(owned, entry, deliveries, outcome, letters, tally)
        owned.ledger.settle(
            entry, records=records, changes=changes, tally=tally, held=held, settles=outcome.settles
        )
        if self._holds:
            self._rearm(owned, outcome.wake_s)
            self._bound(owned)
        self.gauges.settled(entry.n_events)
        self._wanted.set()

    def _log_dead_letter(self, delivery: Delivery, letter: DeadLetter) -> None:
        n = self._n_dead[letter.code] = self._n_dead.get(letter.code, 0) + 1
        if n > LOGGED_EACH and n & (n - 1):
            return  # a flood is logged at its powers of two: the topic has every one
        log.warning(
            "dead-letter streamlet=%s code=%s topic=%s partition=%d offset=%d n=%d reason=%s",
            self.name,
            letter.code,
            delivery.topic,
            delivery.partition,
            delivery.offset,
            n,
            self._outflow.veil(letter.reason),
        )

    def _records(
        self,
        deliveries: Sequence[Delivery],
        outcome: Outcome,
        letters: list[tuple[Delivery, DeadLetter]],
        tally: Tally,
        timestamp_ms: int,
        origin: str,
    ) -> list[Record]:
        emits = outcome.emits
        dead = {letter.index for letter in outcome.dead}
        while True:
            attempt = Tally()
            try:
                records = self._outflow.records(emits, deliveries, origin, attempt, timestamp_ms)
            except EmitRejected as exc:
                if exc.parent < 0:
                    raise self._unsent(exc) from exc
                # All of an event's outputs or none: an emit that cannot be written takes its siblings with it.
                emits = [emit for emit in emits if emit.parent != exc.parent]
                letter = DeadLetter(exc.parent, exc.code, str(exc))
                if exc.parent not in dead:
                    outcome.dead.append(letter)
                    letters.append((deliveries[exc.parent], letter))
                    dead.add(exc.parent)
                continue
            tally.add(attempt)
            return records

    def _unsent(self, exc: EmitRejected) -> Fatal:
        """Return why the stage stops: what it emits of itself stems from no event that could be a dead letter."""
        return Fatal(
            f"{self.name}: what it emits to {exc.port} cannot be written: {exc.message}",
            code=exc.code,
            hint="make the topic's contract, format or key fit the outlet",
        )

    def _count(
        self,
        owned: Owned,
        entry: Entry,
        deliveries: Sequence[Delivery],
        outcome: Outcome,
        letters: Sequence[tuple[Delivery, DeadLetter]],
        tally: Tally,
    ) -> list[tuple[int, int]]:
        """Count each delivery that settles, by its fate; return the ranges that stay open."""
        ids = [fingerprint(own_id(d)) for d in deliveries]
        dead = {d.index for d in outcome.dead}
        n_left = len(deliveries) - len(dead)
        tally.seen = (tally.seen + sum(ids) - sum([ids[i] for i in dead])) % MODULUS
        if outcome.filtered:
            filtered = [i for i in outcome.filtered if i not in dead]
            tally.count(Fate.FILTERED, len(filtered))
            tally.filtered = (tally.filtered + sum([ids[i] for i in filtered])) % MODULUS
            n_left -= len(filtered)
        if outcome.fates:
            for fate in outcome.fates.values():
                tally.count(fate, 1)
            n_left -= len(outcome.fates)
        held: list[tuple[int, int]] = []
        if outcome.held:
            indexes = list(outcome.held)
            held = held_ranges(entry, [d.offset for d in deliveries], indexes)
            owned.hold([deliveries[i] for i in indexes], [ids[i] for i in indexes])
            tally.seen = (tally.seen - sum([ids[i] for i in indexes])) % MODULUS
            n_left -= len(indexes)
        tally.count(Fate.OUT, n_left)
        if outcome.settles:
            numbers = owned.unhold(outcome.settles)
            tally.count(outcome.settled_fate, len(numbers))
            tally.seen = (tally.seen + sum(numbers)) % MODULUS
        return held

    # --- timers and bounds of what is held

    def _rearm(self, owned: Owned, wake_s: float | None) -> None:
        if wake_s == owned.wake_s:
            return
        if owned.timer is not None:
            owned.timer.cancel()
            owned.timer = None
        owned.wake_s = wake_s
        if wake_s is not None:
            owned.timer = asyncio.create_task(self._wake(owned, wake_s))

    async def _wake(self, owned: Owned, wake_s: float) -> None:
        await self._clock.sleep(max(0.0, wake_s - self._clock.monotonic_s()))
        owned.timer = None
        owned.wake_s = None
        self._call_due(owned)

    def _bound(self, owned: Owned) -> None:
        is_over = len(owned.held) >= HELD_EVENTS or owned.n_held_bytes >= HELD_BYTES
        if (is_over or len(owned.ledger.done) >= DONE_RANGES) and not owned.is_full:
            owned.is_full = True
            self._call_due(owned, full=True)

    def _call_due(self, owned: Owned, *, ending: bool = False, full: bool = False) -> None:
        if not owned.is_alive:
            return
        entry = owned.ledger.add(self._clock.monotonic_s())
        batch = Batch(owned.inlet, owned.where.topic, owned.where.partition, [], owned.state)
        batch.ending = ending
        batch.full = full
        owned.queue.append((entry, batch))
        self._start_work(owned)

    def finish(self) -> None:
        """Close what is held: nothing more will come. To be called when quiet; then wait to be quiet again."""
        if self._holds:
            for owned in self._owned.values():
                self._call_due(owned, ending=True)

    # --- release

    async def _release_loop(self) -> None:
        while True:
            if not self._is_something_releasable():
                if self._failure is not None:
                    raise self._failure
                if self._is_released_done:
                    return
                self._wanted.clear()
                if not self._is_something_releasable():
                    await self._wanted.wait()
                continue
            self._is_releasing = True
            try:
                await self._release_once()
            finally:
                self._is_releasing = False
            self._notify()

    def _is_something_releasable(self) -> bool:
        return any(
            owned.ledger.is_releasable or owned.announced or owned.noted
            for owned in self._owned.values()
            if owned.is_ready and owned.is_alive
        )

    async def _release_once(self) -> None:
        """Release the settled heads of all partitions in one transaction: emits, state, offsets."""
        consumer = self._consumer
        assert consumer is not None
        faults.point("stage.release")
        now_s = self._clock.now_s()
        timestamp_ms = int(now_s * 1000)
        heads: list[_Head] = []
        records: list[Record] = []
        saved: list[Record] = []
        offsets: dict[TopicPartition, int] = {}
        for where, owned in self._owned.items():
            if not (owned.is_ready and owned.is_alive):
                continue
            head = owned.ledger.settled_head(RELEASE_RECORDS)
            if not (head or owned.announced or owned.noted):
                continue
            tally = owned.tally.copy()
            told = list(owned.announced)  # more may be announced while this release is under way
            if told:
                try:
                    records += self._outflow.records(
                        told, (), f"{where.topic}/{where.partition}/-", tally, timestamp_ms
                    )
                except EmitRejected as exc:
                    raise self._unsent(exc) from exc
            noted = dict(owned.noted)
            changes = dict(noted)
            for entry in head:
                changes.update(entry.changes)
                if entry.tally is not None:
                    tally.add(entry.tally)
            commit, done = owned.ledger.after(head)
            offsets[where] = commit
            saved += rows(
                self._state_topic,
                where.partition,
                changes,
                owned.row(commit, done, tally),
                timestamp_ms,
                None if self._atomic else owned.state.released,
                self._scopes.get(owned.inlet, ""),
            )
            heads.append(_Head(owned, head, tally, changes, noted, len(told)))
        if not heads:
            return
        # Partitions mixed as they were polled: whoever reads one topic made of several sees the stream's own mixture.
        for entry in sorted((e for head in heads for e in head.entries), key=_opened_s):
            records += entry.records
        if not self._atomic and records:
            # The state must not say that something is done before its emits are acknowledged.
            emitted = Release(group=self._group, records=records, offsets={}, atomic=False)
            if not await self._hand_over(consumer, emitted, heads):
                return
            records = []
        release = Release(group=self._group, records=records + saved, offsets=offsets, atomic=self._atomic)
        if not await self._hand_over(consumer, release, heads):
            return
        faults.point("stage.released")
        released_s = self._clock.now_s()
        for owned, entries, tally, changes, noted, n_told in heads:
            if not owned.is_alive:
                continue
            del owned.announced[:n_told]
            for key, value in noted.items():
                if owned.noted[key] is value:  # else it was set once more meanwhile
                    del owned.noted[key]
            owned.ledger.released(entries)
            owned.tally = tally
            owned.number += 1
            owned.is_full = False
            if not self._atomic:
                merge(owned.state.released, changes)
            for entry in entries:
                if entry.n_events:
                    self.gauges.released(entry.n_events, released_s - entry.timestamp_ms / 1000)
        self._room.set()

    async def _hand_over(self, consumer: Consumer, release: Release, heads: Sequence[_Head]) -> bool:
        """Return whether the release took place; else its partitions have been rewound, or moved away."""
        wait_s = RETRY_S[0]
        while True:
            try:
                await consumer.release(release)
                self.gauges.waiting_on = None
                return True
            except Aborted as exc:
                # Nothing is visible and the partitions are still ours: once more from memory, no model is called.
                self.gauges.aborted += 1
                self.gauges.waiting_on = exc.message
                log.warning("release.aborted streamlet=%s cause=%s", self.name, exc.message)
                await self._clock.sleep(wait_s)
                wait_s = min(wait_s * 2, RETRY_S[1])
                if not all(head.owned.is_alive for head in heads):
                    return (
                        False  # a partition went away meanwhile: the next round releases what is still ours
                    )
            except (UnknownOutcome, Fenced) as exc:
                self.gauges.rewinds += 1
                log.warning("release.unknown streamlet=%s cause=%s", self.name, exc.message)
                self._rewind([head.owned.where for head in heads])
                return False
            except Rejected as exc:
                raise Fatal(
                    f"{self.name}: the log refuses a record: {exc.message}", code=exc.code, hint=exc.hint
                ) from exc

    def _notify(self) -> None:
        self._changed.set()
        self._room.set()


class _Head(NamedTuple):
    """What one partition gives to a release: its settled entries, its tally and its state as they will be."""

    owned: Owned
    entries: list[Entry]
    tally: Tally
    changes: dict[str, bytes | None]
    noted: dict[str, bytes | None]
    n_told: int


def _opened_s(entry: Entry) -> float:
    return entry.opened_s


def _merge(answers: Sequence[Outcome | Failure]) -> Outcome:
    """Return one outcome of pieces: each distinct Outcome is that of a run of neighbours; Failures are dead letters."""
    merged = Outcome(emits=[], dead=[], filtered=[], fates={})
    start = 0
    for i, answer in enumerate(answers):
        if isinstance(answer, Failure):
            merged.dead.append(DeadLetter(i, answer.error.code, answer.error.message, answer.attempts))
            start = i + 1
            continue
        if i + 1 < len(answers) and answers[i + 1] is answer:
            continue
        for emit in answer.emits:
            if emit.parent >= 0:
                emit.parent += start
            merged.emits.append(emit)
        for letter in answer.dead:
            letter.index += start
            merged.dead.append(letter)
        merged.filtered = [*merged.filtered, *(k + start for k in answer.filtered)]
        for k, fate in (answer.fates or {}).items():
            assert merged.fates is not None
            merged.fates[k + start] = fate
        start = i + 1
    return merged


def _origin(owned: Owned, deliveries: Sequence[Delivery], outcome: Outcome) -> str:
    """Return the origin of emits without a parent: the last delivery that settles with them."""
    held = set(outcome.held)
    offset: int | str = "-"
    for i in range(len(deliveries) - 1, -1, -1):
        if i not in held:
            offset = deliveries[i].offset
            break
    else:
        if outcome.settles:
            offset = max(last for _, last in outcome.settles)
    return f"{owned.where.topic}/{owned.where.partition}/{offset}"


def _place(where: TopicPartition) -> tuple[str, int]:
    return where.topic, where.partition


def place(exc: BaseException) -> str:
    """Return ` at file:line` of the innermost frame, or nothing; never the exception's text, which may hold data."""
    trace = exc.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
