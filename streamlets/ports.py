"""What a streamlet is: ports, batches in, outcomes out. The seam between the engine and every streamlet.

A streamlet never holds a producer: it *returns* emits, and the engine releases them in order, together with the
offsets and with the streamlet's small state.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec
from pydantic import BaseModel

from blueprints.needs import (
    Amount as Amount,
)  # what `needs` answers with is the linter's; one import for its users
from blueprints.needs import Flow as Flow
from blueprints.needs import Hold as Hold
from blueprints.needs import Keyed as Keyed
from blueprints.needs import Needs as Needs
from blueprints.needs import Said as Said
from blueprints.needs import Wait as Wait
from streamlets.contracts import Contract
from streamlets.event import Delivery, Event
from streamlets.inference import OpenServer

InletKind = Literal["stream", "table", "tail"]

HELD_EVENTS = 100_000  # held of a partition, and …
HELD_BYTES = 64 << 20  # … their bytes, and
DONE_RANGES = 1_000  # settled ranges beyond its commit: at each bound the oldest window closes early
POLL_INTERVAL_S = (
    300.0  # Kafka's own default (max.poll.interval.ms): who is silent for longer is out of the group
)


class Inlet(msgspec.Struct, frozen=True):
    """Where events come in. `stream`: partitioned among workers, each event once. `table`: read whole by every
    worker before its first event, then followed. `tail`: followed from the end by every worker."""

    name: str
    kind: InletKind = "stream"
    contract: Contract | None = None
    required: bool = True
    description: str = ""


class Outlet(msgspec.Struct, frozen=True):
    """Where emits go out. `type` is the CloudEvents type of what is emitted there; None keeps the parent's.

    `forwards`: the inlet whose events go out as they came, if that is all that does; then their contract is known.
    """

    name: str
    contract: Contract | None = None
    required: bool = False
    type: str | None = None
    description: str = ""
    forwards: str | None = None


class Fate(StrEnum):
    """The last fate of an inlet event, as the account counts it: each event has exactly one."""

    OUT = "out"  # processed: emitted, written, or part of a window that closed
    FILTERED = "filtered"
    DEAD_LETTERED = "dead-lettered"
    SHED = "shed"
    EXPIRED = "expired"
    FAILED = "failed"


class Emit(msgspec.Struct, gc=False):
    """An event on its way to an outlet; the engine gives it its id, source, correlation, causation and origin.

    `parent` is the index in the batch of the delivery it stems from, or -1: then `id` must be given.
    What is None is taken over from the parent: `type` (after the outlet's own), `subject`, `time`, `key`,
    `partition` (the parent's number modulo the topic's partitions unless the topic is keyed). `data` is encoded.
    `index` tells several emits of one parent to one outlet apart. `copies` takes the parent's data content type,
    schema and extensions over (forwarding); `extensions` are then added.
    """

    port: str
    data: bytes | None
    parent: int = -1
    index: int = 0
    type: str | None = None
    id: str | None = None
    source: str | None = None
    subject: str | None = None
    time: str | None = None
    key: bytes | None = None
    partition: int | None = None
    extensions: dict[str, str] | None = None
    datacontenttype: str = "application/json"
    copies: bool = False


class DeadLetter(msgspec.Struct, gc=False):
    """An event that cannot be processed: the index of its delivery in the batch, and why."""

    index: int
    code: str
    reason: str
    attempts: int = 1
    model: str | None = None
    fate: Fate = Fate.DEAD_LETTERED


class Outcome(msgspec.Struct):
    """What became of a batch.

    `emits` in the order they are to be released, `dead` the dead letters. `filtered` are the indexes of deliveries
    that gave nothing on purpose; those neither filtered nor dead nor held are OUT (`fates` overrides, by index).
    A streamlet that holds (windows, joins, waits) says with `held` which indexes of this batch stay open, and with
    `settles` which earlier held deliveries (ranges of offsets, both ends included, of this batch's topic and
    partition) are settled by this outcome. `wake_s`: call `due` again when the clock's monotonic time has reached
    it; None: no timer. An outcome that settles nothing must not change state.
    """

    emits: list[Emit] = []
    dead: list[DeadLetter] = []
    filtered: Sequence[int] = ()
    fates: dict[int, Fate] | None = None
    held: Sequence[int] = ()
    settles: Sequence[tuple[int, int]] = ()
    settled_fate: Fate = Fate.OUT
    wake_s: float | None = None


class State(Protocol):
    """Small state of one partition: a map of JSON values, saved in the release of what changed it.

    With several stream inlets it is that of one partition of one inlet.
    It may be changed in `admit`, or where there is no `admit` and `overlap` is 1 in `process` and `due`; elsewhere a
    change raises.
    At most 100,000 entries and 64 MiB a partition. Not a database.
    """

    def get(self, key: str, default: Any = None) -> Any: ...
    def set(self, key: str, value: Any) -> None: ...
    def delete(self, key: str) -> None: ...
    def keys(self) -> Iterator[str]: ...


class Batch(msgspec.Struct):
    """Deliveries of one partition, oldest first, with that partition's state.

    `plan` is what `admit` returned. `deliveries` may have gaps in their offsets. `ending` is set on the last call of
    `due` of a bounded run: close what is open. `full` is set when what is held has reached its bound: close the
    oldest window early, marked `closed: bound`.
    """

    inlet: str
    topic: str
    partition: int
    deliveries: list[Delivery]
    state: State
    plan: Any = None
    ending: bool = False
    full: bool = False


class Table(Protocol):
    """A table inlet: the latest event of each key, all partitions, as this worker has read it."""

    def entries(self) -> Mapping[str, Event]:
        """Return the latest event by key; tombstones are absent. Not to be kept across an await."""
        ...

    async def changed(self) -> None:
        """Return when an entry has changed since the last call of `changed` by this caller returned."""
        ...


class Clock(Protocol):
    """Time, given to whoever needs it. `monotonic_s` for waits, `now_s` (Unix seconds) for what is written."""

    def monotonic_s(self) -> float: ...
    def now_s(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...


class Apart(Protocol):
    """A child process for work that must not run on the event loop; started at the first call, restarted when dead."""

    async def call(self, function: str, *arguments: Any) -> Any:
        """Return what `function` (`package.module:name`) returns for the arguments, all msgpack values or bytes.

        One call at a time. Raises: Unavailable when the child died or took too long; Broken when the function
        raised (the message holds the exception's type and text, not the arguments).
        """
        ...


class Announce(Protocol):
    def __call__(self, *emits: Emit, state: Mapping[str, Any] = ...) -> None:
        """Queue emits that stem from no delivery (status events), and entries of small state.

        The emits leave with the next release of the least of our partitions; each `id` must be given, and be derived
        from what it announces. Entries of `state` (None: deleted) are seen at once, and saved in every partition that
        is ours, in the same release: for what is true of the streamlet, not of a delivery. A key that is set so is set
        in no other way. When the partition that carries them is lost or rewound before, they are dropped: `gained`
        then shows what was saved, and what is missing is to be announced again.
        """
        ...


class Context(msgspec.Struct, kw_only=True):
    """What the engine gives a streamlet at its construction."""

    application: str
    streamlet: str
    base_dir: Path
    clock: Clock
    random: random.Random
    connected: frozenset[str]
    tables: Mapping[str, Table]
    open_server: OpenServer
    apart: Apart
    attempts: int = 3
    gauge: Callable[[str, float], None] = lambda name, value: None
    waiting: Callable[[str | None], None] = lambda reason: None
    announce: Announce = lambda *emits, state={}: None
    contracts: Mapping[str, Sequence[Mapping[str, Any]]] = {}
    """Port → the JSON Schemas of the events there, as far as contracts say it."""


class Finding(msgspec.Struct, frozen=True):
    """A problem that a streamlet sees in its own options or connections, for the linter: code, option path, what."""

    code: str
    path: tuple[str | int, ...]
    message: str
    severity: Literal["error", "warning"] = "error"


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """How a streamlet is connected, for its `check`: port → partitions of its topic; replicas; the folder."""

    partitions: Mapping[str, int]
    replicas: int
    base_dir: Path


class Branch(msgspec.Struct, frozen=True, kw_only=True):
    """A way that an event, or what follows from one, can go in a streamlet: for the coverage of blueprint tests.

    It was taken when one of these was seen: an emit on `outlet`; an event of this `fate`; a dead letter of one of
    `codes`, or with `is_dead_letter` of any but those of the entrance; a status event of this `step`; the model `away`
    asked while it was away. Where `outlet` or `inlet` is not connected there is no such way.
    """

    name: str
    outlet: str | None = None
    inlet: str | None = None
    fate: Fate | None = None
    codes: tuple[str, ...] = ()
    is_dead_letter: bool = False
    step: str | None = None
    away: str | None = None


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """What a streamlet asks those with whom it will call, for its `check_online`.

    `within_s`: how long each of them may take; asked side by side, all of them take no longer. `contracts`: inlet → the
    JSON Schema of what arrives there, where it is known.
    """

    base_dir: Path
    open_server: OpenServer
    within_s: float
    contracts: Mapping[str, Mapping[str, Any]] = {}


@runtime_checkable
class Streamlet(Protocol):
    """A component: what a class must offer to be named by `use`.

    Constructed once in each worker as `Class(options, context)`, where `options` is an instance of its `Options`.
    Optional attributes of the class, with their defaults:
      Options: type[BaseModel] = (no options)   field descriptions are the documentation
      inlets, outlets: tuples of Inlet and Outlet; or a static `ports(options) -> (inlets, outlets)`
      overlap: int = 1         batches of one partition in flight at once; above 1 `process` may not change state
      critical: bool = True    a Fatal ends the worker; False: that stage alone
      holds: bool = False      outcomes may hold deliveries; `due` is called
      max_events: int = 500    the most deliveries in one batch
      check(options, wiring) -> list[Finding]   static: what only the streamlet knows, for the linter
      async check_online(options, reach) -> list[Finding]   static: what those say whom it calls, for `verify --online`
      needs(options, wiring) -> Needs           static: what it holds, waits for, promises and trusts, for the linter
      branches(options) -> list[Branch]         static: the ways events can go, for the coverage of tests
    Optional methods: `set_up`, `tear_down`, `admit`, `gained`, `due`, `lost`.
    """

    async def process(self, batch: Batch) -> Outcome:
        """Return what became of the batch.

        Batches of one partition are started in order; with `overlap` above 1 several run at once and the engine
        restores the order. Raise a typed error (`streamlets.errors`) for the batch as a whole: Unavailable is tried
        again, Rejected and Broken are bisected, Fatal stops the stage. May be cancelled at any await when the
        partition is lost; what it would have returned is then dropped.
        """
        ...


class Admits(Protocol):
    def admit(self, batch: Batch) -> Any:
        """Return the plan for a batch, decided in the order of the partition, before `process`; may change state.

        Synchronous and quick. What it sets in the state is saved in the release of this very batch.
        """
        ...


class Gains(Protocol):
    def gained(self, topic: str, partition: int, state: State) -> None:
        """Take over what a partition's small state holds, before its first delivery; `lost` is its counterpart.

        Called again after a rewind. The state may be read only; `context.announce` may set entries.
        """
        ...


class Holds(Protocol):
    async def due(self, batch: Batch) -> Outcome:
        """Return what a timer (or the end of a bounded run: `batch.ending`) settles; `batch.deliveries` is empty."""
        ...

    def lost(self, topic: str, partition: int) -> None:
        """Forget what is held of a partition: it moved away or is rewound. Its deliveries will come again."""
        ...


class Portion(msgspec.Struct):
    """What a source read: emits (parent -1, `id` given), the position after them, and whether the split has ended.

    `dead`: what could not be decoded, as (raw bytes, code, reason). `progress`: share done in [0, 1] if known.
    """

    emits: list[Emit]
    position: Any
    ended: bool = False
    dead: list[tuple[bytes, str, str]] = []
    progress: float | None = None


@runtime_checkable
class Source(Protocol):
    """A streamlet without stream inlets. It runs once, however many workers there are; its splits are shared out.

    Construction, `Options`, `outlets`, `check`, `needs`, `set_up` and `tear_down` as for `Streamlet`.
    """

    def splits(self) -> list[str]:
        """Return the names of the splits, always in the same order; one split is the usual case."""
        ...

    async def read(self, split: str, position: Any, max_events: int) -> Portion:
        """Return the next portion after `position` (None: the start); waits where the source's pace says so.

        The same position must give the same events with the same ids: after a crash it is asked again.
        Cancelled at shutdown; must then have had no effect.
        """
        ...


class OptionsBase(BaseModel):
    """The base of every options model: unknown options are refused, defaults are checked too.

    A secret is a `SecretStr`: it may then be given as `${NAME}` or as a mounted file only, and is never printed.
    """

    model_config = {"extra": "forbid", "validate_default": True, "frozen": True, "hide_input_in_errors": True}
