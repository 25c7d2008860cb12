"""What `verify --online` asks: the model servers as they are now, and the embedded log that `--on` names."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamlets.cli.application import log_file
from streamlets.cli.main import USAGE_EXIT
from streamlets.errors import Fatal, StreamletsError

if TYPE_CHECKING:
    from blueprints.load import Checked
    from blueprints.plan import Plan
    from streamlets.transports.transport import TopicSpec

MOST_S = 600.0  # for one server; who waits longer wants `streamlets run`, which waits for ever


def ask_online(checked: Checked, blueprint: Path, on: str, within: str) -> Exception | None:
    """Add what servers and log say to a blueprint's problems. Returns why the log cannot be looked at, if it cannot.

    Raises: Fatal (64) for what was asked for in another way than it can be.
    """
    from streamlets.catalog import Streamlets
    from streamlets.cli.tracebacks import draw_veil
    from streamlets.engine.online import ask_servers, compare_log
    from streamlets.servers.protocols import open_server

    within_s = _seconds(within)
    if on.partition(":")[0] != "embedded":
        raise click.UsageError(
            f"--on {on.partition(':')[0]}: there is no such transport here; use --on embedded"
        )
    draw_veil(checked.secrets)
    components = partial(Streamlets().component, base_dir=checked.base_dir)
    asyncio.run(ask_servers(checked, components, open_server, within_s))
    if checked.plan is None:
        return None
    file = log_file(on, checked.plan)
    there: dict[str, TopicSpec] = {}
    try:
        if file.exists():
            there = asyncio.run(_topics(file, checked.plan))
    except StreamletsError as exc:
        if exc.code == "no-log":
            pass  # an empty file: the first start makes a log of it
        elif not _is_refused(file):
            return exc
        else:
            message = f"the log {file} may not be opened for reading and writing; check its owner and mode"
            checked.add_of_application("not-authorised", message)
            return None
    except PermissionError:
        checked.add_of_application("not-authorised", f"the folder of {file} may not be looked into")
        return None
    compare_log(checked, components, there, str(file))
    return None


def _seconds(text: str) -> float:
    from blueprints.units import Duration, UnitError

    try:
        seconds = float(Duration.parse(text))
    except UnitError as exc:
        raise Fatal(f"--within: {exc}", code="bad-value", exit_code=USAGE_EXIT) from exc
    if not 0.0 < seconds <= MOST_S:
        raise Fatal("--within: more than 0s and at most 10m", code="bad-value", exit_code=USAGE_EXIT)
    return seconds


def _is_refused(file: Path) -> bool:
    try:
        with file.open("r+b"):
            return False
    except PermissionError:
        return True
    except OSError:
        return False


async def _topics(file: Path, plan: Plan) -> dict[str, TopicSpec]:
    from streamlets.engine.clock import SystemClock
    from streamlets.transports.embedded import EmbeddedTransport

    transport = EmbeddedTransport(file, plan.name, clock=SystemClock(), role="client")
    await transport.start()
    try:
        return await transport.topics()
    finally:
        await transport.close()
