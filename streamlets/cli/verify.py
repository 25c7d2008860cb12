"""`streamlets verify B`: every problem of a blueprint at once, before anything runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

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
def verify(blueprint: Path, overlays: tuple[Path, ...], form: str) -> int:
    """Find every problem of a BLUEPRINT, in the file's order.

    Exit code 0 when nothing or only warnings are found, 1 when there are errors.
    """
    from blueprints.load import verify

    open_folder(blueprint.parent)
    found = verify(blueprint, catalog(), os.environ, overlays)
    errors = sum(diagnostic.severity == "error" for diagnostic in found)
    if form == "json":
        print_json([as_json(diagnostic) for diagnostic in found])
    else:
        print_diagnostics(found)
        if sys.stdout.isatty():
            _sum_up(blueprint, errors, len(found) - errors, sorted({d.code for d in found}))
    return 1 if errors else 0


def _sum_up(blueprint: Path, errors: int, warnings: int, codes: list[str]) -> None:
    counts = [
        f"{count} {noun}{'s' * (count != 1)}"
        for count, noun in ((errors, "error"), (warnings, "warning"))
        if count
    ]
    click.echo(f"{blueprint}: {', '.join(counts) or 'no problem'}")
    if errors:
        click.echo(f"  next: streamlets explain {codes[0] if len(codes) == 1 else 'CODE'}")
