"""`streamlets diff` as its user meets it: lines, one JSON value, exit codes, and folders that are checked out."""

import json
import sys

import pytest

from streamlets.builtin.detect import Detect
from streamlets.builtin.detecting.options import DetectOptions
from streamlets.cli import main
from streamlets.cli.diff import CLASSES

OLD = """\
name: first
streamlets:
  hot: { use: filter, with: { where: "celsius > 30.0" } }
  print: { use: console }
topics:
  readings: { external: true, consumers: [hot.in], key: sensor, partitions: 2 }
  hot: { producers: [hot.out], consumers: [print.in], partitions: 2 }
"""
NEW = OLD.replace("30.0", "35.0").replace("partitions: 2 }\n  hot", "partitions: 2 }  # as it was\n  hot")
NEW = NEW.replace("[print.in], partitions: 2", "[print.in], partitions: 4")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "old.yaml").write_text(OLD)
    (tmp_path / "new.yaml").write_text(NEW)
    return tmp_path


def test_each_change_is_a_line_with_its_class_the_reason_and_the_place(folder, capsys):
    assert main.run(["diff", "old.yaml", "new.yaml"]) == 0
    first, second, last = capsys.readouterr().out.splitlines()
    assert first == "~ streamlets.hot.with.where: celsius > 30.0 → celsius > 35.0   safe   (new.yaml:3)"
    assert second.startswith(
        "~ topics.hot.partitions: 2 → 4   changes partitions or keys: events of one key go "
    )
    assert second.endswith("   (new.yaml:7)")
    assert last == "1 safe, 1 changes partitions or keys"


def test_blueprints_that_say_the_same_have_no_change(folder, capsys):
    (folder / "same.yaml").write_text(
        OLD.replace('"celsius > 30.0"', "'celsius > 30.0'  # hot").replace("# hot }", "}")
    )
    (folder / "same.yaml").write_text("# moved\n" + OLD + "delivery: exactly-once\n")
    assert main.run(["diff", "old.yaml", "same.yaml", "--fail-on", "safe"]) == 0
    assert capsys.readouterr().out == "no change\n"


@pytest.mark.parametrize(
    ("worst", "code"), [(None, 0), ("safe", 1), ("drain", 1), ("partitions", 1), ("state", 0), ("orphans", 0)]
)
def test_fail_on_a_class_is_on_it_or_a_worse_one(folder, worst, code):
    assert main.run(["diff", "old.yaml", "new.yaml", *(["--fail-on", worst] if worst else [])]) == code


def test_the_classes_of_the_command_are_those_of_the_language():
    from blueprints.diff import Effect

    assert tuple(effect.slug for effect in Effect) == CLASSES


def test_json_is_one_object(folder, capsys):
    assert main.run(["diff", "old.yaml", "new.yaml", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["summary"] == {"safe": 1, "drain": 0, "partitions": 1, "state": 0, "orphans": 0}
    assert told["changes"][0] == {
        "sign": "~",
        "path": "streamlets.hot.with.where",
        "before": "celsius > 30.0",
        "after": "celsius > 35.0",
        "class": "safe",
        "why": "",
        "file": "new.yaml",
        "line": 3,
        "column": 31,
    }


def test_a_blueprint_with_errors_is_told_and_not_compared(folder, capsys):
    (folder / "bad.yaml").write_text(NEW.replace("where", "were"))
    for sides in (["bad.yaml", "new.yaml"], ["old.yaml", "bad.yaml"], ["none.yaml", "new.yaml"]):
        assert main.run(["diff", *sides]) == 1
        told = capsys.readouterr()
        assert told.out == ""
        assert "error unknown-option" in told.err or "error missing-file" in told.err


def test_wrong_usage_is_64(folder):
    assert main.run(["diff", "old.yaml"]) == 64
    assert main.run(["diff", "old.yaml", "new.yaml", "--fail-on", "anything"]) == 64


def test_overlays_are_laid_over_the_side_they_are_for(folder, capsys):
    (folder / "prod.yaml").write_text("topics: { hot: { partitions: 8 } }\n")
    both = ["--overlay", "prod.yaml", "--old-overlay", "prod.yaml"]
    assert main.run(["diff", "old.yaml", "new.yaml", *both, "--fail-on", "drain"]) == 0
    assert main.run(["diff", "old.yaml", "old.yaml", "--overlay", "prod.yaml"]) == 0
    assert "topics.hot.partitions: 2 → 8" in capsys.readouterr().out.splitlines()[-2]


MODULE = """\
from pydantic import BaseModel

class Reading(BaseModel):
    sensor: str
    celsius: float{more}

def keep(reading: Reading) -> Reading | None:
    return reading
"""


def test_folders_that_are_checked_out_each_have_their_own_code_and_schemas(folder, capsys):
    text = OLD.replace('{ use: filter, with: { where: "celsius > 30.0" } }', '{ use: "own_code:keep" }')
    for name, more in (("was", ""), ("now", "\n    unit: str")):
        (folder / name).mkdir()
        (folder / name / "own_code.py").write_text(MODULE.format(more=more))
        (folder / name / "app.yaml").write_text(
            text.replace(
                "streamlets:", "contracts: { reading: { json-schema: r.json } }\nstreamlets:", 1
            ).replace("key: sensor", "key: sensor, contract: reading")
        )
        schema = {
            "type": "object",
            "properties": {
                "sensor": {"type": "string"},
                "celsius": {"type": "number"},
                "unit": {"type": "string"},
            },
            "required": ["sensor", "celsius", *(["unit"] if more else [])],
        }
        (folder / name / "r.json").write_text(json.dumps(schema))
    assert main.run(["diff", "was/app.yaml", "now/app.yaml", "--fail-on", "drain"]) == 1, capsys.readouterr()
    told = capsys.readouterr().out
    assert (
        "~ topics.readings.contract   needs a drain: its schema has changed: field 'unit' of what was written"
        in told
    )
    assert "~ streamlets.hot.in   needs a drain: what hot.in accepts has changed: " in told
    assert main.run(["diff", "was/app.yaml", "was/app.yaml"]) == 0
    assert capsys.readouterr().out == "no change\n"


def test_options_of_detect_that_reset_its_state_are_those_that_its_configuration_is_made_of(tmp_path):
    schema = DetectOptions.model_json_schema()
    marked = {name for name, one in schema["properties"].items() if "x-state" in one}
    marked |= {
        f"window.{name}"
        for name, one in schema["$defs"]["WindowOptions"]["properties"].items()
        if "x-state" in one
    }
    assert marked == {
        "detector", "reference", "features", "on", "window.events", "alpha", "correction", "policy",
    }  # fmt: skip
    assert Detect.Options is DetectOptions
