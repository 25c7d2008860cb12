"""What becomes of model updates: each is read, tried out and accepted or rejected once, and the verdict stays.

Of several that wait the newest epoch is tried first; what is older than what was accepted is rejected as stale. A
verdict is saved in the small state of every partition, with the status event that tells it, so that neither a restart
nor a compaction of the topic asks again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from streamlets.builtin.scoring.serving import Serving
from streamlets.builtin.updates import Status, Update, model_of, read_update, status_emit
from streamlets.errors import Rejected
from streamlets.event import Event, timestamp
from streamlets.ports import Announce, Clock, Table

log = logging.getLogger("streamlets.score")

KEPT = 1_000  # verdicts that are kept, the newest epochs': far more than a compacted topic has models and versions
ACCEPTED, REJECTED = "accepted", "rejected"
KNOWN = "updates"  # the key of what a partition knows, in its small state


class Verdict(msgspec.Struct, frozen=True):
    """What was decided on an update."""

    epoch: int
    verdict: str
    code: str | None = None


class Known(msgspec.Struct):
    """What a partition's small state knows of updates: the verdicts, and what was accepted last."""

    verdicts: dict[str, Verdict] = {}
    accepted: Serving | None = None

    def to_state(self) -> Any:
        last = sorted(self.verdicts.items(), key=lambda item: (item[1].epoch, item[0]))[-KEPT:]
        return msgspec.to_builtins(Known(dict(last), self.accepted))

    @staticmethod
    def from_state(value: Any) -> Known:
        return Known() if value is None else msgspec.convert(value, Known)


class Updater:
    """Follows the updates of one model. `run` never ends."""

    def __init__(
        self,
        *,
        model: str,
        streamlet: str,
        table: Table,
        clock: Clock,
        try_out: Callable[[Update, str], Awaitable[Serving]],
        announce: Announce,
        scope: Callable[[], str],
    ) -> None:
        """`try_out` returns what is in force once an update was tried, or raises Rejected.

        `scope` says whose verdict it is.
        """
        self._known = Known()
        self._model = model
        self._streamlet = streamlet
        self._table = table
        self._clock = clock
        self._try_out = try_out
        self._announce = announce
        self._scope = scope
        self._pending: dict[str, Update] = {}
        self._learned = asyncio.Event()
        self._wake = asyncio.Event()

    @property
    def accepted(self) -> Serving | None:
        """What was accepted last."""
        return self._known.accepted

    @accepted.setter
    def accepted(self, serving: Serving) -> None:
        if self.epoch < serving.epoch:
            self._known.accepted = serving

    @property
    def epoch(self) -> int:
        """The newest epoch that was accepted."""
        return 0 if self._known.accepted is None else self._known.accepted.epoch

    def learn(self, known: Known, serving: Serving) -> None:
        """Take over what a partition knows, and what it is scored with; let it know what the others do.

        Where two workers decided otherwise, what one of them accepted goes: it is in use already.
        """
        for newer in (serving, known.accepted):
            if newer is not None:
                self.accepted = newer
        mine = self._known.verdicts
        for update, verdict in known.verdicts.items():
            if update not in mine or verdict.verdict == ACCEPTED:
                mine[update] = verdict
        if mine != known.verdicts or self._known.accepted != known.accepted:
            self._announce(state={KNOWN: self._known.to_state()})
        self._learned.set()
        self._wake.set()

    async def run(self) -> None:
        """Decide on updates, present and to come, once it is known what was decided before."""
        await self._learned.wait()
        follower = asyncio.create_task(self._follow())
        trial: asyncio.Task[None] | None = None
        tried = ""
        try:
            while True:
                self._wake.clear()
                self._read()
                newest = max(self._pending, key=lambda u: (self._pending[u].epoch, u), default="")
                if trial is not None and tried != newest:
                    # a newer one came, or this one was decided elsewhere
                    trial.cancel()
                    await asyncio.gather(trial, return_exceptions=True)
                    trial = None
                if trial is None and newest:
                    tried = newest
                    trial = asyncio.create_task(self._decide(newest, self._pending[newest]))
                waits = {asyncio.create_task(self._wake.wait())}
                try:
                    await asyncio.wait(
                        {*waits, *([trial] if trial else [])}, return_when=asyncio.FIRST_COMPLETED
                    )
                finally:
                    for wait in waits:
                        wait.cancel()
                if trial is not None and trial.done():
                    trial.result()
                    trial = None
        finally:
            follower.cancel()
            if trial is not None:
                trial.cancel()

    async def _follow(self) -> None:
        while True:
            await self._table.changed()
            self._wake.set()

    def _read(self) -> None:
        """Take up what is new in the table; reject what needs no trial."""
        for event in list(self._table.entries().values()):
            if (
                event.id in self._known.verdicts
                or event.id in self._pending
                or model_of(event) not in (None, self._model)
            ):
                continue
            try:
                update = read_update(event)
            except Rejected as exc:
                self._tell(_unread(event, self._model), "received")
                self._reject(event.id, 0, _unread(event, self._model), exc)
                continue
            if update.model != self._model:
                continue
            self._tell(_status(event.id, update), "received")
            self._pending[event.id] = update
        for update_id, update in list(self._pending.items()):
            if update_id in self._known.verdicts:
                del self._pending[update_id]
            elif update.epoch <= self.epoch:
                stale = Rejected(f"epoch {update.epoch} is not newer than {self.epoch}", code="stale-epoch")
                self._reject(update_id, update.epoch, _status(update_id, update), stale)

    async def _decide(self, update_id: str, update: Update) -> None:
        status = _status(update_id, update)
        try:
            accepted = await self._try_out(update, update_id)
        except Rejected as exc:
            self._reject(update_id, update.epoch, status, exc)
            return
        self.accepted = accepted
        self._keep(update_id, Verdict(update.epoch, ACCEPTED))
        self._tell(status, "validated")
        log.info("update.validated %s", _fields(self._streamlet, status))

    def _reject(self, update_id: str, epoch: int, status: Status, error: Rejected) -> None:
        self._keep(update_id, Verdict(epoch, REJECTED, error.code))
        status = msgspec.structs.replace(status, code=error.code, reason=str(error))
        self._tell(status, "rejected")
        log.warning(
            "update.rejected %s code=%s reason=%s", _fields(self._streamlet, status), error.code, error
        )

    def _keep(self, update_id: str, verdict: Verdict) -> None:
        self._pending.pop(update_id, None)
        self._known.verdicts[update_id] = verdict

    def _tell(self, status: Status, step: str) -> None:
        """Announce a step; with a verdict what is known now, for every partition."""
        status = msgspec.structs.replace(status, step=step)
        emit = status_emit(status, self._streamlet, self._scope(), time=timestamp(self._clock.now_s()))
        self._announce(emit, state={} if step == "received" else {KNOWN: self._known.to_state()})


def _status(update_id: str, update: Update) -> Status:
    return Status(
        step="",
        update=update_id,
        model=update.model,
        version=update.version,
        epoch=update.epoch,
        servers=update.urls(),
        origin=update.origin,
    )


def _unread(event: Event, model: str) -> Status:
    return Status(step="", update=event.id, model=model)


def _fields(streamlet: str, status: Status) -> str:
    return (
        f"streamlet={streamlet} update={status.update} model={status.model} version={status.version} "
        f"epoch={status.epoch}"
    )
