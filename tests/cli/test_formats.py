"""Avro in and Protobuf out, from the command line: killed and gone on with, looked at, and tested without a broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streamlets.cli.main import run

BLUEPRINT = """
name: app
contracts:
  line: { avro: contracts/line.avsc }
  twice: { protobuf: "contracts/twice.proto:Twice" }
streamlets:
  lines: { use: file, with: { path: lines.jsonl } }
  odd: { use: filter, with: { where: "n % 2 == 1" } }
  double: { use: "double:double" }
  out: { use: file-sink, with: { path: out.jsonl } }
topics:
  lines: { producers: [lines.out], consumers: [odd.in], key: key, partitions: 3, contract: line, format: avro }
  odd: { producers: [odd.out], consumers: [double.in], contract: line, format: avro }
  twice: { producers: [double.out], consumers: [out.in], partitions: 1, contract: twice, format: protobuf }
"""
AVRO = """
{"type": "record", "name": "Line", "fields": [
  {"name": "key", "type": "string"},
  {"name": "n", "type": "long"},
  {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}], "default": null}
]}
"""
PROTO = """
syntax = "proto3";
package app;
message Twice { string key = 1; int64 n = 2; string at_time = 3; }
"""
FUNCTION = """
from datetime import datetime

from pydantic import BaseModel, Field


class Line(BaseModel):
    key: str
    n: int
    at: datetime | None


class Twice(BaseModel):
    key: str
    n: int
    at_time: str = Field(serialization_alias="atTime")


def double(line: Line) -> Twice:
    return Twice(key=line.key, n=line.n * 2, at_time=str(line.at.year if line.at else ""))
"""
TIME = "2013-04-01T05:00:00.250Z"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "line.avsc").write_text(AVRO)
    (tmp_path / "contracts" / "twice.proto").write_text(PROTO)
    (tmp_path / "double.py").write_text(FUNCTION)
    (tmp_path / "app.yaml").write_text(BLUEPRINT)
    lines = [{"key": f"k{i % 7}", "n": i, **({"at": TIME} if i % 3 else {})} for i in range(2000)]
    lines[100] = {"key": "k", "n": "secret"}
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def streamlets(folder: Path, *arguments: str, fault: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streamlets", *arguments],
        cwd=folder,
        env={**os.environ, "STREAMLETS_FAULT": fault},
        capture_output=True,
        text=True,
        timeout=100,
    )


def said(folder: Path, *arguments: str) -> object:
    done = streamlets(folder, *arguments, "--output", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("step", ["release.commit", "stage.released"])
def test_killed_in_a_release_and_started_again_each_event_is_there_once_and_is_what_it_was(folder, step):
    killed = streamlets(folder, "run", "app.yaml", "--until-idle", "--quiet", fault=f"{step}:kill:4")
    assert killed.returncode == -signal.SIGKILL
    ended = streamlets(folder, "run", "app.yaml", "--until-idle", "--quiet")
    assert ended.returncode == 0, ended.stderr
    found = [json.loads(line)["data"] for line in (folder / "out.jsonl").read_text().splitlines()]
    expected = [
        {"key": f"k{i % 7}", "n": 2 * i, "atTime": "2013" if i % 3 else ""} for i in range(1, 2000, 2)
    ]
    assert sorted(found, key=lambda row: row["n"]) == expected
    assert said(folder, "account", "app.yaml")["missing"] == 0
    # Forwarding by the filter kept the bytes, and both topics show as JSON.
    for port in ("lines.out", "odd.out"):
        (event,) = said(
            folder, "inspect", "app.yaml", port, "--from", "start", "--limit", "1", "--partition", "0"
        )
        assert event["attributes"]["content-type"] == "application/avro"
        assert set(json.loads(event["data"])) == {"key", "n", "at"}
    (event,) = said(folder, "inspect", "app.yaml", "twice", "--limit", "1")
    assert event["attributes"]["content-type"] == "application/protobuf"
    assert set(json.loads(event["data"])) == {"key", "n", "atTime"}
    (letter,) = said(folder, "dead-letters", "list", "app.yaml")
    assert letter["reason"] == "against contract line: n: not an integer"


CASES = """
cases:
  - name: doubled
    given: { odd: [ { data: { key: a, n: 3, at: "2013-04-01T07:00:00+02:00" } } ] }
    expect: { twice: [ { exact: { key: a, n: 6, atTime: "2013" } } ] }
  - name: only odd ones are let through
    given: { lines: [ { data: { key: a, n: 4 } }, { data: { key: a, n: 5, at: "2013-04-01T05:00:00Z" } } ] }
    expect: { odd: [ { exact: { key: a, n: 5, at: "2013-04-01T05:00:00Z" }, key: a } ] }
"""


def test_a_case_gives_json_and_expects_json_whatever_the_formats_are(folder, capsys):
    (folder / "app_test.yaml").write_text(CASES)
    assert run(["test", str(folder / "app.yaml")]) == 0, capsys.readouterr()


def test_what_cannot_be_given_in_a_format_is_told_at_its_place(folder, capsys):
    (folder / "app_test.yaml").write_text(
        'cases:\n  - name: text for a number\n    given: { odd: [ { key: a, n: "one" } ] }\n'
        "    expect: { twice: none }\n"
    )
    assert run(["test", str(folder / "app.yaml")]) == 1
    told = "".join(capsys.readouterr())
    assert "app_test.yaml:3:21: text for a number" in told
    assert "against contract line: n: not an integer" in told
