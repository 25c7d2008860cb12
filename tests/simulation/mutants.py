"""Planted bugs: engines that are wrong in one way each, to see that the verifier notices.

Each is a context manager that patches the real engine. A verifier that cannot catch a planted bug is no verifier.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import msgspec

from streamlets.builtin import score
from streamlets.builtin.scoring.payloads import PayloadLog
from streamlets.engine import source, stage, state, tally
from streamlets.engine.ledger import Ledger
from streamlets.engine.outflow import Outflow
from streamlets.engine.state import LedgerRow, PartitionState
from streamlets.ports import Fate
from streamlets.recovery import Recovery
from streamlets.transports.simulated import SimulatedConsumer
from streamlets.transports.transport import Aborted, Release, UnknownOutcome
from tests.simulation.servers import SimulatedServer


class Mutant(NamedTuple):
    """A planted bug: in which world it shows, and the oracles of which one must notice it."""

    name: str
    world: str
    oracles: set[str]
    plant: Callable[[], AbstractContextManager[None]]


MUTANTS: list[Mutant] = []


def mutant(world: str, *oracles: str) -> Callable[[Callable[[], Iterator[None]]], None]:
    """Add a planted bug to the list."""

    def add(plant: Callable[[], Iterator[None]]) -> None:
        name = plant.__name__.replace("_", "-")
        MUTANTS.append(Mutant(name, world, set(oracles), contextmanager(plant)))

    return add


@contextmanager
def patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Replace an attribute for a while."""
    before = owner.__dict__[name] if isinstance(owner, type) else getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@mutant("copy", "O5", "O1")
def commit_early() -> Iterator[None]:
    """The offset covers what is opened, not what is settled."""
    original = Ledger.after

    def after(self: Ledger, head: Any) -> Any:
        return self.position, original(self, head)[1]

    with patched(Ledger, "after", after):
        yield


@mutant("copy", "O1")
def skip_one() -> Iterator[None]:
    """One delivery in many is passed over."""
    original, calls = stage.Stage._open, itertools.count(1)

    def open_(self: Any, deliveries: Any) -> None:
        original(self, deliveries[1:] if len(deliveries) > 2 and next(calls) % 3 == 0 else deliveries)

    with patched(stage.Stage, "_open", open_):
        yield


@mutant("copy", "O2")
def duplicate_one() -> Iterator[None]:
    """Now and then an output is released twice."""
    original, calls = Outflow.records, itertools.count(1)

    def records(self: Any, *arguments: Any) -> Any:
        found = original(self, *arguments)
        return [*found, found[-1]] if found and next(calls) % 5 == 0 else found

    with patched(Outflow, "records", records):
        yield


@mutant("copy", "O3")
def reorder_two_segments() -> Iterator[None]:
    """Two segments that are released together change places."""
    original = Ledger.settled_head

    def settled_head(self: Ledger, max_records: int) -> Any:
        head = original(self, max_records)
        if len(head) > 1 and head[0].records and head[1].records:
            head[0].records, head[1].records = head[1].records, head[0].records
        return head

    with patched(Ledger, "settled_head", settled_head):
        yield


class _Live(dict[str, Any]):
    """Changes that are looked up when they are saved, not when they were made."""

    def __init__(self, changes: dict[str, Any], owner: PartitionState) -> None:
        super().__init__(changes)
        self._owner = owner

    def __iter__(self) -> Iterator[str]:
        return iter(list(self.keys()))

    def __getitem__(self, key: str) -> Any:
        return self._owner._values.get(key)


@mutant("copy", "STATE", "O1")
def state_ahead_of_its_release() -> Iterator[None]:
    """A release saves the state as it is in memory, with what later segments have done to it."""
    original = PartitionState.take

    def take(self: PartitionState) -> Any:
        return _Live(original(self), self)

    with patched(PartitionState, "take", take):
        yield


@mutant("copy", "STATE", "O1")
def state_not_rewound() -> Iterator[None]:
    """After a rewind the deliveries come again, but the state has seen them already."""
    original, states = stage.Stage._read_again, {}

    async def read_again(self: Any, dropped: Any) -> None:
        for where, owned in dropped.items():
            states[where] = owned.state
        await original(self, dropped)
        for where in dropped:
            if where in self._owned:
                self._owned[where].state._values = dict(states[where]._values)

    with patched(stage.Stage, "_read_again", read_again):
        yield


@mutant("windows", "O2")
def done_range_forgotten() -> Iterator[None]:
    """A restart opens again what was settled beyond the commit."""
    original = LedgerRow.decode

    def decode(value: bytes) -> LedgerRow:
        row = original(value)
        row.done = []
        return row

    with patched(state.LedgerRow, "decode", staticmethod(decode)):
        yield


@mutant("copy", "O1", "O5")
def offsets_released_without_emits() -> Iterator[None]:
    """Now and then a release holds the offsets and the state, but not the emits."""
    calls = itertools.count(1)

    def release(*, records: Any, **rest: Any) -> Release:
        if next(calls) % 6 == 0:
            records = [record for record in records if record.topic.endswith(".state")]
        return Release(records=records, **rest)

    with patched(stage, "Release", release):
        yield


@mutant("copy", "O2", "O4", "O5")
def emits_of_a_lost_partition_released() -> Iterator[None]:
    """What was settled when a partition went away leaves with the next release all the same."""
    original_drop, strays = stage.Stage._drop, []

    def drop(self: Any, owned: Any) -> None:
        strays.extend(r for entry in owned.ledger._entries if entry.is_settled for r in entry.records)
        original_drop(self, owned)

    def release(*, records: Any, **rest: Any) -> Release:
        found = [*records, *strays]
        strays.clear()
        return Release(records=found, **rest)

    with patched(stage.Stage, "_drop", drop), patched(stage, "Release", release):
        yield


