"""The power may be cut at any moment: what was acknowledged is there afterwards, and no release is there in part."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import apsw
import pytest

from streamlets.event import Record
from streamlets.suites.transport import Listener
from streamlets.transports import embedded_file, embedded_writer
from streamlets.transports.embedded import EmbeddedTransport
from streamlets.transports.embedded_consumer import decoded_chunk
from streamlets.transports.embedded_reader import Reader
from streamlets.transports.transport import Durability, Release, TopicPartition, TopicSpec
from tests.transports.embedded_place import RealClock
from tests.transports.power import Crash, Recorder, crashes

TOPICS = [
    TopicSpec(name="in"),
    TopicSpec(name="a"),
    TopicSpec(name="b"),
    TopicSpec(name="state", compacted=True),
]
WHERE = TopicPartition("in", 0)
BATCH = 3


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_writer, "CHECKPOINT_PAGES", 12)  # several checkpoints in a short run


def recorded(path: Path, rounds: int, durability: Durability = "full") -> Recorder:
    """Return a run recorded: appends, releases with state, compactions and checkpoints among them."""
    recorder = Recorder()
    sync_folder = embedded_file.sync_folder

    def sync_and_record(folder: Path) -> None:
        sync_folder(folder)
        recorder.sync_folder()

    async def run() -> None:
        log = EmbeddedTransport(path, "app", clock=RealClock(), durability=durability, vfs=recorder.name)
        await log.start()
        await log.ensure(TOPICS)
        listener = Listener({WHERE: 0})
        consumer = await log.consumer("g", ["in"], listener)
        for number in range(rounds):
            first = number * BATCH
            await log.append([Record("in", 0, None, b"%d" % n, []) for n in range(first, first + BATCH)])
            recorder.acknowledge("in", first + BATCH)
            deliveries = await consumer.poll(BATCH, 5.0)
            assert len(deliveries) == BATCH
            end = deliveries[-1].offset + 1
            records = [Record(topic, 0, None, d.value, []) for d in deliveries for topic in ("a", "b")]
            records.append(Record("state", 0, b"total", b"%d" % end, [("pad", os.urandom(2000))]))
            records.append(Record("state", 0, b"%d" % (number % 3), b"%d" % end, []))
            await consumer.release(Release(group="g", records=records, offsets={WHERE: end}))
            recorder.acknowledge("released", end)
            if number % 5 == 4:
                await log.tidy()
        await log.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded_file, "sync_folder", sync_and_record)
        asyncio.run(run())
    return recorder


def look(folder: Path, crash: Crash) -> None:
    """Open what a power cut has left. Fails where something acknowledged is gone or a release is torn."""
    path = folder / "app.log"
    for suffix in ("", "-wal", "-shm", "-journal"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    for name, content in crash.files.items():
        (folder / name).write_bytes(content)
    connection = apsw.Connection(str(path))
    try:
        assert connection.pragma("integrity_check") == "ok"
        if not connection.table_exists("main", "chunks"):
            assert not crash.acknowledged, "the whole log is gone"
            return
    finally:
        connection.close()
    reader = Reader(path, "worker", "full", None, lambda ends: None)
    try:
        topics, places = reader.catalog()
        if not topics:
            assert not crash.acknowledged, "every topic is gone"
            return
        assert topics.keys() == {topic.name for topic in TOPICS}
        found: dict[str, list[tuple[bytes | None, bytes | None]]] = {}
        for where, place in places.items():
            chunks = reader.chunks(place, 0, 1 << 40, 1 << 40)
            deliveries = [d for chunk in chunks for d in decoded_chunk(where, chunk.last, chunk.body)]
            found[where.topic] = [(d.key, d.value) for d in deliveries]
        released = reader.committed("g").get(places[WHERE], 0)
    finally:
        reader.close()
    assert released >= crash.acknowledged.get("released", 0), "an acknowledged release is gone"
    assert len(found["in"]) >= crash.acknowledged.get("in", 0), "an acknowledged event is gone"
    assert found["in"] == [(None, b"%d" % n) for n in range(len(found["in"]))]
    assert found["a"] == found["b"] == found["in"][:released], "a release is torn"
    assert dict(found["state"]).get(b"total", b"0") == b"%d" % released, "state is not that of the release"


def survive(tmp_path: Path, rounds: int, seed: int, share: float = 1.0) -> int:
    """Return how many power cuts of a run were looked at: a share of them all."""
    recorder = recorded(tmp_path / "app.log", rounds)
    folder = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else tmp_path
    folder = folder / f"streamlets-power-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    count = 0
    try:
        for crash in crashes(recorder.ops, random.Random(seed), share):
            count += 1
            try:
                look(folder, crash)
            except BaseException as exc:
                exc.add_note(
                    f"power cut at operation {crash.at}, of what was not synced {crash.way}, seed {seed}"
                )
                raise
    finally:
        for left in folder.iterdir():
            left.unlink()
        folder.rmdir()
    return count


def test_a_power_cut_takes_nothing_back_that_was_acknowledged(tmp_path: Path) -> None:
    assert survive(tmp_path, rounds=6, seed=1, share=0.5) > 60


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(3))
def test_a_power_cut_at_every_sync_in_every_way_leaves_the_log_whole(tmp_path: Path, seed: int) -> None:
    rounds = int(os.environ.get("STREAMLETS_POWER_ROUNDS", "60"))
    share = float(os.environ.get("STREAMLETS_POWER_SHARE", "1"))
    count = survive(tmp_path, rounds=rounds, seed=seed, share=share)
    print(f"{count} power cuts in a run of {rounds} rounds")
    assert count > rounds * 10 * share


def test_the_power_cut_would_see_a_log_that_does_not_sync_its_commits(tmp_path: Path) -> None:
    recorder = recorded(tmp_path / "app.log", rounds=4, durability="normal")
    folder = tmp_path / "after"
    folder.mkdir()

    def look_at_all() -> None:
        for crash in crashes(recorder.ops, random.Random(1)):
            look(folder, crash)

    with pytest.raises(AssertionError, match="is gone"):
        look_at_all()
