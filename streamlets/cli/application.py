"""What commands on an application share: its blueprint as a plan, its catalog, and the transport it lives on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from streamlets.cli.main import USAGE_EXIT
from streamlets.errors import Fatal

if TYPE_CHECKING:
    from blueprints.plan import Plan
    from streamlets.component import Component
    from streamlets.transports.transport import Transport

F = TypeVar("F", bound=Callable[..., Any])


def on_option(command: F) -> F:
    """Add `--on WHERE` to a command, as its argument `on`."""
    return click.option(
        "--on",
        default="embedded",
        show_default=True,
        metavar="WHERE",
        help="embedded[:FILE]: a log in one file, under .streamlets/ unless FILE is given.",
    )(command)


def components(plan: Plan) -> Callable[[str], Component]:
    """Return what finds the component that a `use` of the plan names."""
    from streamlets.catalog import Streamlets

    catalog = Streamlets()
    found: dict[str, Component] = {}

    def component(use: str) -> Component:
        if use not in found:
            found[use] = catalog.component(use, plan.base_dir)
        return found[use]

    return component


def log_file(on: str, plan: Plan) -> Path:
    """Return the file of the embedded log. Raises: Fatal (64) for a transport that is not there."""
    kind, _, rest = on.partition(":")
    if kind != "embedded":
        raise Fatal(
            f"--on {kind}: there is no such transport here",
            code="unknown-transport",
            hint="use --on embedded or --on embedded:FILE",
            exit_code=USAGE_EXIT,
        )
    return Path(rest) if rest else Path(".streamlets") / f"{plan.name}.log"


def open_transport(on: str, plan: Plan, *, is_worker: bool) -> Transport:
    """Return the transport, not yet started; as a worker it holds the application for itself.

    Raises: Fatal (64), also when a client asks for a log that nobody has made yet.
    """
    from streamlets.engine.clock import SystemClock
    from streamlets.transports.embedded import EmbeddedTransport

    file = log_file(on, plan)
    if not is_worker and not file.exists():
        raise Fatal(
            f"there is no log at {file}",
            code="no-log",
            hint=f"run `streamlets run {plan.path}` first, in this folder, or say where it is by --on embedded:FILE",
            exit_code=1,
        )
    return EmbeddedTransport(file, plan.name, clock=SystemClock(), role="worker" if is_worker else "client")
