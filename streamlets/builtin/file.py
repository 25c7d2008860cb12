"""`file`: the lines of files as events; resumes where it stopped, exactly once.

A position is a byte offset, and a fingerprint of how the file began: another file under the same name is told, never
read on in the middle. One split for each file, so several workers read several files. Just past 400 lines, because
what a position promises and what a reader checks must change together.
"""

from __future__ import annotations

import asyncio
import glob
import gzip
import hashlib
import os
import re
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated, Any, Literal

import msgspec
from pydantic import Field, field_validator

from blueprints.suggest import did_you_mean
from streamlets.errors import Fatal, Rejected, Unavailable
from streamlets.evaluation import Cel, Evaluation
from streamlets.event import STRUCTURED, Delivery, decode
from streamlets.ports import Context, Emit, Finding, Needs, OptionsBase, Outlet, Portion, Said, Wiring

SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
MAX_FILES = 1_000  # a split is a task and a partition of the state topic
MAX_LINE_BYTES = 8 << 20  # what is longer is no event; its beginning is in the dead letter
KEPT_BYTES = 64 << 10  # of a line that is too long
PORTION_BYTES = 4 << 20  # read at once at most, so that a release stays a matter of milliseconds
HEAD_BYTES = 1_024  # of a file tell it from another one
POLL_S = 0.1  # how late a line that was just written is noticed at most, when following

_RAW = msgspec.json.Decoder(msgspec.Raw)


