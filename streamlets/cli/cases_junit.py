"""The results of blueprint tests as JUnit XML, as CI systems read it."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree as Xml  # writes only: what an attacker may send is never read here

from blueprints.diagnostics import Diagnostic
from streamlets.engine.cases import CaseResult

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # no XML 1.0 may hold these


def junit_xml(name: str, results: Sequence[CaseResult], errors: Sequence[Diagnostic], took_s: float) -> bytes:
    """Return one test suite: a test case for each case, or for each error that kept the cases from running."""
    failures = sum(not result.is_passed for result in results)
    counts = {"tests": str(len(results) + len(errors)), "failures": str(failures), "errors": str(len(errors))}
    root = Xml.Element("testsuites", {"name": "streamlets test", **counts, "time": f"{took_s:.3f}"})
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0).isoformat()
    suite = Xml.SubElement(
        root,
        "testsuite",
        {"name": name, **counts, "skipped": "0", "time": f"{took_s:.3f}", "timestamp": now, "hostname": ""},
    )
    properties = Xml.SubElement(suite, "properties")
    for key, value in (("blueprint", name), ("python", platform.python_version())):
        Xml.SubElement(properties, "property", {"name": key, "value": _clean(value)})
    for result in results:
        case = result.case
        element = _case(suite, name, case.name, case.mark.file, case.mark.line, result.took_s)
        if result.problems:
            first = result.problems[0]
            more = len(result.problems) - 1
            message = first.text + (f" (and {more} more)" if more else "")
            failure = Xml.SubElement(element, "failure", {"message": _clean(message), "type": "expectation"})
            lines = []
            for problem in result.problems:
                lines.append(f"{problem.mark}: {problem.text}")
                lines += [f"    {field}" for field in problem.fields]
            failure.text = _clean("\n".join(lines))
    for error in errors:
        element = _case(suite, name, f"{error.code} at {error.mark}", error.mark.file, error.mark.line, 0.0)
        told = Xml.SubElement(element, "error", {"message": _clean(error.message), "type": error.code})
        told.text = _clean(str(error))
    Xml.indent(root)
    body: bytes = Xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return body + b"\n"


def _case(
    suite: Xml.Element, application: str, name: str, file: str, line: int, took_s: float
) -> Xml.Element:
    attributes = {"classname": application, "name": name, "file": file, "line": str(line)}
    said = {key: _clean(value) for key, value in attributes.items()}
    return Xml.SubElement(suite, "testcase", {**said, "time": f"{took_s:.4f}"})


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("�", text)
