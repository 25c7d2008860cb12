"""`verify --online`: what the model servers and the log say, told at its place in the blueprint.

The servers are the development model server and small ones that misbehave; the log is a real one.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from blueprints.lint.explain import pages
from streamlets.cli.main import run
from streamlets.engine.clock import SystemClock
from streamlets.servers.model_server import ModelFile
from streamlets.transports.embedded import EmbeddedTransport
from streamlets.transports.transport import TopicSpec
from tests.onnx_files import linear
from tests.servers.running import Exchange, free_port, model_server, scripted

APP = """\
name: app
streamlets:
  score:
    use: score
    with:
      model: {model}
      servers: {servers}
      inputs: {inputs}
      outputs: {outputs}
topics:
  flights: {{ external: true, consumers: [score.in] }}
  predictions: {{ producers: [score.out], external: true }}
"""
GOOD = {"model": "delay", "inputs": "{ x: [distance, hour] }", "outputs": "{ minutes: y }"}


@contextmanager
def living(*servers: Any) -> Iterator[list[str]]:
    """Enter as the URLs of servers, each an asynchronous context manager, which live in a thread of their own."""
    ready, done, urls = threading.Event(), threading.Event(), list[str]()

    async def live() -> None:
        async with AsyncExitStack() as stack:
            for server in servers:
                urls.append(await stack.enter_async_context(server))
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(live()))
    thread.start()
    try:
        assert ready.wait(30)
        yield urls
    finally:
        done.set()
        thread.join(30)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The URL of a development model server with the model `delay`, two inputs wide."""
    file = linear(tmp_path_factory.mktemp("models") / "delay.onnx", [1.0, 2.0])
    with living(model_server([ModelFile("delay", file, "1")])) as urls:
        yield urls[0]


def log_with(*topics: TopicSpec, file: str = ".streamlets/app.log", name: str = "app") -> None:
    async def make() -> None:
        transport = EmbeddedTransport(Path(file), name, clock=SystemClock(), role="worker")
        await transport.start()
        await transport.ensure(topics)
        await transport.close()

    asyncio.run(make())


def online(capsys, text: str, *arguments: str, code: int | None = None) -> list[str]:
    """Return the problems of a blueprint, online; that of the log that was not made yet left out."""
    Path("app.yaml").write_text(text)
    found = run(["verify", "app.yaml", "--online", *arguments])
    told = capsys.readouterr()
    lines = (told.out + told.err).splitlines()
    if code is not None:
        assert found == code, lines
    return [line for line in lines if "topic-missing" not in line]


def app(servers: str, **changed: str) -> str:
    return APP.format(servers=servers, **{**GOOD, **changed})


def answering(status: int, body: bytes = b"", headers: str = ""):
    async def script(exchange: Exchange) -> None:
        exchange.answer(status, body, headers)

    return scripted(script)


METADATA = {
    "name": "delay",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 1]}],
}


def serving(is_ready: bool = True, **changed: Any):
    async def script(exchange: Exchange) -> None:
        if exchange.path.endswith("/ready"):
            exchange.answer(200 if is_ready else 503)
        else:
            exchange.answer(200, json.dumps({**METADATA, **changed}).encode())

    return scripted(script)


def test_what_is_there_and_fits_is_no_problem(folder, served, capsys):
    assert online(capsys, app(f'["{served}"]'), code=0) == []


def test_a_server_that_is_down_is_told_at_its_url_and_the_others_are_asked(folder, served, capsys):
    down, gone = free_port(), "http://no-such-host.invalid:80"
    servers = f'[ "{served}", "http://127.0.0.1:{down}", {{ url: "{gone}" }} ]'
    found = online(capsys, app(servers), code=1)
    line = app(servers).splitlines()[6]
    assert found == [
        f"app.yaml:7:{line.index('http://127.0.0.1:' + str(down))}: error server-unreachable: score: model delay at "
        f"127.0.0.1:{down}: connection refused",
        f"app.yaml:7:{line.index(gone)}: error server-unreachable: score: model delay at no-such-host.invalid:80: "
        "the name is not known",
    ]


def test_a_model_that_is_not_there_is_told_at_its_name(folder, served, capsys):
    (found,) = online(capsys, app(f'["{served}"]', model="dealy"), code=1)
    assert found == f"app.yaml:6:14: error model-missing: score: model dealy at {served[7:]}: it is not there"
    text = app(f'["{served}"]').replace("model: delay", "model: delay\n      version: '7'")
    (found,) = online(capsys, text, code=1)
    assert found.startswith("app.yaml:7:16: error model-missing: ")


