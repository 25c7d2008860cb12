"""`streamlets test B`: the blueprint's tests, on the real engine, with no broker, no network and no sleeping."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamlets.cli.blueprint import blueprint_argument, catalog, open_folder
from streamlets.cli.output import colours, output_option, print_json

if TYPE_CHECKING:
    from blueprints.cases import Case
    from blueprints.plan import Plan
    from streamlets.engine.cases import CaseResult


@click.command()
@blueprint_argument
@click.option("--only", metavar="TEXT", help="Only cases whose name holds this text.")
@click.option("--coverage", is_flag=True, help="List the edges on which no case sends an event.")
@output_option
def test(blueprint: Path, overlays: tuple[Path, ...], only: str | None, coverage: bool, output: str) -> int:
    """Run the tests of a BLUEPRINT: the cases in NAME_test.yaml beside NAME.yaml.

    Sources and sinks are not run: what they would read is given, what they would take is looked at in its topic.
    Exit code 0 when all cases pass, 1 when one does not or the blueprint has errors, 64 when there is no test.
    """
    from blueprints.cases import cases_path, check_cases, load_cases
    from blueprints.diagnostics import BlueprintError
    from streamlets.engine.cases import never_taken, run_case

    path = cases_path(blueprint)
    if blueprint.exists() and not path.exists():
        raise click.UsageError(
            f"'{blueprint}' has no tests: there is no '{path.name}' beside it; 'streamlets new NAME' shows one"
        )
    open_folder(blueprint.parent)
    _quiet()
    plan_of = _plans(blueprint, overlays)
    plan_of(None)  # the blueprint's own problems come before those of its tests
    cases = [case for case in load_cases(path) if only is None or only in case.name]
    if not cases:
        raise click.UsageError(
            f"no case of '{path}' has '{only}' in its name" if only else f"'{path}' is empty"
        )
    if problems := check_cases(cases, plan_of(cases[0])):
        raise BlueprintError(problems)
    components = _components(plan_of(cases[0]))
    began_s = time.perf_counter()
    results = [run_case(plan_of(case), case, components) for case in cases]
    took_s = time.perf_counter() - began_s
    edges = never_taken(plan_of(cases[0]), results) if coverage else []
    if output == "json":
        print_json(_as_json(results, took_s, edges if coverage else None))
    else:
        _print(results, took_s)
        if coverage:
            click.echo(f"never taken: {len(edges)}" if edges else "every edge is taken")
            for edge in edges:
                click.echo(f"  {edge}")
    return 0 if all(result.is_passed for result in results) else 1


def _plans(blueprint: Path, overlays: Sequence[Path]) -> Any:
    """Return what gives a case its plan, read once for each environment."""
    from blueprints.load import load

    streamlets = catalog()
    known: dict[tuple[tuple[str, str], ...], Plan] = {}

    def plan_of(case: Case | None) -> Plan:
        said: Mapping[str, str] = case.env if case is not None else {}
        key = tuple(sorted(said.items()))
        if key not in known:
            known[key] = load(blueprint, streamlets, {**os.environ, **said}, overlays)
        return known[key]

    return plan_of


def _components(plan: Plan) -> Any:
    from streamlets.catalog import Streamlets

    return functools.partial(Streamlets().component, base_dir=plan.base_dir)


def _quiet() -> None:
    """Say nothing of what the engine logs: what a case expects to fail is no news."""
    import logging

    logger = logging.getLogger("streamlets")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False


def _print(results: Sequence[CaseResult], took_s: float) -> None:
    import sys

    in_colour = colours(sys.stdout)
    failed = 0
    for result in results:
        failed += not result.is_passed
        for problem in result.problems:
            place, name = str(problem.mark), result.case.name
            if in_colour:
                place, name = click.style(place, bold=True), click.style(name, fg="red")
            click.echo(f"{place}: {name}: {problem.text}")
            for line in problem.fields:
                click.echo(f"    {line}")
    passed = len(results) - failed
    told = [f"{passed} passed"] if passed else []
    told += [f"{failed} failed"] if failed else []
    click.echo(f"{', '.join(told)} in {took_s:.2f} s")


def _as_json(results: Sequence[CaseResult], took_s: float, edges: list[str] | None) -> dict[str, Any]:
    value: dict[str, Any] = {
        "passed": sum(result.is_passed for result in results),
        "failed": sum(not result.is_passed for result in results),
        "seconds": round(took_s, 3),
        "cases": [
            {
                "name": result.case.name,
                "file": result.case.mark.file,
                "line": result.case.mark.line,
                "passed": result.is_passed,
                "problems": [
                    {
                        "file": problem.mark.file,
                        "line": problem.mark.line,
                        "column": problem.mark.column,
                        "message": problem.text,
                        "fields": list(problem.fields),
                    }
                    for problem in result.problems
                ],
            }
            for result in results
        ],
    }
    return value if edges is None else {**value, "never_taken": edges}
