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
from streamlets.event import timestamp
from streamlets.ports import Announce, Clock, Table

log = logging.getLogger("streamlets.score")

KEPT = (
    200  # verdicts that are kept, of the newest epochs: more than a compacted topic has versions of one model
)
RECEIVED, VALIDATED, REJECTED = "received", "validated", "rejected"  # steps, and verdicts
KNOWN = "updates"  # the key of what a partition knows, in its small state


class Verdict(msgspec.Struct, frozen=True):
    """What was decided on an update; `received`: nothing yet, but it was told that it has come."""

    epoch: int
    verdict: str = RECEIVED
    version: str | None = None
    code: str | None = None
    reason: str | None = None


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
        scope: Callable[[], str | None],
    ) -> None:
        """`try_out` returns what is in force once an update was tried, or raises Rejected.

        `scope` says whose verdict it is: None where there is no partition to carry it.
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

    def learn(self, known: Known, serving: Serving, *, is_carrier: bool) -> None:
        """Take over what a partition knows, and what it is scored with; let it know what the others do.

        `is_carrier`: our announcements leave with this partition, so that what it does not know was not told by it.
        Where two workers decided otherwise, what one of them accepted goes: it is in use already.
        """
        for newer in (serving, known.accepted):
            if newer is not None:
                self.accepted = newer
        mine = self._known.verdicts
        for update, verdict in known.verdicts.items():
            if not self._is_decided(update) or verdict.verdict == VALIDATED:
                mine[update] = verdict
        if mine != known.verdicts or self._known.accepted != known.accepted:
            self._announce(state={KNOWN: self._known.to_state()})
        if is_carrier:
            for update in list(mine):
                self._tell_again(update, known.verdicts.get(update))
        self._learned.set()
        self._wake.set()

    def _tell_again(self, update_id: str, known: Verdict | None) -> None:
        """Announce those steps of an update that a partition does not know of."""
        verdict = self._known.verdicts[update_id].verdict
        if known is None:
            self._tell(update_id, RECEIVED)
        if verdict != RECEIVED and (known is None or known.verdict == RECEIVED):
            self._tell(update_id, verdict)

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

    def _is_decided(self, update: str) -> bool:
        verdict = self._known.verdicts.get(update)
        return verdict is not None and verdict.verdict != RECEIVED

    def _read(self) -> None:
        """Take up what is new in the table; reject what needs no trial."""
        for event in list(self._table.entries().values()):
            if self._is_decided(event.id) or event.id in self._pending:
                continue
            if model_of(event) not in (None, self._model):
                continue
            try:
                update = read_update(event)
            except Rejected as exc:
                self._receive(event.id, Verdict(0))
                self._reject(event.id, exc)
                continue
            if update.model == self._model:
                self._pending[event.id] = update
                self._receive(event.id, Verdict(update.epoch, version=update.version))
        for update_id, update in list(self._pending.items()):
            if self._is_decided(update_id):
                del self._pending[update_id]
            elif update.epoch <= self.epoch:
                stale = f"epoch {update.epoch} is not newer than {self.epoch}"
                self._reject(update_id, Rejected(stale, code="stale-epoch"))

    def _receive(self, update_id: str, verdict: Verdict) -> None:
        if update_id not in self._known.verdicts:
            self._known.verdicts[update_id] = verdict
            self._tell(update_id, "received")

    async def _decide(self, update_id: str, update: Update) -> None:
        try:
            self.accepted = await self._try_out(update, update_id)
        except Rejected as exc:
            self._reject(update_id, exc)
        else:
            self._conclude(update_id, VALIDATED)

    def _reject(self, update_id: str, error: Rejected) -> None:
        self._conclude(update_id, REJECTED, error.code, str(error))

    def _conclude(
        self, update_id: str, verdict: str, code: str | None = None, reason: str | None = None
    ) -> None:
        before = self._known.verdicts[update_id]
        self._known.verdicts[update_id] = Verdict(before.epoch, verdict, before.version, code, reason)
        self._tell(update_id, verdict)
        self._pending.pop(update_id, None)
        log.log(
            logging.INFO if verdict == VALIDATED else logging.WARNING,
            "update.%s streamlet=%s update=%s model=%s version=%s epoch=%d code=%s reason=%s",
            *(verdict, self._streamlet, update_id, self._model, before.version, before.epoch, code, reason),
        )

    def _tell(self, update_id: str, step: str) -> None:
        """Announce a step, and with it what is known now, for every partition; without one, the next will want it."""
        scope = self._scope()
        if scope is None:
            return
        verdict = self._known.verdicts[update_id]
        update = self._pending.get(update_id)
        status = Status(
            step=step,
            update=update_id,
            model=self._model,
            version=verdict.version,
            epoch=verdict.epoch or None,
            servers=[] if update is None else update.urls(),
            origin={} if update is None else update.origin,
            code=verdict.code if step == REJECTED else None,
            reason=verdict.reason if step == REJECTED else None,
        )
        emit = status_emit(status, self._streamlet, scope, time=timestamp(self._clock.now_s()))
        self._announce(emit, state={KNOWN: self._known.to_state()})