def test_every_tensor_that_does_not_fit_is_told_at_its_line(folder, served, capsys):
    text = app(f'["{served}"]', inputs="{ x: [distance], z: hour }", outputs="{ minutes: y, risk: r }")
    found = online(capsys, text, code=1)
    where = f"score: model delay at {served[7:]}"
    assert found == [
        f"app.yaml:8:20: error tensor-mismatch: {where}: input 'x' is FP32 [-1, 2], but 1 field is mapped to it; "
        "the model takes x FP32 [-1, 2]",
        f"app.yaml:8:35: error tensor-mismatch: {where}: there is no input 'z'; the model takes x FP32 [-1, 2]",
        f"app.yaml:9:36: error tensor-mismatch: {where}: there is no output 'r'; the model gives y FP32 [-1, 1]",
    ]


def test_what_servers_have_in_common_is_told_once_with_all_their_names(folder, capsys):
    with living(
        serving(), serving(), serving(inputs=[{"name": "x", "datatype": "FP32", "shape": [-1, 3]}])
    ) as urls:
        found = online(capsys, app(json.dumps(urls), inputs="{ x: [a, b, c] }"), code=1)
    one, two, _ = (url[7:] for url in urls)
    assert found == [
        f"app.yaml:8:20: error tensor-mismatch: score: model delay at {one}, {two}: "
        "input 'x' is FP32 [-1, 2], but 3 fields are mapped to it; the model takes x FP32 [-1, 2]"
    ]


def test_servers_whose_models_differ_from_each_other_are_told(folder, capsys):
    other = {"inputs": [{"name": "x", "datatype": "INT64", "shape": [-1, 2]}]}
    with living(serving(), serving(**other)) as urls:
        (found,) = online(capsys, app(json.dumps(urls)), code=1)
    assert "error tensor-mismatch" in found
    assert f"at {urls[1][7:]}: its tensors differ from those of the other servers" in found


CONTRACT = {
    "$defs": {"Name": {"type": "string"}},
    "type": "object",
    "properties": {
        "distance": {"type": "number"},
        "hour": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "carrier": {"$ref": "#/$defs/Name"},
        "tags": {"type": "array", "items": {"type": "number"}},
        "code": {"type": ["string", "integer"]},
        "open": {},
        "either": {"anyOf": [{"type": "string"}, {}]},
    },
}


def with_contract(text: str, contract: dict[str, Any]) -> str:
    Path("flight.json").write_text(json.dumps(contract))
    text = text.replace("streamlets:", "contracts: { flight: { json-schema: flight.json } }\nstreamlets:", 1)
    return text.replace("consumers: [score.in]", "consumers: [score.in], contract: flight")


def test_a_field_that_can_never_be_what_the_tensor_takes_is_told_at_the_field(folder, served, capsys):
    text = with_contract(app(f'["{served}"]', inputs="{ x: [distance, carrier] }"), CONTRACT)
    (found,) = online(capsys, text, code=1)
    assert found == (
        f"app.yaml:9:31: error tensor-mismatch: score: model delay at {served[7:]}: input 'x' is FP32, which takes a "
        "number, but the contract of the events says that 'carrier' is string"
    )


@pytest.mark.parametrize("field", ["hour", "code", "open", "either", "distance"])
def test_a_field_that_may_be_what_the_tensor_takes_raises_no_alarm(folder, served, capsys, field):
    text = with_contract(app(f'["{served}"]', inputs=f"{{ x: [distance, {field}] }}"), CONTRACT)
    assert not any("tensor-mismatch" in line for line in online(capsys, text, code=0))


def test_a_list_for_a_number_and_a_number_for_a_list_are_told(folder, served, capsys):
    text = with_contract(app(f'["{served}"]', inputs="{ x: distance }"), CONTRACT)
    assert "which takes a list of 2" in online(capsys, text, code=1)[0]
    found = online(capsys, text.replace("x: distance", "x: tags"), code=0)
    assert not any("tensor-mismatch" in line for line in found)


