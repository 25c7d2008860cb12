"""The demo as a stranger meets it: run, killed in the middle, run again; and the drift that it shows."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from blueprints.examples import flight_delays
from blueprints.examples.flight_delays.features import Departure, features
from streamlets.cli.demo_servers import HOST, free_ports
from streamlets.engine.clock import SystemClock
from streamlets.event import Delivery
from streamlets.transports.embedded import EmbeddedTransport
from streamlets.transports.transport import TopicPartition

BLUEPRINT = Path(flight_delays.__file__).parent / "flight-delays.yaml"
COMMAND = [sys.executable, "-c", "from streamlets.cli.main import main; main()"]


def streamlets(folder: Path, *arguments: str, timeout_s: float = 100) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, capture_output=True, text=True, timeout=timeout_s
    )


def read(folder: Path, topic: str) -> list[list[Delivery]]:
    """Return the events of a topic by partition."""

    async def go() -> list[list[Delivery]]:
        log = EmbeddedTransport(
            folder / ".streamlets" / "flight-delays.log", "flight-delays", clock=SystemClock(), role="client"
        )
        await log.start()
        try:
            found = []
            for partition, (first, end) in sorted((await log.offsets(topic)).items()):
                found.append(await log.read(TopicPartition(topic, partition), first, 1_000_000, end))
            return found
        finally:
            await log.close()

    return asyncio.run(go())


def is_let_through(departure: Delivery) -> bool:
    return features(Departure.model_validate_json(departure.value or b"")) is not None


def headers(deliveries: Sequence[Delivery], name: str) -> list[str | None]:
    return [delivery.header(name) for delivery in deliveries]


def wait_scored(process: subprocess.Popen[str], share: float) -> list[psutil.Process]:
    """Return the demo's children once so much of its flights is scored."""
    assert process.stderr is not None
    for line in process.stderr:
        if " flights, " in line and "/s;" in line:
            _, done, _, limit = line.split()[:4]
            if int(done.replace(",", "")) >= share * int(limit.replace(",", "")):
                break
    return psutil.Process(process.pid).children(recursive=True)


@pytest.mark.demo
@pytest.mark.timeout(240)
def test_killed_in_the_middle_it_goes_on_and_predicts_every_flight_once_in_order(tmp_path: Path) -> None:
    arguments = ["demo", "--limit", "6000", "--rate", "600", "--output", "json"]
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        children = wait_scored(process, 0.2)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=10)
    assert len(children) >= 2  # the model servers at least
    deadline_s = time.monotonic() + 10
    while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children):
        assert time.monotonic() < deadline_s, "a child outlives the demo"
        time.sleep(0.05)
    n_before = sum(map(len, read(tmp_path, "flight-delays.predictions")))
    assert 0 < n_before < 6_000

    again = streamlets(tmp_path, "demo", "--limit", "6000", "--rate", "800", "--output", "json")
    assert again.returncode == 0, again.stderr
    told: dict[str, Any] = json.loads(again.stdout)
    assert (told["flights"], told["scored"] + told["filtered"], told["dead_letters"]) == (6_000, 6_000, 0)
    assert (told["repeated"], told["out_of_order"], told["account"]["missing"]) == (0, 0, 0)
    assert set(told["versions"]) == {"1", "2"}
    assert {switch["partition"] for switch in told["switches"]} == {0, 1, 2, 3}

    departures = read(tmp_path, "flight-delays.departures")
    predictions = read(tmp_path, "flight-delays.predictions")
    ids = [event.header("ce_id") for partition in departures for event in partition]
    assert len(set(ids)) == len(ids) == 6_000
    for departed, predicted in zip(departures, predictions, strict=True):
        expected = [event.header("ce_subject") for event in departed if is_let_through(event)]
        assert headers(predicted, "ce_subject") == expected
    for switch in told["switches"]:
        versions = headers(predictions[switch["partition"]], "ce_modelversion")
        assert versions == sorted(versions, key=str)  # version 1, and from one offset on version 2
        assert (
            versions.index("2") == switch["offset"]
        )  # the n-th flight of a partition is its n-th prediction

    account = streamlets(tmp_path, "account", str(BLUEPRINT))
    assert account.returncode == 0
    assert "0 missing" in account.stdout


@pytest.mark.demo
@pytest.mark.timeout(240)
def test_it_tells_of_the_drift_of_spring_and_of_the_other_version(tmp_path: Path) -> None:
    shown = streamlets(tmp_path, "demo", timeout_s=200)
    assert shown.returncode == 0, shown.stderr
    assert "drift firing: temp higher" in shown.stdout
    assert "version 2 scores partition 3 from offset" in shown.stdout
    assert "0 missing: every event is accounted for" in shown.stdout
    assert "0 dead letters" in shown.stdout
    assert shown.stderr == ""
    alerts = [msgspec.json.decode(e.value or b"") for e in read(tmp_path, "flight-delays.drift-alerts")[0]]
    assert [(alert["state"], alert["top"]) for alert in alerts] == [("firing", ["temp"])]

    twice = streamlets(tmp_path, "demo", "--rate", "3000")
    assert twice.returncode == 0
    assert "38,900 flights were scored by earlier runs" in twice.stdout


@pytest.mark.demo
def test_a_port_that_is_taken_is_replaced_by_a_free_one() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        first, second = free_ports([port, port])
        assert port not in (first, second)
        assert first != second
