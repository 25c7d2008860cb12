"""What commands print: text for people, one JSON value for programs, colour on a terminal that wants it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from blueprints.diagnostics import Diagnostic, Mark

F = TypeVar("F", bound=Callable[..., Any])


def output_option(command: F) -> F:
    """Add `--output text|json` to a command, as its argument `output`."""
    choice = click.Choice(["text", "json"])
    return click.option("--output", type=choice, default="text", show_default=True, help="How to print.")(
        command
    )


def print_json(value: Any) -> None:
    """Print one JSON value: an array for lists, an object else."""
    click.echo(json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False))


def colours(stream: Any) -> bool:
    """Return whether a stream shows colour: a terminal, NO_COLOR unset, and not a dumb one."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def width() -> int:
    """Return the columns of the terminal; 80 in a pipe."""
    import shutil

    return shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else 80


def short_path(path: Path) -> Path:
    """Return a path as one would type it in the working folder."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path


def print_diagnostics(found: Sequence[Diagnostic], to_stderr: bool = False) -> None:
    """Print problems one a line; on a terminal with the source line and a caret below each."""
    stream = sys.stderr if to_stderr else sys.stdout
    in_colour = colours(stream)
    for diagnostic in found:
        line = str(diagnostic)
        if in_colour:
            hue = "red" if diagnostic.severity == "error" else "yellow"
            name = click.style(f"{diagnostic.severity} {diagnostic.code}", fg=hue, bold=True)
            line = f"{click.style(str(diagnostic.mark), bold=True)}: {name}: {diagnostic.message}"
        click.echo(line, err=to_stderr, color=in_colour)
        if stream.isatty() and diagnostic.frame:
            click.echo(diagnostic.frame, err=to_stderr)


def as_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return a problem as a JSON object."""
    return {
        **_place(diagnostic.mark),
        "severity": diagnostic.severity,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "related": [{**_place(mark), "message": text} for mark, text in diagnostic.related],
    }


def _place(mark: Mark) -> dict[str, Any]:
    place: dict[str, Any] = {"file": mark.file, "line": mark.line, "column": mark.column}
    return {**place, "end_column": mark.end_column} if mark.end_column else place
