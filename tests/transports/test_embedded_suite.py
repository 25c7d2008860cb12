"""The embedded log passes the suite that every transport must pass."""

from pathlib import Path

import pytest

from streamlets.suites.transport import TransportSuite
from tests.transports.embedded_place import EmbeddedPlace


class TestEmbedded(TransportSuite):
    @pytest.fixture
    def place(self, tmp_path: Path) -> EmbeddedPlace:
        return EmbeddedPlace(tmp_path)
