import json
import os
import subprocess
import sys

import pytest
import yaml
from jsonschema import Draft202012Validator

from streamlets.cli import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_new_application_is_written_in_its_own_folder(folder, capsys):
    assert main.run(["new", "warm-rooms", "--output", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["folder"] == "warm-rooms"
    assert sorted(os.listdir("warm-rooms")) == told["files"]
    first = (folder / "warm-rooms" / "warm-rooms.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=blueprint.schema.json"


def test_its_blueprint_is_clean_and_valid_by_the_schema_beside_it(folder, capsys):
    assert main.run(["new", "warm-rooms"]) == 0
    os.chdir("warm-rooms")
    capsys.readouterr()
    assert main.run(["verify", "warm-rooms.yaml"]) == 0
    assert capsys.readouterr().out == ""
    schema = json.loads((folder / "warm-rooms" / "blueprint.schema.json").read_text())
    Draft202012Validator(schema).validate(
        yaml.safe_load((folder / "warm-rooms" / "warm-rooms.yaml").read_text())
    )


def test_its_tests_pass_take_every_way_and_are_valid_by_the_schema_beside_them(folder, capsys):
    assert main.run(["new", "warm-rooms"]) == 0
    text = (folder / "warm-rooms" / "warm-rooms_test.yaml").read_text()
    assert text.splitlines()[0] == "# yaml-language-server: $schema=blueprint-tests.schema.json"
    schema = json.loads((folder / "warm-rooms" / "blueprint-tests.schema.json").read_text())
    Draft202012Validator(schema).validate(yaml.safe_load(text))
    assert main.run(["test", "warm-rooms/warm-rooms.yaml", "--coverage-min", "100%"]) == 0
    for word in ("exact:", "subset:", "cel:", "steps:", "within:", "none"):
        assert word in text


@pytest.mark.slow
def test_its_tests_pass_and_it_runs(folder):
    assert main.run(["new", "warm-rooms"]) == 0

    def streamlets(*arguments):
        command = [sys.executable, "-m", "streamlets", *arguments]
        return subprocess.run(command, cwd=folder / "warm-rooms", capture_output=True, text=True, timeout=60)

    tested = streamlets("test", "warm-rooms.yaml")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "3 passed" in tested.stdout
    ran = streamlets("run", "warm-rooms.yaml", "--until-idle")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count('"fahrenheit"') == 3
    assert "0 missing" in ran.stdout


def test_nothing_is_overwritten(folder, capsys):
    (folder / "mine").mkdir()
    (folder / "mine" / "mine.yaml").write_text("name: mine\n")
    assert main.run(["new", "mine"]) == 1
    assert "is there already" in capsys.readouterr().err
    assert os.listdir(folder / "mine") == ["mine.yaml"]


@pytest.mark.parametrize("name", ["Mine", "../mine", "", "a/b", "-", "mine_too"])
def test_a_name_that_is_no_dns_label_is_wrong_usage(folder, capsys, name):
    assert main.run(["new", "--", name]) == 64
    assert "DNS label" in capsys.readouterr().err
    assert os.listdir(folder) == []
