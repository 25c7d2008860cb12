"""Diagnostics as workflow commands, which GitHub's runner turns into annotations of the lines that they are about.

Source: GitHub, Workflow commands for GitHub Actions; the runner unescapes %25, %0D, %0A, and in properties %3A, %2C.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from blueprints.diagnostics import Diagnostic


def as_commands(found: Sequence[Diagnostic], root: Path) -> Iterator[str]:
    """Yield one command for each problem. `root`: what files are named relative to, the workspace."""
    for one in found:
        mark = one.mark
        properties = {
            "file": os.path.relpath(mark.file, root).replace(os.sep, "/"),
            "line": str(mark.line),
            "col": str(mark.column),
        }
        if mark.end_column > mark.column:
            properties |= {"endLine": str(mark.line), "endColumn": str(mark.end_column)}
        properties["title"] = one.code
        written = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
        yield f"::{one.severity} {written}::{_data(one.message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
