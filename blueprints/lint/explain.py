"""What a problem's code means: the pages beside this file, one file for each family of rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "pages"

ONLINE = "online"
"""The family of what is asked of model servers and of the log."""

_PAGE = re.compile(
    r"^## (?P<code>[a-z-]+)\n(?P<cause>.*?)\n+Bad:\n```yaml\n(?P<bad>.*?)```\nGood:\n```yaml\n(?P<good>.*?)```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Page:
    """A code, its family, why it is reported, and two blueprints: one with the problem, one without."""

    code: str
    family: str
    cause: str
    bad: str
    good: str

    @property
    def is_online(self) -> bool:
        """Whether `verify --online` alone finds it: with both examples there is nothing wrong as files."""
        return self.family == ONLINE


def pages() -> dict[str, Page]:
    """Return the page of every code, family by family."""
    found: dict[str, Page] = {}
    for name in (
        "syntax",
        "names",
        "streamlets",
        "ports",
        "topics",
        "contracts",
        "graph",
        "physics",
        "safety",
        ONLINE,
    ):
        text = (FOLDER / f"{name}.md").read_text("utf-8")
        for page in _PAGE.finditer(text):
            found[page["code"]] = Page(page["code"], name, page["cause"], page["bad"], page["good"])
    return found
