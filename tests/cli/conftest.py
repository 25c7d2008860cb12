"""What the tests of `streamlets test` share: an application, and what runs cases of it."""

import textwrap
from pathlib import Path

import pytest

from streamlets.cli.main import run

SENSORS = """
name: sensors
streamlets:
  warm: { use: filter, with: { where: "celsius > ${LIMIT:-30.0}" } }
  windows: { use: "tests.simulation.own:Tumble", with: { count: 3, wait_s: 5.0 } }
  score:
    use: score
    with: { model: m, servers: [ "http://nowhere:1" ], inputs: { x: [a, b] }, outputs: { y: y }, include: [a] }
  print: { use: console }
topics:
  rows: { external: true, consumers: [score.in] }
  predictions: { producers: [score.out] }
  readings: { external: true, consumers: [warm.in], key: sensor, partitions: 2 }
  warm: { producers: [warm.out], consumers: [print.in] }
  values: { external: true, consumers: [windows.in] }
  windows: { producers: [windows.out] }
"""


@pytest.fixture
def tested(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Return what runs cases: (cases as YAML, further arguments) → (exit code, what was printed)."""
    (tmp_path / "sensors.yaml").write_text(textwrap.dedent(SENSORS))

    def test(cases: str, *arguments: str) -> tuple[int, str]:
        (tmp_path / "sensors_test.yaml").write_text("cases:\n" + textwrap.dedent(cases))
        code = run(["test", str(tmp_path / "sensors.yaml"), *arguments])
        told = capsys.readouterr()
        return code, (told.out + told.err).replace(f"{tmp_path}/", "")

    return test
