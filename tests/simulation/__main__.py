"""Replay one seed and tell its story: `python -m tests.simulation --world copy --seed 17`; or try many."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.run import simulate
from tests.simulation.worlds import WORLDS


def main() -> int:
    """Return 0 when every promise was kept, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, from the first on")
    parser.add_argument("--world", choices=sorted(WORLDS), action="append", help="default: all of them")
    parser.add_argument("--quiet", action="store_true", help="findings only, not the story")
    given = parser.parse_args()
    failed = 0
    began = time.perf_counter()
    for world in given.world or WORLDS:
        for seed in range(given.seed, given.seed + given.seeds):
            result = simulate(world, seed)
            if given.seeds == 1 and not given.quiet:
                print("\n".join(result.storm.story))
                print(dict(result.storm.fired))
            if result.findings:
                failed += 1
                print(result)
    print(f"{failed} runs with findings, {time.perf_counter() - began:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
