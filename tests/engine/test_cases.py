"""Cases at work: each by itself, the same in every order, and over within a bound whatever a streamlet does."""

import gc
import random
import signal
import time
from pathlib import Path

import psutil
import pytest

from blueprints.cases import read_cases
from blueprints.load import load
from streamlets.catalog import Streamlets
from streamlets.engine.cases import Cases

BLUEPRINT = """
name: own
streamlets:
  own: { use: "own_streamlets:NAME", on-invalid: dead-letter }
topics:
  rows: { external: true, consumers: [own.in], partitions: 2, key: k }
  out: { producers: [own.out], external: true }
"""

OWN = '''
import asyncio, os, random, sys, time
import orjson
from streamlets.ports import Emit, Inlet, Outcome, Outlet
from streamlets.errors import Rejected

def same(row: dict) -> dict:
    return row

def spins(row: dict) -> dict:
    while True:
        pass

def sleeps(row: dict) -> dict:
    time.sleep(60)
    return row

def catches_everything(row: dict) -> dict:
    while True:
        try:
            time.sleep(60)
        except BaseException:
            if row.get("gives_up_at", 0) <= len(seen):
                raise
            seen.append(1)

seen = []

async def never_returns(row: dict) -> dict:
    await asyncio.Event().wait()
    return row

async def naps(row: dict) -> dict:
    await asyncio.sleep(3600 if row.get("long") else 5)
    return row

def exits(row: dict) -> dict:
    sys.exit(3)

def raises(row: dict) -> dict:
    raise ValueError("hunter2")

def asks(row: dict) -> dict:
    return {"said": os.environ.get("SAID", "nothing")}

def draws(row: dict) -> dict:
    return {"drawn": random.random()}

async def yields_forever(row: dict) -> dict:
    while True:
        await asyncio.sleep(0)

class Broken:
    inlets, outlets = (Inlet("in"),), (Outlet("out"),)
    def __init__(self, options, context):
        raise RuntimeError("hunter2")
    async def process(self, batch):
        return Outcome()

class Counts:
    """Remembers in itself and in its state how many it has seen."""
    inlets, outlets = (Inlet("in"),), (Outlet("out"),)
    def __init__(self, options, context):
        self.n = 0
    async def process(self, batch):
        emits = []
        for index, _ in enumerate(batch.deliveries):
            self.n += 1
            batch.state.set("n", batch.state.get("n", 0) + 1)
            data = {"own": self.n, "state": batch.state.get("n")}
            emits.append(Emit("out", orjson.dumps(data), index))
        return Outcome(emits=emits)
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_streamlets.py").write_text(OWN)
    return folder


def cases_of(folder: Path, name: str, text: str, limit_s: float = 10.0):
    (folder / f"{name}.yaml").write_text(BLUEPRINT.replace("NAME", name))
    (folder / f"{name}_test.yaml").write_text("cases:\n" + text)
    catalog = Streamlets()
    plan = load(folder / f"{name}.yaml", catalog, {})
    found = read_cases(folder / f"{name}_test.yaml")
    assert not found.problems
    return Cases(plan, lambda use: catalog.component(use, folder), limit_s), found.cases


ONE = "  - { name: one, given: { rows: [ { k: a } ] }, expect: { out: { count: 1 } } }\n"


def told(folder, name, text=ONE, limit_s=60.0):
    cases, (case,) = cases_of(folder, name, text, limit_s)
    began_s = time.perf_counter()
    result = cases.run(case)
    assert time.perf_counter() - began_s < limit_s + 8
    return "\n".join(problem.text for problem in result.problems)


@pytest.mark.parametrize(
    ("name", "line"),
    [("spins", "in spins"), ("sleeps", "in sleeps"), ("catches_everything", "in catches_everything")],
)
def test_code_that_never_comes_back_is_ended_and_named(folder, name, line):
    said = told(folder, name, ONE.replace("k: a", "k: a, gives_up_at: 1"), limit_s=0.2)
    assert "still at work after 0.2 s of real time, at " in said
    assert "own_streamlets.py:" in said
    assert line in said


def test_a_task_that_runs_for_ever_without_time_passing_is_ended(folder):
    assert "still at work after 0.2 s of real time" in told(folder, "yields_forever", limit_s=0.2)


def test_what_is_never_answered_is_told_by_its_streamlet(folder):
    assert "own still works after 600 s of virtual time" in told(folder, "never_returns")


def test_a_sleep_of_asyncio_takes_virtual_time_only(folder):
    assert told(folder, "naps") == ""
    assert "own still works after 600 s of virtual time" in told(
        folder, "naps", ONE.replace("k: a", "k: a, long: true")
    )


def test_an_exit_inside_a_streamlet_fails_its_case_and_does_not_end_the_command(folder):
    assert "SystemExit at " in told(folder, "exits")


def test_an_exception_is_a_dead_letter_and_its_text_is_not_told(folder):
    text = ONE.replace(
        "out: { count: 1 }", "dead-letters: [ { subset: { code: exception, streamlet: own } } ]"
    )
    assert told(folder, "raises", text) == ""
    assert "hunter2" not in told(folder, "raises")


def test_a_streamlet_that_cannot_be_made_fails_its_case_without_its_text(folder):
    said = told(folder, "Broken")
    assert "a streamlet could not be made or ended: RuntimeError at " in said
    assert "hunter2" not in said


def test_a_timer_of_somebody_else_goes_on_after_a_case(folder):
    before = signal.getsignal(signal.SIGALRM)
    left_s, interval_s = signal.setitimer(signal.ITIMER_REAL, 100.0)
    try:
        assert told(folder, "same") == ""
        assert 50 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100
        assert signal.getsignal(signal.SIGALRM) is before
    finally:
        signal.setitimer(signal.ITIMER_REAL, left_s, interval_s)


MANY = "".join(
    f"""
  - name: case {number}
    given: {{ rows: [ {", ".join(f"{{ k: k{one % 3} }}" for one in range(number))} ] }}
    expect: {{ out: {{ count: {number}, each: {{ cel: "own <= {number} && state <= {number}" }} }} }}
"""
    for number in range(1, 8)
)


def test_nothing_of_one_case_is_left_in_the_next_whatever_their_order(folder):
    cases, found = cases_of(folder, "Counts", MANY)
    wanted = {case.name: [] for case in found}
    for seed in range(4):
        shuffled = list(found)
        random.Random(seed).shuffle(shuffled)
        assert {result.case.name: result.problems for result in map(cases.run, shuffled)} == wanted


def test_the_same_case_gives_the_same_each_time_random_numbers_too(folder):
    cases, (case,) = cases_of(folder, "draws", ONE.replace("{ count: 1 }", "none"))
    first, second = cases.run(case), cases.run(case)
    assert first.problems == second.problems != []


def test_code_sees_the_environment_of_its_case_and_of_no_other(folder):
    case = "  - {{ name: {0}, env: {1}, given: {{ rows: [ {{ k: a }} ] }}, expect: {{ out: [ {{ exact: {2} }} ] }} }}\n"
    text = case.format("own", "{ SAID: something }", "{ said: something }")
    text += case.format("none", "{ }", "{ said: nothing }")
    cases, found = cases_of(folder, "asks", text)
    assert [cases.run(found[at]).problems for at in (0, 1, 0, 1)] == [[], [], [], []]


@pytest.mark.slow
def test_memory_stays_flat_over_ten_thousand_cases(folder):
    cases, found = cases_of(folder, "Counts", MANY)
    process = psutil.Process()

    def run(n):
        for number in range(n):
            assert cases.run(found[number % 3]).is_passed
        gc.collect()
        return process.memory_info().rss

    run(1_000)
    before = run(1_000)
    after = run(8_000)
    assert after - before < 4 << 20
