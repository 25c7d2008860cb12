"""Coverage, JUnit, JSON, fail-fast, environments: what else `streamlets test` tells, and its exit codes."""

import json
import xml.etree.ElementTree as Xml

import junitparser
import pytest

from streamlets.cli.main import run
from tests.cli.conftest import SENSORS

PASSES = """
  - name: passes
    given: { readings: [ { sensor: a, celsius: 31.0 } ] }
    expect: { warm: [ { subset: {} } ] }
"""
FAILS = """
  - name: fails
    given: { readings: [ { sensor: a, celsius: 31.0 } ] }
    expect: { warm: none }
"""


def never_taken(told):
    found = json.loads(told)["coverage"]
    edges = [one["edge"] for one in found["edges"] if not one["taken"]]
    return edges, [f"{one['streamlet']}: {one['branch']}" for one in found["branches"] if not one["taken"]]


def test_coverage_lists_edges_and_branches_that_no_case_takes(tested):
    code, told = tested(PASSES, "--coverage", "--output", "json")
    assert code == 0
    edges, branches = never_taken(told)
    assert edges == [
        "rows → score.in",
        "score.out → predictions",
        "values → windows.in",
        "windows.out → windows",
    ]
    assert branches == [
        "warm: filtered out",
        "score: predicted",
        "score: refused by the model",
        "score: its servers are away",
    ]


def test_a_branch_is_taken_by_the_case_that_shows_it(tested):
    _, told = tested(
        PASSES
        + """
  - name: filtered
    given: { readings: [ { sensor: a, celsius: 3.0 } ] }
    expect: { warm: none }
  - name: refused
    models: { m: [ { when: "x[0] > 5.0", error: rejected }, { default: { y: 1.0 } } ] }
    given: { rows: [ { a: 1, b: 2 }, { a: 9, b: 2 } ] }
    expect: { dead-letters: { count: 1 } }
  - name: away
    models: { m: [ { error: unavailable } ] }
    given: { rows: [ { a: 1, b: 2 } ] }
    after: 1s
    expect: { predictions: none }
""",
        "--coverage",
        "--output",
        "json",
    )
    assert never_taken(told) == (["values → windows.in", "windows.out → windows"], [])


BRANCHES = """
name: branches
contracts: { reading: { json-schema: reading.json } }
streamlets:
  plain: { use: "functions:plain" }
  strict: { use: "functions:strict" }
  leaves: { use: "functions:leaves" }
topics:
  readings: { external: true, contract: reading, consumers: [plain.in, strict.in, leaves.in] }
  a: { producers: [plain.out], external: true }
  b: { producers: [strict.out], external: true }
  c: { producers: [leaves.out], external: true }
"""
FUNCTIONS = """
def plain(reading: dict) -> dict:
    return reading

def strict(reading: dict) -> dict:
    if reading["celsius"] < -273.15:
        raise ValueError("too cold")
    return reading

def leaves(reading: dict) -> dict | None:
    return reading if reading["celsius"] > 0 else None
"""


def test_only_branches_that_code_can_take_are_listed(tmp_path, capsys):
    """A function without a `raise` refuses nothing by itself, and one that promises no None filters nothing."""
    (tmp_path / "branches.yaml").write_text(BRANCHES)
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    (tmp_path / "reading.json").write_text('{"type": "object", "required": ["celsius"]}')
    cases = (
        "cases:\n  - { name: one, given: { readings: [ { celsius: 5.0 } ] }, expect: { a: { count: 1 } } }\n"
    )
    (tmp_path / "branches_test.yaml").write_text(cases)
    command = ["test", str(tmp_path / "branches.yaml"), "--coverage", "--output", "json"]
    run(command)
    assert never_taken(capsys.readouterr().out)[1] == [
        "plain: against its contract",
        "strict: raised",
        "strict: against its contract",
        "leaves: returned None",
        "leaves: against its contract",
    ]
    given = "{ readings: [ { celsius: -300.0 }, { kelvin: 1.0 } ] }"
    cases += f"  - {{ name: two, given: {given}, expect: {{ a: {{ count: 1 }} }} }}\n"
    (tmp_path / "branches_test.yaml").write_text(cases)
    run(command)
    assert never_taken(capsys.readouterr().out)[1] == []


def test_too_little_coverage_fails_and_says_how_much_was_asked_for(tested):
    code, told = tested(PASSES, "--coverage-min", "90%")
    assert code == 1
    assert "branches never taken:\n  warm: filtered out" in told
    assert "coverage: 3 of 11 edges and branches, 27.2%; less than the 90% asked for" in told
    assert tested(PASSES, "--coverage-min", "27%")[0] == 0
    assert tested(PASSES, "--coverage-min", "a lot")[0] == 64
    assert tested(PASSES, "--coverage-min", "120%")[0] == 64


