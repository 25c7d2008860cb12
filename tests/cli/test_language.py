"""The commands of the language as their user meets them: on a terminal, in a pipe, with wrong input."""

import io
import json
import os
import pty
import re
import subprocess
import sys

import pytest
import yaml
from jsonschema import Draft202012Validator

from streamlets.cli import main
from streamlets.cli.output import colours

GOOD = """\
name: first
streamlets:
  hot: { use: filter, with: { where: "celsius > 30.0" } }
  print: { use: console }
topics:
  readings: { external: true, consumers: [hot.in], key: sensor, partitions: 2 }
  hot: { producers: [hot.out], consumers: [print.in] }
"""
BAD = GOOD.replace("where", "were").replace("[print.in]", "[prnt.in]")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text(BAD)
    return tmp_path


def on_a_terminal(arguments, cwd, columns=100, **environ):
    """Return what a command prints where standard output is a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "streamlets", *arguments]
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    environ = {**kept, "TERM": "xterm", "COLUMNS": str(columns), **environ}
    done = subprocess.Popen(command, stdout=theirs, stderr=theirs, cwd=cwd, env=environ)
    os.close(theirs)
    told = b""
    while True:
        try:
            told += os.read(ours, 65536)
        except OSError:  # the other end is closed: Linux says so by an error
            break
        if not told and done.poll() is not None:
            break
    os.close(ours)
    return done.wait(30), told.decode().replace("\r\n", "\n")


def without_colour(told):
    return re.sub(r"\x1b\[[0-9;]*m", "", told)


def test_a_clean_blueprint_says_nothing_in_a_pipe_and_exits_0(folder, capsys):
    assert main.run(["verify", "good.yaml"]) == 0
    assert capsys.readouterr() == ("", "")


def test_problems_are_lines_on_standard_output_and_the_exit_code_is_1(folder, capsys):
    assert main.run(["verify", "bad.yaml"]) == 1
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith(
        "bad.yaml:3:23: error missing-option: hot needs the option 'where': the condition, "
    )
    assert rest == [
        "bad.yaml:3:31: error unknown-option: hot has no option 'were'; did you mean 'where'?",
        "bad.yaml:7:44: error unknown-port: there is no streamlet 'prnt'; did you mean 'print' (line 4)?",
    ]


@pytest.mark.parametrize("option", ["--format", "--output"])
def test_problems_as_json_are_one_array(folder, capsys, option):
    assert main.run(["verify", "bad.yaml", option, "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [problem["code"] for problem in found][:2] == ["missing-option", "unknown-option"]
    assert found[1] == {
        "file": "bad.yaml",
        "line": 3,
        "column": 31,
        "end_column": 35,
        "severity": "error",
        "code": "unknown-option",
        "message": "hot has no option 'were'; did you mean 'where'?",
        "frame": '    3 |   hot: { use: filter, with: { were: "celsius > 30.0" } }\n'
        "      |                               ^^^^",
        "related": [],
        "fix": {
            "title": "write 'where'",
            "edits": [{"file": "bad.yaml", "start": 54, "end": 58, "text": "where"}],
        },
    }
    assert main.run(["verify", "good.yaml", option, "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def found_in(form, out):
    """Return (file, line, column, severity, code, message) of each problem, whatever the form."""
    if form == "text":
        lines = [re.match(r"(.+?):(\d+):(\d+): (\w+) ([\w-]+): (.*)", line) for line in out.splitlines()]
        return [(m[1], int(m[2]), int(m[3]), m[4], m[5], m[6]) for m in lines]
    if form == "json":
        names = ("file", "line", "column", "severity", "code", "message")
        return [tuple(one[name] for name in names) for one in json.loads(out)]
    if form == "sarif":
        places = [
            (one, one["locations"][0]["physicalLocation"]) for one in json.loads(out)["runs"][0]["results"]
        ]
        return [
            (
                place["artifactLocation"]["uri"],
                place["region"]["startLine"],
                place["region"]["startColumn"],
                one["level"],
                one["ruleId"],
                one["message"]["text"],
            )
            for one, place in places
        ]
    commands = [
        re.match(r"::(\w+) file=([^,]+),line=(\d+),col=(\d+).*?title=([\w-]+)::(.*)", line)
        for line in out.splitlines()
    ]
    return [(m[2], int(m[3]), int(m[4]), m[1], m[5], m[6]) for m in commands]


@pytest.mark.parametrize("form", ["json", "sarif", "github"])
def test_every_form_has_the_same_problems_and_exit_code(folder, capsys, form):
    (folder / "over.yaml").write_text("topics: { readings: { partitions: none }, 'ü': { external: true } }\n")
    for file, code in (("bad.yaml", 1), ("good.yaml", 0)):
        overlays = ["--overlay", "over.yaml"] if code else []
        assert main.run(["verify", file, *overlays]) == code
        wanted = found_in("text", capsys.readouterr().out)
        assert main.run(["verify", file, *overlays, "--format", form]) == code
        assert found_in(form, capsys.readouterr().out) == wanted
        assert len(wanted) == (5 if code else 0)


def test_fix_mends_says_what_and_prints_what_is_left(folder, capsys):
    assert main.run(["verify", "bad.yaml", "--fix"]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "fixed bad.yaml:3:31: unknown-option: write 'where'",
        "fixed bad.yaml:7:44: unknown-port: write 'print'",
    ]
    assert (folder / "bad.yaml").read_text() == GOOD


def test_a_dry_run_shows_the_difference_and_writes_nothing(folder, capsys):
    assert main.run(["verify", "bad.yaml", "--fix", "--dry-run"]) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[:2] == ["--- bad.yaml", "+++ bad.yaml (fixed)"]
    assert '-  hot: { use: filter, with: { were: "celsius > 30.0" } }' in told
    assert '+  hot: { use: filter, with: { where: "celsius > 30.0" } }' in told
    assert (folder / "bad.yaml").read_text() == BAD
    assert main.run(["verify", "good.yaml", "--fix", "--diff"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "options", [["--dry-run"], ["--fix", "--diff", "--format", "json"], ["--format", "xml"]]
)
def test_what_makes_no_sense_together_is_wrong_usage(folder, capsys, options):
    assert main.run(["verify", "bad.yaml", *options]) == 64


def test_a_narrow_terminal_shows_the_caret_below_wide_characters_and_tabs(folder):
    (folder / "wide.yaml").write_text(
        GOOD.replace("  print", '  "日本語": 1\n  print').replace(
            "sensor,", 'sensor,\t"気温": 1, colour: red,'
        )
    )
    for columns in (100, 60, 40):
        told = without_colour(on_a_terminal(["verify", "wide.yaml"], folder, columns=columns)[1]).splitlines()
        frames = [at for at, line in enumerate(told) if re.match(r" +\| +\^+$", line)]
        assert len(frames) == 3
        for at in frames:
            message, line, carets = told[at - 2 : at + 1]
            pointed = cells(line)[carets.index("^") : len(carets)]
            assert len(cells(line)) <= columns
            for word in re.findall(r"no field '(\w+)'", message):
                assert "".join(pointed).strip('"') == word


def cells(line):
    """Return what stands in each column of a terminal."""
    return [cell for char in line for cell in ([char, ""] if ord(char) > 0x2E80 else [char])]


def test_warnings_alone_exit_0(folder, capsys):
    (folder / "warn.yaml").write_text(
        GOOD.replace(", consumers: [print.in] }", " }").replace("  print", "  #")
    )
    assert main.run(["verify", "warn.yaml"]) == 0
    assert "warning no-consumer" in capsys.readouterr().out


def test_a_terminal_shows_the_line_a_caret_and_what_next(folder):
    code, told = on_a_terminal(["verify", "bad.yaml"], folder)
    assert code == 1
    assert "\x1b[" in told
    told = without_colour(told)
    assert '    3 |   hot: { use: filter, with: { were: "celsius > 30.0" } }\n' in told
    assert "      |                               ^^^^\n" in told
    assert told.endswith(
        "bad.yaml: 3 errors\n  next: streamlets verify bad.yaml --fix mends 2 of them\n"
        "  next: streamlets explain CODE\n"
    )


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_colour_is_for_terminals_that_want_it(monkeypatch):
    for name in ("NO_COLOR", "TERM", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    assert colours(Terminal())
    assert not colours(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert not colours(Terminal())
    monkeypatch.delenv("TERM")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert colours(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colours(Terminal())


def test_a_blueprint_that_is_not_there_is_told_like_any_problem(folder, capsys):
    assert main.run(["verify", "none.yaml"]) == 1
    assert capsys.readouterr().out == (
        "none.yaml:1:1: error missing-file: the blueprint cannot be read: no such file or directory\n"
    )


def test_an_overlay_is_verified_with_the_base(folder, capsys):
    (folder / "over.yaml").write_text("topics: { readings: { partitions: none } }\n")
    assert main.run(["verify", "good.yaml", "--overlay", "over.yaml"]) == 1
    assert capsys.readouterr().out.startswith("over.yaml:1:35: error bad-value:")


def test_modules_beside_the_blueprint_are_found_from_anywhere(folder, capsys):
    (folder / "sub").mkdir()
    (folder / "sub" / "own_features.py").write_text(
        "def keep(reading: dict) -> dict | None:\n    return reading\n"
    )
    (folder / "sub" / "app.yaml").write_text(
        GOOD.replace('{ use: filter, with: { where: "celsius > 30.0" } }', '{ use: "own_features:keep" }')
    )
    assert main.run(["verify", "sub/app.yaml"]) == 0, capsys.readouterr().out


def test_a_package_that_ours_hides_is_reported_with_the_cure(folder, capsys):
    (folder / "detectors").mkdir()
    (folder / "detectors" / "__init__.py").write_text("raise RuntimeError('swapped')\n")
    (folder / "blueprints").mkdir()  # a folder of blueprints hides nothing
    assert main.run(["verify", "good.yaml"]) == 0
    told = capsys.readouterr().err
    assert "the package 'detectors'" in told
    assert "rename it" in told
    assert "blueprints" not in told


def test_graph_draws_and_gives_json(folder, capsys):
    assert main.run(["graph", "good.yaml"]) == 0
    assert "│ hot │ filter" in capsys.readouterr().out
    assert main.run(["graph", "good.yaml", "--output", "json"]) == 0
    assert [s["name"] for s in json.loads(capsys.readouterr().out)["streamlets"]] == ["hot", "print"]


def test_graph_of_a_broken_blueprint_tells_its_problems(folder, capsys):
    assert main.run(["graph", "bad.yaml"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "unknown-option" in told.err


def test_graph_is_plain_where_the_encoding_has_no_lines(folder, monkeypatch):
    told = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(told, encoding="ascii"))
    assert main.run(["graph", "good.yaml"]) == 0
    assert b"| hot | filter" in told.getvalue()


def test_the_schema_accepts_good_blueprints_and_refuses_bad_ones(folder, capsys):
    assert main.run(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert validator.is_valid(yaml.safe_load(GOOD))
    assert not validator.is_valid(yaml.safe_load(BAD))


def test_verify_loads_nothing_that_only_running_needs_nor_a_users_module_for_the_standard_librarys(folder):
    (folder / "json.py").write_text("raise RuntimeError('swapped')\n")
    (folder / "difflib.py").write_text("raise RuntimeError('swapped')\n")
    code = (
        "import sys; from streamlets.cli.main import run; run(['verify', 'good.yaml']); print(*sys.modules)"
    )
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=folder)
    assert done.stderr == ""
    heavy = {
        "numpy",
        "aiohttp",
        "httpx",
        "apsw",
        "confluent_kafka",
        "onnxruntime",
        "uvicorn",
        "rich",
        "difflib",
    }
    assert heavy.isdisjoint(done.stdout.split())


OWN = """\
from pydantic import BaseModel, Field


