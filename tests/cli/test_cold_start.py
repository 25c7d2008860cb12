"""What a command must not load: nobody waits for what is not used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.twenty import write

ROOT = Path(__file__).resolve().parents[2]

HEAVY = {
    "numpy": "only detectors at work and models compute; 80 ms",
    "aiohttp": "nothing is served or called; 120 ms",
    "httpx": "nothing is called; 60 ms",
    "apsw": "no log is opened",
    "confluent_kafka": "no broker is spoken to; 30 ms",
    "onnxruntime": "no model is run; 150 ms",
    "rich": "only the live table of `run` draws with it; 40 ms",
    "uvloop": "nothing runs",
    "uvicorn": "nothing is served",
    "starlette": "nothing is served",
    "cloudevents": "its models are for the edges; 25 ms",
    "prometheus_client": "nothing is measured",
    "watchfiles": "only `test --watch` watches",
    "fastavro": "no contract is Avro",
    "google.protobuf": "only expressions and Protobuf contracts need it; 20 ms",
    "cel_expr_python": "there is no expression; 20 ms",
    "jsonschema_rs": "no contract is a JSON Schema file; 3 ms",
    "difflib": "nothing is misspelt; 10 ms",
    "blueprints.repair": "the YAML is whole",
    "streamlets.engine.worker": "nothing runs",
    "streamlets.transports.embedded": "no log is opened",
}
"""Module → why it has no business there, and what it costs."""

FOR_HELP = {
    **HEAVY,
    "pydantic": "no option is checked; 70 ms",
    "yaml": "no blueprint is read; 15 ms",
    "asyncio": "nothing runs; 20 ms",
    "importlib.metadata": "no package is asked for",
    "blueprints.load": "no blueprint is read; 40 ms",
    "msgspec": "there is no event",
}


def loaded(folder: Path, *arguments: str) -> set[str]:
    """Return the modules that a command has loaded in a process of its own."""
    program = (
        "import sys\n"
        "from streamlets.cli import main\n"
        f"code = main.run({list(arguments)!r})\n"
        "print('\\n'.join(['', f'exit {code}', *sys.modules]))\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environ, capture_output=True, text=True, check=True
    )
    before, _, after = done.stdout.rpartition("\nexit ")
    code, *modules = after.split("\n")
    assert code == "0", before
    return set(modules)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        pytest.param(["verify", "--help"], marks=pytest.mark.slow),
        pytest.param(["--version"], marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_help_loads_nothing_that_is_not_its_own(tmp_path, arguments):
    allowed = {"importlib.metadata"} if arguments == ["--version"] else set()
    assert sorted(loaded(tmp_path, *arguments) & (FOR_HELP.keys() - allowed)) == []


def test_verify_without_expressions_and_contracts_loads_neither(tmp_path):
    write(tmp_path, with_expressions=False)
    assert sorted(loaded(tmp_path, "verify", "twenty.yaml") & HEAVY.keys()) == []


def test_verify_with_expressions_and_contracts_loads_what_they_need_and_no_more(tmp_path):
    write(tmp_path)
    found = loaded(tmp_path, "verify", "twenty.yaml") & HEAVY.keys()
    assert sorted(found) == ["cel_expr_python", "google.protobuf", "jsonschema_rs"]
