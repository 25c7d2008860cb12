"""The documentation, tried: the reference is what the code says, each guide is followed from its top to its end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from blueprints.load import verify
from docs import generate
from streamlets.catalog import Streamlets
from tests.docs.transcript import Reader, differs, fences

ROOT = Path(__file__).parents[2]
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_reference_is_what_the_code_says():
    assert generate.stale() == [], "run `make docs` and commit what it writes"


def test_a_page_that_differs_is_stale(tmp_path):
    for name, text in generate.pages().items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text)
    assert generate.stale(tmp_path) == []
    (tmp_path / "commands.md").write_text("of old")
    (tmp_path / "gone.md").write_text("nothing says this any more")
    assert generate.stale(tmp_path) == ["commands.md", "gone.md"]


@pytest.mark.slow
@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_a_guide_can_be_followed(guide, tmp_path):
    reader = Reader(tmp_path)
    try:
        for fence in fences(guide.read_text()):
            problems = reader.follow(fence)
            assert not problems, "\n\n".join([str(guide.relative_to(ROOT)), *problems])
    finally:
        reader.leave()


def test_every_guide_has_something_to_type():
    assert len(GUIDES) >= 4
    for guide in GUIDES:
        assert any(fence.language == "console" for fence in fences(guide.read_text())), guide.name


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        there = page.parent / file if file else page
        assert there.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in _anchors(there), f"{page.name}: {target}"


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_the_blueprint_of_the_readme_is_clean(tmp_path):
    blueprints = [fence for fence in fences((ROOT / "README.md").read_text()) if fence.language == "yaml"]
    assert blueprints
    for fence in blueprints:
        path = tmp_path / "readme.yaml"
        path.write_text(fence.text)
        assert [str(problem) for problem in verify(path, Streamlets(), {})] == []


def test_what_a_guide_leaves_out_may_be_anything_and_nothing_else():
    assert differs(("one", "…", "four"), "one\ntwo\nthree\nfour\n") == ""
    assert differs(("one", "…"), "one\n") == ""
    assert differs(("3 passed in … s",), "3 passed in 0.01 s\n") == ""
    assert differs(("one", "two"), "one\n") != ""
    assert differs(("one",), "one\ntwo\n") != ""
