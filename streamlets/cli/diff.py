"""`streamlets diff OLD NEW`: what a change of a blueprint does to an application that runs."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from streamlets.cli.blueprint import catalog, open_folder
from streamlets.cli.output import colours, print_diagnostics, print_json, width

if TYPE_CHECKING:
    from blueprints.diff import Change, Side

F = TypeVar("F", bound=Callable[..., Any])

CLASSES = ("safe", "drain", "partitions", "state", "orphans")
"""The harmless first: `blueprints.diff.Effect`, which is not imported for the help alone."""

_HUES = {"safe": "green", "drain": "yellow", "partitions": "yellow", "state": "red", "orphans": "red"}


def _overlays(name: str, side: str) -> Callable[[F], F]:
    return click.option(
        name,
        type=click.Path(path_type=Path),
        multiple=True,
        metavar="FILE",
        help=f"A blueprint laid over {side}; may be repeated.",
    )


@click.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@_overlays("--old-overlay", "OLD")
@_overlays("--overlay", "NEW")
@click.option(
    "--fail-on",
    type=click.Choice(CLASSES),
    help="Exit with 1 when a change is of this class or a worse one.",
)
@click.option(
    "--format",
    "--output",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print the changes.",
)
def diff(
    old: Path,
    new: Path,
    old_overlay: tuple[Path, ...],
    overlay: tuple[Path, ...],
    fail_on: str | None,
    form: str,
) -> int:
    """Say what becomes of a running application when its blueprint OLD is replaced by NEW.

    \b
    Each change is of one class, the harmless first:
      safe         takes effect at the next start; nothing is lost
      drain        needs a drain: let readers finish what is there first
      partitions   changes partitions or keys: the order of a key's events is at stake
      state        resets state: small state is lost, or refused at start-up
      orphans      orphans a topic or group: what it was stays in the log, unused

    Exit code 0; 1 with --fail-on, or when a blueprint has errors.
    """
    from blueprints.diff import Effect, compare, summary

    was = _side(old, old_overlay)
    now = _side(new, overlay)
    if was is None or now is None:
        return 1
    changes = compare(was, now)
    counts = summary(changes)
    if form == "json":
        print_json(
            {
                "old": str(old),
                "new": str(new),
                "changes": [_as_json(change) for change in changes],
                "summary": {effect.slug: counts.get(effect, 0) for effect in Effect},
            }
        )
    else:
        _print(changes)
        told = ", ".join(f"{count} {effect.words}" for effect, count in counts.items())
        click.echo(told or "no change")
    worst = max(counts, default=None)
    is_failed = fail_on is not None and worst is not None and worst >= CLASSES.index(fail_on)
    return 1 if is_failed else 0


def _side(blueprint: Path, overlays: Sequence[Path]) -> Side | None:
    """Return a blueprint to compare; None, after its problems were printed, when it has errors."""
    from blueprints.diff import Side
    from blueprints.load import lint, plan_of

    open_folder(blueprint.parent)
    draft, found = lint(blueprint, catalog(), os.environ, overlays)
    errors = [one for one in found if one.severity == "error"]
    if errors or draft is None:
        print_diagnostics(errors, to_stderr=True)
        return None
    return Side(plan_of(draft, blueprint), draft)


def _print(changes: Sequence[Change]) -> None:
    """Print the changes, one a line in a pipe; on a terminal with the reason wrapped below each."""
    in_colour, is_terminal = colours(sys.stdout), sys.stdout.isatty()
    for change in changes:
        if not is_terminal and not in_colour:
            click.echo(str(change))
            continue
        head, _, rest = str(change).partition(f"   {change.effect.words}")
        words = (
            click.style(change.effect.words, fg=_HUES[change.effect.slug])
            if in_colour
            else change.effect.words
        )
        click.echo(f"{click.style(head, bold=True) if in_colour else head}   {words}", color=in_colour)
        why = rest.removeprefix(": ").strip()
        if why:
            click.echo(textwrap.fill(why, max(width(), 40), initial_indent="    ", subsequent_indent="    "))


def _as_json(change: Change) -> dict[str, Any]:
    mark = change.mark
    return {
        "sign": change.sign,
        "path": change.path,
        "before": change.before,
        "after": change.after,
        "class": change.effect.slug,
        "why": change.why,
        "file": mark.file if mark else None,
        "line": mark.line if mark else None,
        "column": mark.column if mark else None,
    }
