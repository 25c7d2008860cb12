"""`streamlets models`: which models an application is scored with; deploy another one, or go back.

Nothing is changed here: an update is appended to the application's updates topic, and the workers decide on it. What
they decide is read from the status topic, and becomes the exit code.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from streamlets.cli.application import on_option, open_transport
from streamlets.cli.blueprint import blueprint_argument, load_plan
from streamlets.cli.main import MAY_HELP_EXIT, USAGE_EXIT
from streamlets.cli.model_updates import Scoring
from streamlets.cli.output import output_option
from streamlets.errors import Fatal

if TYPE_CHECKING:
    from blueprints.plan import Plan
    from streamlets.builtin.updates import Status
    from streamlets.transports.transport import Transport

T = TypeVar("T")


@click.group(short_help="Which models are served; deploy one, go back.")
def models() -> None:
    """The models that an application is scored with."""


def _streamlet_option(command: Any) -> Any:
    return click.option("--streamlet", help="The scoring streamlet, where the blueprint has several.")(
        command
    )


def _wait_options(command: Any) -> Any:
    wait = click.option(
        "--wait/--no-wait", default=True, show_default=True, help="Wait until the workers have decided."
    )
    timeout = click.option(
        "--timeout", default="120s", show_default=True, envvar="STREAMLETS_TIMEOUT", help="How long to wait."
    )
    result = click.option(
        "--result",
        type=click.Path(path_type=Path),
        envvar="STREAMLETS_RESULT",
        help="A file to write the outcome to, as JSON.",
    )
    return wait(timeout(result(command)))


@models.command("list")
@blueprint_argument
@on_option
@_streamlet_option
@output_option
def list_(blueprint: Path, on: str, overlays: tuple[Path, ...], streamlet: str | None, output: str) -> None:
    """List the models of BLUEPRINT: what is served where, and what became of each update."""
    scoring = Scoring.of(load_plan(blueprint, overlays), streamlet)
    rows = _run(on, scoring.plan, scoring.rows)
    if output == "json":
        click.echo(json.dumps(rows))
        return
    for row in rows:
        where = f", partitions {', '.join(map(str, row['partitions']))}" if row["partitions"] else ""
        reason = f": {row['reason']}" if row["reason"] else ""
        click.echo(
            f"epoch {row['epoch']}  {row['model']}@{row['version'] or '-'}  {row['state']}{where}{reason}  "
            f"{' '.join(row['servers'])}"
        )


@models.command("deploy")
@blueprint_argument
@on_option
@_streamlet_option
@click.option("--version", required=True, envvar="STREAMLETS_VERSION", help="The version to serve.")
@click.option(
    "--server",
    "servers",
    multiple=True,
    required=True,
    envvar="STREAMLETS_SERVERS",
    help="A server's URL, or with --protocol onnx a file; may be repeated. In the environment, separated by spaces.",
)
@click.option("--protocol", envvar="STREAMLETS_PROTOCOL", help="v2 or onnx; by default the blueprint's.")
@click.option("--digest", envvar="STREAMLETS_DIGEST", help="sha256:… of the ONNX file.")
@click.option(
    "--golden",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="STREAMLETS_GOLDEN",
    help="A JSON file of events with the predictions that are expected.",
)
@click.option(
    "--origin",
    "origins",
    multiple=True,
    metavar="NAME=VALUE",
    envvar="STREAMLETS_ORIGIN",
    help="Where the model comes from, such as commit=4f2a; may be repeated.",
)
@_wait_options
@output_option
def deploy(
    blueprint: Path,
    on: str,
    overlays: tuple[Path, ...],
    streamlet: str | None,
    version: str,
    servers: tuple[str, ...],
    protocol: str | None,
    digest: str | None,
    golden: Path | None,
    origins: tuple[str, ...],
    wait: bool,
    timeout: str,
    result: Path | None,
    output: str,
) -> None:
    """Have BLUEPRINT's application scored with another version of its model, served elsewhere.

    Exit code 0 when the update is in force (with --no-wait: on its way), 1 when it was rejected, 128 when nobody has
    decided in time. Every option can be given in the environment as well, as STREAMLETS_VERSION, STREAMLETS_SERVERS ….
    """
    scoring = Scoring.of(load_plan(blueprint, overlays), streamlet)
    settings: dict[str, Any] = {
        "model": scoring.model,
        "version": version,
        "servers": list(servers),
        "protocol": protocol,
        "digest": digest,
        "golden": _golden(golden),
        "origin": dict(_pair(text) for text in origins),
    }
    waits_s = _seconds(timeout) if wait else None

    async def work(transport: Transport) -> Status:
        return await scoring.publish(
            transport, {**settings, "epoch": await scoring.next_epoch(transport)}, waits_s
        )

    _finish(_run(on, scoring.plan, work), output, result)


@models.command("rollback")
@blueprint_argument
@on_option
@_streamlet_option
@click.option(
    "--to", "to", envvar="STREAMLETS_VERSION", help="The version to go back to; by default the one before."
)
@_wait_options
@output_option
def rollback(
    blueprint: Path,
    on: str,
    overlays: tuple[Path, ...],
    streamlet: str | None,
    to: str | None,
    wait: bool,
    timeout: str,
    result: Path | None,
    output: str,
) -> None:
    """Go back to the version that was served before: its update once more, under a higher epoch.

    It is checked like any other. Exit codes as of `deploy`.
    """
    scoring = Scoring.of(load_plan(blueprint, overlays), streamlet)
    waits_s = _seconds(timeout) if wait else None

    async def work(transport: Transport) -> Status:
        return await scoring.publish(transport, await scoring.before(transport, to), waits_s)

    _finish(_run(on, scoring.plan, work), output, result)


def _run(on: str, plan: Plan, work: Callable[[Transport], Awaitable[T]]) -> T:
    async def run() -> T:
        transport = open_transport(on, plan, is_worker=False)
        await transport.start()
        try:
            return await work(transport)
        finally:
            await transport.close()

    return asyncio.run(run())


def _finish(status: Status, output: str, result: Path | None) -> None:
    """Print the outcome, write it to a file if asked, and end with its exit code."""
    outcome = msgspec.to_builtins(status)
    if result is not None:
        result.write_text(json.dumps(outcome) + "\n")
    if output == "json":
        click.echo(json.dumps(outcome))
    else:
        what = f"{status.model}@{status.version} (epoch {status.epoch}, update {status.update})"
        click.echo(
            {
                "sent": f"{what} is on its way",
                "validated": f"{what} is in force: each partition takes it up with its next event",
                "rejected": f"{what} was rejected: {status.reason}",
                "undecided": f"{what} was not decided on in time: is the application running? "
                "It stays in the topic, and counts when a worker accepts it",
            }[status.step],
            err=status.step in ("rejected", "undecided"),
        )
    sys.exit({"rejected": 1, "undecided": MAY_HELP_EXIT}.get(status.step, 0))


def _golden(path: Path | None) -> list[Any]:
    if path is None:
        return []
    try:
        found = json.loads(path.read_bytes())
    except ValueError as exc:
        raise Fatal(f"{path} is no JSON", code="bad-value", exit_code=USAGE_EXIT) from exc
    return found if isinstance(found, list) else [found]


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Fatal(f"--origin {text!r} is no NAME=VALUE", code="bad-value", exit_code=USAGE_EXIT)
    return name, value


def _seconds(text: str) -> float:
    from blueprints.units import Duration, UnitError

    try:
        return float(Duration(text))
    except UnitError as exc:
        raise Fatal(f"--timeout: {exc}", code="bad-value", exit_code=USAGE_EXIT) from exc