def test_an_output_that_json_cannot_carry_is_told(folder, capsys):
    with living(serving(outputs=[{"name": "y", "datatype": "COMPLEX64", "shape": [-1]}])) as urls:
        (found,) = online(capsys, app(json.dumps(urls)), code=1)
    assert "app.yaml:9:27: error tensor-mismatch" in found
    assert "output 'y' is COMPLEX64, which JSON cannot carry" in found


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_refuses_us_is_told_at_its_headers_and_shows_no_secret(
    folder, capsys, monkeypatch, status
):
    monkeypatch.setenv("TOKEN", "kq7-secret-token")
    body = b'{"error": "token kq7-secret-token is not known"}'
    with living(answering(status, body)) as urls:
        plain = online(capsys, app(json.dumps(urls)), code=1)
        servers = f'[ {{ url: "{urls[0]}", headers: {{ Authorization: "Bearer ${{TOKEN}}" }} }} ]'
        found = online(capsys, app(servers), code=1)
        as_json = online(capsys, app(servers), "--format", "json", code=1)
    assert plain[0].startswith("app.yaml:7:17: error not-authorised: ")
    column = app(servers).splitlines()[6].index("{ Authorization") + 1
    assert found[0].startswith(f"app.yaml:7:{column}: error not-authorised: score: model delay at ")
    assert "check the server's `headers`" in found[0]
    assert "kq7" not in str(found + as_json)
    assert f"{status} token *** is not known" in found[0]


async def silent(exchange: Exchange) -> None:
    await asyncio.sleep(60)


