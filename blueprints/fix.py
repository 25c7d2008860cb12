"""Fixes applied: what is beyond doubt is mended, and nothing else in a file changes by a byte.

Rules give fixes with their diagnostics. Here those that do not overlap are applied together, the outcome is linted
anew, and so on until nothing is left to mend. A fix after which a blueprint has more errors than before is dropped.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from blueprints.catalog import Catalog
from blueprints.diagnostics import Diagnostic, Edit, Fix
from blueprints.load import lint
from blueprints.source import MAX_FILE_BYTES
from blueprints.veil import Veil

MAX_ROUNDS = (
    10  # each mends something; three is the most seen: a misspelt name, its options, a move of one of them
)

_BOM = "\ufeff"


class ChangedMeanwhile(Exception):
    """A file is not what it was when it was linted; nothing was written. `path`: which."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} was changed by somebody else meanwhile; nothing was written to it")
        self.path = path


@dataclass
class Fixed:
    """What was mended, and what is left. `before` and `after`: the files that change, as bytes.

    `secrets` and `veil`: what stands in clear in them, before or after, and may not be shown.
    """

    applied: list[Diagnostic] = field(default_factory=list)
    left: list[Diagnostic] = field(default_factory=list)
    before: dict[Path, bytes] = field(default_factory=dict)
    after: dict[Path, bytes] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=set)
    veil: Veil = field(default_factory=Veil)

    def write(self) -> None:
        """Write the files, each at once or not at all. Raises: ChangedMeanwhile, OSError."""
        for path, text in self.after.items():
            _replace(path, self.before[path], text)


def fix(path: Path, catalog: Catalog, environ: Mapping[str, str], overlays: Sequence[Path] = ()) -> Fixed:
    """Return what fixing a blueprint gives; nothing is written before `write`."""
    files = list(dict.fromkeys((path, *overlays)))
    texts: dict[Path, bytes] = {}
    for file in files:
        with contextlib.suppress(OSError), file.open("rb") as opened:
            raw = opened.read(MAX_FILE_BYTES + 1)
            if len(raw) <= MAX_FILE_BYTES:
                texts[file] = raw
    before = dict(texts)

    outcome = Fixed()

    def problems(texts: Mapping[Path, bytes]) -> list[Diagnostic]:
        draft, found = lint(path, catalog, environ, overlays, texts)
        if draft is not None:
            outcome.veil = outcome.veil.with_more(draft.known)
        for source in draft.sources.values() if draft is not None else ():
            for number, column in source.hidden.items():
                outcome.secrets.add(source.lines[number - 1][column - 1 :].strip())
        return found

    found = problems(texts)
    for _ in range(MAX_ROUNDS):
        texts, done, found = _round(texts, found, problems)
        if not done:
            break
        outcome.applied += done
    outcome.left = found
    outcome.after = {file: text for file, text in texts.items() if text != before[file]}
    outcome.before = {file: before[file] for file in outcome.after}
    return outcome


def _round(
    texts: dict[Path, bytes],
    found: list[Diagnostic],
    problems: Callable[[Mapping[Path, bytes]], list[Diagnostic]],
) -> tuple[dict[Path, bytes], list[Diagnostic], list[Diagnostic]]:
    """Return the texts with fixes applied, whose they were, and the problems left: all at once, else one by one."""
    mendable = _apart(found)
    if not mendable:
        return texts, [], found
    changed = _applied(texts, mendable)
    left = problems(changed)
    if _is_better(left, found):
        return changed, mendable, left
    done: list[Diagnostic] = []
    for one in mendable:  # one of them does harm: find those that do not
        trial = [*done, one]
        changed = _applied(texts, trial)
        left = problems(changed)
        if _is_better(left, found):
            done = trial
    if not done:
        return texts, [], found
    changed = _applied(texts, done)
    return changed, done, problems(changed)


def _is_better(left: Sequence[Diagnostic], found: Sequence[Diagnostic]) -> bool:
    """Return whether problems have gone, and what has come in their place, if anything, has a fix of its own."""
    before = {_same(one) for one in found}
    new = [one for one in left if one.severity == "error" and _same(one) not in before]
    if _errors(left) > _errors(found) or any(one.fix is None for one in new):
        return False
    return bool(new) or (_errors(left), len(left)) < (_errors(found), len(found))


def _same(one: Diagnostic) -> tuple[str, str]:
    """Return what makes two problems the same before and after a fix, by which lines may have moved."""
    return one.code, re.sub(r"[0-9]+", "#", one.message)


def _errors(found: Iterable[Diagnostic]) -> int:
    return sum(one.severity == "error" for one in found)


def _apart(found: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return the problems whose fixes touch none of those before them; one fix of several problems counts once."""
    taken: list[Edit] = []
    kept: list[Diagnostic] = []
    for one in found:
        edits = one.fix.edits if one.fix is not None else ()
        if edits and not any(_touch(edit, other) for edit in edits for other in taken):
            kept.append(one)
            taken += edits
    return kept


def _touch(one: Edit, other: Edit) -> bool:
    """Return whether two edits meet: neighbours do, because which of them comes first would be left open."""
    return one.file == other.file and one.start <= other.end and other.start <= one.end


def _applied(texts: Mapping[Path, bytes], mendable: Iterable[Diagnostic]) -> dict[Path, bytes]:
    changed = dict(texts)
    by_file: dict[str, list[Edit]] = {}
    for one in mendable:
        for edit in one.fix.edits if one.fix is not None else ():
            by_file.setdefault(edit.file, []).append(edit)
    for file in texts:
        edits = by_file.get(os.fspath(file))
        if edits:
            changed[file] = edited(texts[file], edits)
    return changed


def edited(raw: bytes, edits: Iterable[Edit]) -> bytes:
    """Return a file with edits made; its byte order mark, line breaks and all else stay."""
    text = raw.decode("utf-8")
    mark, text = (_BOM, text[1:]) if text.startswith(_BOM) else ("", text)
    for edit in sorted(edits, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return (mark + text).encode("utf-8")


def difference(fixed: Fixed) -> list[str]:
    """Return the changes as lines of a unified diff; secrets in clear are not in it."""
    lines: list[str] = []
    for path in fixed.after:
        old, new = (
            [
                fixed.veil(_without(fixed.secrets, line))
                for line in text[path].decode("utf-8-sig").splitlines()
            ]
            for text in (fixed.before, fixed.after)
        )
        name = os.fspath(path)
        lines += difflib.unified_diff(old, new, name, f"{name} (fixed)", n=2, lineterm="")
    return lines


def _without(secrets: Iterable[str], line: str) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        if secret:
            line = line.replace(secret, "***")
    return line


def _replace(path: Path, before: bytes, after: bytes) -> None:
    """Write a file by a rename, so that nobody sees half of it; a link stays one, permissions stay."""
    target = Path(os.path.realpath(path))
    status = target.stat()
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(after)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, status.st_mode & 0o7777)
        with contextlib.suppress(PermissionError):
            os.chown(name, status.st_uid, status.st_gid)
        if target.read_bytes() != before:
            raise ChangedMeanwhile(path)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


__all__ = ["ChangedMeanwhile", "Fix", "Fixed", "difference", "edited", "fix"]
