"""One mistake in a blueprint that was right is told at the line where it lies, and by few words.

A failure prints the seed and the blueprint: `mutants(seed, count)` of `tests.blueprints.mutations` gives it again.
"""

import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from blueprints.diagnostics import BlueprintError, Diagnostic
from blueprints.lint.explain import pages
from blueprints.load import verify
from blueprints.source import parse, plain
from streamlets.catalog import Streamlets
from tests.blueprints.bases import BASES, ENVIRON
from tests.blueprints.mutations import Mutant, mutants

FAST, SLOW = 500, 2_000


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    """Lint a text as one of the bases, with what lies beside it; the real catalog is asked."""
    folders = {}
    before = list(sys.path)
    for base in BASES:
        folders[base.name] = tmp_path_factory.mktemp(base.name)
        base.write(folders[base.name])
        sys.path.append(str(folders[base.name]))
    catalog = Streamlets()

    def lint(base, text) -> list[Diagnostic]:
        folder = folders[base.name]
        (folder / "a.yaml").write_text(text)
        blueprint, overlays = base.paths(folder)
        return verify(blueprint, catalog, ENVIRON, overlays)

    yield lint
    sys.path[:] = before


@pytest.mark.parametrize("base", BASES, ids=lambda base: base.name)
def test_what_is_mutated_is_right_before(check, base):
    assert [problem for problem in check(base, base.text) if problem.severity == "error"] == []


def same_as_before(mutant: Mutant) -> bool:
    try:
        return plain(parse(mutant.text, "a").root) == plain(parse(mutant.base.text, "a").root)
    except BlueprintError:
        return False


OPTIONAL = ("score.out", "score.payloads", "score.updates", "drift.alerts")
"""Ports that need no topic."""

TRULY_VALID = {
    "layout only: it says what it said before": same_as_before,
    "null in an overlay takes a field of the file below away": lambda m: (
        m.base.under is not None and m.kind == "wrong_type" and m.what.endswith("'null'")
    ),
    "a heading that is null in an overlay takes away what is not there": lambda m: (
        m.base.under is not None and m.kind in ("wrong_indent", "wrong_type")
    ),
    "the port that lost its topic needs none, and nobody else uses the topic": lambda m: (
        m.kind == "missing_edge" and any(port in m.what or port in m.base.text for port in OPTIONAL)
    ),
    "an edge of the overlay is gone, those of the file below are left": lambda m: (
        m.base.under is not None and m.kind == "missing_edge"
    ),
    "without outputs every tensor of the answer is a field": lambda m: (
        m.kind == "missing_field" and "'outputs" in m.what
    ),
    "a batch may go at once": lambda m: m.kind == "wrong_unit" and m.what.endswith("'0ms'"),
    "tensors and fields may have any name where no contract says which there are": lambda m: (
        m.kind == "wrong_type" and "puts: { a: b }" in m.text
    ),
    "a quote inside text is text": lambda m: (
        m.kind == "unclosed"
        and bool(re.search(r"(: |- |, )[^'\"\s,]+[\"']\s*$", m.text.splitlines()[min(m.lines) - 1]))
    ),
}
"""Why a mutant may have no error; any other without one is a hole in the linter."""


def report(seed: int, mutant: Mutant, found: list[Diagnostic]) -> str:
    shown = "\n".join(f"    {problem}" for problem in found) or "    nothing"
    return f"seed {seed}, {mutant}, at lines {sorted(mutant.lines)}\n{shown}\n{mutant.text}"


def run(check, seed: int, count: int) -> None:
    known = set(pages())
    elsewhere, many, reasons = [], [], Counter()
    for mutant in mutants(seed, count):
        found = check(mutant.base, mutant.text)
        remarks = check.remarks.get(mutant.base.name, 0)
        assert {problem.code for problem in found} <= known, report(seed, mutant, found)
        assert all(problem.mark.file and problem.mark.line >= 1 for problem in found), report(
            seed, mutant, found
        )
        errors = [problem for problem in found if problem.severity == "error"]
        if not errors:
            reason = next((reason for reason, holds in TRULY_VALID.items() if holds(mutant)), None)
            assert reason is not None, f"accepted: {report(seed, mutant, found)}"
            reasons[reason] += 1
            continue
        if not any(mutant.is_named_by(Path(p.mark.file).name, p.mark.line) for p in errors):
            elsewhere.append(report(seed, mutant, found))
        if len(found) - remarks > 3:
            many.append(report(seed, mutant, found))
    wrong = count - sum(reasons.values())
    assert len(elsewhere) <= wrong // 100, f"{len(elsewhere)} of {wrong}:\n" + "\n".join(elsewhere)
    assert len(many) <= wrong // 20, f"{len(many)} of {wrong}:\n" + "\n".join(many)
    assert sum(reasons.values()) <= count // 25, reasons


@pytest.fixture(scope="module")
def remarks(check):
    """Warnings that a base has of itself: they are no follow-up of a mistake."""
    check.remarks = {base.name: len(check(base, base.text)) for base in BASES}
    return check


@pytest.mark.slow
def test_of_500_mistakes_99_in_100_are_told_at_their_line_and_95_in_3_problems(remarks):
    run(remarks, 1, FAST)


@pytest.mark.slow
def test_of_thousands_of_mistakes_99_in_100_are_told_at_their_line(remarks):
    run(remarks, 2, SLOW)
