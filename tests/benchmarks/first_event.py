"""Seconds from typing `streamlets run` to the first prediction in the log. `python -m tests.benchmarks.first_event`."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from streamlets.cli.blueprint import load_plan
from streamlets.engine.clock import SystemClock
from streamlets.event import Record
from streamlets.transports.embedded import EmbeddedTransport
from streamlets.transports.transport import TopicSpec
from tests.benchmarks.work import BLUEPRINT, event


async def measure(folder: Path, port: int) -> float:
    blueprint = folder / "bench.yaml"
    blueprint.write_text(BLUEPRINT.format(port=port))
    plan = load_plan(blueprint)
    file = folder / "bench.log"
    transport = EmbeddedTransport(file, plan.name, clock=SystemClock())
    await transport.start()
    source, sink = plan.topics["departures"].log_name, plan.topics["predictions"].log_name
    await transport.ensure([TopicSpec(name=source, partitions=4), TopicSpec(name=sink, partitions=4)])
    key, data, headers = event(1)
    await transport.append([Record(source, 0, key, data, headers, 0)])
    await transport.close()

    began = time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "streamlets",
        "run",
        str(blueprint),
        "--quiet",
        "--on",
        f"embedded:{file}",
    ]
    worker = await asyncio.create_subprocess_exec(*command, cwd=folder, stderr=subprocess.DEVNULL)
    reader = EmbeddedTransport(file, plan.name, clock=SystemClock(), role="client")
    await reader.start()
    try:
        while not any(end for _, end in (await reader.offsets(sink)).values()):
            if time.perf_counter() - began > 30:
                raise TimeoutError("no prediction within 30 s")
            await reader.wait(0.02)
        return time.perf_counter() - began
    finally:
        worker.terminate()
        await worker.wait()
        await reader.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="streamlets-bench-") as folder:
        print(json.dumps({"seconds": asyncio.run(measure(Path(folder), given.port))}))


if __name__ == "__main__":
    main()
