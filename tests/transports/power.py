"""Disks that tests can cut the power of, and disks that fail: VFS of SQLite, written in Python.

`Recorder` keeps every write and sync in order; `crashes` gives what a disk may hold after a power cut at any of them:
what was synced is there, of the rest nothing, all, some of the writes in any order, or some of their sectors.
`Failing` makes the n-th call fail.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import apsw

SECTOR = 512
Kind = Literal["write", "truncate", "sync", "delete", "folder", "acknowledged"]

_names = itertools.count(1)


class Op(NamedTuple):
    kind: Kind
    file: str
    offset: int = 0
    data: bytes = b""


class Recorder(apsw.VFS):
    """A VFS that does what the default one does, and remembers it."""

    def __init__(self) -> None:
        self.name = f"recorder-{next(_names)}"
        self.ops: list[Op] = []
        super().__init__(self.name, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _Recorded(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        self.ops.append(Op("delete", Path(filename).name))

    def sync_folder(self) -> None:
        """Note that the folder was synced: files deleted before do not come back."""
        self.ops.append(Op("folder", ""))

    def acknowledge(self, what: str, count: int) -> None:
        """Note that the caller was told of `count` being done."""
        self.ops.append(Op("acknowledged", what, count))


class _Recorded(apsw.VFSFile):
    def __init__(self, recorder: Recorder, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._file = Path(path).name if path else ""
        self._ops = recorder.ops

    def xWrite(self, data: Any, offset: int) -> None:
        super().xWrite(data, offset)
        self._ops.append(Op("write", self._file, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        self._ops.append(Op("truncate", self._file, newsize))

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._ops.append(Op("sync", self._file))


Way = Literal["nothing", "everything", "some", "torn"]
WAYS: tuple[Way, ...] = ("nothing", "everything", "some", "torn")


class Crash(NamedTuple):
    """What a disk holds after a power cut, and what had been acknowledged by then."""

    at: int
    way: Way
    files: dict[str, bytes]
    acknowledged: dict[str, int]


def crashes(ops: list[Op], dice: random.Random, share: float = 1.0) -> Iterator[Crash]:
    """Yield what a disk may hold after a power cut just before and just after each sync, in four ways each.

    `share`: of all these, so many by lot.
    """
    synced: dict[str, bytearray] = {}
    waiting: list[Op] = []
    acknowledged: dict[str, int] = {}
    for at, op in enumerate(ops):
        if op.kind == "acknowledged":
            acknowledged[op.file] = op.offset
        elif op.kind in ("sync", "folder"):
            yield from _cut(at, synced, waiting, acknowledged, dice, share)
            still = []
            for each in waiting:
                if (
                    each.kind == "delete"
                    if op.kind == "folder"
                    else each.file == op.file and each.kind != "delete"
                ):
                    _apply(synced, each)
                else:
                    still.append(each)
            waiting = still
            yield from _cut(at, synced, waiting, acknowledged, dice, share)
        else:
            waiting.append(op)
    yield from _cut(len(ops), synced, waiting, acknowledged, dice, share)


def _cut(
    at: int,
    synced: dict[str, bytearray],
    waiting: list[Op],
    acknowledged: dict[str, int],
    dice: random.Random,
    share: float,
) -> Iterator[Crash]:
    for way in WAYS if waiting else WAYS[:1]:
        if dice.random() >= share:
            continue
        files = {name: bytearray(content) for name, content in synced.items()}
        for op in waiting:
            if way == "everything" or (way in ("some", "torn") and dice.random() < 0.5):
                _apply(files, op)
            elif way == "torn" and op.kind == "write":
                for part in _sectors(op):
                    if dice.random() < 0.5:
                        _apply(files, part)
        yield Crash(at, way, {name: bytes(content) for name, content in files.items()}, dict(acknowledged))


def _sectors(op: Op) -> Iterator[Op]:
    """Yield the parts of a write that lie in one sector each: a disk writes a sector whole or not at all."""
    start, end = op.offset, op.offset + len(op.data)
    while start < end:
        stop = min(end, (start // SECTOR + 1) * SECTOR)
        yield Op("write", op.file, start, op.data[start - op.offset : stop - op.offset])
        start = stop


def _apply(files: dict[str, bytearray], op: Op) -> None:
    if op.kind == "delete":
        files.pop(op.file, None)
        return
    content = files.setdefault(op.file, bytearray())
    if op.kind == "truncate":
        del content[op.offset :]
        return
    if len(content) < op.offset:
        content.extend(bytes(op.offset - len(content)))
    content[op.offset : op.offset + len(op.data)] = op.data


class Failing(apsw.VFS):
    """A VFS whose n-th call, and `times - 1` more, fail as `error` says."""

    def __init__(self, error: type[apsw.Error], at: int, times: int = 1) -> None:
        self.name = f"failing-{next(_names)}"
        self.calls = 0
        self.failed = 0
        self._error = error
        self._at = at
        self._times = times
        super().__init__(self.name, "")

    def pass_or_fail(self) -> None:
        self.calls += 1
        if self._at <= self.calls < self._at + self._times:
            self.failed += 1
            raise self._error("injected")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        self.pass_or_fail()
        return _Fails(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self.pass_or_fail()
        super().xDelete(filename, syncdir)


class _Fails(apsw.VFSFile):
    def __init__(self, vfs: Failing, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._vfs = vfs

    def xRead(self, amount: int, offset: int) -> bytes:
        self._vfs.pass_or_fail()
        return super().xRead(amount, offset)

    def xWrite(self, data: Any, offset: int) -> None:
        self._vfs.pass_or_fail()
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        self._vfs.pass_or_fail()
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        self._vfs.pass_or_fail()
        super().xSync(flags)

    def xFileSize(self) -> int:
        self._vfs.pass_or_fail()
        return super().xFileSize()
