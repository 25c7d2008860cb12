"""A worker killed with SIGKILL at every step of a release, and started again: each event once, in order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

STEPS = (
    "stage.release",
    "release.begin",
    "release.records",
    "release.offsets",
    "release.commit",
    "release.committed",
    "stage.released",
)

BLUEPRINT = """
name: app
streamlets:
  lines: { use: file, with: { path: lines.jsonl } }
  evens: { use: "double:double" }
  out: { use: file-sink, with: { path: out.jsonl } }
topics:
  lines: { producers: [lines.out], consumers: [evens.in], key: key, partitions: 3 }
  evens: { producers: [evens.out], consumers: [out.in], partitions: 1 }
"""

FUNCTION = """
from pydantic import BaseModel


class Line(BaseModel):
    key: str
    n: int


def double(line: Line) -> Line | None:
    return Line(key=line.key, n=line.n * 2) if line.n % 3 else None
"""


def application(folder: Path, n: int = 3000) -> Path:
    (folder / "double.py").write_text(FUNCTION)
    (folder / "app.yaml").write_text(BLUEPRINT)
    (folder / "lines.jsonl").write_text(
        "".join(json.dumps({"key": f"k{i % 7}", "n": i}) + "\n" for i in range(n))
    )
    return folder / "app.yaml"


def streamlets(folder: Path, *arguments: str, fault: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streamlets", *arguments],
        cwd=folder,
        env={**os.environ, "STREAMLETS_FAULT": fault},
        capture_output=True,
        text=True,
        timeout=100,
    )


def check_outcome(folder: Path, n: int = 3000) -> None:
    """Each line once in the file, in the order of its key; and the account says so."""
    found = [json.loads(line)["data"] for line in (folder / "out.jsonl").read_text().splitlines()]
    assert sorted(row["n"] for row in found) == [i * 2 for i in range(n) if i % 3]
    for key in {row["key"] for row in found}:
        numbers = [row["n"] for row in found if row["key"] == key]
        assert numbers == sorted(numbers)
    account = streamlets(folder, "account", "app.yaml", "--output", "json")
    assert account.returncode == 0, account.stdout
    assert json.loads(account.stdout)["missing"] == 0


@pytest.mark.slow
def test_killed_in_the_middle_of_a_release_and_started_again_every_event_is_there_once(
    tmp_path: Path,
) -> None:
    application(tmp_path)
    killed = streamlets(tmp_path, "run", "app.yaml", "--until-idle", "--quiet", fault="release.commit:kill:4")
    assert killed.returncode == -signal.SIGKILL
    ended = streamlets(tmp_path, "run", "app.yaml", "--until-idle", "--quiet")
    assert ended.returncode == 0, ended.stderr
    check_outcome(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_killed_again_and_again_at_one_step_every_event_is_there_once(tmp_path: Path, step: str) -> None:
    application(tmp_path)
    kills = 0
    for at in (1, 2, 3, 5, 8):
        ended = streamlets(tmp_path, "run", "app.yaml", "--until-idle", "--quiet", fault=f"{step}:kill:{at}")
        if ended.returncode == 0:
            break  # the work ended before the step was passed so often
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        kills += 1
    assert kills >= 2, "no fault fired: this run proves nothing"
    assert streamlets(tmp_path, "run", "app.yaml", "--until-idle", "--quiet").returncode == 0
    check_outcome(tmp_path)
