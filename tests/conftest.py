"""What every test has: an interpreter that is as it was before the test before it."""

import sys

import pytest


@pytest.fixture(autouse=True)
def _path_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """A blueprint's folder is put on the path: its modules are nobody else's, in the next test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
