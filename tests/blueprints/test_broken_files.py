"""Whatever a file holds or is: one message with its place, within a second, in little memory; never a traceback."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from blueprints.cases import load_cases
from blueprints.diagnostics import MAX_MESSAGE, MAX_PROBLEMS, BlueprintError
from blueprints.load import verify
from streamlets.catalog import Streamlets
from tests.blueprints.broken import ACCEPTED, GOOD, REFUSED, fuzzed

CATALOG = Streamlets()
SECONDS = 1.0
MEBIBYTES = 200


@pytest.fixture
def lint(tmp_path):
    path = tmp_path / "a.yaml"

    def of(raw, overlay=None):
        path.write_bytes(raw)
        overlays = []
        if overlay is not None:
            overlays.append(tmp_path / "over.yaml")
            overlays[0].write_bytes(overlay)
        began = time.process_time()
        found = verify(path, CATALOG, {}, overlays)
        assert time.process_time() - began < SECONDS
        for one in found:
            assert one.mark.line >= 1
            assert one.mark.column >= 1
            assert "\n" not in one.message
            assert one.message.isprintable()
            assert len(one.message) <= MAX_MESSAGE + 60
            assert all(len(line) < 250 for line in one.frame.splitlines())
        assert len(found) <= 2 * MAX_PROBLEMS
        return [one for one in found if one.severity == "error"]

    return of


@pytest.mark.parametrize("name", REFUSED)
def test_a_broken_file_is_refused_with_a_place(lint, name):
    assert lint(REFUSED[name])


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_odd_file_that_is_right_is_accepted(lint, name):
    assert lint(ACCEPTED[name]) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in REFUSED if len(REFUSED[name]) < 100_000])
def test_a_broken_overlay_is_refused_too(lint, name):
    found = lint(GOOD, REFUSED[name])
    assert found or name in ("nothing", "a mark and nothing", "a null")


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_a_broken_test_file_is_refused_with_a_place(tmp_path, name):
    path = tmp_path / "a_test.yaml"
    path.write_bytes(REFUSED[name])
    began = time.process_time()
    with pytest.raises(BlueprintError) as refused:
        load_cases(path)
    assert time.process_time() - began < 4 * SECONDS  # a test file may be larger than a blueprint
    assert all(one.mark.line >= 1 for one in refused.value.diagnostics)


def run_fuzz(lint, seed, count):
    for number, raw in enumerate(fuzzed(seed, count)):
        try:
            lint(raw)
        except BaseException as exc:
            raise AssertionError(
                f"seed {seed}, number {number}: {type(exc).__name__}: {exc}\n{raw!r}"
            ) from exc


def test_bytes_changed_at_random_give_messages_only(lint):
    run_fuzz(lint, 1, 100)


@pytest.mark.slow
def test_a_thousand_files_changed_at_random_give_messages_only(lint):
    run_fuzz(lint, 2, 1_000)


LIMITED = """
import resource, sys
from pathlib import Path
from blueprints.load import verify
from streamlets.catalog import Streamlets
from tests.blueprints.broken import ACCEPTED, REFUSED
path, catalog = Path(sys.argv[1]), Streamlets()
resource.setrlimit(resource.RLIMIT_DATA, ({limit}, {limit}))
for raw in (*REFUSED.values(), *ACCEPTED.values()):
    path.write_bytes(raw)
    verify(path, catalog, {{}})
if sys.platform == "linux":  # where the peak of getrusage is that of the parent, too
    print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_no_broken_file_takes_much_memory(tmp_path):
    program = LIMITED.format(limit=MEBIBYTES << 20)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.yaml")],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) < MEBIBYTES * 1024, f"{int(done.stdout) // 1024} MiB"


def refusal(path):
    (found,) = verify(path, CATALOG, {})
    return found.code, found.message


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path):
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(tmp_path / "socket.yaml"))
    began = time.monotonic()
    assert refusal(tmp_path) == ("missing-file", "the blueprint cannot be read: is a directory")
    assert refusal(Path("/dev/zero")) == (
        "missing-file",
        "the blueprint cannot be read: it is no regular file",
    )
    assert refusal(tmp_path / "gone.yaml")[0] == "missing-file"
    assert refusal(tmp_path / "socket.yaml")[0] == "missing-file"
    assert refusal(tmp_path / "a\0b.yaml")[0] == "missing-file"
    assert refusal(tmp_path / ("n" * 300))[0] == "missing-file"
    door.close()
    assert refusal(pipe) == (
        "missing-file",
        "the blueprint cannot be read: it is a pipe that nobody writes to",
    )
    assert time.monotonic() - began < 2.0


