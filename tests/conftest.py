"""What every test has: an interpreter that is as it was before the test before it; and what some need."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _path_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """A blueprint's folder is put on the path: its modules are nobody else's, in the next test."""
    monkeypatch.setattr(sys, "path", list(sys.path))


NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be somebody who may not read and write everything, as root may."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.fixture
def unprivileged() -> AbstractContextManager[None]:
    """Return a block in which permissions count, whoever runs the tests."""
    return as_nobody()


@pytest.fixture
def everybodys_folder() -> Iterator[Path]:
    """Return a folder that everybody may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="streamlets-") as name:
        Path(name).chmod(0o755)
        yield Path(name).resolve()
