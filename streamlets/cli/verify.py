"""`streamlets verify B`: every problem of a blueprint at once, before anything runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from streamlets.cli.application import on_option
from streamlets.cli.blueprint import blueprint_argument, catalog, open_folder
from streamlets.cli.output import as_json, print_diagnostics, print_json


@click.command()
@blueprint_argument
@click.option(
    "--format",
    "--output",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print the problems.",
)
@click.option(
    "--online",
    is_flag=True,
    help="Ask the model servers, and compare the log's topics, too; nothing is changed there.",
)
@on_option
@click.option(
    "--within",
    metavar="TIME",
    default="5s",
    show_default=True,
    help="With --online: how long a server may take to answer.",
)
def verify(blueprint: Path, overlays: tuple[Path, ...], form: str, online: bool, on: str, within: str) -> int:
    """Find every problem of a BLUEPRINT, in the file's order.

    With --online a streamlet in which an error is found is not asked whom it calls, and the log is compared only with
    a blueprint that could run.

    Exit code 0 when nothing or only warnings are found, 1 when there are errors.
    """
    from blueprints.load import Checked

    if not online:
        _refuse_without_online("on", "within")
    open_folder(blueprint.parent)
    checked = Checked(blueprint, catalog(), os.environ, overlays)
    failure: Exception | None = None
    if online:
        from streamlets.cli.online import ask_online

        failure = ask_online(checked, blueprint, on, within)
    found = checked.diagnostics
    errors = sum(diagnostic.severity == "error" for diagnostic in found)
    if form == "json":
        print_json([as_json(diagnostic) for diagnostic in found])
    else:
        print_diagnostics(found)
        if sys.stdout.isatty():
            _sum_up(blueprint, errors, len(found) - errors, sorted({d.code for d in found}))
    if failure is not None:
        raise failure  # the log itself is at fault, which is not said in the blueprint
    return 1 if errors else 0


def _refuse_without_online(*names: str) -> None:
    from click.core import ParameterSource

    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name} says where and how to ask; it goes with --online")


def _sum_up(blueprint: Path, errors: int, warnings: int, codes: list[str]) -> None:
    counts = [
        f"{count} {noun}{'s' * (count != 1)}"
        for count, noun in ((errors, "error"), (warnings, "warning"))
        if count
    ]
    click.echo(f"{blueprint}: {', '.join(counts) or 'no problem'}")
    if errors:
        click.echo(f"  next: streamlets explain {codes[0] if len(codes) == 1 else 'CODE'}")