def test_fail_fast_stops_at_the_first_failure_and_counts_what_was_not_run(tested):
    code, told = tested(FAILS + PASSES, "--fail-fast")
    assert code == 1
    assert "1 failed, 1 not run in" in told


def test_a_junit_file_is_what_ci_systems_read(tested, tmp_path):
    code, _ = tested(PASSES + FAILS, "--junit", str(tmp_path / "reports" / "tests.xml"))
    assert code == 1
    found = junitparser.JUnitXml.fromfile(str(tmp_path / "reports" / "tests.xml"))
    assert (found.tests, found.failures, found.errors) == (2, 1, 0)
    suite = next(iter(found))
    assert suite.name == "sensors"
    assert {one.name: one.value for one in suite.properties()}["blueprint"] == "sensors"
    passed, failed = suite
    assert (passed.name, passed.classname, passed.result) == ("passes", "sensors", [])
    assert passed.time > 0
    (failure,) = failed.result
    assert isinstance(failure, junitparser.Failure)
    assert failure.message.startswith("warm: no event expected, 1 event came")
    assert "sensors_test.yaml:" in failure.text


def test_what_xml_cannot_hold_is_replaced(tested, tmp_path):
    cases = """
  - name: "odd <&> \\u000b"
    given: { readings: [ { sensor: "\\u0001", celsius: 31.0 } ] }
    expect: { warm: none }
"""
    tested(cases, "--junit", str(tmp_path / "odd.xml"))
    root = Xml.parse(tmp_path / "odd.xml").getroot()
    assert root[0][1].get("name") == "odd <&> �"


def test_a_junit_file_tells_of_a_test_file_that_cannot_be_read(tested, tmp_path):
    code, told = tested("  - { nam: x }", "--junit", str(tmp_path / "tests.xml"))
    assert code == 1
    found = junitparser.JUnitXml.fromfile(str(tmp_path / "tests.xml"))
    assert found.errors == len(told.splitlines()) > 0


def test_json_is_one_value_with_the_place_of_every_difference(tested):
    code, told = tested(
        PASSES
        + """
  - name: differs
    given: { readings: [ { sensor: a, celsius: 31.0 } ] }
    expect: { warm: [ { subset: { sensor: b } } ] }
""",
        "--output",
        "json",
    )
    found = json.loads(told)
    assert code == 1
    assert (found["passed"], found["failed"], found["not_run"]) == (1, 1, 0)
    (problem,) = found["cases"][1]["problems"]
    assert problem["fields"] == [{"path": "sensor", "expected": '"b"', "got": 'got "a"'}]
    assert problem["line"] == 9


