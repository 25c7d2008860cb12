"""A worker killed at any step of a release loses nothing it acknowledged and leaves nothing torn."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from streamlets.faults import VARIABLE
from streamlets.transports import embedded_writer
from tests.transports.copy_worker import check, fill
from tests.transports.embedded_place import EmbeddedPlace

RELEASE = ["release.begin", "release.records", "release.offsets", "release.commit", "release.committed"]
CHECKPOINT = ["checkpoint.begin", "checkpoint.done"]


def run_worker(
    place: EmbeddedPlace, fault: str, batch: int, released: dict[int, int], patience: int = sys.maxsize
) -> int:
    """Run a worker to its end or its death; return the exit status and add what it acknowledged.

    It is killed from here after `patience` acknowledgements: at whatever moment that is for it.
    """
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.transports.copy_worker", str(place.path), str(batch)],
        env={**os.environ, VARIABLE: fault},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    for count, line in enumerate(worker.stdout, start=1):
        partition, offset = line.split()
        released[int(partition)] = int(offset)
        if count == patience:
            worker.kill()
    worker.stdout.close()
    return worker.wait()


def survive(place: EmbeddedPlace, faults: list[str], count: int, batch: int, size: int = 0) -> None:
    """Copy `count` events a partition through deaths at these faults, looking at the log after each one.

    A client stays connected all the while, so that what a dead worker leaves in shared memory is looked at too.
    """

    async def story() -> None:
        maker = place.transport()
        await maker.start()
        await fill(maker, count, size)
        await maker.close()
        witness = place.transport("client")
        await witness.start()
        released: dict[int, int] = {}
        deaths = 0
        try:
            for fault in faults:
                status = await asyncio.to_thread(run_worker, place, fault, batch, released)
                deaths += status == -signal.SIGKILL
                committed = await check(witness, released)
                fresh = place.transport("client")
                await fresh.start()
                assert await check(fresh, released) == committed
                await fresh.close()
                with apsw.Connection(str(place.path)) as connection:
                    assert connection.pragma("integrity_check") == "ok"
                connection.close()
            assert await asyncio.to_thread(run_worker, place, "", batch, released) == 0
            assert await check(witness, released) == {0: count, 1: count}
        finally:
            await witness.close()
        assert deaths == len(faults), "a fault that never fired proves nothing"

    asyncio.run(story())


@pytest.fixture
def place(tmp_path: Path) -> EmbeddedPlace:
    return EmbeddedPlace(tmp_path)


def test_a_worker_killed_around_its_commit_loses_and_repeats_nothing(place: EmbeddedPlace) -> None:
    survive(place, ["release.commit:kill:2", "release.committed:kill:3"], count=40, batch=4)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("point", RELEASE)
def test_a_worker_may_be_killed_at_every_step_of_a_release(place: EmbeddedPlace, point: str) -> None:
    survive(place, [f"{point}:kill:{n}" for n in (1, 2, 3, 7)], count=400, batch=10)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("point", CHECKPOINT)
def test_a_worker_may_be_killed_at_a_checkpoint(place: EmbeddedPlace, point: str) -> None:
    # Large events: each run writes more than a checkpoint waits for.
    size = embedded_writer.CHECKPOINT_PAGES * 4096 // 80
    survive(place, [f"{point}:kill:1"] * 2, count=300, batch=20, size=size)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_worker_may_be_killed_again_and_again(place: EmbeddedPlace) -> None:
    dice = random.Random(7)
    faults = [f"{dice.choice(RELEASE)}:kill:{dice.randint(1, 12)}" for _ in range(20)]
    survive(place, faults, count=5000, batch=7)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_worker_killed_from_outside_at_any_moment_loses_and_repeats_nothing(place: EmbeddedPlace) -> None:
    async def story() -> None:
        dice = random.Random(11)
        maker = place.transport()
        await maker.start()
        await fill(maker, 20_000)
        await maker.close()
        released: dict[int, int] = {}
        deaths = 0
        for _ in range(12):
            status = await asyncio.to_thread(run_worker, place, "", 20, released, dice.randint(1, 60))
            deaths += status == -signal.SIGKILL
            witness = place.transport("client")
            await witness.start()
            await check(witness, released)
            await witness.close()
        assert deaths >= 10

    asyncio.run(story())
