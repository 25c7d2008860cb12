"""`file-sink`: events as JSON lines, each once in the file whatever crashes.

The rule is one: the small state says how long the file is, and a batch is written from there. Released state names
what is final; bytes beyond it are what a life before this one, or a batch that is processed again, has written without
a release, and they are cut off. So nothing has to be remembered in memory, and a rewind needs no case of its own.

Only where there is no state yet could those bytes be somebody else's. They are then compared, never cut off: what a
crash before the first release left behind is equal to what is about to be written, and anything else is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from pydantic import Field, field_validator

from streamlets.errors import Fatal, Rejected, Unavailable
from streamlets.event import Event, decode, encode_structured
from streamlets.faults import point
from streamlets.ports import (
    Batch,
    Context,
    DeadLetter,
    Finding,
    Inlet,
    Needs,
    OptionsBase,
    Outcome,
    Said,
    Wiring,
)

T = TypeVar("T")

SUFFIXES = (".jsonl", ".ndjson")
LOCK_S = (
    2.0  # how long a lock is waited for: a process that was killed, or gave the partition up, is gone by then
)
_HEALS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})  # the disk's trouble, which may pass


class FileSink:
    """Writes events as JSON lines, one structured CloudEvent a line, each exactly once and in order.

    A line is in the file for good once its event is released; a reader takes whole lines, up to the last newline.
    The file is not to be touched by others; to begin another one, give another `path`.
    """

    class Options(OptionsBase):
        path: str = Field(
            min_length=1,
            json_schema_extra={
                "x-state": "another file is begun; what is in the old one stays there, and is final"
            },
            description="the file, `.jsonl` or `.ndjson`; relative to the blueprint's folder, made when missing",
        )

        @field_validator("path")
        @classmethod
        def _has_a_known_suffix(cls, path: str) -> str:
            if not path.endswith(SUFFIXES):
                raise ValueError(
                    f"what is written are JSON lines: let the name end in {' or '.join(SUFFIXES)}"
                )
            return path

    inlets = (Inlet("in", description="the events to write; one partition, so that the file has an order"),)
    max_events = 1_000  # one sync for each batch

    def __init__(self, options: Options, context: Context) -> None:
        self._key = options.path
        self._path = context.base_dir / options.path
        self._clock = context.clock
        # One thread, so that what a cancelled batch still writes is over before anything else touches the file.
        self._lane = ThreadPoolExecutor(1, thread_name_prefix="file-sink")
        self._file: _File | None = None
        self._partition = ("", -1)

    @staticmethod
    def check(options: Options, wiring: Wiring) -> list[Finding]:
        """Return a finding for a path that is no file."""
        if (wiring.base_dir / options.path).is_dir():
            return [Finding("bad-option", ("path",), f"{options.path} is a folder; name a file")]
        return []

    @staticmethod
    def needs(options: Options, wiring: Wiring) -> Needs:
        """Return that one writer is needed."""
        return Needs(
            single_reader="it writes one file in one order; give it one replica and a topic of one partition",
            written_files=(Said(options.path, ("path",)),),
        )

    async def process(self, batch: Batch) -> Outcome:
        """Return when the batch is in the file and synced. Raises: Unavailable while the disk is full; Fatal."""
        outcome = Outcome()
        lines = []
        for index, delivery in enumerate(batch.deliveries):
            try:
                lines.append(line(decode(delivery)))
            except Rejected as exc:
                outcome.dead.append(DeadLetter(index, exc.code, exc.message))
        if not lines:
            return outcome
        file = self._file_of(batch.topic, batch.partition)
        data, known = b"".join(lines), batch.state.get(self._key)
        give_up_s = self._clock.monotonic_s() + LOCK_S
        while (written := await self._call(lambda: file.write(data, known))) is None:
            if self._clock.monotonic_s() >= give_up_s:
                raise Fatal(
                    f"{self._path} is being written by another process",
                    code="file-locked",
                    hint="stop that one, or give another path",
                    exit_code=128,
                )
            await self._clock.sleep(0.1)
        batch.state.set(self._key, written)
        return outcome

    def lost(self, topic: str, partition: int) -> None:
        """Let the file go: another worker may write it now, or this one will from an earlier place."""
        if self._file is not None and (topic, partition) == self._partition:
            self._lane.submit(self._file.close)
            self._file = None

    async def tear_down(self) -> None:
        """Close the file, once what is being written is written."""
        if self._file is not None:
            self._lane.submit(self._file.close)
            self._file = None
        await self._call(lambda: None)
        self._lane.shutdown(wait=False)

    def _file_of(self, topic: str, partition: int) -> _File:
        if self._file is None:
            self._file, self._partition = _File(self._path), (topic, partition)
        elif self._partition != (topic, partition):
            raise Fatal(
                f"{self._path} would be written from more than one partition of {topic}",
                code="single-reader",
                hint="give the topic one partition",
            )
        return self._file

    async def _call(self, job: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._lane, job)


class _File:
    """The open and locked file. Everything here runs on the lane, one call after the other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._is_locked = False

    def close(self) -> None:
        """Give the file and its lock back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd, self._is_locked = -1, False

    def write(self, data: bytes, known: dict[str, Any] | None) -> dict[str, Any] | None:
        """Return what is known of the file once `data` are in it and synced, from where `known` says.

        `length`: how much of the file is this stream's. `found`: how much was there when nothing was known yet; what
        lies below is compared. None: another process holds the file.
        Raises: Unavailable, and then the file ends where it did; Fatal.
        """
        try:
            if not self._hold():
                return None
            size = self._size()
            length, found = (0, size) if known is None else (known["length"], known.get("found", 0))
            if size < max(length, found):
                raise Fatal(
                    f"{self._path} has {size} bytes, but {max(length, found)} were written to it",
                    code="file-shorter",
                    hint="bring the file back as it was, or give another path: later events are written there",
                )
            n_compared = min(len(data), max(0, found - length))
            if os.pread(self._fd, n_compared, length) != data[:n_compared]:
                raise Fatal(
                    f"{self._path} holds lines that this stream did not write",
                    code="file-foreign",
                    hint="move it away, or give another path; nothing in it was changed",
                )
            self._append(data[n_compared:], length + n_compared, size)
        except OSError as exc:
            raise _translated(exc, self._path) from exc
        end = length + len(data)
        return {"length": end} if end >= found else {"length": end, "found": found}

    def _hold(self) -> bool:
        """Return whether the file is open and locked, and do what is missing for it."""
        if self._is_locked:
            return True
        if self._fd < 0:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Not blocking: a pipe that nobody reads would keep the thread for ever.
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
            self._fd = os.open(self._path, flags, 0o644)
            if not stat.S_ISREG(os.fstat(self._fd).st_mode):
                raise Fatal(f"{self._path} is no regular file", code="file-not-writable")
            self._sync_folder()
        try:
            # Not a POSIX lock: that one would be dropped when anything else in this process closes the file.
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._is_locked = True
        return True

    def _append(self, data: bytes, at: int, size: int) -> None:
        """Write and sync, or leave the file as long as `at`. Without data what is there is synced all the same."""
        try:
            if data and size > at:
                os.ftruncate(self._fd, at)
                point("file-sink.truncated")
            place, view = at, memoryview(data)
            while view:
                n = os.pwrite(self._fd, view, place)
                view, place = view[n:], place + n
                point("file-sink.written")
            os.fsync(self._fd)
        except OSError:
            # No torn line is left to a reader. After a sync that failed the bytes may be nowhere, and the next
            # attempt writes them anew.
            if data:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._fd, at)
            raise
        point("file-sink.synced")

    def _size(self) -> int:
        """Return the file's size. Raises: Fatal when the path names another file by now."""
        here = os.fstat(self._fd)
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
            raise Fatal(
                f"{self._path} was {'removed' if there is None else 'replaced'} while it was written",
                code="file-replaced",
                hint="bring it back; to begin another file, give another path",
            )
        return here.st_size

    def _sync_folder(self) -> None:
        """Make the file's name outlast a power cut."""
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _translated(exc: OSError, path: Path) -> Unavailable | Fatal:
    reason = (exc.strerror or str(exc)).lower()
    if exc.errno in _HEALS:
        hint = "nothing is lost, and writing goes on when there is room"
        return Unavailable(f"{path} cannot be written: {reason}", code="disk-full", hint=hint)
    return Fatal(f"{path} cannot be written: {reason}", code="file-not-writable")


def line(event: Event) -> bytes:
    """Return the event as a line: a structured CloudEvent, the record's key as `partitionkey` where it has none."""
    if event.key is not None and "partitionkey" not in event.extensions:
        with contextlib.suppress(UnicodeDecodeError):  # a key that is no text has no place in a CloudEvent
            event.extensions = event.extensions | {"partitionkey": event.key.decode()}
    value = encode_structured(event)[1] or b""
    if b"\n" in value or b"\r" in value:  # data that were written over several lines
        value = msgspec.json.format(value, indent=-1)
    return value + b"\n"
