"""A source's stage: reads its splits and releases what they give, with the position, exactly once.

The splits are the partitions of the source's state topic, handed out by a group over that topic; events, position
and an offset of that topic (the number of releases, which fences off a process that was thought dead) become visible
together. So a source runs once, however many workers there are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from streamlets.contracts import Contract
from streamlets.engine.gauges import Gauges
from streamlets.engine.outflow import Outflow
from streamlets.engine.state import LedgerRow, PartitionState, merge, restore, restore_committed, rows
from streamlets.engine.tally import MODULUS, Tally
from streamlets.errors import Broken, Fatal, Rejected, StreamletsError, Unavailable
from streamlets.event import Record, fingerprint, timestamp
from streamlets.ports import Clock, Emit, Fate, Portion, Source
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

POSITION = "position"
READ_EVENTS = 1_000  # the most events of one portion: a release of them takes milliseconds
RETRY_S = (0.05, 5.0)
POLL_S = 0.25


class _Split:
    def __init__(self, where: TopicPartition, name: str, state: PartitionState, row: LedgerRow) -> None:
        self.where = where
        self.name = name
        self.state = state
        self.row = row
        self.is_ended = False
        self.is_releasing = False
        self.task: asyncio.Task[None] | None = None


class SourceStage:
    """One source at work in one worker. `run` returns when stopped; it raises Fatal when it cannot go on."""

    def __init__(
        self,
        *,
        name: str,
        source: Source,
        group: str,
        state_topic: str,
        outflow: Outflow,
        contracts: Mapping[str, Contract],
        transport: Transport,
        clock: Clock,
        gauges: Gauges,
        atomic: bool,
    ) -> None:
        """`contracts`: outlet → what its events are checked against, since they enter the application here."""
        self.name = name
        self.gauges = gauges
        self._source = source
        self._group = group
        self._state_topic = state_topic
        self._outflow = outflow
        self._contracts = contracts
        self._transport = transport
        self._clock = clock
        self._atomic = atomic
        self._names = source.splits()
        self._splits: dict[TopicPartition, _Split] = {}
        self._consumer: Consumer | None = None
        self._is_stopping = False
        self._changed = asyncio.Event()
        self._failure: Fatal | None = None
        self._releasing = asyncio.Lock()

    async def run(self) -> None:
        """Read until `stop`, or until cancelled. Raises: Fatal."""
        self._consumer = await self._transport.consumer(self._group, [self._state_topic], self, fetch=False)
        try:
            while not self._is_stopping and self._failure is None:
                await self._consumer.poll(0, POLL_S)  # membership, and what comes and goes
                if self.is_ended:
                    self._notify()
            for split in list(self._splits.values()):
                if split.task is not None:
                    await asyncio.gather(split.task, return_exceptions=True)
            if self._failure is not None:
                raise self._failure
        finally:
            await self.lost(list(self._splits))
            await self._consumer.close()

    def stop(self) -> None:
        """Stop reading: what is being released is finished, what is being read is dropped and read again later."""
        self._is_stopping = True
        for split in self._splits.values():
            if split.task is not None and not split.is_releasing:
                split.task.cancel()
        self._notify()

    @property
    def is_ended(self) -> bool:
        """Whether every split has ended and all of it is released. One that a dead process still holds has not."""
        return len(self._splits) == len(self._names) and all(s.is_ended for s in self._splits.values())

    @property
    def has_splits(self) -> bool:
        """Whether any split is ours."""
        return bool(self._splits)

    def wait_changed(self) -> Coroutine[Any, Any, bool]:
        """Return what is done when something about this stage has changed, from this very call on.

        No coroutine function: as a task it would begin later, and miss what changed before it had begun.
        """
        self._changed.clear()
        return self._changed.wait()

    # --- splits come and go (GroupListener)

    async def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        starts = {}
        assert self._consumer is not None
        for where in partitions:
            offset, state, row = await restore_committed(self._consumer, self._transport, where, where)
            is_same = offset == (None if row is None else row.offset)
            # At-least-once writes the position before the offset that goes with it.
            # … and nobody fences it: one that was thought dead may have come back and saved an older one.
            is_left = not self._atomic and row is not None
            if not is_same and not is_left:
                raise Fatal(
                    f"{self.name}: the position of split {where.partition} is true at release "
                    f"{row.offset if row is not None else 'none'}, but the group has {offset}",
                    code="state-differs",
                    hint="offsets or state were changed from outside; restore both, or delete the state topic",
                )
            starts[where] = 0
            if where.partition >= len(self._names):
                continue  # the topic has more partitions than the source has splits
            split = _Split(where, self._names[where.partition], state, row or LedgerRow(0, [], Tally(), 0))
            self._splits[where] = split
            split.task = asyncio.create_task(self._read(split), name=f"{self.name}.{split.name}")
        self.gauges.partitions = len(self._splits)
        self._notify()
        return starts

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        async with self._releasing:
            await self.lost(partitions)

    async def lost(self, partitions: Sequence[TopicPartition]) -> None:
        tasks = []
        for where in partitions:
            split = self._splits.pop(where, None)
            if split is not None and split.task is not None:
                split.task.cancel()
                tasks.append(split.task)
        await asyncio.gather(*tasks, return_exceptions=True)
        self.gauges.partitions = len(self._splits)
        self._notify()

    # --- reading

    async def _read(self, split: _Split) -> None:
        try:
            wait_s = RETRY_S[0]
            while not self._is_stopping:
                try:
                    portion = await self._source.read(split.name, split.state.get(POSITION), READ_EVENTS)
                except Unavailable as exc:
                    self.gauges.waiting_on = exc.message
                    await self._clock.sleep(exc.retry_after_s or wait_s)
                    wait_s = min(wait_s * 2, RETRY_S[1])
                    continue
                wait_s = RETRY_S[0]
                self.gauges.waiting_on = None
                if portion.emits or portion.dead or portion.position != split.state.get(POSITION):
                    split.is_releasing = True
                    try:
                        async with self._releasing:
                            if not await self._release(split, portion):
                                continue
                    finally:
                        split.is_releasing = False
                self.gauges.progress = portion.progress
                if portion.ended:
                    split.is_ended = True
                    self._notify()
                    return
        except asyncio.CancelledError:
            raise
        except StreamletsError as exc:
            self._fail(
                exc if isinstance(exc, Fatal) else Fatal(f"{self.name}: {exc.message}", code=exc.code), exc
            )
        except Exception as exc:  # noqa: BLE001 - a bug must end the stage, not vanish with its task
            self._fail(
                Fatal(f"{self.name}: {type(exc).__name__} while reading {split.name}", exit_code=70), exc
            )

    def _fail(self, failure: Fatal, cause: BaseException) -> None:
        if failure is not cause:
            failure.__cause__ = cause
        if self._failure is None:
            self._failure = failure
        self._notify()

    async def _release(self, split: _Split, portion: Portion) -> bool:
        """Return whether the portion was released; else it is to be read again, from where the log says."""
        now_s = self._clock.now_s()
        timestamp_ms = int(now_s * 1000)
        number = split.row.offset + 1
        tally = split.row.tally.copy()
        origin = f"{self._state_topic}/{split.where.partition}/{number}"
        records = self._records(portion, split, origin, tally, timestamp_ms)
        split.state.is_writable = True
        split.state.set(POSITION, portion.position)
        split.state.is_writable = False
        row = LedgerRow(number, [], tally, 0, number)
        changes = split.state.take()
        saved = rows(
            self._state_topic,
            split.where.partition,
            changes,
            row,
            timestamp_ms,
            None if self._atomic else split.state.released,
        )
        if not self._atomic and records:
            # The position must not say that something is read before its emits are acknowledged.
            emitted = Release(group=self._group, records=records, offsets={}, atomic=False)
            if not await self._hand_over(split, emitted):
                return False
            records = []
        release = Release(
            group=self._group, records=records + saved, offsets={split.where: number}, atomic=self._atomic
        )
        if not await self._hand_over(split, release):
            return False
        if not self._atomic:
            merge(split.state.released, changes)
        split.row = row
        self.gauges.settled(len(portion.emits))
        self.gauges.released(len(portion.emits), 0.0)
        self._notify()
        return True

    async def _hand_over(self, split: _Split, release: Release) -> bool:
        """Return whether the release took place; else the split's position is again what the log says."""
        assert self._consumer is not None
        wait_s = RETRY_S[0]
        while True:
            try:
                await self._consumer.release(release)
                self.gauges.waiting_on = None
                return True
            except Aborted as exc:
                self.gauges.aborted += 1
                self.gauges.waiting_on = exc.message
                await self._clock.sleep(wait_s)
                wait_s = min(wait_s * 2, RETRY_S[1])
            except (UnknownOutcome, Fenced) as exc:
                self.gauges.rewinds += 1
                log.warning("release.unknown streamlet=%s cause=%s", self.name, exc.message)
                await self._consumer.committed([split.where])  # returns when the outcome is known to all
                split.state, found = await restore(self._transport, split.where)
                split.row = found or LedgerRow(0, [], Tally(), 0)
                return False

    def _records(
        self, portion: Portion, split: _Split, origin: str, tally: Tally, timestamp_ms: int
    ) -> list[Record]:
        """Return the records of a portion; what is against its contract or without its key is a dead letter."""
        now = timestamp(timestamp_ms / 1000)
        dead = list(portion.dead)
        good: list[Emit] = []
        records: list[Record] = []
        for emit in portion.emits:
            contract = self._contracts.get(emit.port)
            try:
                if contract is not None:
                    contract.decode(emit.data)
                attempt = Tally()
                records += self._outflow.records([emit], (), origin, attempt, timestamp_ms)
            except (Rejected, Broken) as exc:
                dead.append((emit.data or b"", exc.code, exc.message))
                tally.seen = (tally.seen + fingerprint(emit.id or "")) % MODULUS
                continue
            tally.add(attempt)
            tally.seen = (tally.seen + fingerprint(emit.id or "")) % MODULUS
            good.append(emit)
        tally.count(Fate.OUT, len(good))
        tally.count(Fate.DEAD_LETTERED, len(dead))
        for raw, code, reason in dead:
            records.append(
                self._outflow.dead_input(raw, code, reason, f"{self.name}/{split.name}", now, timestamp_ms)
            )
            said = self._outflow.veil(reason)
            log.warning(
                "dead-letter streamlet=%s split=%s code=%s reason=%s", self.name, split.name, code, said
            )
        return records

    def _notify(self) -> None:
        self._changed.set()