class Reading(BaseModel):
    sensor: str
    celsius: float | None = None


class Features(BaseModel):
    sensor: str
    unit: str = "F"
    degrees: float | None = None


class Strict(BaseModel):
    sensor: str
    unit: str
    degrees: float


class Plain:
    pass


def features(reading: Reading) -> Features | None:
    return None


def accepting(features: Features) -> None:
    return None


def strict(features: Strict) -> None:
    return None
"""
EDGES = """\
name: first
contracts: { reading: { python: "own:Reading" } }
streamlets:
  features: { use: "own:features" }
  accepting: { use: "own:accepting" }
  strict: { use: "own:strict" }
topics:
  readings: { external: true, consumers: [features.in], contract: reading }
  features: { producers: [features.out], consumers: [accepting.in, strict.in] }
"""


def test_annotations_that_do_not_fit_name_both_ports_the_field_and_the_reason(folder, capsys):
    (folder / "own.py").write_text(OWN)
    (folder / "edges.yaml").write_text(EDGES)
    assert main.run(["verify", "edges.yaml"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "edges.yaml:9:68: error incompatible-contract: features.out (Features) does not fit strict.in (Strict): "
        "field 'degrees' may be null, but a number is wanted; for example {\"degrees\": null, …}"
    ]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("own:Reding", "did you mean 'Reading'?"),
        ("gone:Reading", "there is no module 'gone'"),
        ("own:features", "a contract is a class"),
        ("own:Plain", "is no type that events can be checked against"),
        ("own", "is not written as package.module:name"),
    ],
)
def test_a_contract_that_names_no_type_is_an_import_that_failed(folder, capsys, source, says):
    (folder / "own.py").write_text(OWN)
    (folder / "edges.yaml").write_text(EDGES.replace("own:Reading", source).replace(", strict.in", ""))
    assert main.run(["verify", "edges.yaml"]) == 1
    told = capsys.readouterr().out
    assert "edges.yaml:2:33: error import-failed: " in told
    assert says in told


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ('{"type": 3}', "is no JSON Schema"),
        ('{"$ref": "https://example.org/flight.json"}', "is no JSON Schema"),
        ("[]", "not a JSON object"),
        ("{", "is not JSON: "),
    ],
)
def test_a_schema_that_start_up_would_refuse_is_refused(folder, capsys, schema, says):
    (folder / "s.json").write_text(schema)
    (folder / "a.yaml").write_text(
        GOOD.replace("streamlets:", "contracts: { s: { json-schema: s.json } }\nstreamlets:", 1)
    )
    assert main.run(["verify", "a.yaml"]) == 1
    told = capsys.readouterr().out
    assert "a.yaml:2:32: error bad-value: the schema 's.json'" in told
    assert says in told


def test_schema_prints_that_of_test_files_too(capsys):
    assert main.run(["schema", "--tests"]) == 0
    schema = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(schema)
    assert schema["required"] == ["cases"]


def test_a_file_that_is_written_is_nobody_elses(folder, capsys):
    (folder / "in.jsonl").write_text("{}\n")
    text = """\
