import json

import pytest

from blueprints.lint.explain import FOLDER, pages
from blueprints.load import verify
from tests.blueprints.catalog import FLIGHT, TestCatalog

CODES = """
yaml-syntax duplicate-key unknown-field missing-field bad-value misplaced-field unset-variable secret-in-clear
missing-file bad-name reserved-name bad-topic-name topic-name-clash unknown-streamlet ambiguous-streamlet import-failed
not-a-streamlet unknown-option missing-option bad-option deprecated-option unknown-port wrong-direction
unconnected-inlet unconnected-outlet port-in-many-topics inlet-kind no-producer no-consumer conflicting-settings
bad-topic-config incompatible-contract bad-expression cycle single-reader updates-without-allow-list untrusted-path
""".split()  # noqa: SIM905


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "delay.onnx").write_bytes(b"")
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "departure.json").write_text(json.dumps(FLIGHT))
    (tmp_path / "contracts" / "reading.json").write_text('{"type": "object", "properties": {}}')
    return tmp_path


def codes(folder, text):
    path = folder / "page.yaml"
    path.write_text(text)
    return {found.code for found in verify(path, TestCatalog(), {})}


def test_every_code_has_a_page():
    assert list(pages()) == CODES


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
