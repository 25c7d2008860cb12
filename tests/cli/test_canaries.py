"""No secret and no payload in anything that any command says or writes, shown by canaries.

The commands come from the table: one that is added is run here too, with arguments found by its parameters' names.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
import orjson
import pytest

from streamlets.cli.main import COMMANDS, run, streamlets
from streamlets.engine.clock import SystemClock
from streamlets.transports.embedded import EmbeddedTransport
from streamlets.transports.transport import TopicPartition, TopicSpec
from tests.cli.canary_application import IN_CLEAR, OUTSIDE, PAYLOAD, SECRETS, leaks, write
from tests.servers.running import Exchange, free_port, scripted

NOT_RUN = {
    "demo": "runs its own blueprint, which has no secret, for minutes; its children's environment is tested below",
}
"""Commands that are not run here, each with the reason."""

SHOWS_EVENTS = {
    "inspect": "shows events, which is what it is asked for",
    "dead-letters show": "shows the bytes of a dead letter, which is what it is asked for",
    "test": "shows how events differ from those that the test's own file expects",
}
"""Commands that may show payloads, each with the reason. None may show a secret."""

HOLDS_EVENTS = {
    "canaries.rows": "the topic's own events",
    "canaries.owned": "the topic's own events",
    "canaries.checked": "the topic's own events",
    "predictions": "the topic's own events",
    "canaries.dead-letters": "the bytes of events that could not be processed; not their reasons",
}
"""Topics whose events' data may hold payloads, each with the reason."""

PLAIN_OPTIONS = ("url", "headers", "plain", "plain_token")
"""Options that the streamlet's author gave no secret type: their own `repr` shows them, and the veil takes them out."""

HOLDS_SECRETS = {
    "model-updates": "others' own events: one says a password in a URL, is refused, and the password shown nowhere",
}
"""Topics whose events' data may hold secrets, each with the reason."""

VALUES = {
    "port": "own.in",
    "letter": "0/0",
    "code": "secret-in-clear",
    "name": "other-app",
    "models": "none.onnx",
    "version": "2",
    "servers": "http://127.0.0.1:9",
    "to": "2",
    "timeout": "10ms",
}
"""What is given for a parameter that a command cannot do without, by its name."""


async def refusing(exchange: Exchange) -> None:
    """Answer as a model server that repeats, in its refusals, what it was sent."""
    said = json.dumps({"error": "refused: " + exchange.head.decode()[-600:] + exchange.head.decode()[:600]})
    exchange.answer(401, said.encode())


async def picky(exchange: Exchange) -> None:
    """Answer readiness and metadata well, and refuse calls with the request's own headers; in plain text, too."""
    if exchange.path.endswith("/ready"):
        exchange.answer(200)
    elif exchange.path.endswith("/infer"):
        exchange.answer(400, b"no: " + exchange.head)
    else:
        tensors = {
            "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 1]}],
            "outputs": [{"name": "y", "datatype": "FP64", "shape": [-1, 1]}],
        }
        exchange.answer(200, json.dumps({"name": "delay", **tensors}).encode())


@contextmanager
def environment(**values: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def worker(folder: Path, *arguments: str, wait_for: str = "", **values: str) -> str:
    """Return what `streamlets run` says; once it has said `wait_for` it is stopped."""
    command = [sys.executable, "-m", "streamlets", "run", "app.yaml", "--overlay", "over.yaml", *arguments]
    environ = {**os.environ, **values, "STREAMLETS_LOG": "DEBUG"}
    with (folder / "said.txt").open("w+") as said:
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=said, stderr=said)
        try:
            deadline = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                if wait_for and wait_for in (folder / "said.txt").read_text():
                    process.send_signal(signal.SIGTERM)
                    process.wait(30)
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()
    return (folder / "said.txt").read_text()


def run_against(folder: Path, script, *arguments: str, **values: str) -> str:
    async def serve() -> str:
        async with scripted(script) as url:
            environ = write(folder, url)
            return await asyncio.to_thread(worker, folder, *arguments, **environ, **values)

    return asyncio.run(serve())


def commands() -> list[tuple[str, ...]]:
    """Return every command of the table, a group as each of its commands."""
    found: list[tuple[str, ...]] = []
    context = click.Context(streamlets)
    for name in COMMANDS:
        command = streamlets.get_command(context, name)
        assert command is not None
        inner = command.list_commands(context) if isinstance(command, click.Group) else [None]
        found += [(name,) if part is None else (name, part) for part in inner]
    return found


