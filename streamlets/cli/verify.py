"""`streamlets verify B`: every problem of a blueprint at once, before anything runs; `--fix` mends what is certain."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamlets.cli.application import on_option
from streamlets.cli.blueprint import blueprint_argument, catalog, open_folder
from streamlets.cli.output import as_json, colours, print_diagnostics, print_json

if TYPE_CHECKING:
    from blueprints.diagnostics import Diagnostic
    from blueprints.fix import Fixed


@click.command()
@blueprint_argument
@click.option(
    "--format",
    "--output",
    "form",
    type=click.Choice(["text", "json", "sarif", "github"]),
    default="text",
    show_default=True,
    help="How to print the problems: for people, as one JSON array, as SARIF 2.1.0, as GitHub annotations.",
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
@click.option("--fix", "is_fixing", is_flag=True, help="Mend what is beyond doubt, then print what is left.")
@click.option(
    "--dry-run", "--diff", "is_dry", is_flag=True, help="With --fix: show the changes, write nothing."
)
def verify(
    blueprint: Path,
    overlays: tuple[Path, ...],
    form: str,
    online: bool,
    on: str,
    within: str,
    is_fixing: bool,
    is_dry: bool,
) -> int:
    """Find every problem of a BLUEPRINT, in the file's order.

    With --online a streamlet in which an error is found is not asked whom it calls, and the log is compared only with
    a blueprint that could run.

    Exit code 0 when nothing or only warnings are found, 1 when there are errors; with --fix, errors that are left.
    """
    from blueprints.load import Checked

    if is_dry and not is_fixing:
        raise click.UsageError("--dry-run says what --fix would do; write --fix --dry-run")
    if is_dry and form != "text":
        raise click.UsageError("--dry-run shows a difference as text; every --format has the fixes in it")
    if is_dry and online:
        raise click.UsageError("--dry-run looks at the file alone; leave --online for afterwards")
    if not online:
        _refuse_without_online("on", "within")
    open_folder(blueprint.parent)
    if is_fixing:
        from blueprints.fix import fix

        fixed = fix(blueprint, catalog(), os.environ, overlays)
        if is_dry:
            return _show(fixed)
        _write(fixed)
    checked = Checked(blueprint, catalog(), os.environ, overlays)
    failure: Exception | None = None
    if online:
        from streamlets.cli.online import ask_online

        failure = ask_online(checked, blueprint, on, within)
    found = checked.diagnostics
    _print(found, form, (blueprint, *overlays))
    if failure is not None:
        raise failure  # the log itself is at fault, which is not said in the blueprint
    return 1 if _errors(found) else 0


def _refuse_without_online(*names: str) -> None:
    from click.core import ParameterSource

    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name} says where and how to ask; it goes with --online")


def _errors(found: Sequence[Diagnostic]) -> int:
    return sum(diagnostic.severity == "error" for diagnostic in found)


def _print(found: Sequence[Diagnostic], form: str, files: Sequence[Path]) -> None:
    if form == "json":
        print_json([as_json(diagnostic) for diagnostic in found])
    elif form == "sarif":
        from importlib.metadata import version

        from blueprints.sarif import as_sarif

        click.echo(json.dumps(as_sarif(found, _root(), version("streamlets")), indent=2, ensure_ascii=False))
    elif form == "github":
        from blueprints.annotations import as_commands

        for command in as_commands(found, _root()):
            click.echo(command)
    else:
        print_diagnostics(found)
        if sys.stdout.isatty():
            _sum_up(files, found)


def _root() -> Path:
    """Return the folder that a code host names files from: the workspace of its runner, else where we work."""
    workspace, here = os.environ.get("GITHUB_WORKSPACE"), Path.cwd()
    return Path(workspace) if workspace and here.is_relative_to(workspace) else here


def _sum_up(files: Sequence[Path], found: Sequence[Diagnostic]) -> None:
    errors = _errors(found)
    counts = [
        f"{count} {noun}{'s' * (count != 1)}"
        for count, noun in ((errors, "error"), (len(found) - errors, "warning"))
        if count
    ]
    codes = sorted({diagnostic.code for diagnostic in found})
    named = " + ".join(map(str, dict.fromkeys(files)))
    click.echo(f"{named}: {', '.join(counts) or 'no problem'}")
    mendable = sum(diagnostic.fix is not None for diagnostic in found)
    asked = " --overlay ".join(map(str, files))
    if mendable:
        click.echo(f"  next: streamlets verify {asked} --fix mends {mendable} of them")
    if errors:
        click.echo(f"  next: streamlets explain {codes[0] if len(codes) == 1 else 'CODE'}")


def _write(fixed: Fixed) -> None:
    """Write what was mended and say what it was, on standard error: standard output is for the problems left."""
    from blueprints.fix import ChangedMeanwhile

    try:
        fixed.write()
    except ChangedMeanwhile as exc:
        raise click.ClickException(f"{exc}; run it again") from exc
    except OSError as exc:
        raise click.ClickException(f"{exc.filename or 'the file'} cannot be written: {exc.strerror}") from exc
    for one in fixed.applied:
        click.echo(f"fixed {one.mark}: {one.code}: {one.fix.title if one.fix else ''}", err=True)


def _show(fixed: Fixed) -> int:
    """Print the changes that --fix would make; secrets in clear stay out of them."""
    from blueprints.fix import difference

    hues = {"+": "green", "-": "red", "@": "cyan"}
    in_colour = colours(sys.stdout)
    for line in difference(fixed):
        hue = hues.get(line[:1])
        click.echo(click.style(line, fg=hue) if in_colour and hue else line, color=in_colour)
    return 1 if _errors(fixed.applied) + _errors(fixed.left) else 0
