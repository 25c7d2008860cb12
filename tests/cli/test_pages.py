"""The pages of `explain`, tried on the real catalog: what is shown as bad is bad, what is shown as good is clean."""

import json

import pytest

from blueprints.lint.explain import pages
from blueprints.load import verify
from streamlets.catalog import Streamlets

FEATURES = """\
from pydantic import BaseModel

class Flight(BaseModel):
    carrier: str
    distance: int

def features(flight: Flight) -> None:
    return None
"""
FLIGHT = {
    "type": "object",
    "properties": {"carrier": {"type": "string"}, "distance": {"type": "integer"}},
    "required": ["carrier", "distance"],
}

# No built-in option is deprecated, and no two packages here offer one streamlet: tests of the language have both.
NOT_HERE = {"deprecated-option", "ambiguous-streamlet"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "features.py").write_text(FEATURES)
    (tmp_path / "delay.onnx").write_bytes(b"")
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "departure.json").write_text(json.dumps(FLIGHT))
    (tmp_path / "contracts" / "reading.json").write_text('{"type": "object", "properties": {}}')
    return tmp_path


@pytest.mark.parametrize("code", [code for code in pages() if code not in NOT_HERE])
def test_a_page_is_true_of_the_built_in_streamlets(folder, code):
    def problems(text):
        path = folder / "page.yaml"
        path.write_text(text)
        return {problem.code: str(problem) for problem in verify(path, Streamlets(), {})}

    assert code in problems(pages()[code].bad)
    assert problems(pages()[code].good) == {}


def test_every_code_that_a_streamlet_gives_the_linter_has_a_page():
    import re
    from pathlib import Path

    import streamlets

    sources = [file.read_text() for file in Path(streamlets.__file__).parent.rglob("*.py")]
    codes = {code for text in sources for code in re.findall(r'\bFinding\(\s*"([a-z-]+)"', text)}
    assert "single-reader" in codes
    assert codes <= set(pages())