async def half(exchange: Exchange) -> None:
    exchange.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{")
    await exchange.writer.drain()
    exchange.reset()


async def cut(exchange: Exchange) -> None:
    exchange.reset()


async def no_http(exchange: Exchange) -> None:
    exchange.writer.write(b"hello\r\n\r\n")


@pytest.mark.parametrize(
    ("server", "says"),
    [
        (scripted(half), "the connection broke in the middle of the answer"),
        (scripted(cut), "the connection broke before an answer"),
        (scripted(no_http), "the answer is not HTTP"),
        (answering(200, b"<html>welcome</html>"), "the answer is no JSON"),
        (answering(200, b'{"inputs": 5}'), "inputs"),
        (answering(500, b'{"error": "out of memory"}'), "500 out of memory"),
        (answering(503), "503"),
        (answering(302, headers="location: https://login.example.org/\r\n"), "redirects are not followed"),
        (serving(is_ready=False), "not ready"),
    ],
)
def test_what_answers_but_not_as_a_model_server_is_told_with_the_reason(folder, capsys, server, says):
    with living(server) as urls:
        (found,) = online(capsys, app(json.dumps(urls)), code=1)
    assert found.startswith("app.yaml:7:17: error server-unreachable: score: model delay at 127.0.0.1:")
    assert says in found


def test_all_servers_are_asked_at_once_and_none_is_waited_for_longer_than_said(folder, capsys):
    began_s = time.monotonic()
    with living(*(scripted(silent) for _ in range(5))) as urls:
        found = online(capsys, app(json.dumps(urls)), "--within", "300ms", code=1)
        took_s = time.monotonic() - began_s
    assert len(found) == 5
    assert all("no answer within 0.3 s" in line for line in found)
    assert took_s < 1.4  # one after the other they take 1.5 s


def test_problems_of_the_file_are_told_too_and_what_is_sound_is_asked_nevertheless(folder, served, capsys):
    text = app(f'["{served}"]', model="dealy").replace(
        "external: true, consumers", "extrnal: true, consumers"
    )
    found = online(capsys, text, code=1)
    assert [line.split(" ")[2] for line in found] == ["model-missing:", "unknown-field:"]


def test_a_streamlet_with_an_error_of_its_own_is_not_asked(folder, capsys):
    text = app(f'["http://127.0.0.1:{free_port()}"]').replace("outputs: {", "concurency: 4\n      outputs: {")
    found = online(capsys, text, code=1)
    assert len(found) == 1
    assert "unknown-option" in found[0]


def test_without_online_nobody_is_asked(folder, capsys):
    Path("app.yaml").write_text(app(f'["http://127.0.0.1:{free_port()}"]'))
    assert run(["verify", "app.yaml"]) == 0
    assert capsys.readouterr().out == ""


def test_a_streamlet_of_ones_own_says_what_it_finds_and_one_that_fails_is_told_without_its_text(
    folder, capsys
):
    Path("mine.py").write_text(
        """
import asyncio
from pydantic import SecretStr
from streamlets.ports import Finding, Inlet, OptionsBase

class Options(OptionsBase):
    table: str
    how: str

class Lookup:
    Options = Options
    inlets = (Inlet("in"),)

    def __init__(self, options, context):
        self.options = options

    @staticmethod
    async def check_online(options, reach):
        if options.how == "finds":
            return [Finding("server-unreachable", ("table",), "no such table")]
        if options.how == "hangs":
            await asyncio.sleep(60)
        raise ValueError("kq7 " + options.table)

    async def process(self, batch):
        ...
"""
    )
    text = 'name: app\nstreamlets: { look: { use: "mine:Lookup", with: { table: kq7, how: %s } } }\n'
    text += "topics: { t: { external: true, consumers: [look.in] } }\n"
    assert online(capsys, text % "finds", code=1) == [
        "app.yaml:2:58: error server-unreachable: look: no such table"
    ]
    (found,) = online(capsys, text % "raises", code=1)
    assert found == (
        "app.yaml:2:28: error not-a-streamlet: 'mine:Lookup' fails when it is asked whom it calls: ValueError"
    )
    (found,) = online(capsys, text % "hangs", "--within", "10ms", code=1)
    assert "look: whom it calls did not answer within 0.01 s" in found


# --- the log


def topics_of(capsys, text: str, *arguments: str) -> list[str]:
    Path("app.yaml").write_text(text)
    run(["verify", "app.yaml", "--online", *arguments])
    return capsys.readouterr().out.splitlines()


PLAIN = """\
name: app
streamlets:
  hot: { use: filter, with: { where: "celsius > 30.0" } }
  print: { use: console }
topics:
  readings: { external: true, consumers: [hot.in] }
  hot:
    producers: [hot.out]
    consumers: [print.in]
    partitions: 4
    retention: 7d
"""


def test_without_a_log_an_external_topic_is_told_with_what_makes_it(folder, capsys):
    (found,) = topics_of(capsys, PLAIN)
    assert found == (
        "app.yaml:6:3: warning topic-missing: nobody has made the external topic 'readings' in .streamlets/app.log "
        "yet; who runs first and names it makes it, this application with 1 partition, and it is empty until others "
        "fill it"
    )
    assert not Path(".streamlets").exists()


def test_a_log_that_is_as_the_blueprint_says_is_no_problem_and_stays_as_it_is(folder, capsys):
    log_with(TopicSpec(name="readings"), TopicSpec(name="app.hot", partitions=4, retention_s=7 * 86400.0))
    assert topics_of(capsys, PLAIN) == []

    async def names() -> set[str]:
        transport = EmbeddedTransport(Path(".streamlets/app.log"), "app", clock=SystemClock(), role="client")
        await transport.start()
        try:
            return set(await transport.topics())
        finally:
            await transport.close()

    assert asyncio.run(names()) == {"readings", "app.hot"}


def test_every_setting_that_differs_is_told_where_the_blueprint_says_it(folder, capsys):
    log_with(
        TopicSpec(name="readings", partitions=3),
        TopicSpec(name="app.hot", partitions=2, retention_s=3600.0, compacted=True),
        TopicSpec(name="app.dead-letters", partitions=2),
    )
    found = [line.partition("; write")[0] for line in topics_of(capsys, PLAIN)]
    assert found == [
        "app.yaml:1:7: error topic-differs: topic app.dead-letters exists otherwise: partitions is 2, not 1",
        "app.yaml:7:3: error topic-differs: topic app.hot exists otherwise: compacted is True, not False",
        "app.yaml:10:17: error topic-differs: topic app.hot exists otherwise: partitions is 2, not 4",
        "app.yaml:11:16: error topic-differs: topic app.hot exists otherwise: retention_s is 3600.0, not 604800.0",
    ]
    assert run(["run", "app.yaml", "--until-idle"]) == 1
    assert "error topic-differs: topic app.hot exists otherwise: " in capsys.readouterr().err


def test_an_external_topic_that_differs_from_what_the_blueprint_says_is_a_warning(folder, capsys):
    log_with(TopicSpec(name="readings", partitions=3))
    text = PLAIN.replace("consumers: [hot.in] }", "consumers: [hot.in], partitions: 2 }")
    (found,) = topics_of(capsys, text)
    assert found.startswith(
        "app.yaml:6:64: warning topic-differs: the external topic 'readings' in .streamlets/app.log"
    )
    assert "partitions is 3, not 2; it is taken as it is" in found


def test_a_state_that_does_not_go_with_what_is_read_is_told_at_the_streamlet(folder, capsys):
    log_with(
        TopicSpec(name="readings", partitions=3),
        TopicSpec(name="app.hot.state", partitions=2, compacted=True),
    )
    (found,) = topics_of(capsys, PLAIN)
    assert found.startswith(
        "app.yaml:3:15: error topic-differs: hot: topic app.hot.state exists otherwise: partitions is 2, not 3; "
    )


def test_what_a_start_would_refuse_of_an_external_topics_partitions_is_refused_with_its_code(folder, capsys):
    log_with(TopicSpec(name="readings", partitions=3))
    text = "name: app\nstreamlets: { keep: { use: file-sink, with: { path: out.jsonl } } }\n"
    text += "topics: { readings: { external: true, consumers: [keep.in] } }\n"
    (found,) = topics_of(capsys, text)
    assert found.startswith("app.yaml:2:28: error single-reader: keep needs one reader of all events, ")
    assert run(["run", "app.yaml", "--until-idle"]) == 64
    assert "error single-reader: app.yaml:2:15: keep needs one reader" in capsys.readouterr().err


def test_another_log_is_looked_at_where_on_names_it(folder, capsys):
    log_with(TopicSpec(name="readings"), file="other.log")
    assert topics_of(capsys, PLAIN, "--on", "embedded:other.log") == []
    assert run(["verify", "app.yaml", "--online", "--on", "kafka:9092"]) == 64
    assert "there is no such transport here" in capsys.readouterr().err


def test_what_is_no_log_is_told_after_the_problems_of_the_blueprint(folder, capsys):
    Path("app.log").write_text("this is no log, and long enough not to be taken for an empty one" * 20)
    Path("app.yaml").write_text(PLAIN)
    assert run(["verify", "app.yaml", "--online", "--on", "embedded:app.log"]) == 1
    assert "error not-a-log" in capsys.readouterr().err


AS_NOBODY = """
import os, sys
from streamlets.cli.main import run

arguments = ["verify", "app.yaml", "--online", "--on", "embedded:app.log"]
if os.geteuid() == 0:  # whom no mode of a file keeps out; what is imported must be imported before
    run(arguments)
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
print("as nobody")
sys.exit(run(arguments))
"""


def test_a_log_that_may_not_be_opened_is_not_authorised():
    folder = Path(tempfile.mkdtemp(prefix="streamlets-"))  # pytest's own folders are closed to others
    try:
        folder.chmod(0o755)
        (folder / "app.yaml").write_text(PLAIN)
        log_with(TopicSpec(name="readings"), file=str(folder / "app.log"))
        (folder / "app.log").chmod(0)
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY], cwd=folder, capture_output=True, text=True, timeout=60
        )
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 1, done.stderr
    assert done.stdout.partition("as nobody\n")[2] == (
        "app.yaml:1:7: error not-authorised: the log app.log may not be opened for reading and writing; "
        "check its owner and mode\n"
    )


