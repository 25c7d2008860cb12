"""Linting a text, for tests."""

import json
import textwrap
from pathlib import Path

from blueprints.load import verify
from tests.blueprints.catalog import FLIGHT, TestCatalog


def lint(folder: Path, text: str, environ=None, overlays=()):
    """Return the problems of a text as lines `line:column code: message`, warnings marked."""
    return [
        f"{d.mark.line}:{d.mark.column} {'' if d.severity == 'error' else 'warning '}{d.code}: {d.message}"
        for d in diagnose(folder, text, environ, overlays)
    ]


def diagnose(folder: Path, text: str, environ=None, overlays=()):
    """Return the problems of a text; contracts `departure`, `open` and `loose` lie beside it."""
    (folder / "contracts").mkdir(exist_ok=True)
    (folder / "contracts" / "departure.json").write_text(json.dumps(FLIGHT))
    (folder / "contracts" / "open.json").write_text('{"type": "object"}')
    loose = {**FLIGHT, "properties": {**FLIGHT["properties"], "distance": {}}}
    (folder / "contracts" / "loose.json").write_text(json.dumps(loose))
    path = folder / "app.yaml"
    path.write_text(textwrap.dedent(text).lstrip("\n"))
    files = []
    for number, overlay in enumerate(overlays):
        files.append(folder / f"over{number}.yaml")
        files[-1].write_text(textwrap.dedent(overlay).lstrip("\n"))
    return verify(path, TestCatalog(), environ or {}, files)
