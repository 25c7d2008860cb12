"""`score`: events in, predictions out, by calls to a model server.

The hot path is `process`: a batch's events become rows, rows of all partitions become calls (`scoring.batcher`), the
answers are checked and become predictions by position. Which model a partition is scored with is decided in `admit`,
in the order of the partition, and kept in its small state. Past 400 lines because what lints, starts, admits and
retires a model is about one table of targets; the parts that stand alone are in `scoring/`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from streamlets.builtin.scoring.inputs import Inputs, Row
from streamlets.builtin.scoring.online import check_online
from streamlets.builtin.scoring.options import ScoreOptions, ServerOptions
from streamlets.builtin.scoring.payloads import PayloadLog
from streamlets.builtin.scoring.serving import FILE, Places, Serving
from streamlets.builtin.scoring.target import Answer, Moved, Target
from streamlets.builtin.scoring.trial import try_out
from streamlets.builtin.scoring.updater import KNOWN, REJECTED, Known, Updater
from streamlets.builtin.updates import STATUS_TYPE, Status, Update, status_emit
from streamlets.errors import Fatal, Rejected
from streamlets.event import timestamp
from streamlets.ports import (
    Amount,
    Batch,
    Branch,
    Context,
    DeadLetter,
    Emit,
    Finding,
    Inlet,
    Needs,
    Outcome,
    Outlet,
    Reach,
    Said,
    State,
    Wait,
    Wiring,
)
from streamlets.recovery import Failure, longest_backoff_s

START_S = (
    5.0  # what a first look at the servers may take; who is not there by then is waited for while running
)

SERVING = "serving"  # the key of what a partition is scored with, in its small state


class Plan(msgspec.Struct):
    """What `admit` decided for a batch: who is asked, and which update begins with it, if one does."""

    target: Target
    applied: Serving | None = None


class Score:
    """Scores events by a model server. Each event becomes one prediction; order is kept.

    A prediction's data: `prediction {field: value}`, `model {name, version, server, update, strategy, fallback}`, and
    `input {…}` with the fields that `include` names. The version is the one that the answer names, when it names one.
    Events that a model refuses, or that break it alone, are dead letters; a model server that is away is waited for.
    """

    Options = ScoreOptions
    overlap = 8  # batches of a partition in flight: enough to fill calls while others are out
    inlets = (
        Inlet("in", description="The events to score."),
        Inlet(
            "updates",
            kind="table",
            required=False,
            description="Model updates, a compacted topic keyed model@version.",
        ),
    )
    outlets = (
        Outlet("out", type="streamlets.prediction", description="One prediction for each event."),
        Outlet("payloads", description="What was sent to the model and what came back."),
        Outlet("status", type=STATUS_TYPE, description="What became of model updates."),
    )
    critical: ClassVar[bool] = True

    def __init__(self, options: ScoreOptions, context: Context) -> None:
        self._options = options
        self._context = context
        self._places = Places(options, context.base_dir)
        self._targets: dict[Serving, Target] = {}
        self._accepted: Target | None = None  # the newest update's
        self._partitions: dict[tuple[str, int], Target | None] = {}  # None: nothing has been scored yet
        self._reasons: dict[Target, str] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._payloads = (
            PayloadLog(
                application=context.application,
                streamlet=context.streamlet,
                model=options.model,
                mode=options.payloads.mode,
            )
            if "payloads" in context.connected
            else None
        )
        self._updater: Updater | None = None
        self._updating: asyncio.Task[None] | None = None
        if "updates" in context.tables:
            self._updater = Updater(
                model=options.model,
                streamlet=context.streamlet,
                table=context.tables["updates"],
                clock=context.clock,
                try_out=self._try_out,
                announce=context.announce,
                scope=self._scope,
            )

    @staticmethod
    def check(options: ScoreOptions, wiring: Wiring) -> list[Finding]:
        """Return what only `score` knows of its options and connections."""
        return _check(options, wiring)

    @staticmethod
    def needs(options: ScoreOptions, wiring: Wiring) -> Needs:
        """Return what a prediction may wait for, whom secrets are sent to, and what is believed."""
        return _needs(options)

    @staticmethod
    def branches(options: ScoreOptions) -> list[Branch]:
        """Return the ways that events and updates can go."""
        return [
            Branch(name="predicted", outlet="out"),
            Branch(name="refused by the model", is_dead_letter=True),
            Branch(name="its servers are away", away=options.model),
            Branch(name="an update is applied", inlet="updates", step="applied"),
            Branch(name="an update is rejected", inlet="updates", step=REJECTED),
        ]

    @staticmethod
    async def check_online(options: ScoreOptions, reach: Reach) -> list[Finding]:
        """Return what is wrong with the blueprint's servers and with their models as they are now."""
        return await check_online(options, reach)

    # --- life

    async def set_up(self) -> None:
        """Look at the blueprint's servers, and begin to follow updates. A server that is not there is waited for.

        Raises: Fatal (`tensor-mismatch`, `missing-file`, …) where the model does not fit the blueprint.
        """
        if self._updater is not None:
            self._updating = asyncio.create_task(
                self._updater.run(), name=f"{self._context.streamlet}.updates"
            )
            if self._context.tables["updates"].entries():
                return  # the blueprint's servers may be history: they are asked when they are wanted
        target = self._target(self._places.initial())
        looking = [
            asyncio.create_task(target.wait_asked()),
            asyncio.create_task(self._context.clock.sleep(START_S)),
        ]
        try:
            done, _ = await asyncio.wait(looking, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in looking:
                task.cancel()
            await asyncio.gather(*looking, return_exceptions=True)

    async def tear_down(self) -> None:
        """Close the connections; calls in flight are given up."""
        if self._updating is not None:
            self._updating.cancel()
            await asyncio.gather(self._updating, return_exceptions=True)
        await asyncio.gather(*(target.close() for target in self._targets.values()), *self._closing)
        self._targets.clear()

    def gained(self, topic: str, partition: int, state: State) -> None:
        """Take over what a partition's small state knows, before its first delivery."""
        self._partitions.setdefault((topic, partition), None)
        if self._updater is None:
            return
        known = Known.from_state(state.get(KNOWN))
        is_carrier = (topic, partition) == min(self._partitions)
        self._updater.learn(known, self._serving(state), is_carrier=is_carrier)
        accepted = self._updater.accepted
        if accepted is not None and (self._accepted is None or accepted.epoch > self._accepted.serving.epoch):
            self._accept(self._target(accepted))

    def _serving(self, state: State) -> Serving:
        found = state.get(SERVING)
        return self._places.initial() if found is None else Serving.from_state(found)

    def lost(self, topic: str, partition: int) -> None:
        """Forget a partition: it moved away, or its state is read again."""
        target = self._partitions.pop((topic, partition), None)
        if target is not None:
            target.users -= 1
            self._retire()

    # --- which model

    def admit(self, batch: Batch) -> Plan:
        """Decide which model the batch is scored with; keep it in the state when it changes."""
        place = (batch.topic, batch.partition)
        serving, applied, newest = self._serving(batch.state), None, self._accepted
        if newest is not None and newest.serving.epoch > serving.epoch:
            serving = applied = newest.serving
            batch.state.set(SERVING, serving.to_state())
        target = self._target(serving)
        before = self._partitions.get(place)
        if before is not target:
            target.users += 1
            self._partitions[place] = target
            if before is not None:
                before.users -= 1
                self._retire()
        return Plan(target, applied)

    def _target(self, serving: Serving) -> Target:
        """Return the target of a serving, opened if it was not yet."""
        target = self._targets.get(serving)
        if target is None:
            blocked = None
            try:
                specs = self._places.specs(serving)
            except Rejected as exc:
                # It was accepted once. What takes its place is an update, or the operator's permission.
                specs, blocked = [], f"model {serving.model}@{serving.version}: {exc}"
            target = self._open(serving, specs, blocked)
            target.start()
        return target

    def _open(self, serving: Serving, specs: Any, blocked: str | None = None) -> Target:
        target = Target(serving, specs, self._options, self._context, blocked)
        target.on_reason = self._tell_reason
        self._targets[serving] = target
        if self._accepted is not None and self._accepted.serving.epoch > serving.epoch:
            target.successor = self._accepted
        return target

    def _tell_reason(self, target: Target, reason: str | None) -> None:
        if reason is None:
            self._reasons.pop(target, None)
        else:
            self._reasons[target] = reason
        self._context.waiting(next(iter(self._reasons.values()), None))

    def _retire(self) -> None:
        """Close what nobody is scored with any more."""
        for serving, target in list(self._targets.items()):
            target.tell()
            if target.is_idle and target is not self._accepted and target.successor is not None:
                del self._targets[serving]
                closing = asyncio.create_task(target.close())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

    # --- updates

    async def _try_out(self, update: Update, update_id: str) -> Serving:
        """Return what is in force, once the update was tried. Raises: Rejected with what is wrong with it."""
        serving = Serving.of(update, update_id, self._options.protocol)
        specs = self._places.specs(serving)
        try:
            target = Target(serving, specs, self._options, self._context)
        except Fatal as exc:
            raise Rejected(exc.message, code=exc.code, hint=exc.hint) from exc
        try:
            await try_out(target, update, self._options.updates.ready_within, self._context.clock)
            self._check_fields(target)
        except BaseException:
            await target.close()
            raise
        self._targets[serving] = target
        target.on_reason = self._tell_reason
        self._accept(target)
        return serving

    def _check_fields(self, new: Target) -> None:
        """Return when predictions keep their fields, which without `outputs` are whatever the model gives.

        Raises: Rejected (`tensor-mismatch`) where one would be missing; more than before are nobody's loss.
        """
        for served in self._targets.values():
            if served.outputs is None or new.outputs is None or not new.outputs.fields:
                continue
            missing = [field for field in served.outputs.fields if field not in new.outputs.fields]
            if missing:
                raise Rejected(
                    f"its answers have no {', '.join(map(repr, missing))}, which predictions have now; "
                    f"they have {', '.join(new.outputs.fields)}",
                    code="tensor-mismatch",
                    hint="name the tensors of predictions under `outputs`",
                )

    def _accept(self, target: Target) -> None:
        """Let the target take over: for each partition at its next batch, and at once where nobody else answers."""
        self._accepted = target
        for other in self._targets.values():
            if other.serving.epoch < target.serving.epoch:
                other.successor = target
                other.replicas.wake()
        self._retire()

    def _scope(self) -> str | None:
        """Whose verdict it is: the least of our partitions, which carries what we announce."""
        return "/".join(map(str, min(self._partitions))) if self._partitions else None

    # --- scoring

    async def process(self, batch: Batch) -> Outcome:
        """Return a prediction or a dead letter for each event."""
        if self._updating is not None and self._updating.done():
            self._updating.result()
        plan: Plan = batch.plan
        target = plan.target
        while True:
            target.users += 1  # nobody closes it under us
            try:
                inputs = await target.wait_known()
                rows, indexes, copies, dead = inputs.rows(batch.deliveries)
                results = await target.submit(rows) if rows else []
                break
            except Moved:
                assert target.successor is not None
            finally:
                target.users -= 1
            target = target.successor
        if target.successor is not None or plan.target is not target:
            self._retire()
        self._context.gauge("calls", float(target.batcher.calls))
        emits = [] if plan.applied is None else [self._applied(plan.applied, batch)]
        if self._payloads is not None and rows:
            emits += self._log(target, inputs, batch, rows, indexes, results)
        for at, (i, result) in enumerate(zip(indexes, results, strict=True)):
            if isinstance(result, Failure):
                error = result.error
                dead.append(DeadLetter(i, error.code, error.message, result.attempts, target.name))
                continue
            call, place = result
            data = call.heads[place] + call.tail
            data += b',"input":' + copies[at] + b"}" if copies else b"}"
            emits.append(Emit("out", data, i, extensions=call.extensions))
        return Outcome(emits=emits, dead=dead)

    def _log(
        self,
        target: Target,
        inputs: Inputs,
        batch: Batch,
        rows: Sequence[Row],
        indexes: Sequence[int],
        results: Sequence[Answer | Failure],
    ) -> list[Emit]:
        assert self._payloads is not None
        now_s = self._context.clock.now_s()
        return self._payloads.emits(batch, inputs, rows, indexes, results, target.serving.version, now_s)

    def _applied(self, serving: Serving, batch: Batch) -> Emit:
        assert serving.update is not None
        status = Status(
            step="applied",
            update=serving.update,
            model=serving.model,
            version=serving.version,
            epoch=serving.epoch,
            servers=[place.url for place in serving.servers],
            topic=batch.topic,
            partition=batch.partition,
            offset=batch.deliveries[0].offset,
        )
        scope = f"{batch.topic}/{batch.partition}"
        time = timestamp(self._context.clock.now_s())
        return status_emit(status, self._context.streamlet, scope, parent=0, time=time)


def _check(options: ScoreOptions, wiring: Wiring) -> list[Finding]:
    findings = []
    connected = wiring.partitions
    given = options.model_fields_set
    if "updates" in given and "updates" not in connected:
        findings.append(
            Finding(
                "unconnected-inlet",
                ("updates",),
                "'updates' is set, but the inlet 'updates' is not connected",
            )
        )
    if "payloads" in given and "payloads" not in connected:
        findings.append(
            Finding("unconnected-outlet", ("payloads",), "'payloads' is set, but the outlet is not connected")
        )
    if options.protocol == "onnx":
        for path, url in _urls(options):
            if _is_inside(url, wiring.base_dir) and not (wiring.base_dir / url).is_file():
                message = f"there is no file {url!r} beside the blueprint"
                findings.append(Finding("missing-file", path, message))
    return findings


def _needs(options: ScoreOptions) -> Needs:
    timeouts = [Amount(options.timeout, ("timeout",))] + [
        Amount(server.timeout, ("servers", i, "timeout"))
        for i, server in enumerate(options.servers)
        if isinstance(server, ServerOptions) and server.timeout is not None
    ]
    backoff_s = longest_backoff_s(options.attempts)
    files = [
        Said(pattern.removeprefix(FILE), ("updates", "allow", i))
        for i, pattern in enumerate(options.updates.allow)
        if pattern.startswith(FILE)
    ]
    if options.protocol == "onnx":
        files += [Said(url, path) for path, url in _urls(options)]
    return Needs(
        waits=(
            Wait(Amount(options.batch.max_wait, ("batch", "max_wait"))),
            Wait(max(timeouts, key=lambda amount: amount.value), times=options.attempts),
            Wait(Amount(backoff_s, ("attempts",), "the waits between the tries"), on_retry=True),
        ),
        unguarded=() if options.updates.allow else (Said("updates", ("updates", "allow")),),
        secrets_to=tuple(
            Said(server.url, ("servers", i, "url"))
            for i, server in enumerate(options.servers)
            if isinstance(server, ServerOptions) and server.headers and options.protocol != "onnx"
        ),
        trusted_files=tuple(files),
    )


def _urls(options: ScoreOptions) -> list[tuple[tuple[str | int, ...], str]]:
    """Return where each server is, with the path of the option that says so."""
    return [
        (("servers", i), server) if isinstance(server, str) else (("servers", i, "url"), server.url)
        for i, server in enumerate(options.servers)
    ]


def _is_inside(place: str, base_dir: Path) -> bool:
    try:
        return (base_dir / place).resolve().is_relative_to(base_dir.resolve())
    except (OSError, RuntimeError, ValueError):  # a link to itself, a character that no path holds
        return False
