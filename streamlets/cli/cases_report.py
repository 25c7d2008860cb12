"""What `streamlets test` says of its cases: text, in colour and columns on a terminal, or one JSON value."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from streamlets.cli.output import colours
from streamlets.engine.cases import CaseResult
from streamlets.engine.expected import Difference, Problem
from streamlets.engine.taken import Way, share

WIDEST_PATH = 40  # columns of a field's path, beyond which a line of its own is not aligned


def print_results(results: Sequence[CaseResult], n_left: int, took_s: float) -> None:
    """Print each problem with its place, and below it the fields that differ; then how many passed."""
    in_colour = colours(sys.stdout)
    for result in results:
        for problem in result.problems:
            place, name = str(problem.mark), result.case.name
            if in_colour:
                place, name = click.style(place, bold=True), click.style(name, fg="red")
            click.echo(f"{place}: {name}: {problem.text}", color=in_colour)
            if in_colour and problem.fields:
                _print_columns(problem.fields)
            else:
                for field in problem.fields:
                    click.echo(f"    {field}")
    n_passed = sum(result.is_passed for result in results)
    n_failed = len(results) - n_passed
    told = [f"{n_passed:,} passed"] if n_passed else []
    told += [f"{n_failed:,} failed"] if n_failed else []
    told += [f"{n_left:,} not run"] if n_left else []
    line = f"{', '.join(told)} in {took_s:.2f} s"
    click.echo(click.style(line, fg="red" if n_failed else "green") if in_colour else line, color=in_colour)


def _print_columns(fields: Sequence[Difference]) -> None:
    from rich.console import Console  # here, because only a terminal needs it
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, max_width=WIDEST_PATH)
    table.add_column(ratio=1, overflow="fold")
    table.add_column(ratio=1, overflow="fold")
    for field in fields:
        table.add_row(
            Text(f"    {field.path}", style="bold"),
            Text.assemble("expected ", (field.expected, "green")),
            Text(field.got, style="red"),
        )
    Console(file=sys.stdout, highlight=False, soft_wrap=False).print(table)


def print_coverage(ways: Sequence[Way], least: float | None) -> None:
    """Print what no case takes, and which share is taken."""
    n_taken = sum(way.is_taken for way in ways)
    missed = [way for way in ways if not way.is_taken]
    for told, found in (
        ("edges", [way for way in missed if way.streamlet is None]),
        ("branches", [way for way in missed if way.streamlet is not None]),
    ):
        if found:
            click.echo(f"{told} never taken:")
            for way in found:
                click.echo(f"  {way}")
    line = f"coverage: {n_taken} of {len(ways)} edges and branches, {_percent(share(ways))}"
    if not is_enough(ways, least):
        line += f"; less than the {_percent(least or 0.0)} asked for"
    click.echo(line)


def is_enough(ways: Sequence[Way], least: float | None) -> bool:
    """Return whether enough of the ways is taken."""
    return least is None or share(ways) >= least - 1e-12


def _percent(value: float) -> str:
    """Return a share as text, rounded down: 100% is said only of all."""
    return f"{int(value * 1000 + 1e-9) / 10:g}%"


def as_json(
    results: Sequence[CaseResult], n_left: int, took_s: float, ways: Sequence[Way] | None
) -> dict[str, Any]:
    """Return the results as one JSON value."""
    value: dict[str, Any] = {
        "passed": sum(result.is_passed for result in results),
        "failed": sum(not result.is_passed for result in results),
        "not_run": n_left,
        "seconds": round(took_s, 3),
        "cases": [
            {
                "name": result.case.name,
                "file": result.case.mark.file,
                "line": result.case.mark.line,
                "passed": result.is_passed,
                "seconds": round(result.took_s, 4),
                "problems": [_problem(problem) for problem in result.problems],
            }
            for result in results
        ],
    }
    if ways is not None:
        value["coverage"] = {
            "taken": sum(way.is_taken for way in ways),
            "total": len(ways),
            "share": round(share(ways), 4),
            "edges": [{"edge": w.name, "taken": w.is_taken} for w in ways if w.streamlet is None],
            "branches": [
                {"streamlet": w.streamlet, "branch": w.name, "taken": w.is_taken}
                for w in ways
                if w.streamlet is not None
            ],
        }
    return value


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.mark.file,
        "line": problem.mark.line,
        "column": problem.mark.column,
        "message": problem.text,
        "fields": [field._asdict() for field in problem.fields],
    }
