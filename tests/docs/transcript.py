"""Runs a guide as its reader would: writes the files that it shows, types its commands, compares what is printed.

A fence ```` ```yaml attic.yaml ```` writes that file. In a fence ```` ```console ```` each line that begins with `$ `
is typed into one shell session, in order; what follows is what is printed. `…` alone on a line stands for any lines,
within a line for any text. A command is to succeed unless it ends with a comment such as `# exit code 1`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COMMAND_S = 90.0  # no command of a guide takes more than a few seconds on a quiet machine

_FENCE = re.compile(r"^```(?P<words>[^\n]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_EXIT = re.compile(r"#\s*exit code (\d+)")


@dataclass(frozen=True)
class Fence:
    """A fenced block: its language, the file that it writes if it writes one, its text, its line in the guide."""

    language: str
    file: str
    text: str
    line: int


@dataclass(frozen=True)
class Step:
    """A command, the exit code that it is to have, and the lines that it is to print."""

    command: str
    exit_code: int
    printed: tuple[str, ...]
    line: int


def fences(text: str) -> list[Fence]:
    """Return the fenced blocks of a page."""
    found = []
    for match in _FENCE.finditer(text):
        language, _, file = match["words"].partition(" ")
        found.append(Fence(language, file.strip(), match["text"], text.count("\n", 0, match.start()) + 1))
    return found


def steps(fence: Fence) -> Iterator[Step]:
    """Yield the commands of a console fence."""
    typed: list[tuple[str, list[str], int]] = []
    for number, line in enumerate(fence.text.splitlines(), fence.line + 1):
        if line.startswith("$ "):
            typed.append((line[2:], [], number))
        elif typed:
            typed[-1][1].append(line)
    for command, printed, number in typed:
        said = _EXIT.search(command)
        yield Step(command, int(said[1]) if said else 0, tuple(printed), number)


def differs(expected: tuple[str, ...], printed: str) -> str:
    """Return what of the output is not as the guide says, or nothing. A command shown without output may print any."""
    if not expected:
        return ""
    pattern = []
    for line in (line.rstrip() for line in expected):
        if line == "…":
            pattern.append(r"(?:[^\n]*\n)*?")
        else:
            pattern.append(".*?".join(map(re.escape, line.split("…"))) + r"\s*?\n")
    lines = "".join(line.rstrip() + "\n" for line in printed.splitlines())
    return "" if re.fullmatch("".join(pattern), lines) else lines


class Reader:
    """Someone who follows a guide in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = self._here = folder
        self._behind: list[subprocess.Popen[str]] = []
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._environ = {**os.environ, "PATH": path, "COLUMNS": "120", "PYTHONUNBUFFERED": "1"}

    def follow(self, fence: Fence) -> list[str]:
        """Return what did not happen as the fence says."""
        if fence.file:
            place = self._here / fence.file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(fence.text)
            return []
        if fence.language != "console":
            return []
        return [problem for step in steps(fence) if (problem := self._type(step))]

    def _type(self, step: Step) -> str:
        if step.command.split("#")[0].rstrip().endswith("&"):
            return self._start(step)
        mark = self.folder / ".here"
        script = f"{step.command}\ncode=$?\npwd > '{mark}'\nexit $code"
        done = subprocess.run(
            [shutil.which("bash") or "sh", "-c", script],
            cwd=self._here,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_S,
        )
        self._here = Path(mark.read_text().strip())
        mark.unlink()
        where = f"line {step.line}: $ {step.command}"
        if done.returncode != step.exit_code:
            return f"{where}\nexit code {done.returncode}, not {step.exit_code}\n{done.stdout}"
        if wrong := differs(step.printed, done.stdout):
            return f"{where}\nprinted:\n{wrong}"
        return ""

    def _start(self, step: Step) -> str:
        """Start a command behind the others, and wait until it has printed what it is to print."""
        log = self.folder / f".behind-{len(self._behind)}"
        with log.open("w") as out:
            process = subprocess.Popen(
                [shutil.which("bash") or "sh", "-c", step.command.split("#")[0].rstrip().rstrip("&")],
                cwd=self._here,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self._behind.append(process)
        until = time.monotonic() + COMMAND_S
        while differs(step.printed, log.read_text()) or not log.read_text():
            if process.poll() is not None or time.monotonic() > until:
                return f"line {step.line}: $ {step.command}\nprinted:\n{log.read_text()}"
            time.sleep(0.05)  # a look now and then at what it printed, until the deadline
        return ""

    def leave(self) -> None:
        """Stop what still runs behind."""
        for process in self._behind:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