class File:
    """The lines of one file, or of all that a pattern matches, as events: JSON lines, gzipped or not.

    Every line is one event with the line as its data. A line that cannot be decoded is a dead letter with its place,
    and the rest goes on. A file may grow; one that shrinks or is replaced is refused, because what was read of it is
    gone. The files that a pattern matches must stay the same from the first run on.
    """

    class Options(OptionsBase):
        path: str = Field(
            min_length=1,
            json_schema_extra={
                "x-state": "what was begun is refused under another path (file-replaced): give the streamlet another "
                "name to begin anew"
            },
            description="a file or a pattern (`data/*.jsonl`), relative to the blueprint's folder; JSON lines, by the "
            "suffixes .jsonl and .ndjson, also with .gz",
        )
        format: Literal["json", "cloudevents"] = Field(
            default="json",
            description="what a line is: `json`, the data of an event; `cloudevents`, a whole structured event, as "
            "file-sink writes them",
        )
        follow: bool = Field(
            default=False,
            description="wait for more at the end of the file, as `tail -f` does, instead of ending",
        )
        id: Annotated[str, Cel(over="out", gives="id", attributes=False)] | None = Field(
            default=None,
            min_length=1,
            description="a field or a CEL expression over the data: the event's id; absent: made of the file's path "
            "and the line's place in it",
        )
        time: Annotated[str, Cel(over="out", gives="time", attributes=False)] | None = Field(
            default=None,
            min_length=1,
            description="a field or a CEL expression over the data: the event's time, as RFC 3339 (without a zone: "
            "UTC) or in seconds since 1970; absent: none",
        )
        type: str = Field(default="streamlets.file.line", min_length=1, description="the events' type")

        @field_validator("path")
        @classmethod
        def _is_known(cls, path: str) -> str:
            if not path.endswith((*SUFFIXES, "*")):
                suffix = re.search(r"(\.\w+)?\.\w+$", Path(path).name)
                told = f"files of '{suffix[0]}'" if suffix else "files without a suffix"
                raise ValueError(f"{told} are not read; those of {', '.join(SUFFIXES)} are")
            return path

    outlets = (Outlet("out", required=True, description="an event for each line"),)

    @staticmethod
    def check(options: Options, wiring: Wiring) -> Sequence[Finding]:
        """Return what is wrong with the files, and with options that do not go together."""
        found = []
        try:
            paths = _matched(options.path, wiring.base_dir)
        except Fatal as exc:
            return [Finding(exc.code, ("path",), exc.message)]
        for path in paths:
            if options.follow and path.endswith(".gz"):
                found.append(
                    Finding("bad-option", ("follow",), f"'{path}' is gzipped and cannot be followed")
                )
        for name, text in (("id", options.id), ("time", options.time)):
            if text is None:
                continue
            if options.format == "cloudevents":
                found.append(
                    Finding("bad-option", (name,), f"a CloudEvent has its own {name}; leave this away")
                )
        return found

    @staticmethod
    def needs(options: Options, wiring: Wiring) -> Needs:
        """Return that each file is read by one worker, and which they are."""
        files = _matched(options.path, wiring.base_dir)
        return Needs(splits=len(files), read_files=tuple(Said(file, ("path",)) for file in files))

    def __init__(self, options: Options, context: Context) -> None:
        self._options = options
        self._base_dir = context.base_dir
        self._clock = context.clock
        self._splits = _matched(options.path, context.base_dir)
        contracts = context.contracts.get("out", ())
        self._id = None if options.id is None else Evaluation(options.id, "the id", contracts)
        self._time = None if options.time is None else Evaluation(options.time, "the time", contracts)
        self._open: dict[str, _Reader] = {}
        self._lock = threading.Lock()  # a read that was cancelled goes on in its thread until it is done

    def splits(self) -> list[str]:
        """Return the files' paths, relative to the blueprint's folder where they are in it, by name."""
        return self._splits

    async def tear_down(self) -> None:
        """Close the files."""
        with self._lock:
            for split in list(self._open):
                self._close(split)

    async def read(self, split: str, position: Any, max_events: int) -> Portion:
        """Return the next lines. Raises: Fatal when the file is no longer the one that was begun."""
        while True:
            # In a thread, because the file may lie on a disk that is slow or across a network.
            portion = await asyncio.to_thread(self._read_alone, split, position, max_events)
            if (
                portion.ended
                or portion.emits
                or portion.dead
                or portion.position["offset"] != _offset(position)
            ):
                return portion
            await self._clock.sleep(POLL_S)

    def _read_alone(self, split: str, position: Any, max_events: int) -> Portion:
        with self._lock:
            return self._read(split, position, max_events)

    def _read(self, split: str, position: Any, max_events: int) -> Portion:
        try:
            reader = self._reader(split, position)
            lines, at_end = reader.lines(max_events, self._options.follow)
        except FileNotFoundError:
            self._close(split)
            raise Fatal(f"there is no file '{split}' any more", code="missing-file") from None
        except PermissionError:
            self._close(split)
            raise Fatal(
                f"'{split}' may not be read", code="missing-file", hint="look at its permissions"
            ) from None
        except (EOFError, gzip.BadGzipFile) as exc:
            self._close(split)
            raise Fatal(f"'{split}' is no whole gzip file: {exc}", code="bad-file") from exc
        except OSError as exc:
            self._close(split)
            raise Unavailable(f"'{split}' cannot be read: {exc.strerror or type(exc).__name__}") from exc
        emits: list[Emit] = []
        dead: list[tuple[bytes, str, str]] = []
        for offset, line in lines:
            if not line:
                continue
            try:
                emits.append(self._emit(split, offset, line))
            except Rejected as exc:
                dead.append((line[:KEPT_BYTES], exc.code, f"'{split}' at byte {offset}: {exc.message}"))
        return Portion(
            emits,
            {"path": split, "offset": reader.offset, "head": reader.head()},
            ended=at_end and not self._options.follow,
            dead=dead,
            progress=reader.progress(),
        )

    def _reader(self, split: str, position: Any) -> _Reader:
        reader = self._open.get(split)
        if reader is not None and reader.offset == _offset(position):
            reader.check_still_there()
            return reader
        self._close(split)
        reader = _Reader(split, self._base_dir / split)
        self._open[split] = reader
        if position is not None:
            reader.go_on(position)
        return reader

    def _close(self, split: str) -> None:
        reader = self._open.pop(split, None)
        if reader is not None:
            reader.close()

    def _emit(self, split: str, offset: int, line: bytes) -> Emit:
        if len(line) > MAX_LINE_BYTES:
            raise Rejected(f"a line longer than {MAX_LINE_BYTES >> 20} MiB", code="undecodable")
        if self._options.format == "cloudevents":
            return _whole_event(line)
        try:
            line.decode()
            data = bytes(_RAW.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            reason = str(exc) if isinstance(exc, msgspec.DecodeError) else "not UTF-8, or nested too deeply"
            raise Rejected(
                f"not JSON: {reason.removeprefix('JSON is malformed: ')}", code="undecodable"
            ) from exc
        return Emit(
            "out",
            data,
            id=_line_id(split, offset) if self._id is None else _id_text(self._id, line),
            time=None if self._time is None else _time_text(self._time, line),
            type=self._options.type,
        )


class _Reader:
    """An open file, the offset of its next line, and how it began."""

    def __init__(self, name: str, path: Path) -> None:
        self._name = name
        self._path = path
        self._is_zipped = path.name.endswith(".gz")
        self._raw: IO[bytes] = path.open("rb")
        self._file: IO[bytes] = gzip.GzipFile(fileobj=self._raw) if self._is_zipped else self._raw  # type: ignore[assignment]
        self._head = b""
        self.offset = 0

    def close(self) -> None:
        self._file.close()
        self._raw.close()

    def go_on(self, position: Any) -> None:
        """Go to a position. Raises: Fatal when the file is not the one that the position is of."""
        if position["path"] != self._name:
            raise self._replaced(f"this split was '{position['path']}' when it began: files came or went")
        offset, (length, fingerprint) = position["offset"], position["head"]
        head = self._file.read(length)
        if len(head) < length or hashlib.blake2b(head, digest_size=8).hexdigest() != fingerprint:
            raise self._replaced(
                "it does not begin as it did when it was begun: it was replaced or truncated"
            )
        is_short = not self._is_zipped and os.fstat(self._raw.fileno()).st_size < offset
        if is_short or self._file.seek(offset) != offset:
            raise self._shorter(offset)
        self._head = head
        self.offset = offset

    def check_still_there(self) -> None:
        """Raise Fatal when the name leads to another file by now, or this one has lost what was read of it."""
        there, ours = self._path.stat(), os.fstat(self._raw.fileno())
        if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            raise self._replaced("another file took its place while it was read")
        if self._is_zipped:
            return
        if ours.st_size < self.offset:
            raise self._shorter(self.offset)
        if os.pread(self._raw.fileno(), len(self._head), 0) != self._head:
            raise self._replaced("it was written anew while it was read")

    def lines(self, most: int, follow: bool) -> tuple[list[tuple[int, bytes]], bool]:
        """Return (offset, line) of at most `most` next lines, and whether that was the end.

        A last line without its newline is a line, unless more is to come (`follow`). A line that is too long comes
        with one byte more than it may have.
        """
        found: list[tuple[int, bytes]] = []
        taken = 0
        while len(found) < most and taken < PORTION_BYTES:
            line = self._file.readline(MAX_LINE_BYTES + 1)
            length = len(line)
            is_whole = line.endswith(b"\n")
            if not is_whole and length > MAX_LINE_BYTES:
                skipped, is_whole = self._skip_line()
                length += skipped
            if not is_whole and (not line or follow):
                self._file.seek(self.offset)
                return found, True
            if len(self._head) < HEAD_BYTES:
                self._head += line[: HEAD_BYTES - len(self._head)]
            at = self.offset
            self.offset += length
            taken += length
            if at == 0:
                line = line.removeprefix(b"\xef\xbb\xbf")  # the mark that some editors of Windows put first
            found.append((at, line.strip(b" \t\r\n")))
        return found, False

    def head(self) -> list[Any]:
        return [len(self._head), hashlib.blake2b(self._head, digest_size=8).hexdigest()]

    def progress(self) -> float | None:
        size = os.fstat(self._raw.fileno()).st_size
        return min(1.0, self._raw.tell() / size) if size else 1.0

    def _skip_line(self) -> tuple[int, bool]:
        """Return how many bytes are left of the line, and whether its end is there."""
        skipped = 0
        while part := self._file.readline(1 << 20):
            skipped += len(part)
            if part.endswith(b"\n"):
                return skipped, True
        return skipped, False

    def _shorter(self, offset: int) -> Fatal:
        return self._replaced(f"it is shorter than the {offset} bytes that were read of it: it was truncated")

    def _replaced(self, why: str) -> Fatal:
        return Fatal(
            f"'{self._name}' cannot be read on: {why}",
            code="file-replaced",
            hint="put the file back, or give the streamlet another name to begin anew",
        )


def _matched(pattern: str, base_dir: Path) -> list[str]:
    """Return the paths of the files, sorted. Raises: Fatal (`missing-file`, `bad-option`)."""
    if glob.has_magic(pattern):
        paths = sorted(
            path
            for path in glob.glob(pattern, root_dir=base_dir, recursive=True)
            if (base_dir / path).is_file()
        )
        if not paths:
            raise Fatal(f"no file matches '{pattern}' in {base_dir}", code="missing-file")
        if len(paths) > MAX_FILES:
            raise Fatal(
                f"'{pattern}' matches {len(paths)} files; at most {MAX_FILES} are read", code="bad-option"
            )
        odd = [path for path in paths if not path.endswith(SUFFIXES)]
        if odd:
            raise Fatal(f"'{odd[0]}' is not read; files of {', '.join(SUFFIXES)} are", code="bad-option")
        return paths
    path = base_dir / pattern
    if path.is_dir():
        raise Fatal(f"'{pattern}' is a folder; write '{pattern.rstrip('/')}/*.jsonl'", code="bad-option")
    if not path.is_file():
        siblings = [other.name for other in path.parent.glob("*")] if path.parent.is_dir() else []
        raise Fatal(f"there is no file '{path}'{did_you_mean(path.name, siblings)}", code="missing-file")
    return [pattern]


def _offset(position: Any) -> int:
    return 0 if position is None else int(position["offset"])


def _line_id(path: str, offset: int) -> str:
    """Return the id of a line: a hash of its file's path, as the blueprint has it, and its place there."""
    return hashlib.blake2b(f"{path}\0{offset}".encode(), digest_size=16).hexdigest()


def _whole_event(line: bytes) -> Emit:
    event = decode(Delivery("", 0, 0, 0, None, line, [("content-type", STRUCTURED.encode())]))
    extensions = dict(event.extensions)
    extensions.pop(
        "origin", None
    )  # a place in the log that it was in before; the engine says where it comes from now
    key = extensions.get("partitionkey")
    if event.dataschema is not None:
        extensions["dataschema"] = event.dataschema
    return Emit(
        "out",
        event.data,
        id=event.id,
        source=event.source,
        type=event.type,
        subject=event.subject,
        time=event.time,
        key=None if key is None else key.encode(),
        extensions=extensions,
        datacontenttype=event.datacontenttype or "application/octet-stream",
    )


def _id_text(asked: Evaluation, line: bytes) -> str:
    value = asked.of(line)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise asked.rejected(f"gives a {type(value).__name__}, not a text or a whole number")
    return str(value)


def _time_text(asked: Evaluation, line: bytes) -> str:
    value = asked.of(line)
    at: datetime | None = None
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
            at = at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            at = datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    if at is None:
        raise asked.rejected("gives no time: neither RFC 3339 nor seconds since 1970")
    return at.isoformat().replace("+00:00", "Z")
