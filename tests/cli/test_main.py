import subprocess
import sys

import click
import pytest

from blueprints.diagnostics import BlueprintError, Diagnostic, Mark
from streamlets.cli import main
from streamlets.errors import Fatal, Rejected, Unavailable

HEAVY = [
    "numpy",
    "pydantic",
    "apsw",
    "aiohttp",
    "confluent_kafka",
    "rich",
    "yaml",
    "asyncio",
    "httpx",
    "cel_expr_python",
]


def streamlets(*arguments, cwd=None, **environ):
    import os

    return subprocess.run(
        [sys.executable, "-m", "streamlets", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        env={**os.environ, **environ},
    )


def test_help_loads_nothing_heavy():
    code = "import sys; from streamlets.cli.main import run; run(['-h']); print(sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    loaded = {name.strip("[]', \n") for name in done.stderr.split(",")}
    assert loaded.isdisjoint(HEAVY)
    assert "verify" in done.stdout


def test_every_command_of_the_table_is_there_and_says_what_it_does():
    for name in main.COMMANDS:
        command = main.streamlets.get_command(click.Context(main.streamlets), name)
        assert command is not None
        assert command.name == name
        assert command.help


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["verfy"], "did you mean 'verify'"),
        (["verify"], "Missing argument"),
        (["verify", "--formt", "json", "x.yaml"], "No such option"),
        (["explain", "cycel"], "did you mean 'cycle'"),
        (["--nothing"], "No such option"),
        (["new", "Not_A_Label"], "'not-a-label' would do"),
    ],
)
def test_wrong_usage_exits_64(arguments, says, capsys):
    assert main.run(arguments) == 64
    assert says in capsys.readouterr().err


class Failing:
    """Replaces what `explain` does by raising an error."""

    def __init__(self, monkeypatch, error):
        command = main.streamlets.get_command(click.Context(main.streamlets), "explain")

        def fail(**values):
            raise error

        monkeypatch.setattr(command, "callback", fail)


@pytest.mark.parametrize(
    ("error", "exit_code", "says"),
    [
        (Fatal("the log is of version 9", code="newer-log", hint="upgrade", exit_code=3), 3, "next: upgrade"),
        (Unavailable("no broker answers", hint="start it"), 128, "error unavailable: no broker answers"),
        (Rejected("no such letter", code="no-letter"), 1, "error no-letter: no such letter"),
        (
            BlueprintError([Diagnostic(Mark("a.yaml", 3, 5), "cycle", "round")]),
            1,
            "a.yaml:3:5: error cycle: round",
        ),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("42 secrets"), 70, "error bug: ZeroDivisionError in test_main.py"),
    ],
)
def test_an_error_is_told_without_a_traceback_and_with_its_exit_code(
    monkeypatch, capsys, error, exit_code, says
):
    Failing(monkeypatch, error)
    assert main.run(["explain", "cycle"]) == exit_code
    told = capsys.readouterr().err
    assert says in told
    assert "Traceback" not in told
    assert "42 secrets" not in told


@pytest.mark.parametrize("arguments", [["--debug", "explain", "cycle"], ["explain", "cycle", "--debug"]])
def test_debug_shows_the_traceback_before_or_after_the_command(monkeypatch, capsys, arguments):
    Failing(monkeypatch, ZeroDivisionError("division"))
    assert main.run(arguments) == 70
    assert "Traceback" in capsys.readouterr().err


def test_debug_is_understood_by_the_commands_of_a_command(capsys):
    assert main.run(["models", "list", "none.yaml", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m streamlets explain | head -1; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


def test_version_is_told():
    assert streamlets("--version").stdout.startswith("streamlets ")


def test_explain_prints_a_page(capsys):
    assert main.run(["explain", "cycle"]) == 0
    shown = capsys.readouterr().out
    assert "Events would go round" in shown
    assert "Bad:" in shown
    assert "\x1b" not in shown


def test_explain_lists_the_codes_and_prints_json(capsys):
    import json

    assert main.run(["explain"]) == 0
    assert "yaml-syntax" in capsys.readouterr().out
    assert main.run(["explain", "cycle", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["code"] == "cycle"
    assert main.run(["explain", "--output", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) > 30
