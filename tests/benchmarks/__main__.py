"""`make bench`: every figure with its ratio, its goal and whether it holds; written as JSON to bench.json too.

Whole processes in turn (A B A B …), medians with the spread: the machine is shared, so a ratio of neighbours is worth
more than a figure alone. `python -m tests.benchmarks NAME …` runs some of them; `--quick` fewer events and turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tests.benchmarks import twenty

ROOT = Path(__file__).resolve().parents[2]


class Figure(msgspec.Struct):
    """One line of the report. `holds` is None where there is no goal to hold."""

    name: str
    value: str
    goal: str = ""
    holds: bool | None = None
    raw: dict[str, Any] = {}


class Bench:
    """What the figures share: sizes, and a way to run a module as a process."""

    def __init__(self, quick: bool) -> None:
        self.events = 40_000 if quick else 150_000
        self.turns = 2 if quick else 5
        self.million = 200_000 if quick else 1_000_000

    def module(self, name: str, *arguments: object) -> dict[str, float]:
        done = subprocess.run(
            [sys.executable, "-m", f"tests.benchmarks.{name}", *map(str, arguments)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=900,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{name} failed: {done.stderr[-2000:]}")
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found

    def wall_s(self, *command: str, cwd: Path) -> float:
        # As a user has it: with compiled modules, whatever this machine's own setting is.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "streamlets", *command],
            cwd=cwd,
            env=environment,
            capture_output=True,
            check=True,
        )
        return time.perf_counter() - began


class Stub:
    """The model server that costs next to nothing, as a process of its own."""

    def __enter__(self) -> int:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.stub"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def _spread(values: list[float], digits: int = 2) -> str:
    middle = statistics.median(values)
    return f"{middle:.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def score(bench: Bench) -> list[Figure]:
    """The scoring work on the embedded log, beside a bare apsw and aiohttp loop that does the same writes."""
    bare, ours = [], []
    with Stub() as port:
        for _ in range(bench.turns):
            bare.append(bench.module("bare_loop", "--events", bench.events, "--port", port))
            ours.append(bench.module("our_score", "--events", bench.events, "--port", port))
    ratios = [a["cpu_s"] / b["cpu_s"] for a, b in zip(ours, bare)]
    rates = [bench.events / a["wall_s"] for a in ours]
    bare_rates = [bench.events / b["wall_s"] for b in bare]
    per_event = [a["cpu_s"] / bench.events * 1e6 for a in ours]
    fewest = -(-bench.events // 128)
    calls = [a["calls"] / fewest for a in ours if "calls" in a]
    raw = {"bare": bare, "ours": ours}
    figures = [
        Figure(
            "score: CPU beside the bare loop",
            _spread(ratios),
            "<= 1.4",
            statistics.median(ratios) <= 1.4,
            raw,
        ),
        Figure(
            "score: events/s, input in the log",
            f"{_spread(rates, 0)}, bare {_spread(bare_rates, 0)}",
            ">= 25000",
            statistics.median(rates) >= 25_000,
        ),
        Figure("score: CPU an event, µs", _spread(per_event, 1)),
    ]
    if calls:
        middle = statistics.median(calls)
        figures.append(
            Figure("score: calls beside the fewest possible", _spread(calls), "<= 1.1", middle <= 1.1)
        )
    return figures


def memory(bench: Bench) -> list[Figure]:
    """Memory of the scoring worker over a million events."""
    with Stub() as port:
        found = bench.module("our_score", "--events", bench.million, "--port", port)
    grown = found["rss_last_quarter_mib"] - found["rss_first_quarter_mib"]
    return [
        Figure(
            f"score: memory over {bench.million} events, MiB",
            f"{found['rss_last_quarter_mib']:.0f}, {grown:+.0f} from the first quarter to the last",
            "<= 200, flat",
            found["rss_last_quarter_mib"] <= 200 and grown <= 20,
            dict(found),
        )
    ]


def start(bench: Bench) -> list[Figure]:
    """From `run` to the first event scored, the server being ready."""
    with Stub() as port:
        found = [bench.module("first_event", "--port", port)["seconds"] for _ in range(bench.turns)]
    return [
        Figure(
            "start to the first event scored, s", _spread(found), "<= 1.5", statistics.median(found) <= 1.5
        )
    ]


def cold(bench: Bench) -> list[Figure]:
    """`--help`, and `verify` of twenty built-in streamlets with expressions, a contract and references, cold."""
    with tempfile.TemporaryDirectory(prefix="streamlets-bench-") as name:
        folder = Path(name)
        twenty.write(folder)
        bench.wall_s("verify", "twenty.yaml", cwd=folder)  # the disk is warm, and modules are compiled
        helps = [bench.wall_s("--help", cwd=folder) * 1000 for _ in range(bench.turns * 2)]
        verifies = [bench.wall_s("verify", "twenty.yaml", cwd=folder) * 1000 for _ in range(bench.turns * 2)]
        blank = []
        for _ in range(bench.turns * 2):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", "pass"], check=True)
            blank.append((time.perf_counter() - began) * 1000)
    python = statistics.median(blank)
    return [
        Figure(
            "--help, cold, ms",
            f"{_spread(helps, 0)}, an empty Python {python:.0f}",
            "<= 150",
            min(helps) <= 150,
        ),
        Figure("verify of 20 built-ins, cold, ms", _spread(verifies, 0), "<= 400", min(verifies) <= 400),
    ]


def ledger(bench: Bench) -> list[Figure]:
    """The ledger's own cost of a segment: open, settle, release; and that it does not grow with what is in flight."""
    from streamlets.engine.ledger import Ledger
    from streamlets.engine.tally import Tally

    def cost_us(in_flight: int, n: int = 20_000) -> float:
        found = Ledger(0)
        tally = Tally()
        entries: list[Any] = []
        for i in range(in_flight):
            entries.append(found.open((i * 100, i * 100 + 99), 1000, 0.0, 0))
        began = time.perf_counter()
        for i in range(in_flight, in_flight + n):
            entries.append(found.open((i * 100, i * 100 + 99), 1000, 0.0, 0))
            found.settle(entries[i - in_flight], records=[], changes={}, tally=tally)
            head = found.settled_head(1000)
            found.after(head)
            found.released(head)
        return (time.perf_counter() - began) / n * 1e6

    few = min(cost_us(4) for _ in range(5))
    many = min(cost_us(1000) for _ in range(5))
    return [
        Figure("ledger: open, settle and release of a segment, µs", f"{few:.1f}", "<= 5", few <= 5),
        Figure("ledger: the same with 1,000 segments in flight, µs", f"{many:.1f}", "<= 5", many <= 5),
    ]