def test_a_link_to_itself_is_refused(tmp_path):
    loop = tmp_path / "loop.yaml"
    loop.symlink_to(loop)
    assert refusal(loop)[0] == "missing-file"


def test_a_file_that_may_not_be_read_is_refused(everybodys_folder, unprivileged):
    path = everybodys_folder / "a.yaml"
    path.write_bytes(GOOD)
    path.chmod(0)
    with unprivileged:
        told = refusal(path)
    assert told == ("missing-file", "the blueprint cannot be read: permission denied")


def test_what_a_program_writes_to_a_pipe_is_read(tmp_path):
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    holds = os.open(pipe, os.O_RDWR)  # so that opening it for reading finds a writer

    def write():
        os.write(holds, GOOD)
        os.close(holds)

    writer = threading.Timer(0.05, write)
    writer.start()
    assert verify(pipe, CATALOG, {}) == []
    writer.join()


def test_ten_thousand_errors_are_not_all_printed(lint):
    found = lint(REFUSED["10,000 unknown keys of a streamlet"])
    assert len(found) == MAX_PROBLEMS
    assert found[-1].message.endswith("(and more errors, which are not shown; mend these first)")


def test_many_warnings_hide_no_error(lint):
    topics = "".join(f"  t{i}: {{ producers: [p{i}.out] }}\n" for i in range(600))
    streamlets = "".join(f"  p{i}: {{ use: file, with: {{ path: a.jsonl }} }}\n" for i in range(600))
    text = f"name: a\nstreamlets:\n{streamlets}  last: {{ use: consol }}\ntopics:\n{topics}"
    found = lint(text.encode())
    assert any(one.code == "unknown-streamlet" for one in found)


SCHEMAS = {
    "deep lists": "[" * 100_000,
    "deep objects": '{"a":' * 100_000,
    "properties 5,000 deep": '{"properties":{"a":' * 5_000 + "{}" + "}}" * 5_000,
    "allOf 300 deep": '{"allOf":[' * 300 + "{}" + "]}" * 300,
    "a reference to another host": '{"$ref": "http://127.0.0.1:9/never-asked.json"}',
    "a reference to a file": '{"$ref": "file:///etc/passwd"}',
    "a dialect of another host": '{"$schema": "http://127.0.0.1:9/never-asked"}',
    "a pattern that is none": '{"properties": {"a": {"pattern": "("}}}',
    "a pattern that is too large": '{"properties": {"a": {"pattern": "(((a{1000}){1000}){1000})"}}}',
    "a pattern of half a megabyte": '{"properties": {"a": {"pattern": "%s("}}}' % ("a" * 500_000),
    "a number of 5,000 digits": '{"maximum": %s}' % ("9" * 5_000),
    "no number": '{"maximum": NaN}',
    "true": "true",
    "nothing": "",
}
ODD_SCHEMAS = {
    "a reference to itself": '{"$ref": "#"}',
    "references in a round": '{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"}',
    "a recursive type": '{"type":"object","properties":{"celsius":{"type":"number"},"child":{"$ref":"#"}}}',
    "a pattern that backtracks": '{"properties":{"celsius":{"type":"number"},"a":{"pattern":"^(a+)+$"}}}',
    "alternatives of alternatives": json.dumps(
        {
            "$defs": {f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)}
            | {"d40": {"type": "object"}},
            "$ref": "#/$defs/d0",
        }
    ),
}


@pytest.mark.parametrize("name", [*SCHEMAS, *ODD_SCHEMAS])
def test_a_broken_contract_is_refused_within_a_second_and_nothing_is_fetched(tmp_path, lint, name):
    (tmp_path / "c.json").write_text({**SCHEMAS, **ODD_SCHEMAS}[name])
    text = GOOD.replace(b"topics:", b"contracts: { c: { json-schema: c.json } }\ntopics:")
    text = text.replace(b"retention: 7d", b"contract: c").replace(b"print.in] }", b"print.in], contract: c }")
    found = lint(text)
    assert bool(found) == (name in SCHEMAS)
    assert all(one.code == "bad-value" for one in found)
