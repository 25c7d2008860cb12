"""`streamlets test B`: the blueprint's tests, on the real engine, with no broker, no network and no sleeping."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamlets.cli.blueprint import blueprint_argument, catalog, open_folder
from streamlets.cli.output import output_option, print_json

if TYPE_CHECKING:
    from blueprints.cases import Case, CaseFile
    from blueprints.plan import Plan
    from streamlets.engine.cases import CaseResult, Cases
    from streamlets.engine.taken import Way

PROGRESS_S = 0.5  # of real time between two lines of progress; what is over sooner shows none


def _percent(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    try:
        number = float(value.strip().removesuffix("%"))
    except ValueError:
        number = -1.0
    if not 0 <= number <= 100:
        raise click.BadParameter(f"'{value}' is no share from 0% to 100%; write 80%")
    return number / 100


@click.command()
@blueprint_argument
@click.option(
    "--only",
    metavar="TEXT",
    multiple=True,
    help="Only cases whose name holds this text; may be repeated: any of them.",
)
@click.option("--fail-fast", is_flag=True, help="Stop after the first case that does not pass.")
@click.option("--coverage", is_flag=True, help="List the edges and the branches that no case takes.")
@click.option(
    "--coverage-min",
    metavar="SHARE",
    callback=_percent,
    help="Exit with 1 when less of the edges and branches is taken, as 80%.",
)
@click.option(
    "--junit",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the results as JUnit XML too, as CI systems read it.",
)
@click.option(
    "--watch", is_flag=True, help="Run again whenever a file changes that was read; Ctrl-C ends it."
)
@click.option(
    "--timeout",
    "limit_s",
    type=click.FloatRange(0.05, 3600),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a case may take in real time before it is ended as one that hangs.",
)
@click.option(
    "--read-files", type=click.Path(path_type=Path), hidden=True, help="Where to list what was read."
)
@output_option
def test(
    blueprint: Path,
    overlays: tuple[Path, ...],
    only: tuple[str, ...],
    fail_fast: bool,
    coverage: bool,
    coverage_min: float | None,
    junit: Path | None,
    watch: bool,
    limit_s: float,
    read_files: Path | None,
    output: str,
) -> int:
    """Run the tests of a BLUEPRINT: the cases in NAME_test.yaml beside NAME.yaml.

    Sources and sinks are not run: what they would read is given, what they would take is looked at in its topic.
    Models answer what a case says, and time is virtual: no waiting takes any. Code of yours that asks the computer's
    own clock, or calls the network by itself, gets the real ones.

    Exit code 0 when all cases pass, 1 when one does not, when too little is covered or the blueprint or its tests have
    errors, 64 when there is no test. With --watch 0 at Ctrl-C.
    """
    if watch:
        if output == "json":
            raise click.UsageError("--watch prints text, run after run; leave --output json out")
        from streamlets.cli.cases_watch import watch_tests

        arguments = [os.fspath(blueprint), "--timeout", str(limit_s)]
        arguments += [text for overlay in overlays for text in ("--overlay", os.fspath(overlay))]
        arguments += [text for one in only for text in ("--only", one)]
        arguments += ["--fail-fast"] * fail_fast + ["--coverage"] * coverage
        arguments += [] if coverage_min is None else ["--coverage-min", f"{coverage_min * 100}%"]
        arguments += [] if junit is None else ["--junit", os.fspath(junit)]
        return watch_tests(blueprint, overlays, arguments)
    quiet()
    session = _Session(blueprint, overlays, limit_s)
    try:
        return session.run(only, fail_fast, coverage or coverage_min is not None, coverage_min, junit, output)
    finally:
        if read_files is not None:
            from streamlets.cli.cases_watch import write_read_files

            write_read_files(read_files, blueprint, overlays, session.plans())


class _Session:
    """One run of the command: the plans by environment, and the cases."""

    def __init__(self, blueprint: Path, overlays: Sequence[Path], limit_s: float) -> None:
        self.blueprint = blueprint
        self.overlays = overlays
        self.limit_s = limit_s
        self._catalog: Any = catalog()
        self._cases: dict[tuple[tuple[str, str | None], ...], Cases | Any] = {}

    def plans(self) -> list[Plan]:
        """Return the plans that could be made."""
        from streamlets.engine.cases import Cases

        return [found.plan for found in self._cases.values() if isinstance(found, Cases)]

    def run(
        self,
        only: Sequence[str],
        fail_fast: bool,
        coverage: bool,
        coverage_min: float | None,
        junit: Path | None,
        output: str,
    ) -> int:
        from blueprints.diagnostics import BlueprintError
        from streamlets.cli import cases_report as report

        began_s = time.perf_counter()
        try:
            with _apart(output):
                file = self._read()
        except BlueprintError as exc:
            if junit is not None:
                _write_junit(junit, self.blueprint, [], exc.diagnostics, 0.0)
            raise
        cases = [case for case in file.cases if not only or any(text in case.name for text in only)]
        if not cases:
            told = " or ".join(f"'{text}'" for text in only)
            raise click.UsageError(
                f"no case of '{file.source.file}' has {told} in its name"
                if only
                else f"'{file.source.file}' has no case; 'streamlets new NAME' shows some"
            )
        with _apart(output):
            results = self._run_all(cases, fail_fast)
        took_s = time.perf_counter() - began_s
        ways = self._ways(results) if coverage else None
        n_left = len(cases) - len(results)
        if junit is not None:
            _write_junit(junit, self.blueprint, results, [], took_s)
        if output == "json":
            print_json(report.as_json(results, n_left, took_s, ways))
        else:
            report.print_results(results, n_left, took_s)
            if ways is not None:
                report.print_coverage(ways, coverage_min)
        is_covered = ways is None or report.is_enough(ways, coverage_min)
        return 0 if is_covered and all(result.is_passed for result in results) else 1

    def _read(self) -> CaseFile:
        """Return the test file. Raises: BlueprintError with all that is wrong in it and in the blueprint."""
        from blueprints.cases import cases_path, check_cases, read_cases
        from blueprints.diagnostics import BlueprintError

        path = cases_path(self.blueprint)
        if self.blueprint.exists() and not path.exists():
            raise click.UsageError(
                f"'{self.blueprint}' has no tests: there is no '{path.name}' beside it; "
                "'streamlets new NAME' shows one"
            )
        open_folder(self.blueprint.parent)
        problems: list[Any] = []
        file = None
        if path.exists():
            try:
                file = read_cases(path)
            except BlueprintError as exc:
                problems += exc.diagnostics
        own = self._own_problems(file.cases if file is not None else ())
        if file is not None:
            found = list(file.problems)
            plan = next(iter(self.plans()), None)
            if plan is not None:
                found += check_cases(file.cases, plan)
            problems += file.framed(found)
        if own or problems:
            raise BlueprintError([*own, *problems])  # what is wrong in the blueprint comes first
        assert file is not None
        return file

    def _own_problems(self, cases: Sequence[Case]) -> list[Any]:
        """Return what is wrong with the blueprint in every environment; what is in one only fails its cases."""
        from blueprints.diagnostics import BlueprintError

        found = [self._of(case) for case in cases] or [self._of(None)]
        errors = [one for one in found if isinstance(one, BlueprintError)]
        return errors[0].diagnostics if len(errors) == len(found) else []

    def _of(self, case: Case | None) -> Any:
        """Return what runs the cases of a case's environment, or the BlueprintError that says why nothing can."""
        from blueprints.diagnostics import BlueprintError
        from blueprints.load import load
        from streamlets.cli.tracebacks import draw_veil
        from streamlets.engine.cases import Cases

        said = dict(case.env) if case is not None else {}
        key = tuple(sorted(said.items()))
        if key not in self._cases:
            shell = {name: value for name, value in os.environ.items() if name not in said}
            environ = {**shell, **{name: value for name, value in said.items() if value is not None}}
            try:
                plan = load(self.blueprint, self._catalog, environ, self.overlays)
            except BlueprintError as exc:
                self._cases[key] = exc
            else:
                draw_veil(plan.secrets)
                folder = plan.base_dir
                self._cases[key] = Cases(plan, lambda use: self._catalog.component(use, folder), self.limit_s)
        return self._cases[key]

    def _run_all(self, cases: Sequence[Case], fail_fast: bool) -> list[CaseResult]:
        results: list[CaseResult] = []
        n_failed = 0
        told_s = time.perf_counter()
        is_told = sys.stderr.isatty()
        for case in cases:
            results.append(self._run(case))
            n_failed += not results[-1].is_passed
            if is_told and time.perf_counter() - told_s > PROGRESS_S:
                told_s = time.perf_counter()
                failed = f", {n_failed} failed" if n_failed else ""
                click.echo(f"\r  {len(results):,} of {len(cases):,} cases{failed}\x1b[K", nl=False, err=True)
            if fail_fast and n_failed:
                break
        if is_told:
            click.echo("\r\x1b[K", nl=False, err=True)
        return results

    def _run(self, case: Case) -> CaseResult:
        from streamlets.engine.cases import Cases, unrunnable

        found = self._of(case)
        if isinstance(found, Cases):
            return found.run(case)
        return unrunnable(case, found.diagnostics)

    def _ways(self, results: Sequence[CaseResult]) -> list[Way]:
        from streamlets.engine.cases import Cases
        from streamlets.engine.taken import Taken, ways

        taken = Taken()
        for result in results:
            taken.add(result.taken)
        cases = next(found for found in self._cases.values() if isinstance(found, Cases))
        return ways(cases.plan, cases.run_here, cases.components, taken)


def _apart(output: str) -> AbstractContextManager[Any]:
    """Keep what the user's code prints out of the one JSON value: it goes to standard error."""
    return redirect_stdout(sys.stderr) if output == "json" else nullcontext()


def _write_junit(
    file: Path, blueprint: Path, results: Sequence[CaseResult], errors: Sequence[Any], took_s: float
) -> None:
    from streamlets.cli.cases_junit import junit_xml

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(junit_xml(blueprint.stem, results, errors, took_s))
    except OSError as exc:
        raise click.ClickException(
            f"'{file}' cannot be written: {(exc.strerror or str(exc)).lower()}"
        ) from exc


def quiet() -> None:
    """Say nothing of what the engine logs: what a case expects to fail is no news."""
    import logging

    for name in ("streamlets", "asyncio"):  # asyncio's complains of tasks that a case has left behind
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
