"""`streamlets run`: runs an application until it is stopped, or until it is idle."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamlets.cli.application import components, log_file, on_option, open_transport
from streamlets.cli.blueprint import blueprint_argument, load_plan
from streamlets.cli.main import USAGE_EXIT
from streamlets.cli.output import output_option
from streamlets.errors import Fatal

if TYPE_CHECKING:
    from blueprints.plan import Plan
    from streamlets.engine.account import Account
    from streamlets.engine.worker import Ended, Worker

PLAIN_PERIOD_S = 5.0  # between lines of progress where there is no terminal
LIVE_PERIOD_S = 0.5


@click.command(short_help="Run an application.")
@blueprint_argument
@on_option
@click.option("--only", metavar="A,B", help="Run these streamlets only.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Worker processes.")
@click.option("--until-idle", is_flag=True, help="End when the sources have ended and everything is settled.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Make and set up everything, read no event, keep nothing, call no server; say what would be.",
)
@click.option("--quiet", is_flag=True, help="No progress; the end is still told.")
@output_option
def run(
    blueprint: Path,
    on: str,
    overlays: tuple[Path, ...],
    only: str | None,
    workers: int,
    until_idle: bool,
    dry_run: bool,
    quiet: bool,
    output: str,
) -> None:
    """Run BLUEPRINT, on an embedded log unless --on says otherwise.

    A first SIGTERM or Ctrl-C stops cleanly within ten seconds: what is in process is released. A second one stops at
    once: the log replays what was not released. Exit code 0: done or drained; 1 to 127: a restart will not help;
    128 to 255: it may.
    """
    plan = load_plan(blueprint, overlays)
    chosen = _chosen(plan, only)
    if workers > 1:
        raise Fatal(
            f"--workers {workers}: the embedded log is held by one worker process",
            code="one-worker",
            hint="leave --workers out; several workers need a broker",
            exit_code=USAGE_EXIT,
        )
    if dry_run:
        _dry_run(plan, chosen, on, output)
        return
    for streamlet in plan.streamlets.values():
        if streamlet.replicas > 1:
            click.echo(
                f"{streamlet.name}: replicas is 1 here, not {streamlet.replicas}: one worker", err=True
            )
    log_to_stderr()
    if os.environ.get("STREAMLETS_UVLOOP", "1") == "1":
        import uvloop

        ended, account = uvloop.run(_run(plan, chosen, on, until_idle, quiet))
    else:
        ended, account = asyncio.run(_run(plan, chosen, on, until_idle, quiet))
    _tell(plan, ended, account, output, until_idle)
    sys.exit(ended.exit_code)


def _chosen(plan: Plan, only: str | None) -> set[str] | None:
    if only is None:
        return None
    from blueprints.suggest import did_you_mean

    chosen = {name.strip() for name in only.split(",") if name.strip()}
    for name in sorted(chosen - set(plan.streamlets)):
        raise Fatal(
            f"--only: there is no streamlet {name!r} in {plan.path}{did_you_mean(name, plan.streamlets)}",
            code="unknown-streamlet",
            exit_code=USAGE_EXIT,
        )
    return chosen


def log_to_stderr() -> None:
    """Log to standard error, at the level that STREAMLETS_LOG names."""
    from streamlets.cli import tracebacks

    tracebacks.log_to_stderr(os.environ.get("STREAMLETS_LOG", "WARNING").upper())


def build_worker(plan: Plan, transport: Any, chosen: set[str] | None) -> Worker:
    """Return a worker on the real clock, with real servers and child processes; not yet started."""
    import random

    from streamlets.engine.apart import ChildProcess
    from streamlets.engine.clock import SystemClock
    from streamlets.engine.worker import Worker
    from streamlets.servers.protocols import open_server

    return Worker(
        plan,
        transport,
        components(plan),
        clock=SystemClock(),
        random=random.Random(),
        open_server=open_server,
        open_apart=lambda name: ChildProcess(name),
        only=chosen,
    )


async def _run(
    plan: Plan, chosen: set[str] | None, on: str, until_idle: bool, quiet: bool
) -> tuple[Ended, Account | None]:
    from streamlets.engine.account import account

    transport = open_transport(on, plan, is_worker=True)
    await transport.start()
    try:
        worker = build_worker(plan, transport, chosen)
        await worker.start()
        on_signals(worker)
        settle_memory()
        progress = (
            None if quiet else asyncio.create_task(_progress(worker, log_file(on, plan)), name="progress")
        )
        try:
            ended = await worker.run(until_idle=until_idle)
        finally:
            if progress is not None:
                progress.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await progress
        found = None
        if until_idle and ended.exit_code == 0:
            found = await account(plan, transport, components(plan))
        return ended, found
    finally:
        await transport.close()


def settle_memory() -> None:
    """Set the garbage collector to the work: what was made at start stays, and events are no cycles.

    At the default threshold a collection ran every 700 headers and was half of the cost of an event.
    """
    import gc

    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


def on_signals(worker: Worker) -> None:
    loop = asyncio.get_running_loop()
    asked = False

    def stop(number: int) -> None:
        nonlocal asked
        if asked:
            os._exit(128 + number)  # at once, as was asked for: the log replays what was not released
        asked = True
        worker.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)


async def _progress(worker: Worker, where: Path) -> None:
    """Show rate, lag, what is in flight and what is waited for, until cancelled."""
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
            while True:
                live.update(_table(await worker.progress(), where), refresh=True)
                await asyncio.sleep(LIVE_PERIOD_S)
    last = ""
    while True:
        await asyncio.sleep(PLAIN_PERIOD_S)
        line = " | ".join(_plain(stage) for stage in await worker.progress())
        if line != last:
            click.echo(line, err=True)
            last = line


def _plain(stage: dict[str, Any]) -> str:
    parts = [f"{stage['streamlet']}: {stage['released']} done, {stage['rate']:.0f}/s"]
    if stage["lag"] is not None:
        parts.append(f"lag {stage['lag']}")
    if stage["waiting_on"]:
        parts.append(f"waits: {stage['waiting_on']}")
    if stage["failure"]:
        parts.append(f"stopped: {stage['failure']}")
    return ", ".join(parts)


def _table(stages: list[dict[str, Any]], where: Path) -> Any:
    from rich.table import Table

    table = Table(caption=f"log {where}", caption_justify="left", box=None, pad_edge=False)
    for title in ("streamlet", "done", "rate/s", "lag", "in flight", "held", "p50 ms", "p99 ms"):
        table.add_column(title, justify="left" if title == "streamlet" else "right")
    table.add_column("state", overflow="fold")
    for stage in stages:
        state = stage["failure"] or stage["waiting_on"] or ("ended" if stage.get("ended") else "")
        cells = [
            stage["released"],
            f"{stage['rate']:.0f}",
            stage["lag"],
            stage.get("in_process"),
            stage.get("held"),
        ]
        cells += [_ms(stage.get("latency_p50_s")), _ms(stage.get("latency_p99_s"))]
        table.add_row(stage["streamlet"], *("" if c is None else str(c) for c in cells), state)
    return table


def _ms(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds * 1000:.0f}"


def _dry_run(plan: Plan, chosen: set[str] | None, on: str, output: str) -> None:
    """Make and set up everything on a log that is thrown away, and say what would be."""
    from streamlets.cli.dry_run import dry_run

    where = log_file(on, plan)
    specs = asyncio.run(dry_run(plan, on, chosen))
    names = [name for name in plan.streamlets if chosen is None or name in chosen]
    if output == "json":
        import orjson

        topics = {s.name: {"partitions": s.partitions, "compacted": s.compacted} for s in specs}
        click.echo(orjson.dumps({"log": str(where), "streamlets": names, "topics": topics}).decode())
        return
    click.echo(f"{plan.name} (revision {plan.revision}) would run on {where}")
    for name in names:
        click.echo(f"  streamlet {name}: group {plan.group(name)}")
    for spec in specs:
        kind = ", compacted" if spec.compacted else ""
        click.echo(f"  topic {spec.name}: {spec.partitions} partition{'s' * (spec.partitions != 1)}{kind}")


def _tell(plan: Plan, ended: Ended, account: Account | None, output: str, until_idle: bool) -> None:
    from streamlets.cli.account import as_text

    if output == "json":
        import msgspec
        import orjson

        from streamlets.engine.account import as_json

        body = msgspec.to_builtins(ended)
        body["account"] = as_json(account) if account is not None else None
        click.echo(orjson.dumps(body).decode())
        return
    for cause in ended.causes:
        click.echo(cause, err=True)
    if account is not None:
        click.echo(as_text(account))
    elif ended.exit_code == 0:
        rest = f"; {ended.held} events are read again at the next start" if ended.held else ""
        click.echo(f"{plan.name}: stopped cleanly, everything settled is released{rest}", err=True)
