"""The file sink: each event once in the file and in order, whatever crashes or is rewound, however full the disk."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import random
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from streamlets.builtin.file_sink import FileSink, line
from streamlets.component import Component
from streamlets.engine.virtual import virtual_run
from streamlets.errors import Fatal, StreamletsError, Unavailable
from streamlets.event import Delivery, Event, decode
from streamlets.ports import Outcome, Wiring
from tests.contexts import MapState, batch, context, delivery, numbered, raw


def sink(folder: Path, path: str = "out.jsonl") -> FileSink:
    return FileSink(FileSink.Options(path=path), context(base_dir=folder))


def written(*deliveries: Delivery) -> bytes:
    return b"".join([line(decode(d)) for d in deliveries])


def put(folder: Path, deliveries: list[Delivery], state: MapState, path: str = "out.jsonl") -> Outcome:
    """Write in a life of its own."""

    async def run() -> Outcome:
        writer = sink(folder, path)
        try:
            return await writer.process(batch(deliveries, state))
        finally:
            await writer.tear_down()

    return virtual_run(run())


# --- lines


def test_an_event_is_one_line_a_structured_cloudevent(tmp_path: Path) -> None:
    put(tmp_path, [delivery(1, {"n": 1}, key=b"UA", subject="UA1", time="2013-01-01T00:00:00Z")], MapState())
    (text,) = (tmp_path / "out.jsonl").read_text().splitlines()
    assert json.loads(text) == {
        "specversion": "1.0", "id": "1", "source": "/test", "type": "test", "subject": "UA1",
        "time": "2013-01-01T00:00:00Z", "datacontenttype": "application/json", "partitionkey": "UA",
        "data": {"n": 1},
    }  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [b'{\r\n  "n": 1,\n  "text": "a\\nb \xe2\x80\xa8"\n}', b"[1,\n2]", b"\n", b"no\njson", b"\xff\n", b""],
)
def test_data_over_several_lines_stay_one_line(data: bytes) -> None:
    text = line(Event(id="1", source="/test", type="test", data=data, datacontenttype="application/json"))
    assert text.count(b"\n") == 1
    assert b"\r" not in text
    found = json.loads(text)
    if "data" in found:
        assert found["data"] == json.loads(data)


def test_a_key_that_is_no_text_is_left_out() -> None:
    event = Event(id="1", source="/test", type="test", data=None, key=b"\xff")
    assert "partitionkey" not in json.loads(line(event))


def test_what_is_no_event_is_a_dead_letter_and_its_neighbours_are_written(tmp_path: Path) -> None:
    broken = raw(1, b"{}", [("ce_specversion", b"1.0"), ("ce_id", b"1")])
    outcome = put(tmp_path, [delivery(0), broken, delivery(2)], MapState())
    assert [(letter.index, letter.code) for letter in outcome.dead] == [(1, "undecodable")]
    assert (tmp_path / "out.jsonl").read_bytes() == written(delivery(0), delivery(2))


# --- each event once


class Death(BaseException):
    """What no code of ours catches, as it would not catch a SIGKILL."""


class Disk:
    """A disk that writes in pieces, may be full, and may see its writer die in the middle of a line."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.is_full = self.is_dying = False
        self._pwrite, self._fsync = os.pwrite, os.fsync

    def pwrite(self, fd: int, data: Any, at: int) -> int:
        if not (self.is_full or self.is_dying):
            return self._pwrite(fd, data, at)
        if (n := self.chance.randint(0, len(data) - 1)) and self.chance.random() < 0.6:
            return self._pwrite(fd, data[:n], at)
        self._fail()
        return 0

    def fsync(self, fd: int) -> None:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            self._fail()
        self._fsync(fd)

    def _fail(self) -> None:
        if self.is_dying:
            raise Death
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")


