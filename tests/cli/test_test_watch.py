"""`streamlets test --watch`: what changes is seen, errors do not end it, Ctrl-C does."""

import os
import pty
import queue
import re
import signal
import subprocess
import sys
import threading

import pytest

pytestmark = pytest.mark.slow

DEADLINE_S = 60.0  # for a run to be seen, on a machine that does much else

BLUEPRINT = """
name: watched
contracts: { row: { json-schema: row.json } }
streamlets: { double: { use: "watched:double" } }
topics:
  rows: { external: true, contract: row, consumers: [double.in] }
  out: { producers: [double.out], external: true }
"""
MODULE = "from factor import FACTOR\n\ndef double(row: dict) -> dict:\n    return {'v': row['v'] * FACTOR}\n"
CASES = (
    "cases:\n  - { name: doubled, given: { rows: [ { v: 2 } ] }, expect: { out: [ { exact: { v: 4 } } ] } }\n"
)


class Watching:
    """The command at work in a folder, and what it prints, line by line."""

    def __init__(self, folder, on_terminal=False):
        command = [sys.executable, "-m", "streamlets", "test", "watched.yaml", "--watch"]
        environment = {**os.environ, "TERM": "xterm", "PYTHONUNBUFFERED": "1"}
        if on_terminal:
            ours, theirs = pty.openpty()
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                env=environment,
                start_new_session=True,
            )
            os.close(theirs)
            self.out = os.fdopen(ours, "rb", buffering=0)
        else:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
            self.out = self.process.stdout
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        buffer = b""
        try:
            while chunk := os.read(self.out.fileno(), 4096):
                buffer += chunk
                *lines, buffer = buffer.split(b"\n")
                for line in lines:
                    self.lines.put(line.decode(errors="replace").rstrip("\r"))
        except OSError:
            pass  # the terminal's other end has gone
        self.lines.put(None)

    def until(self, pattern):
        """Return what was printed up to a line that matches; fails when none comes."""
        seen = []
        while True:
            line = self.lines.get(timeout=DEADLINE_S)
            assert line is not None, "\n".join(seen)
            seen.append(line)
            if re.search(pattern, line):
                return "\n".join(seen)

    def interrupt(self):
        os.killpg(self.process.pid, signal.SIGINT)  # as a terminal does: to all of the group
        return self.process.wait(DEADLINE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.out.close()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "watched.yaml").write_text(BLUEPRINT)
    (tmp_path / "watched.py").write_text(MODULE)
    (tmp_path / "factor.py").write_text("FACTOR = 2\n")
    (tmp_path / "row.json").write_text("{}")
    (tmp_path / "watched_test.yaml").write_text(CASES)
    return tmp_path


def test_every_kind_of_file_that_was_read_runs_the_tests_again(folder):
    with Watching(folder) as watching:
        watching.until("1 passed")
        watching.until("watching")
        (folder / "factor.py").write_text("FACTOR = 30\n")  # imported by what the blueprint names
        assert "v: expected 4, got 60" in watching.until("1 failed")
        watching.until("watching")
        (folder / "watched_test.yaml").write_text(CASES.replace("v: 4", "v: 60"))
        watching.until("1 passed")
        watching.until("watching")
        (folder / "row.json").write_text('{"required": ["w"]}')
        watching.until("1 failed")
        watching.until("watching")
        (folder / "watched.yaml").write_text(
            BLUEPRINT.replace("double }", "dubble }").replace(":double", ":dubble")
        )
        watching.until("import-failed")  # an error ends nothing
        watching.until("watching")
        (folder / "row.json").write_text("{}")
        (folder / "watched.yaml").write_text(BLUEPRINT)
        watching.until("1 passed")
        watching.until("watching")
        (folder / "watched.py").write_text("def double(:\n")
        watching.until("SyntaxError")
        watching.until("watching")
        (folder / "watched.py").write_text(MODULE)
        watching.until("1 passed")
        watching.until("watching")
        assert watching.interrupt() == 0


def test_on_a_terminal_the_screen_is_cleared_before_each_run_and_what_is_irrelevant_runs_nothing(folder):
    with Watching(folder, on_terminal=True) as watching:
        first = watching.until("watching")
        assert "\x1b[2J" in first
        (folder / "notes.txt").write_text("nothing to do with it")
        (folder / "watched.py").touch()
        second = watching.until("watching")
        assert second.count("1 passed") == 1
        assert "\x1b[2J" in second
        assert watching.interrupt() == 0