def ways(path: tuple[str, ...], blueprint: str, overlay: str) -> list[list[str]]:
    """Return the command lines of a command: one, and one more for each word of its choices."""
    context = click.Context(streamlets)
    command = streamlets.get_command(context, path[0])
    if len(path) > 1:
        assert isinstance(command, click.Group)
        command = command.get_command(context, path[1])
    assert command is not None
    given: list[str] = []
    choices: list[list[str]] = []
    for param in command.params:
        if isinstance(param.type, click.Choice):
            choices += [[param.opts[0], str(word)] for word in param.type.choices]
        is_file = param.name in ("blueprint", "old", "new")
        if is_file or (param.name in VALUES and (param.required or param.name == "timeout")):
            value = blueprint if is_file else VALUES[param.name]
            given += [value] if isinstance(param, click.Argument) else [param.opts[0], value]
        elif param.required:
            raise AssertionError(f"say in VALUES what to give {' '.join(path)} for '{param.name}'")
        if param.name == "overlays" and overlay:
            given += ["--overlay", overlay]
        if param.name == "port":
            given += ["own.in"] if param.required and "own.in" not in given else []
    return [[*path, *given, *choice, "--debug"] for choice in ([], *choices)]


def say(capfd, arguments: list[str]) -> str:
    """Return what a command says, on both outputs."""
    with suppress(SystemExit):
        run(arguments)
    told = capfd.readouterr()
    return told.out + told.err


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def every_command(capfd, blueprint: str, overlay: str, without: tuple[str, ...] = ()) -> list[str]:
    """Return what leaked, with the command that showed it."""
    found = []
    for path in commands():
        name = " ".join(path)
        if path[0] in NOT_RUN or name in without:
            continue
        for arguments in ways(path, blueprint, overlay):
            told = say(capfd, arguments)
            assert "No such option" not in told, arguments  # or the command has not run at all
            found += [f"{' '.join(arguments)}: {leak}" for leak in leaks(told, name not in SHOWS_EVENTS)]
    return found


def in_files(folder: Path) -> list[str]:
    """Return the secrets in what was written under .streamlets, and payloads outside of the log."""
    found = []
    for path in (folder / ".streamlets").rglob("*"):
        if path.is_file():
            is_log = path.name.startswith("canaries.log")
            found += [
                f"{path.name}: {leak}" for leak in leaks(path.read_bytes().decode("latin-1"), not is_log)
            ]
            found += [
                f"{path.name}: {leak}" for leak in leaks(path.read_bytes().decode(errors="replace"), False)
            ]
    return found


async def _topics(folder: Path) -> list[str]:
    transport = EmbeddedTransport(
        folder / ".streamlets" / "canaries.log", "canaries", clock=SystemClock(), role="client"
    )
    await transport.start()
    found = []
    try:
        names = await transport.topics()
        assert {"canaries.status", "canaries.workers", "canaries.own.state"} <= set(names)
        for topic in names:
            for partition, (first, end) in (await transport.offsets(topic)).items():
                for delivery in await transport.read(TopicPartition(topic, partition), first, 10_000, end):
                    headers = " ".join(value.decode(errors="replace") for _, value in delivery.headers)
                    value = (delivery.value or b"").decode(errors="replace")
                    found += [f"{topic} headers: {leak}" for leak in leaks(headers)]
                    if topic not in HOLDS_SECRETS:
                        found += [f"{topic}: {leak}" for leak in leaks(value, topic not in HOLDS_EVENTS)]
    finally:
        await transport.close()
    return found


async def _append_update(folder: Path, url: str) -> None:
    from streamlets.builtin.updates import Update, update_event
    from streamlets.event import Record, encode

    update = Update(model="delay", version="2", servers=[url], epoch=1)
    key, value, headers = encode(update_event(update, "/elsewhere", "update-1", "2026-01-01T00:00:00Z"))
    transport = EmbeddedTransport(
        folder / ".streamlets" / "canaries.log", "canaries", clock=SystemClock(), role="worker"
    )
    await transport.start()
    await transport.ensure([TopicSpec(name="model-updates", compacted=True)])
    await transport.append([Record("model-updates", 0, key, value, headers, 0)])
    await transport.close()


def in_topics(folder: Path) -> list[str]:
    """Return what leaked into the log, record by record: state, status, snapshots, dead letters, events."""
    return asyncio.run(_topics(folder))


@pytest.mark.slow
def test_an_application_whose_code_and_server_repeat_its_secrets_shows_none(folder, capfd):
    told = run_against(folder, picky, "--until-idle", "--debug")
    assert "dead-letter" in told, told
    assert told.count("***") > 5, told
    assert leaks(told) == []
    assert in_files(folder) == []
    assert in_topics(folder) == []
    with environment(**SECRETS, **OUTSIDE):
        assert every_command(capfd, "app.yaml", "over.yaml", without=("run",)) == []


