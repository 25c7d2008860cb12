"""What the demo tells: lines as things happen, a bar on a terminal, and a summary at the end."""

from __future__ import annotations

import json
import shutil
import sys
import time
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from streamlets.cli.output import colours, short_path

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from streamlets.cli.demo import Place
    from streamlets.cli.demo_watch import Seen
    from streamlets.engine.account import Account
    from streamlets.engine.worker import Ended

PLAIN_S = 3.0  # between lines of progress where there is no terminal
TOLD_FEATURES = 3  # of an alert, on its line


class Story:
    """Tells the demo: text on standard output; or text on standard error and one JSON object at the end."""

    def __init__(self, place: Place, limit: int, *, is_text: bool) -> None:
        self._place = place
        self._limit = limit
        self._stdout = sys.stdout  # taken now: the application's console prints elsewhere
        self._out = sys.stdout if is_text else sys.stderr
        self._is_text = is_text
        self._began_s = time.monotonic()
        self._told_steps = self._told_alerts = 0
        self._plain_s = 0.0
        self._last = (self._began_s, 0)
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_bar()

    # --- as it happens

    def begin(self, seen: Seen, urls: list[str]) -> None:
        """Say what is going to happen, and where an earlier run has left it."""
        self._told_steps, self._told_alerts = len(seen.steps), len(seen.alerts)
        self._last = (time.monotonic(), seen.n_scored)
        self._print("How late will they arrive? Flights from New York, from 1 April 2013 on")
        self._print(f"  blueprint      {self._place.blueprint}")
        self._print(f"  log            {self._place.log}")
        self._print(f"  model servers  {', '.join(urls)}: version 1")
        if seen.n_scored:
            until = f", until {_day(seen.until)}" if seen.until else ""
            self._print(f"  so far         {seen.n_scored:,} flights were scored by earlier runs{until}")
        self._print("")
        if self._is_text and colours(self._out):
            self._start_bar()

    def line(self, text: str, **style: Any) -> None:
        """Tell one thing, with the time since the beginning."""
        seconds = int(time.monotonic() - self._began_s)
        self._print(f"  {seconds // 60}:{seconds % 60:02}  {text}", **style)

    def tell(self, seen: Seen) -> None:
        """Tell what is new, and how far it is."""
        for step in seen.steps[self._told_steps :]:
            self._tell_step(step)
        for alert in seen.alerts[self._told_alerts :]:
            self._tell_alert(alert)
        self._told_steps, self._told_alerts = len(seen.steps), len(seen.alerts)
        now_s = time.monotonic()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=seen.n_scored, text=_progress(seen))
        elif now_s - self._plain_s >= PLAIN_S and seen.n_scored > self._last[1]:
            per_s = (seen.n_scored - self._last[1]) / (now_s - self._last[0])
            self.line(f"{seen.n_scored:,} of {self._limit:,} flights, {per_s:,.0f}/s; {_progress(seen)}")
            self._plain_s, self._last = now_s, (now_s, seen.n_scored)

    def _tell_step(self, step: dict[str, Any]) -> None:
        name = f"version {step.get('version')}"
        if step["step"] == "validated":
            self.line(f"{name} is checked: allowed, ready, its tensors fit")
        elif step["step"] == "rejected":
            self.line(f"{name} is rejected, {step.get('code')}: {step.get('reason')}", fg="red")
        elif step["step"] == "applied" and step.get("epoch"):
            self.line(
                f"{name} scores partition {step['partition']} from offset {step['offset']:,} on", fg="green"
            )

    def _tell_alert(self, alert: dict[str, Any]) -> None:
        colour = "yellow" if alert["state"] == "firing" else "green"
        self.line(f"drift {alert['state']}: {alert_text(alert)}", fg=colour, bold=True)

    # --- the end

    def end(self, seen: Seen, ended: Ended, account: Account) -> None:
        """Tell the summary."""
        self._stop_bar()
        if not self._is_text:
            click.echo(json.dumps(self._summary(seen, ended, account)), file=self._stdout)
            return
        place = self._place
        counted = {line.streamlet: line for line in account.lines}
        flights, scoring = counted["features"], counted["score"]
        n_dead = sum(line.fates.get("dead-lettered", 0) for line in account.lines)
        n_open = sum(line.n_open for line in account.lines)
        rows = [
            (
                "flights",
                f"{counted['flights'].n_in:,} of {self._limit:,}: {scoring.fates.get('out', 0):,} scored, "
                f"{flights.fates.get('filtered', 0):,} filtered (cancelled, or without weather), {n_dead} dead letters",
            ),
            ("in order", f"{seen.n_repeated} repeated, {seen.n_misplaced} out of their partition's order"),
            (
                "scored by",
                ", ".join(f"version {v}: {n:,}" for v, n in sorted(seen.by_version.items())) or "-",
            ),
        ]
        for switch in seen.switches:
            where = f"{switch.topic}/{switch.partition}"
            rows.append(("switched", f"{where} to version {switch.version} from offset {switch.offset:,} on"))
        rows += [("drift", f"{alert['state']}: {alert_text(alert)}") for alert in seen.alerts]
        verdict = "every event is accounted for" if account.is_balanced else "the account does NOT balance"
        rows.append(
            ("account", f"{account.missing} missing: {verdict}" + (f"; {n_open:,} open" if n_open else ""))
        )
        rows += [("log", str(place.log)), ("servers said", str(place.servers_output))]
        rows.append(("console said", str(place.console_output)))
        self._print("")
        shown = ""
        for name, text in rows:
            self._print(f"  {'' if name == shown else name:<13}{text}")
            shown = name
        for cause in ended.causes:
            self._print(f"  {'stopped by':<13}{cause}", fg="red")
        self._print("")
        if counted["flights"].n_in < self._limit or n_open:
            self._print("Not at the end yet: the same command goes on where this one stopped.")
        else:
            self._print("All flights are scored; `--fresh` begins anew, a higher `--limit` goes on.")
        self._print("Next:")
        program = "streamlets" if shutil.which("streamlets") else short_path(Path(sys.argv[0]))
        for command in (
            f"account {place.blueprint}",
            f"inspect {place.blueprint} score.out --limit 3",
            f"inspect {place.blueprint} drift.alerts",
            f"models list {place.blueprint}",
            f"graph {place.blueprint}",
        ):
            self._print(f"  {program} {command}")

    def _summary(self, seen: Seen, ended: Ended, account: Account) -> dict[str, Any]:
        from streamlets.engine.account import as_json

        counted = {line.streamlet: line for line in account.lines}
        place = self._place
        return {
            "flights": counted["flights"].n_in,
            "limit": self._limit,
            "scored": seen.n_scored,
            "filtered": counted["features"].fates.get("filtered", 0),
            "dead_letters": sum(line.fates.get("dead-lettered", 0) for line in account.lines),
            "repeated": seen.n_repeated,
            "out_of_order": seen.n_misplaced,
            "versions": dict(sorted(seen.by_version.items())),
            "switches": [
                {"topic": s.topic, "partition": s.partition, "offset": s.offset, "version": s.version}
                for s in seen.switches
            ],
            "updates": [
                {name: step.get(name) for name in ("step", "version", "epoch", "code", "reason")}
                for step in seen.steps
            ],
            "alerts": seen.alerts,
            "account": as_json(account),
            "causes": ended.causes,
            "files": {
                "blueprint": str(place.blueprint),
                "settings": str(place.settings),
                "log": str(place.log),
                "servers": str(place.servers_output),
                "console": str(place.console_output),
            },
        }

    # --- printing

    def _print(self, text: str, **style: Any) -> None:
        if style and colours(self._out):
            text = click.style(text, **style)
        if self._bar is not None:
            from rich.text import Text

            self._bar.console.print(Text.from_ansi(text), soft_wrap=True)
        else:
            click.echo(text, file=self._out)

    def _start_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._bar = Progress(
            TextColumn("  scored"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            console=Console(file=self._out),
            redirect_stdout=False,
            redirect_stderr=False,
            transient=True,
        )
        self._task = self._bar.add_task("", total=self._limit, text="")
        self._bar.start()

    def _stop_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def alert_text(alert: dict[str, Any]) -> str:
    """Return what an alert says, for people: which features, how they moved, and in which window."""
    features = {feature["name"]: feature for feature in alert.get("features", ())}
    told = [_moved(features[name]) for name in alert.get("top", ())[:TOLD_FEATURES]]
    rest = len(alert.get("top", ())) - len(told)
    more = f" and {rest} more" if rest else ""
    window = alert["window"]
    return f"{', '.join(told) or 'no feature alone'}{more} (window {window['number']}, {window['rows']:,} flights)"


def _moved(feature: dict[str, Any]) -> str:
    was, now = feature["quantiles_reference"].get("0.5"), feature["quantiles"].get("0.5")
    way = {"up": "higher", "down": "lower"}.get(feature["direction"], "other")
    return f"{feature['name']} {way}, median {was:g} → {now:g}"


def _progress(seen: Seen) -> str:
    versions = ", ".join(f"version {version}: {n:,}" for version, n in sorted(seen.by_version.items()))
    return f"until {_day(seen.until)}; {versions}" if seen.until else versions


def _day(timestamp: str) -> str:
    day = date.fromisoformat(timestamp[:10])
    return f"{day.day} {day:%B}"
