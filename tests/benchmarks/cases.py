"""Blueprint tests a second, and memory over many. `python -m tests.benchmarks.cases [--seconds S]`.

The cases of the example (features, scoring with its payload log, drift; some in several steps) and of what
`streamlets new` writes, again and again in one process, as a large test file would have them.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import tempfile
import time
from pathlib import Path

import psutil

from blueprints.cases import cases_path, load_cases
from streamlets.cli.blueprint import load_plan
from streamlets.cli.main import run
from streamlets.cli.test import quiet
from streamlets.engine.cases import Cases

EXAMPLE = Path(__file__).parents[2] / "blueprints/examples/flight_delays/flight-delays.yaml"


def per_second(blueprint: Path, seconds: float) -> tuple[float, int]:
    """Return (cases a second, cases run) of a blueprint's own test file."""
    from streamlets.catalog import Streamlets

    plan, catalog = load_plan(blueprint), Streamlets()
    cases = Cases(plan, lambda use: catalog.component(use, plan.base_dir))
    found = load_cases(cases_path(blueprint))
    for case in found:
        assert cases.run(case).is_passed, case.name
    n, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for case in found:
            assert cases.run(case).is_passed, case.name
        n += len(found)
    return n / (time.perf_counter() - began), n


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=5.0)
    seconds = parser.parse_args().seconds
    quiet()
    with tempfile.TemporaryDirectory(prefix="streamlets-bench-") as folder:
        os.chdir(folder)
        assert run(["new", "fresh"]) == 0
        os.chdir("fresh")
        fresh, _ = per_second(Path("fresh.yaml"), seconds)
        process = psutil.Process()
        gc.collect()
        before = process.memory_info().rss
        example, n = per_second(EXAMPLE, seconds)
        gc.collect()
        grown = process.memory_info().rss - before
        os.chdir("/")
    print(json.dumps({"example": example, "fresh": fresh, "n": n, "grown_mib": grown / 2**20}))


if __name__ == "__main__":
    main()