def test_what_code_prints_is_not_in_the_json(tmp_path, capsys):
    (tmp_path / "prints.py").write_text("""
print("imported")

def same(row: dict) -> dict:
    print("called")
    return row
""")
    (tmp_path / "prints.yaml").write_text("""
name: prints
streamlets: { same: { use: "prints:same" } }
topics:
  rows: { external: true, consumers: [same.in] }
  out: { producers: [same.out], external: true }
""")
    case = "cases: [ { name: one, given: { rows: [ { a: 1 } ] }, expect: { out: { count: 1 } } } ]"
    (tmp_path / "prints_test.yaml").write_text(case)
    assert run(["test", str(tmp_path / "prints.yaml"), "--output", "json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["passed"] == 1
    assert "imported" in told.err
    assert "called" in told.err


def test_a_case_can_unset_a_variable_and_give_those_that_the_shell_does_not_have(
    tmp_path, capsys, monkeypatch
):
    """A variable that only the cases set is no error of the blueprint; a case without it fails alone."""
    monkeypatch.setenv("LIMIT", "0.0")
    (tmp_path / "sensors.yaml").write_text(SENSORS.replace("${LIMIT:-30.0}", "${LIMIT}"))
    (tmp_path / "sensors_test.yaml").write_text("""
cases:
  - name: the shell's
    given: { readings: [ { sensor: a, celsius: 25.0 } ] }
    expect: { warm: { count: 1 } }
  - name: its own
    env: { LIMIT: 26.5 }
    given: { readings: [ { sensor: a, celsius: 25.0 } ] }
    expect: { warm: none }
  - name: none
    env: { LIMIT: }
    given: { readings: [ { sensor: a, celsius: 25.0 } ] }
    expect: { warm: none }
""")
    assert run(["test", str(tmp_path / "sensors.yaml")]) == 1
    told = capsys.readouterr().out
    assert "none: the blueprint cannot run in this environment: " in told
    assert "unset-variable" in told
    assert "2 passed, 1 failed" in told
    monkeypatch.delenv("LIMIT")
    assert run(["test", str(tmp_path / "sensors.yaml"), "--only", "its own"]) == 0


def test_an_overlay_is_under_test_with_the_blueprint(tested, tmp_path):
    (tmp_path / "over.yaml").write_text('streamlets: { warm: { with: { where: "celsius > 35.0" } } }\n')
    assert tested(PASSES)[0] == 0
    assert tested(PASSES, "--overlay", str(tmp_path / "over.yaml"))[0] == 1


def test_a_secret_of_the_environment_does_not_show_in_what_is_told(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TOKEN", "hunter2-canary")
    secret = 'servers: [ { url: "http://127.0.0.1:1", headers: { Authorization: "${TOKEN}" } } ]'
    (tmp_path / "sensors.yaml").write_text(SENSORS.replace('servers: [ "http://nowhere:1" ]', secret))
    (tmp_path / "sensors_test.yaml").write_text("""
cases:
  - name: away
    models: { m: [ { error: broken } ] }
    given: { rows: [ { a: 1, b: 2 } ] }
    expect: { predictions: { count: 1 } }
""")
    for more in ([], ["--output", "json"], ["--coverage"], ["--junit", str(tmp_path / "j.xml")]):
        assert run(["test", str(tmp_path / "sensors.yaml"), *more]) == 1
    told = capsys.readouterr()
    assert "hunter2" not in told.out + told.err + (tmp_path / "j.xml").read_text()


def test_a_secret_that_a_streamlet_puts_into_an_event_does_not_show_either(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TOKEN", "hunter2-canary")
    (tmp_path / "leaks.py").write_text("""
import orjson
from pydantic import SecretStr
from streamlets.ports import Emit, Inlet, OptionsBase, Outcome, Outlet

class Leaks:
    class Options(OptionsBase):
        token: SecretStr
    inlets, outlets = (Inlet("in"),), (Outlet("out"),)
    def __init__(self, options, context):
        self.token = options.token.get_secret_value()
    async def process(self, batch):
        data = orjson.dumps({"said": self.token})
        return Outcome(emits=[Emit("out", data, i) for i, _ in enumerate(batch.deliveries)])
""")
    (tmp_path / "leaky.yaml").write_text("""
name: leaky
streamlets: { leaks: { use: "leaks:Leaks", with: { token: "${TOKEN}" } } }
topics:
  rows: { external: true, consumers: [leaks.in] }
  out: { producers: [leaks.out], external: true }
""")
    (tmp_path / "leaky_test.yaml").write_text("""
cases:
  - { name: field, given: { rows: [ { a: 1 } ] }, expect: { out: [ { exact: { said: nothing } } ] } }
  - { name: event, given: { rows: [ { a: 1 } ] }, expect: { out: none } }
  - { name: condition, given: { rows: [ { a: 1 } ] }, expect: { out: [ { cel: "said == 'nothing'" } ] } }
""")
    for more in ([], ["--output", "json"], ["--junit", str(tmp_path / "j.xml")]):
        assert run(["test", str(tmp_path / "leaky.yaml"), *more]) == 1
    told = capsys.readouterr()
    assert "***" in told.out
    assert "hunter2" not in told.out + told.err + (tmp_path / "j.xml").read_text()


@pytest.mark.parametrize(
    "text", ["", "cases: 5", "- a", "cases: [ { name: x } ]", "cases: [ [ ] ]", "cases: [", "cases:"]
)
def test_a_broken_test_file_is_told_with_its_place_and_never_a_traceback(tmp_path, capsys, text):
    (tmp_path / "sensors.yaml").write_text(SENSORS)
    (tmp_path / "sensors_test.yaml").write_text(text)
    assert run(["test", str(tmp_path / "sensors.yaml")]) in (1, 64)
    told = capsys.readouterr().err
    assert "sensors_test.yaml" in told
    assert "Traceback" not in told
    assert "blueprint is" not in told


def test_problems_of_blueprint_and_tests_are_told_together(tmp_path, capsys):
    (tmp_path / "sensors.yaml").write_text(SENSORS.replace("use: filter", "use: fitler"))
    (tmp_path / "sensors_test.yaml").write_text("cases: [ { nam: x } ]")
    assert run(["test", str(tmp_path / "sensors.yaml")]) == 1
    told = capsys.readouterr().err
    assert told.index("did you mean 'filter'?") < told.index("a case has no field 'nam'")


def test_two_cases_of_one_name_are_told(tested):
    code, told = tested(PASSES + PASSES)
    assert code == 1
    assert "the case of line 3 is called 'passes' too" in told


def test_the_examples_own_tests_pass(capsys):
    assert run(["test", "blueprints/examples/flight_delays/flight-delays.yaml", "--coverage-min", "80%"]) == 0
    assert "6 passed" in capsys.readouterr().out