def test_a_wrong_time_is_wrong_usage(folder, capsys):
    Path("app.yaml").write_text(PLAIN)
    for within in ("soon", "0s", "1h"):
        assert run(["verify", "app.yaml", "--online", "--within", within]) == 64


def test_what_only_asking_needs_is_not_taken_in_silence_where_nobody_is_asked(folder, capsys):
    Path("app.yaml").write_text(PLAIN)
    for option in (["--on", "embedded"], ["--within", "5s"]):
        assert run(["verify", "app.yaml", *option]) == 64
        assert "it goes with --online" in capsys.readouterr().err


# --- the pages


def test_the_examples_of_the_online_codes_are_tried_against_what_they_tell_of(folder, served, capsys):
    """A page's world: a model server on 9101 with the model `delay`, nobody on 9102, one that wants a token on 9103."""

    async def wants_token(exchange: Exchange) -> None:
        if b"bearer t0ken" not in exchange.head.lower():
            exchange.answer(401, b'{"error": "who are you?"}')
        elif exchange.path.endswith("/ready"):
            exchange.answer(200)
        else:
            exchange.answer(200, json.dumps(METADATA).encode())

    (folder / "token").write_text("Bearer t0ken\n")
    log_with(
        TopicSpec(name="flights"),
        TopicSpec(name="first.readings", partitions=2),
        file=".streamlets/first.log",
        name="first",
    )
    online_pages = [page for page in pages().values() if page.is_online]
    assert {page.code for page in online_pages} == {
        "topic-missing", "topic-differs", "not-authorised", "server-unreachable", "model-missing", "tensor-mismatch",
    }  # fmt: skip
    with living(scripted(wants_token)) as urls:
        places = {"http://127.0.0.1:9101": served, "http://127.0.0.1:9103": urls[0]}
        places["http://127.0.0.1:9102"] = f"http://127.0.0.1:{free_port()}"
        for page in online_pages:
            for text, wanted in ((page.bad, {page.code}), (page.good, set())):
                for named, real in places.items():
                    text = text.replace(named, real)
                Path("app.yaml").write_text(text)
                assert run(["verify", "app.yaml"]) == 0, (
                    page.code
                )  # there is nothing wrong with the file itself
                assert capsys.readouterr().out == ""
                run(["verify", "app.yaml", "--online", "--format", "json"])
                found = {problem["code"] for problem in json.loads(capsys.readouterr().out)}
                assert found == wanted, page.code