name: files
streamlets:
  src: {{ use: file, with: {{ path: in.jsonl }} }}
  one: {{ use: file-sink, with: {{ path: out.jsonl }} }}
  two: {{ use: file-sink, with: {{ path: {} }} }}
topics:
  a: {{ producers: [src.out], consumers: [one.in, two.in] }}
"""
    for path, said in [("./out.jsonl", "'one' writes"), ("in.jsonl", "'src' reads"), ("other.jsonl", "")]:
        (folder / "files.yaml").write_text(text.format(path))
        assert main.run(["verify", "files.yaml"]) == (1 if said else 0)
        assert said in capsys.readouterr().out


def test_a_condition_may_be_whether_a_field_is_there(folder, capsys):
    (folder / "j.json").write_text(
        '{"type": "object", "properties": {"s": {"type": "string"}, "m": {"type": "object"}}}'
    )
    text = """\
name: asks
contracts: {{ j: {{ json-schema: j.json }} }}
streamlets: {{ f: {{ use: filter, with: {{ where: "{}" }} }} }}
topics:
  a: {{ external: true, consumers: [f.in], contract: j }}
  b: {{ producers: [f.out], external: true }}
"""
    for where in ("has(event.data.s)", "has(event.data.m)", "has(event.data.m) && has(event.data.m.k)"):
        (folder / "asks.yaml").write_text(text.format(where))
        assert main.run(["verify", "asks.yaml"]) == 0, capsys.readouterr().out
    (folder / "asks.yaml").write_text(text.format("zzé > 1"))
    assert main.run(["verify", "asks.yaml"]) == 1
    assert "column 1: CEL cannot name 'zzé'; write event.data['zzé']" in capsys.readouterr().out
