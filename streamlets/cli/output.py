"""What commands print: text for people, one JSON value for programs, colour on a terminal that wants it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
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
    """Return whether a stream shows colour: a terminal that is not dumb, or FORCE_COLOR; never with NO_COLOR."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") != "0":
        return True
    return bool(stream.isatty()) and os.environ.get("TERM") != "dumb"


def width() -> int:
    """Return the columns of the terminal; 80 in a pipe."""
    import shutil

    is_terminal = sys.stdout.isatty() or sys.stderr.isatty()
    return shutil.get_terminal_size((80, 24)).columns if is_terminal else 80


def short_path(path: Path) -> Path:
    """Return a path as one would type it in the working folder."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path


def print_diagnostics(found: Sequence[Diagnostic], to_stderr: bool = False) -> None:
    """Print problems one a line; on a terminal with the line, a caret below it, and the fix where there is one."""
    stream = sys.stderr if to_stderr else sys.stdout
    in_colour, is_terminal = colours(stream), stream.isatty()
    for diagnostic in found:
        line, hue = str(diagnostic), "red" if diagnostic.severity == "error" else "yellow"
        if in_colour:
            name = click.style(f"{diagnostic.severity} {diagnostic.code}", fg=hue, bold=True)
            line = f"{click.style(str(diagnostic.mark), bold=True)}: {name}: {diagnostic.message}"
        click.echo(line, err=to_stderr, color=in_colour)
        if not is_terminal:
            continue
        from blueprints.frames import cropped

        for text in cropped(diagnostic.frame, width()):
            gutter, bar, shown = text.partition("| ")
            if in_colour:
                is_caret = not gutter.strip()
                gutter = click.style(gutter + bar, fg="blue")
                text = gutter + (click.style(shown, fg=hue, bold=True) if is_caret else shown)
            click.echo(text, err=to_stderr, color=in_colour)
        notes = [f"{mark}: {text}" for mark, text in diagnostic.related]
        notes += [f"fix: {diagnostic.fix.title}"] if diagnostic.fix is not None else []
        for note in notes:
            click.echo(f"      = {note}", err=to_stderr)


def as_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return a problem as a JSON object; every field is always there, null where there is nothing to say.

    Columns count Unicode code points from 1, `end_column` is the first one after; `start` and `end` of a fix's edits
    count them from the beginning of the file, its byte order mark left out.
    """
    fix = diagnostic.fix
    return {
        **_place(diagnostic.mark),
        "severity": diagnostic.severity,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "frame": diagnostic.frame or None,
        "related": [{**_place(mark), "message": text} for mark, text in diagnostic.related],
        "fix": None if fix is None else {"title": fix.title, "edits": [asdict(edit) for edit in fix.edits]},
    }


def _place(mark: Mark) -> dict[str, Any]:
    end_column = mark.end_column if mark.end_column > mark.column else None
    return {"file": mark.file, "line": mark.line, "column": mark.column, "end_column": end_column}