@mutant("reject", "O2", "O4", "O5")
def dead_letter_outside_the_release() -> Iterator[None]:
    """A dead letter is appended as soon as it is known."""
    original = stage.Stage._settle

    def settle(self: Any, owned: Any, entry: Any, *rest: Any) -> None:
        original(self, owned, entry, *rest)
        dead = [record for record in entry.records if record.topic.endswith(".dead-letters")]
        entry.records = [record for record in entry.records if not record.topic.endswith(".dead-letters")]
        for record in dead:
            self._transport.log.append(record)

    with patched(stage.Stage, "_settle", settle):
        yield


@mutant("windows", "O5", "O1")
def window_members_forgotten_at_a_crash() -> Iterator[None]:
    """The commit passes what is held: after a crash nobody reads it again."""
    original = stage.Stage._count

    def count(self: Any, *arguments: Any) -> Any:
        original(self, *arguments)
        return []

    with patched(stage.Stage, "_count", count):
        yield


@mutant("copy", "O8")
def filtered_events_never_committed() -> Iterator[None]:
    """A segment that gave nothing waits for one that gives something."""

    def is_releasable(self: Ledger) -> bool:
        head = itertools.takewhile(lambda entry: entry.is_settled, self._entries)
        return any(entry.records for entry in head)

    def settled_head(self: Ledger, max_records: int) -> Any:
        head = original(self, max_records)
        while head and not head[-1].records:
            head.pop()
        return head

    original = Ledger.settled_head
    with (
        patched(Ledger, "is_releasable", property(is_releasable)),
        patched(Ledger, "settled_head", settled_head),
    ):
        yield


@mutant("copy", "O2", "STATE", "ENGINE")
def unknown_outcome_taken_for_an_abort() -> Iterator[None]:
    """A release that nobody knows of is made once more."""
    original = SimulatedConsumer.release

    async def release(self: Any, one: Release) -> None:
        try:
            await original(self, one)
        except UnknownOutcome as exc:
            raise Aborted("assumed") from exc

    with patched(SimulatedConsumer, "release", release):
        yield


@mutant("windows", "O8")
def longest_wait_never_ends() -> Iterator[None]:
    """A window that does not fill stays open."""
    with patched(stage.Stage, "_rearm", lambda self, owned, wake_s: None):
        yield


@mutant("copy", "O7")
def filtered_events_not_counted() -> Iterator[None]:
    """The account knows nothing of what was filtered."""
    original = tally.Tally.count

    def count(self: Any, fate: Fate, n: int) -> None:
        if fate is not Fate.FILTERED:
            original(self, fate, n)

    with patched(tally.Tally, "count", count):
        yield


@mutant("source", "O1")
def a_source_does_not_read_again() -> Iterator[None]:
    """A portion whose release did not take place is believed to be out."""
    original = source.SourceStage._release

    async def release(self: Any, split: Any, portion: Any) -> bool:
        before = split.state
        if not await original(self, split, portion):
            split.state = before
        return True

    with patched(source.SourceStage, "_release", release):
        yield


@mutant("state", "STATE", "O1")
def a_failed_part_undoes_the_state_of_its_neighbours() -> Iterator[None]:
    """Where a batch is cut, the state loses what the parts before the culprit did."""
    with patched(PartitionState, "set_aside", lambda self: {}):
        yield


@mutant("state", "STATE", "O1")
def parts_processed_out_of_order() -> Iterator[None]:
    """Where a batch is cut, the second half is processed before the culprit's half."""
    original = Recovery.__init__

    def init(self: Any, **options: Any) -> None:
        original(self, **{**options, "in_order": False})

    with patched(Recovery, "__init__", init):
        yield


@mutant("copy", "O2", "STATE", "ENGINE")
def a_rewind_reads_an_offset_that_may_still_move() -> Iterator[None]:
    """The committed offset is read while a release of unknown outcome may still take place."""

    async def committed(self: Any, partitions: Any) -> Any:
        await self._before("committed")
        return {partition: self._group.committed.get(partition) for partition in partitions}

    with patched(SimulatedConsumer, "committed", committed):
        yield


@mutant("score", "O2")
def payload_row_logged_twice() -> Iterator[None]:
    """A call's request is logged once more, under another id."""
    original, calls = PayloadLog.emits, itertools.count(1)

    def emits(self: Any, *arguments: Any) -> Any:
        found = original(self, *arguments)
        if found and next(calls) % 4 == 0:
            again = msgspec.structs.replace(found[0], id=f"again-{found[0].id}")
            return [*found, again]
        return found

    with patched(PayloadLog, "emits", emits):
        yield


@mutant("score", "O1")
def answers_mixed_up() -> Iterator[None]:
    """The answers of a call go to its rows in another order."""
    original = SimulatedServer.infer

    async def infer(self: Any, request: Any) -> Any:
        found = await original(self, request)
        found.outputs[0].data.reverse()
        return found

    with patched(SimulatedServer, "infer", infer):
        yield


@mutant("updates", "UPDATE")
def an_update_counts_unchecked() -> Iterator[None]:
    """A bad update replaces a model that is fine."""

    async def try_out(*arguments: Any) -> None:
        pass

    with patched(score, "try_out", try_out):
        yield


@mutant("updates", "UPDATE")
def a_partition_forgets_what_it_was_scored_with() -> Iterator[None]:
    """A partition that moves, or is read again, begins with the blueprint's model."""
    with patched(score.Score, "_serving", lambda self, state: self._places.initial()):
        yield
