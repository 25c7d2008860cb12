"""A blueprint of a thousand streamlets is linted in seconds, right or wrong; twice as many take about twice as long."""

import time

import pytest

from blueprints.load import verify
from streamlets.catalog import Streamlets


def chain(n):
    lines = ["name: large", "streamlets:", "  s0: { use: file, with: { path: readings.jsonl } }"]
    lines += [f'  s{i}: {{ use: filter, with: {{ where: "celsius > {i % 50}.0" }} }}' for i in range(1, n)]
    lines += ["topics:"]
    lines += [
        f"  t{i}: {{ producers: [s{i}.out], consumers: [s{i + 1}.in], key: sensor }}" for i in range(n - 1)
    ]
    lines += [f"  t{n - 1}: {{ producers: [s{n - 1}.out], external: true }}"]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name", "name"),
        ("consumers: [s", "consumers: [z"),
        pytest.param("use: filter", "use: flter", marks=pytest.mark.slow),
        pytest.param("where:", "were:", marks=pytest.mark.slow),
        pytest.param("[s0.out]", "[s0.out, s999.out]", marks=pytest.mark.slow),
    ],
    ids=["right", "misnamed ports", "misspelt built-ins", "misspelt options", "a cycle through all"],
)
def test_a_thousand_streamlets_take_seconds(tmp_path, old, new):
    (tmp_path / "readings.jsonl").write_text("{}\n")
    path = tmp_path / "a.yaml"
    path.write_text(chain(1_000).replace(old, new))
    began = time.process_time()
    found = verify(path, Streamlets(), {})
    assert time.process_time() - began < 8.0  # 0.7 to 1.2 s on a machine with nothing else to do
    assert bool(found) == (old != new)
    assert len(found) <= 1_000


@pytest.mark.slow
def test_twice_as_many_take_about_twice_as_long(tmp_path):
    (tmp_path / "readings.jsonl").write_text("{}\n")
    path, catalog = tmp_path / "a.yaml", Streamlets()

    def seconds(n):
        path.write_text(chain(n))
        best = 1e9
        for _ in range(3):
            began = time.process_time()
            verify(path, catalog, {})
            best = min(best, time.process_time() - began)
        return best

    seconds(50)
    assert seconds(800) < 8 * seconds(
        200
    )  # four times as many: 4 where it is linear, 16 where it is quadratic
