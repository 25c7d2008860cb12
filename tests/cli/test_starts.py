"""What `verify` accepts starts, and what start-up refuses `verify` refused by the same code: generated applications.

A failure prints the seed and the blueprint; `Generator(seed, …)` of `tests.blueprints.generated` gives it again.
"""

import asyncio
import logging
import os
import sys
from collections import Counter

import pytest

from blueprints.load import lint, plan_of
from streamlets.catalog import Streamlets
from streamlets.cli import main
from streamlets.cli.dry_run import rehearse
from streamlets.engine.clock import SystemClock
from streamlets.errors import StreamletsError
from streamlets.transports.simulated import SimulatedTransport
from streamlets.transports.simulated_log import SimulatedLog
from tests.blueprints.generated import ENVIRON, Generator, beside

SAME = {
    "topic-differs": (
        "topic-name-clash",
        "dead-letter-loop",
    ),  # one name in the log twice: the second finds the first
    "bad-topic-name": ("bad-name",),  # the names of the application's own topics begin with its name
    "bad-option": ("secret-in-clear",),  # what is no secret is not looked at any further
}
"""A code of start-up → the linter's for the same thing, where the linter knows the cause and start-up its effect."""

NEEDS_A_LOOK = {"tensor-mismatch"}
"""What a model takes is in the model: `verify --online` asks for it, also where the model is a file."""


@pytest.fixture(scope="module")
def application(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated")
    beside(folder)
    path, here = list(sys.path), os.getcwd()
    sys.path.append(str(folder))
    os.chdir(folder)
    logging.disable(logging.WARNING)
    catalog = Streamlets()

    def of(seed):
        text = Generator(seed, catalog, folder).text_of()
        (folder / "a.yaml").write_text(text)
        # The linter's draft is made a plan of whatever was found, so that start-up is asked as if there were no linter.
        draft, found = lint(folder / "a.yaml", catalog, ENVIRON, ())
        errors = [problem for problem in found if problem.severity == "error"]
        try:
            plan = plan_of(draft, folder / "a.yaml")
        except Exception:
            plan = None
        return text, errors, plan

    yield of
    logging.disable(logging.NOTSET)
    os.chdir(here)
    sys.path[:] = path


def refusal(plan):
    """Return the code by which start-up refuses a plan, or None."""

    async def start():
        await rehearse(plan, SimulatedTransport(SimulatedLog(SystemClock())))

    try:
        asyncio.run(start())
    except StreamletsError as exc:
        return exc.code
    return None


def check(application, seeds):
    outcomes = Counter()
    for seed in seeds:
        text, errors, plan = application(seed)
        told = f"seed {seed}: {[str(error) for error in errors]}\n{text}"
        if plan is None:
            assert errors, f"accepted, and there is no plan: {told}"
            outcomes["no plan"] += 1
            continue
        try:
            code = refusal(plan)
        except Exception as exc:
            raise AssertionError(f"start-up raised {type(exc).__name__}: {exc}; {told}") from exc
        codes = {error.code for error in errors}
        if code is not None and code not in NEEDS_A_LOOK:
            assert errors, f"accepted, and start-up refuses it by {code}: {told}"
            assert code in codes or codes & set(SAME.get(code, ())), f"start-up says {code}: {told}"
        outcomes[bool(errors), code is not None] += 1
    return outcomes


def test_what_verify_accepts_starts_and_what_start_up_refuses_verify_refused(application):
    outcomes = check(application, range(60))
    assert outcomes[False, False] > 10  # accepted, and starts
    assert outcomes[True, True] > 10  # refused by both


@pytest.mark.slow
def test_the_same_of_a_thousand(application):
    outcomes = check(application, range(60, 1_000))
    assert outcomes[False, False] > 200
    assert outcomes[True, True] > 200


GOOD = """\
name: first
streamlets:
  hot: { use: filter, with: { where: "celsius > 30.0" } }
  print: { use: console }
topics:
  readings: { external: true, consumers: [hot.in], partitions: 2 }
  hot: { producers: [hot.out], consumers: [print.in] }
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "first.yaml").write_text(GOOD)
    return tmp_path


def test_a_dry_run_leaves_nothing_behind(folder, capsys):
    before = sorted(folder.rglob("*"))
    assert main.run(["run", "first.yaml", "--dry-run"]) == 0
    assert "topic first.hot" in capsys.readouterr().out
    assert sorted(folder.rglob("*")) == before


def run(*arguments):
    """Return the exit code of `streamlets run`, which exits by itself."""
    try:
        return main.run(["run", "first.yaml", *arguments])
    except SystemExit as exc:
        return exc.code


def test_a_dry_run_compares_the_log_that_is_there(folder, capsys):
    assert run("--until-idle", "--quiet") == 0
    (folder / "first.yaml").write_text(GOOD.replace("hot: { producers", "hot: { partitions: 5, producers"))
    assert main.run(["verify", "first.yaml"]) == 0
    capsys.readouterr()
    assert main.run(["run", "first.yaml", "--dry-run"]) != 0
    assert "topic-differs" in capsys.readouterr().err
    assert run("--until-idle", "--quiet") != 0
    assert "topic-differs" in capsys.readouterr().err


def test_a_dry_run_sets_streamlets_up_and_calls_no_server(folder, capsys):
    (folder / "own.py").write_text(
        "from streamlets.errors import Fatal\n"
        "from streamlets.ports import Inlet, Outcome\n\n\n"
        "class Refusing:\n"
        "    inlets = (Inlet('in'),)\n\n"
        "    def __init__(self, options, context):\n"
        "        pass\n\n"
        "    async def set_up(self):\n"
        "        raise Fatal('there is no key', code='missing-file')\n\n"
        "    async def process(self, batch):\n"
        "        return Outcome()\n"
    )
    text = GOOD.replace("use: console", "use: 'own:Refusing'")
    (folder / "first.yaml").write_text(text)
    assert main.run(["verify", "first.yaml"]) == 0
    assert main.run(["run", "first.yaml", "--dry-run"]) == 1
    assert "there is no key" in capsys.readouterr().err
    options = "{ model: m, servers: ['http://127.0.0.1:9'], inputs: { x: a }, outputs: { y: z } }"
    scored = GOOD.replace("print: { use: console }", f"print: {{ use: score, with: {options} }}")
    (folder / "first.yaml").write_text(scored)
    assert main.run(["run", "first.yaml", "--dry-run"]) == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_dry_run_says_where_no_log_can_be_made(folder, capsys):
    (folder / "shut").mkdir(mode=0o500)
    assert main.run(["run", "first.yaml", "--dry-run", "--on", "embedded:shut/log"]) != 0
    assert "log-cannot-open" in capsys.readouterr().err