class Lives:
    """The engine as the sink sees it: batches processed, released later, rewound, and lives that end in a crash."""

    def __init__(self, folder: Path, deliveries: list[Delivery], disk: Disk) -> None:
        self.folder, self.deliveries, self.disk, self.chance = folder, deliveries, disk, disk.chance
        self.file = folder / "out.jsonl"
        self.released: tuple[int, dict[str, Any]] = (0, {})
        self.begin()

    def begin(self) -> None:
        self.sink = sink(self.folder)
        self.restore()

    def restore(self) -> None:
        self.position, entries = self.released
        self.state = MapState(dict(entries))
        self.settled: list[tuple[int, dict[str, Any]]] = []

    async def process(self) -> None:
        n = self.chance.randint(1, 4)
        part = self.deliveries[self.position : self.position + n]
        before = dict(self.state.entries)
        try:
            await self.sink.process(batch(part, self.state))
        except Unavailable:
            self.state = MapState(before)
            return
        self.position += len(part)
        self.settled.append((self.position, dict(self.state.entries)))

    def release(self) -> None:
        n = self.chance.randint(1, 3)
        if self.settled[:n]:
            self.released = self.settled[:n][-1]
            del self.settled[:n]

    async def rewind(self) -> None:
        """A release whose outcome is unknown, in the middle of a batch or between two."""
        if self.chance.random() < 0.5 and self.position < len(self.deliveries):
            work = asyncio.create_task(self.process())
            for _ in range(self.chance.randint(0, 3)):
                await asyncio.sleep(0)
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        self.sink.lost("topic", 0)
        self.restore()

    async def crash(self) -> None:
        """The process dies between two batches, or while one is written; the kernel closes the file."""
        if self.chance.random() < 0.5 and self.position < len(self.deliveries):
            self.disk.is_dying = True
            with pytest.raises(Death):
                await self.process()
            self.disk.is_dying = False
        await self.sink.tear_down()
        self.begin()

    def check(self) -> None:
        """What is released is in the file, once and in order, at any moment."""
        final = written(*self.deliveries[: self.released[0]])
        if final:
            assert self.file.read_bytes().startswith(final)


