import json

import pytest

from blueprints.lint.explain import FOLDER, pages
from blueprints.load import verify
from tests.blueprints.catalog import FLIGHT, TestCatalog

TABLE = {
    "syntax": "yaml-syntax duplicate-key unknown-field missing-field bad-value misplaced-field unset-variable "
    "secret-in-clear missing-file",
    "names": "bad-name reserved-name bad-topic-name topic-name-clash",
    "streamlets": "unknown-streamlet ambiguous-streamlet import-failed not-a-streamlet unknown-option missing-option "
    "bad-option deprecated-option",
    "ports": "unknown-port wrong-direction unconnected-inlet unconnected-outlet port-in-many-topics inlet-kind",
    "topics": "no-producer no-consumer conflicting-settings bad-topic-config",
    "contracts": "incompatible-contract undecided-contract conflicting-producers unknown-field-in-expression "
    "bad-expression unknown-key key-differs",
    "graph": "cycle partitions-differ too-many-replicas single-reader inline-misuse",
    "physics": "window-beyond-retention window-beyond-memory wait-beyond-deadline timeout-beyond-poll-interval "
    "dead-letter-loop rate-beyond-capacity",
    "online": "topic-missing topic-differs not-authorised server-unreachable model-missing tensor-mismatch",
    "safety": "updates-without-allow-list plain-http-secret open-listener untrusted-path",
}
"""The codes that `verify` gives, by family. A code is there when it has a page, and its examples are tried below."""

ONLINE = TABLE["online"].split()  # tried against servers and a log in tests/cli/test_online.py
CODES = [code for codes in TABLE.values() for code in codes.split() if code not in ONLINE]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "delay.onnx").write_bytes(b"")
    (tmp_path / "token").write_text("t0ken")
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "departure.json").write_text(json.dumps(FLIGHT))
    (tmp_path / "contracts" / "reading.avsc").write_text('"string"')
    (tmp_path / "contracts" / "reading.json").write_text('{"type": "object", "properties": {}}')
    loose = {**FLIGHT, "properties": {**FLIGHT["properties"], "distance": {}}}
    (tmp_path / "contracts" / "loose.json").write_text(json.dumps(loose))
    return tmp_path


def codes(folder, text):
    path = folder / "page.yaml"
    path.write_text(text)
    return {found.code for found in verify(path, TestCatalog(), {})}


def test_every_code_has_a_page():
    there = {(page.family, code) for code, page in pages().items()}
    assert there == {(family, code) for family, codes in TABLE.items() for code in codes.split()}


def test_every_heading_of_the_pages_is_a_page():
    headings = [
        line for file in FOLDER.glob("*.md") for line in file.read_text().splitlines() if line[:3] == "## "
    ]
    assert sorted(headings) == sorted(f"## {code}" for code in pages())


@pytest.mark.parametrize("code", CODES)
def test_the_bad_example_has_the_problem_and_the_good_one_has_none(folder, code):
    page = pages()[code]
    assert code in codes(folder, page.bad)
    assert codes(folder, page.good) - {"no-consumer"} == set()
