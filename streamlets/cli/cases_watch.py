"""`streamlets test --watch`: the tests again whenever a file changes that they were made of.

Each run is a process of its own, so that modules are imported anew; it lists the files that it has read. Which of them
have changed is told by their size and time, looked at when the system says that something moved and once a second.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from blueprints.plan import Plan

LOOK_MS = 1_000  # what the system does not report, as on a network drive, is seen within this
DEBOUNCE_MS = 200  # an editor writes a file in several strokes

Signature = Mapping[str, tuple[int, int, int] | None]
"""File → (inode, size, time of change in ns); None where there is none."""


def watch_tests(blueprint: Path, overlays: Sequence[Path], arguments: Sequence[str]) -> int:
    """Run `streamlets test` with these arguments, and again after each change, until Ctrl-C; then return 0."""
    from blueprints.cases import cases_path

    always = [blueprint, cases_path(blueprint), *overlays]
    read: set[Path] = set()
    try:
        with tempfile.TemporaryDirectory(prefix="streamlets-watch-") as folder:
            listing = Path(folder, "read")
            while True:
                files = read | {path.resolve() for path in always}
                before = _signature(files)
                if sys.stdout.isatty():
                    click.clear()
                _run([*arguments, "--read-files", os.fspath(listing)])
                if listing.exists():
                    read |= {Path(line) for line in listing.read_text("utf-8").splitlines()}
                files |= read
                # what was read of a file that has changed meanwhile is told by the difference
                before = {**_signature(read), **before}
                click.echo(f"watching {len(files)} files; Ctrl-C ends")
                _wait_changed(files, before)
    except KeyboardInterrupt:
        click.echo()
        return 0


def _run(arguments: Sequence[str]) -> None:
    process = subprocess.Popen([sys.executable, "-m", "streamlets", "test", *arguments])  # noqa: S603 - it is us
    try:
        process.wait()
    except KeyboardInterrupt:
        process.wait()  # the terminal has interrupted it too
        raise


def _wait_changed(files: Iterable[Path], before: Signature) -> None:
    from watchfiles import watch  # here, because no other command needs it

    wanted = sorted(set(files))
    if _signature(wanted) != dict(before):
        return
    folders = {path.parent for path in wanted if path.parent.is_dir()}
    for _ in watch(
        *folders,
        watch_filter=None,
        debounce=DEBOUNCE_MS,
        step=DEBOUNCE_MS // 4,
        rust_timeout=LOOK_MS,
        yield_on_timeout=True,
        recursive=False,
        raise_interrupt=True,
    ):
        if _signature(wanted) != dict(before):
            return


def _signature(files: Iterable[Path]) -> dict[str, tuple[int, int, int] | None]:
    found: dict[str, tuple[int, int, int] | None] = {}
    for path in files:
        try:
            stat = path.stat()
        except OSError:
            found[os.fspath(path)] = None
        else:
            found[os.fspath(path)] = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    return found


def write_read_files(target: Path, blueprint: Path, overlays: Sequence[Path], plans: Sequence[Plan]) -> None:
    """List the files that a run was made of: blueprint, tests, schemas, files in options, and the user's modules."""
    from blueprints.cases import cases_path

    folder = blueprint.resolve().parent
    files = {path.resolve() for path in (blueprint, cases_path(blueprint), *overlays)}
    files |= set(folder.glob("*.py"))  # one that could not be imported is in no list of modules
    for plan in plans:
        for topic in plan.topics.values():
            if topic.contract is not None:
                files |= _files(topic.contract.source, folder)
        for streamlet in plan.streamlets.values():
            for text in _texts(streamlet.options):
                files |= _files(text, folder)
    files |= {path for path in _modules() if path.is_relative_to(folder) or not _is_installed(path)}
    target.write_text("".join(f"{path}\n" for path in sorted(files)), "utf-8")


def _files(text: str, folder: Path) -> set[Path]:
    try:
        path = (folder / text).resolve()
        return {path} if len(text) < 4_096 and path.is_file() else set()
    except (OSError, ValueError):
        return set()


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _modules() -> set[Path]:
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return {Path(file).resolve() for file in files if file}


def _is_installed(path: Path) -> bool:
    """Return whether a module is Python's own, an installed package's, or one of ours."""
    import streamlets

    places = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    ours = Path(streamlets.__file__).resolve().parent.parent
    places += [os.fspath(ours / name) for name in ("streamlets", "blueprints", "detectors", "deploy")]
    return any(path.is_relative_to(Path(place).resolve()) for place in places) or ".so" in path.suffixes