def test_a_blueprint_that_is_refused_shows_no_secret_and_nothing_of_the_environment(folder, capfd):
    with environment(**write(folder, "http://127.0.0.1:9")):
        told = say(capfd, ["verify", "clear.yaml", "--overlay", "clear-over.yaml"])
        assert told.count("secret-in-clear") >= 8, told
        for code in ("duplicate-key", "missing-file", "bad-value", "bad-option", "unknown-streamlet"):
            assert code in told
        assert every_command(capfd, "clear.yaml", "clear-over.yaml") == []
        for arguments in ways(("verify",), "clear.yaml", "clear-over.yaml"):
            assert not any(value in say(capfd, arguments) for value in OUTSIDE.values())


@pytest.mark.slow
def test_a_file_that_cannot_be_read_beside_secrets_shows_none(folder, capfd):
    with environment(**write(folder, "http://127.0.0.1:9")):
        (folder / "token.txt").unlink()
        assert every_command(capfd, "app.yaml", "over.yaml") == []
        (folder / "over.yaml").write_text(f"streamlets: {{ own: {{ with: {{ token: !{SECRETS['CANARY_MAP']}")
        assert every_command(capfd, "app.yaml", "over.yaml") == []


def test_the_lines_below_problems_show_no_secret(folder):
    from blueprints.load import verify
    from streamlets.catalog import Streamlets

    environ = write(folder, "http://127.0.0.1:9")
    found = verify(folder / "clear.yaml", Streamlets(), environ, [folder / "clear-over.yaml"])
    assert len([problem for problem in found if problem.frame]) == len(found)
    assert leaks("\n".join(problem.frame for problem in found)) == []


@pytest.mark.slow
def test_a_server_that_refuses_with_our_own_header_shows_no_secret(folder):
    told = run_against(folder, refusing, "--debug")
    assert "not-authorised" in told
    assert leaks(told) == []
    assert in_files(folder) == []
    assert in_topics(folder) == []


@pytest.mark.slow
def test_an_update_with_a_password_in_its_url_is_refused_and_the_password_shown_nowhere(folder, capfd):
    url = f"http://user:{IN_CLEAR['update']}@127.0.0.1:9/?token={IN_CLEAR['update']}"
    asyncio.run(_append_update(folder, url))
    told = run_against(folder, picky, "--until-idle", "--debug")
    assert "update.rejected" in told, told
    assert leaks(told) == []
    assert in_topics(folder) == []
    with environment(**SECRETS, **OUTSIDE):
        listed = say(capfd, ["models", "list", "app.yaml", "--overlay", "over.yaml"])
        assert "http://***@127.0.0.1:9/?***" in listed
        assert leaks(listed) == []
        deploy = ["models", "deploy", "app.yaml", "--overlay", "over.yaml", "--version", "3", "--server", url]
        told = say(capfd, [*deploy, "--no-wait", "--debug"])
        assert "a server's URL holds credentials" in told
        assert leaks(told) == []


@pytest.mark.slow
def test_a_server_that_is_down_shows_no_secret(folder):
    environ = write(folder, f"http://127.0.0.1:{free_port()}")
    told = worker(folder, "--debug", wait_for="server.away", **environ)
    assert "connection refused" in told
    assert leaks(told) == []
    assert in_files(folder) == []
    assert in_topics(folder) == []


@pytest.mark.slow
def test_a_streamlet_that_dies_with_its_secrets_on_its_lips_shows_none(folder):
    told = run_against(folder, picky, "--debug", DIES="true")
    assert "RuntimeError" in told
    assert "careless.py" in told
    assert leaks(told) == []
    assert in_files(folder) == []
    assert in_topics(folder) == []


def test_the_schema_has_no_default_of_a_secret(folder, capfd):
    told = say(capfd, ["schema"])
    assert json.loads(told)
    assert "**" not in told


def test_what_is_printed_of_a_plan_and_of_options_shows_no_secret(folder):
    from blueprints.load import load
    from streamlets.catalog import Streamlets

    environ = write(folder, "http://127.0.0.1:9")
    catalog = Streamlets()
    plan = load(folder / "app.yaml", catalog, environ, [folder / "over.yaml"])
    assert set(SECRETS.values()) - {SECRETS["CANARY_SERVER"]} <= plan.secrets | {SECRETS["CANARY_QUERY"]}
    own = plan.streamlets["own"]
    options = catalog.component(own.use, folder).options(own.options, folder)
    typed = {name: value for name, value in own.options.items() if name not in PLAIN_OPTIONS}
    shown = options.model_copy(update=dict.fromkeys(PLAIN_OPTIONS))
    assert leaks(f"{plan!r} {own!r} {typed!r} {shown!r} {shown} {shown.model_dump_json()}") == []


def test_a_childs_environment_has_nothing_of_ours():
    from streamlets.engine.apart import minimal

    assert minimal({"PATH": "/bin", **SECRETS}) == {"PATH": "/bin"}


def test_a_payload_is_a_canary_too():
    assert leaks(PAYLOAD) == [PAYLOAD]
    assert leaks(orjson.dumps(SECRETS["CANARY_LINES"]).decode()) == SECRETS["CANARY_LINES"].split("\n")[1:3]