def detector(bench: Bench) -> list[Figure]:
    """KS on a window of 500 x 30 against 10,000 x 30, beside scipy's ks_2samp feature by feature."""
    found = bench.module("ks_window")
    ratio = found["ours_ms"] / found["scipy_ms"]
    value = f"{found['ours_ms']:.1f} ms, scipy {found['scipy_ms']:.0f} ms: {ratio:.2f} x"
    return [Figure("KS of a window of 500 x 30", value, "<= 0.2 x", ratio <= 0.2)]


def cases(bench: Bench) -> list[Figure]:
    """Blueprint tests a second, each on an engine of its own; the best of some turns, as the machine is shared."""
    found = [bench.module("cases", "--seconds", 3) for _ in range(bench.turns)]
    figures = []
    for name, told in (("example", "the example's"), ("fresh", "those of `new`")):
        rates = [one[name] for one in found]
        goal = max(rates) >= 200
        figures.append(Figure(f"blueprint tests a second, {told}", _spread(rates, 0), ">= 200", goal))
    return figures


FIGURES: dict[str, Callable[[Bench], list[Figure]]] = {
    "score": score,
    "memory": memory,
    "start": start,
    "cold": cold,
    "ledger": ledger,
    "detector": detector,
    "cases": cases,
}


def main() -> int:
    """Print the report and return 0 when every goal holds, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FIGURES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="fewer events, fewer turns")
    given = parser.parse_args()
    if unknown := set(given.names) - set(FIGURES):
        parser.error(f"no such figure: {', '.join(sorted(unknown))}; there are {', '.join(FIGURES)}")
    bench = Bench(given.quick)
    figures: list[Figure] = []
    for name in given.names or FIGURES:
        for figure in FIGURES[name](bench):
            figures.append(figure)
            verdict = {None: "", True: "holds", False: "DOES NOT HOLD"}[figure.holds]
            print(f"{figure.name:<52} {figure.value:<58} {figure.goal:<14} {verdict}", flush=True)
    machine = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
    }
    report = {"machine": machine, "quick": given.quick, "figures": [msgspec.to_builtins(f) for f in figures]}
    (ROOT / "bench.json").write_text(json.dumps(report, indent=1))
    return 0 if all(figure.holds is not False for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