SEEDS = [*range(8), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(8, 200))]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_event_is_once_in_the_file_whatever_happens(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(random.Random(seed))
    monkeypatch.setattr(os, "pwrite", disk.pwrite)
    monkeypatch.setattr(os, "fsync", disk.fsync)

    async def run() -> None:
        lives = Lives(tmp_path, numbered([{"n": n, "fill": "x" * (n % 17)} for n in range(40)]), disk)
        while lives.released[0] < len(lives.deliveries):
            disk.is_full = disk.chance.random() < 0.1
            step = disk.chance.choices(["process", "release", "rewind", "crash"], [6, 4, 1, 1])[0]
            if step == "release":
                lives.release()
            elif step == "process" and lives.position < len(lives.deliveries):
                await lives.process()
            elif step == "rewind":
                await lives.rewind()
            elif step == "crash":
                await lives.crash()
            lives.check()
        await lives.sink.tear_down()
        assert lives.file.read_bytes() == written(*lives.deliveries)

    virtual_run(run())


def test_a_batch_that_was_processed_but_not_released_is_written_anew_from_the_same_place(
    tmp_path: Path,
) -> None:
    state = MapState()
    put(tmp_path, numbered(["a"]), state)
    released = dict(state.entries)
    put(tmp_path, [delivery(1, "b"), delivery(2, "c")], state)
    put(tmp_path, [delivery(1, "b")], MapState(released))
    assert (tmp_path / "out.jsonl").read_bytes() == written(delivery(0, "a"), delivery(1, "b"))


def test_what_a_crash_before_the_first_release_left_is_found_again_not_written_twice(tmp_path: Path) -> None:
    deliveries = numbered(range(6))
    whole = written(*deliveries)
    (tmp_path / "out.jsonl").write_bytes(whole[: len(written(*deliveries[:4])) + 7])
    state = MapState()
    put(tmp_path, deliveries[:3], state)
    put(tmp_path, deliveries[3:5], state)
    put(tmp_path, deliveries[5:], state)
    assert (tmp_path / "out.jsonl").read_bytes() == whole


def test_lines_of_somebody_else_are_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    file.write_bytes(b'{"mine": true}\n')
    with pytest.raises(Fatal, match="did not write; move it away") as fatal:
        put(tmp_path, numbered(range(3)), MapState())
    assert fatal.value.code == "file-foreign"
    assert file.read_bytes() == b'{"mine": true}\n'


def test_lines_of_somebody_else_behind_some_that_look_like_ours_are_refused_too(tmp_path: Path) -> None:
    deliveries = numbered(range(3))
    file = tmp_path / "out.jsonl"
    file.write_bytes(written(*deliveries[:2]) + b'{"mine": true}\n')
    state = MapState()
    put(tmp_path, deliveries[:1], state)
    with pytest.raises(Fatal, match="did not write"):
        put(tmp_path, deliveries[1:], state)
    assert file.read_bytes().endswith(b'{"mine": true}\n')


def test_another_path_begins_another_file(tmp_path: Path) -> None:
    state = MapState()
    put(tmp_path, [delivery(0)], state)
    put(tmp_path, [delivery(1)], state, "january/second.jsonl")
    put(tmp_path, [delivery(2)], state)
    assert (tmp_path / "out.jsonl").read_bytes() == written(delivery(0), delivery(2))
    assert (tmp_path / "january" / "second.jsonl").read_bytes() == written(delivery(1))


# --- the disk, and others on it


def failing(code: int) -> Callable[..., Any]:
    def fail(*arguments: Any) -> Any:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("call", ["pwrite", "fsync"])
def test_a_full_disk_is_waited_for_and_leaves_no_torn_line(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(random.Random(1))

    async def run() -> None:
        writer, state = sink(tmp_path), MapState()
        await writer.process(batch([delivery(0)], state))
        disk.is_full = True
        with monkeypatch.context() as patch:
            patch.setattr(os, call, getattr(disk, call))
            for _ in range(10):
                with pytest.raises(Unavailable, match="no space left on device; nothing is lost"):
                    await writer.process(batch([delivery(1)], state))
                assert (tmp_path / "out.jsonl").read_bytes() == written(delivery(0))
        await writer.process(batch([delivery(1)], state))
        await writer.tear_down()

    virtual_run(run())
    assert (tmp_path / "out.jsonl").read_bytes() == written(delivery(0), delivery(1))


def test_a_disk_that_is_read_only_is_fatal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwrite", failing(errno.EROFS))
    with pytest.raises(Fatal, match="read-only"):
        put(tmp_path, [delivery(0)], MapState())


def test_a_file_that_another_process_writes_is_refused_by_name(tmp_path: Path) -> None:
    holder = os.open(tmp_path / "out.jsonl", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(Fatal, match=r"out\.jsonl is being written by another process") as fatal:
            put(tmp_path, [delivery(0)], MapState())
        assert fatal.value.exit_code >= 128
    finally:
        os.close(holder)


def test_two_sinks_of_one_process_do_not_share_a_file(tmp_path: Path) -> None:
    async def run() -> None:
        one, two = sink(tmp_path), sink(tmp_path)
        await one.process(batch([delivery(0)]))
        with pytest.raises(Fatal, match="another process"):
            await two.process(batch([delivery(0)]))
        one.lost("topic", 0)
        await two.process(batch([delivery(0)]))
        await one.tear_down()
        await two.tear_down()

    virtual_run(run())


def test_a_file_shorter_than_what_was_written_is_refused(tmp_path: Path) -> None:
    state = MapState()
    put(tmp_path, numbered(range(3)), state)
    os.truncate(tmp_path / "out.jsonl", 10)
    with pytest.raises(Fatal, match=r"has 10 bytes, but .* were written to it; bring the file back"):
        put(tmp_path, [delivery(3)], state)


@pytest.mark.parametrize(("does", "said"), [(os.unlink, "removed"), (None, "replaced")])
def test_a_file_taken_away_while_it_is_written_is_noticed(does: Any, said: str, tmp_path: Path) -> None:
    async def run() -> None:
        writer = sink(tmp_path)
        state = MapState()
        try:
            await writer.process(batch([delivery(0)], state))
            if does is None:
                (tmp_path / "new").write_bytes((tmp_path / "out.jsonl").read_bytes())
                os.replace(tmp_path / "new", tmp_path / "out.jsonl")
            else:
                does(tmp_path / "out.jsonl")
            with pytest.raises(Fatal, match=f"{said} while it was written"):
                await writer.process(batch([delivery(1)], state))
        finally:
            await writer.tear_down()

    virtual_run(run())


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "out.jsonl")
    with pytest.raises(StreamletsError, match="no regular file"):
        put(tmp_path, [delivery(0)], MapState())


def test_a_second_partition_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        writer = sink(tmp_path)
        try:
            await writer.process(batch([delivery(0)]))
            with pytest.raises(Fatal, match="more than one partition"):
                await writer.process(batch([delivery(0, partition=1)], partition=1))
        finally:
            await writer.tear_down()

    virtual_run(run())


# --- the linter


def findings(folder: Path, path: str = "out.jsonl") -> list[str]:
    component = Component("file-sink", FileSink)
    options = component.options({"path": path}, folder)
    wiring = Wiring(partitions={"in": 1}, replicas=1, base_dir=folder)
    return [finding.code for finding in component.check(options, wiring)]


def test_it_says_that_it_needs_one_writer(tmp_path: Path) -> None:
    assert findings(tmp_path) == []
    component = Component("file-sink", FileSink)
    wiring = Wiring(partitions={"in": 1}, replicas=1, base_dir=tmp_path)
    needs = component.needs(component.options({"path": "out.jsonl"}, tmp_path), wiring)
    assert needs.single_reader


def test_a_folder_in_the_place_of_the_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").mkdir()
    assert findings(tmp_path) == ["bad-option"]


@pytest.mark.parametrize("path", ["out.csv", "out", "out.parquet", "out.jsonl.gz"])
def test_a_name_that_promises_another_format_is_refused(path: str) -> None:
    with pytest.raises(ValidationError, match=r"\.jsonl or \.ndjson"):
        FileSink.Options(path=path)


# --- killed, for real


def program(folder: Path, given: Path | int, fault: str = "") -> tuple[int, str]:
    """Return the exit code and what was printed of a run of `sink_program`, killed at the fault."""
    command = [sys.executable, "-m", "tests.builtin.sink_program"]
    command += [str(folder / "log.db"), str(folder / "out.jsonl"), str(given)]
    environment = os.environ | {"STREAMLETS_FAULT": fault}
    done = subprocess.run(
        command, env=environment, timeout=60, check=False, stdout=subprocess.PIPE, text=True
    )
    return done.returncode, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "faults",
    [
        ["file-sink.written:kill:1", "file-sink.written:kill:1"],
        ["file-sink.synced:kill:1", "file-sink.synced:kill:2"],
        ["file-sink.synced:kill:3", "file-sink.truncated:kill:1", "file-sink.written:kill:2"],
        ["stage.release:kill:3", "stage.released:kill:1"],
        ["release.offsets:kill:6", "release.committed:kill:4", "release.commit:kill:2"],
    ],
    ids=lambda faults: ",".join(faults),
)
def test_killed_at_any_step_each_flight_is_in_the_file_once(faults: list[str], tmp_path: Path) -> None:
    for fault in faults:
        assert program(tmp_path, 3000, fault)[0] == -9
    assert program(tmp_path, 3000) == (0, "0\n")
    lines = (tmp_path / "out.jsonl").read_bytes().splitlines()
    flights = [json.loads(text) for text in lines]
    assert len({flight["id"] for flight in flights}) == len(flights) == 3000
    assert [flight["time"] for flight in flights] == sorted(flight["time"] for flight in flights)


@pytest.mark.slow
def test_killed_at_any_step_each_line_of_a_file_is_an_event_once_or_a_dead_letter_once(
    tmp_path: Path,
) -> None:
    lines = tmp_path / "in.jsonl"
    lines.write_text("".join(f"{n}\n" if n % 100 else "broken\n" for n in range(5000)))
    for fault in ("release.commit:kill:3", "release.committed:kill:2", "file-sink.synced:kill:2"):
        assert program(tmp_path, lines, fault)[0] == -9
    assert program(tmp_path, lines) == (0, "50\n")
    events = [json.loads(text) for text in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert [event["data"] for event in events] == [n for n in range(5000) if n % 100]
    assert len({event["id"] for event in events}) == 4950


@pytest.mark.slow
def test_a_disk_that_is_really_full_is_waited_for(tmp_path: Path) -> None:
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", tmp_path], check=False).returncode:
        pytest.skip("NOT CHECKED: a small disk cannot be mounted here")
    try:
        state = MapState()
        put(tmp_path, [delivery(0, "a" * 30_000)], state)
        with pytest.raises(Unavailable, match="no space left"):
            put(tmp_path, [delivery(n, "b" * 30_000) for n in (1, 2)], state)
        assert (tmp_path / "out.jsonl").read_bytes() == written(delivery(0, "a" * 30_000))
        put(tmp_path, [delivery(1, "b" * 20_000)], state)
    finally:
        subprocess.run(["umount", tmp_path], check=True)
