"""The same work done by Streamlets on the embedded log. `python -m tests.benchmarks.our_score`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import tempfile
import time
from pathlib import Path

from streamlets.cli.blueprint import load_plan
from streamlets.cli.run import build_worker, settle_memory
from streamlets.engine.clock import SystemClock
from streamlets.event import Record
from streamlets.transports.embedded import EmbeddedTransport
from streamlets.transports.transport import TopicSpec
from tests.benchmarks.work import BLUEPRINT, PARTITIONS, event


async def run(folder: Path, port: int, n: int) -> dict[str, float]:
    blueprint = folder / "bench.yaml"
    blueprint.write_text(BLUEPRINT.format(port=port))
    plan = load_plan(blueprint)
    transport = EmbeddedTransport(folder / "bench.log", plan.name, clock=SystemClock())
    await transport.start()
    topic = plan.topics["departures"].log_name
    await transport.ensure([TopicSpec(name=topic, partitions=PARTITIONS)])
    for start in range(0, n, 10_000):
        records = []
        for i in range(start, min(n, start + 10_000)):
            key, data, headers = event(i)
            records.append(Record(topic, i % PARTITIONS, key, data, headers, 0))
        await transport.append(records)
    worker = build_worker(plan, transport, None)
    await worker.start()
    settle_memory()
    samples: list[float] = []

    async def sample() -> None:
        while True:
            samples.append(_rss_mib())
            await asyncio.sleep(0.5)

    sampling = asyncio.create_task(sample())
    wall, cpu = time.perf_counter(), time.process_time()
    ended = await worker.run(until_idle=True)
    result = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    sampling.cancel()
    assert ended.exit_code == 0, ended.causes
    found = await transport.offsets(plan.topics["predictions"].log_name)
    count = sum(end - first for first, end in found.values())
    assert count == n, f"{count} predictions of {n} events"
    calls = worker.running["score"].stage.gauges.values.get("calls")
    if calls is not None:
        result["calls"] = calls
    quarter = max(1, len(samples) // 4)
    result["rss_first_quarter_mib"] = max(samples[:quarter])
    result["rss_last_quarter_mib"] = max(samples[-quarter:])
    result["rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    await transport.close()
    return result


def _rss_mib() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    import uvloop

    with tempfile.TemporaryDirectory(prefix="streamlets-bench-") as folder:
        print(json.dumps(uvloop.run(run(Path(folder), given.port, given.events))))


if __name__ == "__main__":
    main()
