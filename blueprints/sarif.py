"""Diagnostics as SARIF 2.1.0, which code hosts and editors show beside the lines that they are about.

Source: OASIS, Static Analysis Results Interchange Format 2.1.0.
"""

from __future__ import annotations

import os
import re
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from blueprints.diagnostics import Diagnostic, Fix, Mark
from blueprints.lint.explain import Page, pages

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def as_sarif(found: Sequence[Diagnostic], root: Path, version: str) -> dict[str, Any]:
    """Return the one SARIF log of a run. `root`: what files are named relative to; `version`: ours."""
    known = pages()
    codes = list(dict.fromkeys(one.code for one in found))
    codes.sort(key=lambda code: list(known).index(code) if code in known else len(known))
    levels = {one.code: one.severity for one in reversed(found)}
    is_clean = not any(one.severity == "error" for one in found)
    driver = {
        "name": "streamlets",
        "semanticVersion": version,
        "rules": [_rule(code, known.get(code), levels[code]) for code in codes],
    }
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "columnKind": "unicodeCodePoints",
                "invocations": [{"executionSuccessful": True, "exitCode": 0 if is_clean else 1}],
                "results": [_result(one, codes.index(one.code), root) for one in found],
            }
        ],
    }


def _rule(code: str, page: Page | None, level: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"id": code, "defaultConfiguration": {"level": level}}
    if page is None:  # a streamlet of somebody else may have codes of its own
        return rule
    cause = " ".join(page.cause.split())
    plain = cause.replace("`", "")
    sentence = re.match(r".*?[.:;](?=\s|$)", plain)
    bad, good = page.bad.rstrip(), page.good.rstrip()
    return rule | {
        "shortDescription": {"text": (sentence[0][:-1] if sentence else plain) + "."},
        "fullDescription": {"text": plain},
        "help": {
            "text": f"{plain}\n\nBad:\n{bad}\n\nGood:\n{good}\n",
            "markdown": f"{cause}\n\nBad:\n```yaml\n{bad}\n```\n\nGood:\n```yaml\n{good}\n```\n",
        },
        "properties": {"tags": [page.family]},
    }


def _result(one: Diagnostic, index: int, root: Path) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": one.code,
        "ruleIndex": index,
        "level": one.severity,
        "message": {"text": one.message},
        "locations": [{"physicalLocation": _place(one.mark, root)}],
    }
    if one.related:
        result["relatedLocations"] = [
            {"id": number, "message": {"text": text}, "physicalLocation": _place(mark, root)}
            for number, (mark, text) in enumerate(one.related, 1)
        ]
    if one.fix is not None:
        result["fixes"] = [_fix(one.fix, root)]
    return result


def _place(mark: Mark, root: Path) -> dict[str, Any]:
    region = {"startLine": mark.line, "startColumn": mark.column}
    if mark.end_column > mark.column:
        region["endColumn"] = mark.end_column
    return {"artifactLocation": {"uri": uri(mark.file, root)}, "region": region}


def _fix(fix: Fix, root: Path) -> dict[str, Any]:
    changes = []
    for file in dict.fromkeys(edit.file for edit in fix.edits):
        replacements = [
            {
                "deletedRegion": {"charOffset": edit.start, "charLength": edit.end - edit.start},
                "insertedContent": {"text": edit.text},
            }
            for edit in fix.edits
            if edit.file == file
        ]
        changes.append({"artifactLocation": {"uri": uri(file, root)}, "replacements": replacements})
    return {"description": {"text": fix.title}, "artifactChanges": changes}


def uri(file: str, root: Path) -> str:
    """Return a file as a relative URI reference from a folder."""
    relative = os.path.relpath(file, root).replace(os.sep, "/")
    quoted = urllib.parse.quote(relative, safe="/~.-_")
    return f"./{quoted}" if ":" in relative.partition("/")[0] else quoted
