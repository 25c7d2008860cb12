"""`detect`: drift by window, held against a reference; alerts as transitions.

A window's deliveries are held until it is judged, so a crash loses none of it: the log replays them. What survives is
small: the policy's state and the window's number, saved in the release of the window that changed them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from detectors import policy
from detectors.reference import BadReference, inspect
from streamlets.builtin.detecting.options import DetectOptions
from streamlets.builtin.detecting.rows import Rows
from streamlets.builtin.detecting.window import Window
from streamlets.errors import Broken, Fatal, Rejected, Unavailable
from streamlets.event import decode, window_id
from streamlets.ports import (
    Amount,
    Batch,
    Branch,
    Context,
    DeadLetter,
    Emit,
    Fate,
    Finding,
    Hold,
    Inlet,
    Needs,
    Outcome,
    Outlet,
    Said,
    Wiring,
)

FEW_WINDOWS = 10  # below, the baseline is so wide that alerts come late: said by the linter
RETRY_S = (0.1, 5.0)  # before a window is tried again: first wait, and the longest

_MONITOR = "streamlets.builtin.detecting.monitor"
_OUTSIDE = ("child-not-started",)  # an outage of the machine, not of the window: waited out by the engine


class Detect:
    """Drift by window, held against a reference; alerts as transitions.

    Reads the payload log of `score`, or any events that have the features as fields. Every window gives one event on
    `statistics`; `alerts` gets an event when drift begins and one when it is over. Computed in a child process.
    """

    Options = DetectOptions
    inlets = (Inlet("in", description="a payload log, or events with the features as fields"),)
    outlets = (
        Outlet("statistics", type="streamlets.drift.statistics", description="one event for each window"),
        Outlet(
            "alerts",
            type="streamlets.drift.alert",
            description="drift began (`firing`), or is over (`resolved`)",
        ),
    )
    critical = False
    holds = True

    def __init__(self, options: DetectOptions, context: Context) -> None:
        self._options = options
        self._context = context
        self._windows: dict[tuple[str, int], Window] = {}
        self._spec = ""
        self._about: dict[str, Any] = {}
        self._rows = Rows((), options.on)

    @staticmethod
    def check(options: DetectOptions, wiring: Wiring) -> list[Finding]:
        """Return what start-up would refuse, and what would make alerts late or wrong."""
        findings = []
        try:
            about = inspect(_inside(wiring.base_dir, options.reference))
        except BadReference as exc:
            if exc.code == "untrusted":
                return []  # as `needs` has it said
            return [Finding(_CODES.get(exc.code, exc.code), ("reference",), str(exc))]
        for index, name in enumerate(options.features or ()):
            if name not in about.features:
                has = ", ".join(about.features)
                findings.append(
                    Finding(
                        "bad-option",
                        ("features", index),
                        f"{about.name} has no feature {name!r}; it has {has}",
                    )
                )
        windows = about.calibration_rows // options.window.events
        if windows < FEW_WINDOWS:
            few = (
                f"{about.calibration_rows} calibration rows give {windows} windows of {options.window.events}"
            )
            if windows < policy.LEAST_WINDOWS:
                message = f"{few}; {policy.LEAST_WINDOWS} are the least: hold out more rows, or take smaller windows"
                findings.append(Finding("bad-option", ("window", "events"), message))
            else:
                message = f"{few}: alerts will come late; with {FEW_WINDOWS} or more they come sooner"
                findings.append(Finding("bad-option", ("window", "events"), message, "warning"))
        return findings

    @staticmethod
    def needs(options: DetectOptions, wiring: Wiring) -> Needs:
        """Return that a window is held until it is full or waits too long, and by whom it may be read."""
        window = options.window
        return Needs(
            holds=(
                Hold(
                    longest_s=Amount(window.wait, ("window", "wait")),
                    events=Amount(window.events, ("window", "events")),
                ),
            ),
            single_reader=_ONE_WINDOW if options.per == "all" else "",
            trusted_files=(Said(options.reference, ("reference",)),),
        )

    @staticmethod
    def branches(options: DetectOptions) -> list[Branch]:
        """Return the ways that windows can go."""
        return [
            Branch(name="a window is judged", fate=Fate.OUT),
            Branch(name="drift begins", outlet="alerts"),
        ]

    async def set_up(self) -> None:
        """Load the reference and calibrate, in the child. Raises: Fatal for a reference that cannot be used."""
        options = self._options
        try:
            path = _inside(self._context.base_dir, options.reference)
        except BadReference as exc:
            raise Fatal(str(exc), code=_CODES.get(exc.code, exc.code)) from exc
        self._spec = json.dumps(
            {
                "detector": options.detector,
                "reference": str(path),
                "features": options.features,
                "on": options.on,
                "window": options.window.events,
                "options": {"alpha": options.alpha, "correction": options.correction},
                "policy": options.policy.model_dump(),
            },
            sort_keys=True,
        )
        about = await self._prepared()
        if isinstance(about, (Broken, Unavailable)):
            raise Fatal(f"{options.reference}: {about.message}", code=about.code) from about
        if "problem" in about:
            raise Fatal(about["message"], code=_CODES.get(about["problem"], about["problem"]))
        self._about = about
        self._rows = Rows(about["features"], options.on)

    async def _prepared(self) -> dict[str, Any] | Broken | Unavailable:
        while True:
            try:
                return await self._try("prepare", self._spec)
            except (
                Unavailable
            ) as exc:  # no child can be started: as in the middle of the work, that is waited out
                self._context.waiting(exc.message)
                await self._context.clock.sleep(RETRY_S[1])
                self._context.waiting(None)

    async def process(self, batch: Batch) -> Outcome:
        """Return windows that closed; the rest is held. What is held changes only when all of it went well."""
        where = (batch.topic, batch.partition)
        now_s = self._context.clock.monotonic_s()
        outcome = Outcome(dead=[], emits=[])
        filtered: list[int] = []
        held = self._windows.get(where)
        fresh, mine = Window(now_s), list[int]()
        for index, delivery in enumerate(batch.deliveries):
            try:
                event = decode(delivery)
                taken = self._rows.take(event)
            except Rejected as exc:
                outcome.dead.append(DeadLetter(index, exc.code, exc.message))
                continue
            if taken is None:
                filtered.append(index)
                continue
            fresh.add(delivery, event, taken)
            mine.append(index)
            if (held.n_rows if held else 0) + fresh.n_rows >= self._options.window.events:
                window = held.joined(fresh) if held else fresh
                is_judged = await self._close(window, "count", batch, index, outcome)
                if held:
                    outcome.settles = held.ranges()
                    outcome.settled_fate = Fate.OUT if is_judged else Fate.FAILED
                if not is_judged:
                    outcome.fates = (outcome.fates or {}) | dict.fromkeys(mine, Fate.FAILED)
                held, fresh, mine = None, Window(now_s), []
        outcome.filtered, outcome.held = filtered, mine
        if held:
            held.extend(fresh)
        elif fresh.events:
            held = fresh
        self._keep(where, held, outcome)
        return outcome

    async def due(self, batch: Batch) -> Outcome:
        """Return the open window, closed, if it is time."""
        where = (batch.topic, batch.partition)
        held = self._windows.get(where)
        outcome = Outcome(emits=[])
        if held is not None:
            closed = "end" if batch.ending else "bound" if batch.full else "wait"
            if (
                closed == "wait"
                and self._context.clock.monotonic_s() < held.opened_s + self._options.window.wait
            ):
                self._keep(where, held, outcome)
                return outcome
            is_judged = await self._close(held, closed, batch, -1, outcome)
            outcome.settles = held.ranges()
            outcome.settled_fate = Fate.OUT if is_judged else Fate.FAILED
        self._keep(where, None, outcome)
        return outcome

    def lost(self, topic: str, partition: int) -> None:
        """Forget the partition's window: its deliveries will come again."""
        self._windows.pop((topic, partition), None)

    def _keep(self, where: tuple[str, int], window: Window | None, outcome: Outcome) -> None:
        if window is None:
            self._windows.pop(where, None)
        else:
            self._windows[where] = window
            outcome.wake_s = window.opened_s + self._options.window.wait
        self._context.gauge("window_rows", float(window.n_rows if window else 0))

    async def _close(self, window: Window, closed: str, batch: Batch, parent: int, outcome: Outcome) -> bool:
        """Judge a window: add what it emits to the outcome and keep the state. Return whether it could be judged."""
        kept = batch.state.get("detect") or {"number": 0, "config": None, "policy": None, "since": None}
        number = kept["number"] + 1
        config = self._about["detector"]["config"]
        is_same = kept["config"] == config
        found = await self._try(
            "judge", self._spec, config, kept["policy"] if is_same else None, window.events
        )
        said = {
            "window": window.describe(batch.topic, batch.partition, number, closed),
            "detector": self._about["detector"],
            "reference": self._about["reference"],
        }
        subject = next(reversed(window.models), None) or self._about["reference"]["id"]

        def emit(port: str, data: dict[str, Any], key: str) -> None:
            event_id = window_id(
                self._context.streamlet, port, batch.partition, key, window.first_id, window.last_id
            )
            outcome.emits.append(
                Emit(
                    port,
                    orjson.dumps(data),
                    parent=parent,
                    id=event_id,
                    subject=subject,
                    time=window.end,
                    key=f"{self._context.streamlet}/{batch.partition}".encode(),
                    partition=batch.partition,
                )
            )

        if isinstance(found, (Broken, Unavailable)):
            failed = {"code": found.code, "reason": found.message, "attempts": self._context.attempts}
            emit("statistics", said | {"failed": failed}, "")
            batch.state.set("detect", kept | {"number": number})
            return False
        if "problem" in found:
            raise Fatal(
                f"{self._options.reference}: {found['message']}",
                code=found["problem"],
                hint="restart to use what is there now",
                exit_code=128,
            )
        unreadable = [
            {"offset": window.offsets[index], "reason": reason} for index, reason in found["unreadable"]
        ]
        said["window"] |= {
            "rows": found["rows"], "n_unreadable": found["n_unreadable"], "unreadable": unreadable,
        }  # fmt: skip
        was_firing, since = kept["since"] is not None, kept["since"]
        if "score" not in found:
            state, transition, is_firing = (kept["policy"] if is_same else None), None, was_firing and is_same
            said["too_few_rows"] = True
        else:
            state, transition, is_firing = found["state"], found["transition"], found["firing"]
            said |= {
                name: found[name]
                for name in ("score", "drift", "value", "limit", "firing", "breach", "features")
            }
            self._context.gauge("score", found["score"])
            self._context.gauge("firing", float(is_firing))
        said["since"] = since = (since if was_firing and is_same else window.end) if is_firing else None
        emit("statistics", said, "")
        if was_firing and not is_same:
            # The alert was the old configuration's: nothing of the new one could ever resolve it.
            alert = self._alert(said, "resolved", kept["since"]) | {"reason": "configuration changed"}
            emit("alerts", alert, f"changed {kept['config']}")
        if transition is not None:
            emit("alerts", self._alert(said, transition, since or kept["since"], found["top"]), transition)
        batch.state.set("detect", {"number": number, "config": config, "policy": state, "since": since})
        return True

    def _alert(
        self, said: dict[str, Any], state: str, since: str | None, top: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Return an alert's data: the window's statistics, and what somebody woken up by it needs first."""
        worst_first = sorted(said.get("features", ()), key=lambda feature: -feature["score"])
        in_drift = [feature["name"] for feature in worst_first if feature["drift"]]
        links = {"runbook": self._options.runbook, "dashboard": self._options.dashboard}
        return {
            "state": state,
            "since": since,
            "top": list(top) or in_drift or [feature["name"] for feature in worst_first[:1]],
            "application": self._context.application,
            "streamlet": self._context.streamlet,
            **{name: value for name, value in said.items() if name != "since"},
            "links": {name: link for name, link in links.items() if link},
        }

    async def _try(self, function: str, *arguments: Any) -> dict[str, Any] | Broken | Unavailable:
        """Return what the child answers, or after `attempts` what the last one failed of.

        A child that dies of a window dies of it every time, so a death counts as an attempt. Raises: Unavailable
        when no child can be started: that is an outage, and no window's fault.
        """
        context = self._context
        wait_s, longest_s = RETRY_S
        attempt = 1
        while True:
            try:
                answer: dict[str, Any] = await context.apart.call(f"{_MONITOR}:{function}", *arguments)
                return answer
            except (Broken, Unavailable) as exc:
                if exc.code in _OUTSIDE:
                    raise
                if attempt >= context.attempts:
                    return exc
                attempt += 1
                context.waiting(exc.message)
                await context.clock.sleep(wait_s * context.random.uniform(0.5, 1.0))
                context.waiting(None)
                wait_s = min(2 * wait_s, longest_s)


_ONE_WINDOW = (
    "a window per partition would hold a keyed part of the stream against the reference of the whole, and cry drift; "
    "give the topic 'partitions: 1', or ask for it by 'per: partition'"
)

_CODES = {"untrusted": "untrusted-path", "bad-reference": "bad-option"}
"""What the linter calls what `detectors.reference` calls otherwise."""


def _inside(base_dir: Path, name: str) -> Path:
    """Return the file's path. Raises: BadReference (`untrusted`) when it lies outside the blueprint's folder."""
    base = base_dir.resolve()
    try:
        path = (base / name).resolve()
        if path.is_relative_to(base):
            return path
    except (OSError, RuntimeError, ValueError):  # a link to itself, a character that no path holds
        pass
    raise BadReference("untrusted", f"{name} lies outside the blueprint's folder; copy it into the folder")
