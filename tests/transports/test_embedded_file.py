"""Opening the embedded log: whose file it is, of what format, on what disk, and who may write it."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from collections import namedtuple
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import pytest

from streamlets.errors import Fatal
from streamlets.suites.transport import Listener, event, values
from streamlets.transports import embedded_file
from streamlets.transports.embedded import EmbeddedTransport
from streamlets.transports.transport import Release, TopicPartition, TopicSpec
from tests.transports.embedded_place import EmbeddedPlace, RealClock, run_with_mounts

TOPIC = TopicSpec(name="t")


@pytest.fixture
def place(tmp_path: Path) -> EmbeddedPlace:
    return EmbeddedPlace(tmp_path)


def refusal(transport: EmbeddedTransport) -> Fatal:
    """Return what start refuses with."""

    async def start() -> None:
        await transport.start()
        await transport.close()

    with pytest.raises(Fatal) as refused:
        asyncio.run(start())
    assert refused.value.hint
    return refused.value


def made(place: EmbeddedPlace) -> None:
    """Make a log with one topic and one event."""

    async def make() -> None:
        transport = place.transport()
        await transport.start()
        await transport.ensure([TOPIC])
        await transport.append([event("t", "kept")])
        await transport.close()

    asyncio.run(make())


def with_worker(place: EmbeddedPlace, act: Callable[[EmbeddedTransport], Awaitable[None]]) -> None:
    async def run() -> None:
        transport = place.transport()
        await transport.start()
        try:
            await act(transport)
        finally:
            await transport.close()

    asyncio.run(run())


def test_the_folder_and_the_file_are_made_by_the_first_worker(tmp_path: Path) -> None:
    place = EmbeddedPlace(tmp_path / "deep" / "down")
    made(place)
    with apsw.Connection(str(place.path)) as connection:
        assert connection.pragma("application_id") == embedded_file.APPLICATION_ID
        assert connection.pragma("user_version") == embedded_file.FORMAT
        assert connection.pragma("journal_mode") == "wal"
        assert connection.pragma("integrity_check") == "ok"


def test_after_a_close_the_one_file_is_all_there_is(place: EmbeddedPlace) -> None:
    made(place)
    wal = place.path.with_name(place.path.name + "-wal")
    assert not wal.exists() or wal.stat().st_size == 0
    moved = place.path.with_name("moved.log")
    place.path.rename(moved)
    place.path = moved

    async def look(transport: EmbeddedTransport) -> None:
        assert values(await transport.read(TopicPartition("t", 0), 0, 10)) == ["kept"]

    with_worker(place, look)


def test_a_client_finds_no_log_before_the_first_run(place: EmbeddedPlace) -> None:
    assert refusal(place.transport("client")).code == "no-log"
    assert not place.path.exists()
    place.path.touch()
    assert refusal(place.transport("client")).code == "no-log"


def test_a_file_that_is_no_database_is_refused_and_left_alone(place: EmbeddedPlace) -> None:
    place.path.write_bytes(b"rows of something else\n" * 1000)
    refused = refusal(place.transport())
    assert refused.code == "not-a-log"
    assert str(place.path) in refused.message
    assert place.path.read_bytes().startswith(b"rows of something else")


def test_a_database_of_another_program_is_refused_and_left_alone(place: EmbeddedPlace) -> None:
    with apsw.Connection(str(place.path)) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    before = place.path.read_bytes()
    assert refusal(place.transport()).code == "not-a-log"
    assert place.path.read_bytes() == before


def test_a_folder_is_refused(place: EmbeddedPlace) -> None:
    place.path.mkdir()
    assert refusal(place.transport()).code == "not-a-log"


def test_the_log_of_another_application_is_refused(place: EmbeddedPlace) -> None:
    made(place)
    refused = refusal(EmbeddedTransport(place.path, "other", clock=RealClock()))
    assert refused.code == "other-application"
    assert "app" in refused.message


def test_a_log_of_a_newer_format_is_refused_and_left_alone(place: EmbeddedPlace) -> None:
    made(place)
    connection = apsw.Connection(str(place.path))
    connection.pragma("user_version", embedded_file.FORMAT + 3)
    connection.close()
    before = place.path.read_bytes()
    for role in ("worker", "client"):
        refused = refusal(place.transport(role))  # type: ignore[arg-type]
        assert refused.code == "newer-format"
        assert str(embedded_file.FORMAT + 3) in refused.message
        assert "upgrade" in refused.hint
    assert place.path.read_bytes() == before


def test_a_log_of_an_older_format_is_migrated_whole_or_not_at_all(
    place: EmbeddedPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(place)
    present = embedded_file.FORMAT
    monkeypatch.setattr(embedded_file, "FORMAT", present + 2)
    steps = {present: "CREATE TABLE one (a);", present + 1: "CREATE TABLE two (a); CREATE TABLE one (a);"}
    monkeypatch.setattr(embedded_file, "MIGRATIONS", steps)
    assert refusal(place.transport("client")).code == "older-format"
    refusal(place.transport())  # the second step fails, so the first one goes with it
    connection = apsw.Connection(str(place.path))
    assert connection.pragma("user_version") == present
    assert not connection.table_exists("main", "one")
    connection.close()

    steps[present + 1] = "CREATE TABLE two (a);"

    async def look(transport: EmbeddedTransport) -> None:
        assert values(await transport.read(TopicPartition("t", 0), 0, 10)) == ["kept"]

    with_worker(place, look)
    connection = apsw.Connection(str(place.path))
    assert connection.pragma("user_version") == present + 2
    assert connection.table_exists("main", "one")
    assert connection.table_exists("main", "two")
    connection.close()


def test_a_format_that_nobody_ever_wrote_is_called_damage(place: EmbeddedPlace) -> None:
    made(place)
    connection = apsw.Connection(str(place.path))
    connection.pragma("user_version", 0)
    connection.close()
    assert refusal(place.transport()).code == "log-corrupt"


def test_a_second_worker_in_this_process_is_refused_by_name(place: EmbeddedPlace) -> None:
    async def second(_first: EmbeddedTransport) -> None:
        with pytest.raises(Fatal) as refused:
            await place.transport().start()
        assert refused.value.code == "second-worker"
        assert str(os.getpid()) in refused.value.message

    with_worker(place, second)
    made(place)  # and the lock is free again


HOLDER = """
import asyncio, sys
from tests.transports.embedded_place import EmbeddedPlace
from pathlib import Path
async def hold():
    transport = EmbeddedPlace(Path(sys.argv[1])).transport()
    await transport.start()
    print("held", flush=True)
    await asyncio.Event().wait()
asyncio.run(hold())
"""


def test_a_second_worker_process_is_refused_until_the_first_is_dead(place: EmbeddedPlace) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(place.path.parent)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        refused = refusal(place.transport())
        assert refused.code == "second-worker"
        assert f"process {holder.pid}" in refused.message
        assert f"kill {holder.pid}" in refused.hint
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()  # type: ignore[union-attr]
    made(place)


def test_the_lock_does_not_outlive_its_process_in_a_child(place: EmbeddedPlace) -> None:
    code = HOLDER.replace(
        'print("held", flush=True)',
        "import os; child = os.fork(); os.read(0, 1) if not child else print(child, flush=True)",
    )
    keep_open, feed = os.pipe()
    holder = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, str(place.path.parent)],
        stdin=keep_open,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        holder.kill()
        holder.wait()
        os.kill(child, 0)  # the forked child is still there
        made(place)
    finally:
        os.close(feed)  # and ends with its input
        os.close(keep_open)
        holder.stdout.close()  # type: ignore[union-attr]


def test_a_client_takes_no_part_in_groups(place: EmbeddedPlace) -> None:
    made(place)

    async def join() -> None:
        client = place.transport("client")
        await client.start()
        try:
            with pytest.raises(Fatal) as refused:
                await client.consumer("g", ["t"], Listener())
            assert refused.value.code == "not-the-worker"
        finally:
            await client.close()

    asyncio.run(join())


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_file_deleted_under_a_running_worker_is_noticed_before_anything_is_acknowledged(
    place: EmbeddedPlace, suffix: str
) -> None:
    async def lose(transport: EmbeddedTransport) -> None:
        await transport.ensure([TOPIC])
        await transport.append([event("t", "a")])
        listener = Listener()
        listener.consumer = consumer = await transport.consumer("g", ["t"], listener)
        await consumer.poll(10, 1.0)
        os.unlink(str(place.path) + suffix)
        release = Release(group="g", records=[event("t", "b")], offsets={TopicPartition("t", 0): 1})
        with pytest.raises(Fatal) as refused:
            await consumer.release(release)
        assert refused.value.code == "log-moved"
        with pytest.raises(Fatal):
            await transport.append([event("t", "c")])

    with_worker(place, lose)


def test_an_older_sqlite_is_refused_by_name(place: EmbeddedPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    refused = refusal(place.transport())
    assert refused.code == "sqlite-too-old"
    assert "3.51.2" in refused.message
    assert "3.51.3" in refused.message


def test_windows_is_refused_by_name(place: EmbeddedPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    refused = refusal(place.transport())
    assert refused.code == "unsupported-platform"
    assert "WSL" in refused.hint


MOUNTS = """\
22 1 8:1 / / rw,relatime - ext4 /dev/vda rw
31 22 {device} / {folder} rw,relatime shared:1 - {kind} server:/export rw
"""


@pytest.mark.parametrize(("kind", "is_refused"), [("nfs4", True), ("fuse.sshfs", True), ("ext4", False)])
def test_network_file_systems_are_refused_by_name(
    place: EmbeddedPlace, monkeypatch: pytest.MonkeyPatch, kind: str, is_refused: bool
) -> None:
    folder = place.path.parent
    number = folder.stat().st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    table = folder / "mountinfo"
    table.write_text(MOUNTS.format(device=device, folder=folder, kind=kind))
    monkeypatch.setattr(embedded_file, "MOUNTS", table)
    if is_refused:
        refused = refusal(place.transport())
        assert refused.code == "network-file-system"
        assert kind in refused.message
    else:
        made(place)


def test_a_disk_in_memory_is_warned_of(
    place: EmbeddedPlace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embedded_file, "_file_system", lambda folder: "tmpfs")
    made(place)
    assert "log.volatile" in caplog.text


def test_a_setting_that_sqlite_does_not_take_is_refused(
    place: EmbeddedPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(embedded_file.PRAGMAS, "locking_mode", ("exclusive", "something else"))
    refused = refusal(place.transport())
    assert refused.code == "log-setting"
    assert "locking_mode" in refused.message


def test_every_setting_is_as_it_was_asked_for_in_both_durabilities(place: EmbeddedPlace) -> None:
    for durability, synchronous in (("full", 2), ("normal", 1)):
        connection = embedded_file.connect(place.path, "worker", durability, None)  # type: ignore[arg-type]
        assert connection.pragma("synchronous") == synchronous
        assert connection.pragma("wal_autocheckpoint") == 0
        connection.close()


def test_a_place_that_cannot_be_written_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = refusal(EmbeddedPlace(tmp_path / "file" / "folder").transport())
    assert refused.code == "log-cannot-open"


def test_a_read_only_disk_is_refused_to_a_worker_and_can_be_read(tmp_path: Path) -> None:
    place = EmbeddedPlace(tmp_path / "disk")
    made(place)
    disk = place.path.parent
    mounts = [f"mount --bind '{disk}' '{disk}'", f"mount -o remount,ro,bind '{disk}' '{disk}'"]
    run_with_mounts(mounts, "tests.transports.read_only_disk", disk)


Errors = namedtuple("Errors", "raised, code")


@pytest.mark.parametrize(
    "case",
    [
        Errors(apsw.FullError("full"), "disk-full"),
        Errors(OSError(errno.ENOSPC, "no space"), "disk-full"),
        Errors(apsw.BusyError("busy"), "busy"),
        Errors(apsw.LockedError("locked"), "busy"),
        Errors(apsw.IOError("io"), "disk-error"),
        Errors(apsw.NoMemError("mem"), "out-of-memory"),
        Errors(apsw.NotADBError("no"), "not-a-log"),
        Errors(apsw.CorruptError("bad"), "log-corrupt"),
        Errors(apsw.ReadOnlyError("ro"), "log-read-only"),
        Errors(apsw.CantOpenError("open"), "log-cannot-open"),
        Errors(apsw.MisuseError("misuse"), "log-failed"),
    ],
    ids=lambda case: case.code,
)
def test_every_error_of_sqlite_has_a_name_of_ours(tmp_path: Path, case: Errors) -> None:
    error = embedded_file.translated(case.raised, tmp_path / "app.log")
    assert error.code == case.code
    assert "app.log" in error.message
