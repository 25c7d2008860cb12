"""The file of the embedded log: opened with every setting checked, of a known format, on a disk that can hold it.

One worker holds it by an OS lock that dies with the process; any number of other processes open it as clients.
Source: sqlite.org/wal.html, sqlite.org/pragma.html. Older than SQLite 3.51.3 is refused for what that one fixed.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import sys
import time
from pathlib import Path
from typing import Literal

import apsw

from streamlets.errors import Fatal, StreamletsError, Unavailable
from streamlets.transports.transport import Aborted, Durability

Role = Literal["worker", "client"]

log = logging.getLogger(__name__)

APPLICATION_ID = 0x534C4F47  # "SLOG": how `file` and we recognise a log
FORMAT = 1
SQLITE_NEEDED = (3, 51, 3)  # below: a commit that races a second checkpoint can lose pages (WAL reset)
BUSY_S = 10.0  # the longest wait for another process's transaction; ours last milliseconds
PLACES = 42  # bits of a chunk's id that hold its last offset; the partition's number is above them

# `PRAGMA name`: what it is set to, and what it then must read.
PRAGMAS: dict[str, tuple[str, object]] = {
    "journal_mode": ("wal", "wal"),
    "wal_autocheckpoint": ("0", 0),  # the worker alone checkpoints, between its transactions
    "journal_size_limit": (str(64 << 20), 64 << 20),
    "cache_size": ("-8192", -8192),
    "cache_spill": ("2000", 2000),
    "mmap_size": ("0", 0),  # a truncated file under a map is SIGBUS; a read is an error
    "temp_store": ("memory", 2),
    "secure_delete": ("0", 0),
    "trusted_schema": ("0", 0),
    "cell_size_check": ("1", 1),
    "foreign_keys": ("0", 0),
    "fullfsync": ("1", 1),  # macOS: without it a sync does not reach the disk; elsewhere it is without effect
    "checkpoint_fullfsync": ("1", 1),
}

# chunks.id is partition << PLACES | last offset. A rowid, because the row is in the leaf itself: with a key of two
# columns and WITHOUT ROWID a read cost twice as much. A partition's last chunk always stays (empty, if need be): it
# says where the partition ends.
SCHEMA = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE topics (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, spec TEXT NOT NULL) STRICT;
CREATE TABLE partitions (id INTEGER PRIMARY KEY, topic INTEGER NOT NULL, number INTEGER NOT NULL,
    first INTEGER NOT NULL, UNIQUE (topic, number)) STRICT;
CREATE TABLE chunks (id INTEGER PRIMARY KEY, span INTEGER NOT NULL, count INTEGER NOT NULL, size INTEGER NOT NULL,
    stored_ms INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE groups (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE offsets (member INTEGER NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (member, partition)) STRICT, WITHOUT ROWID;
"""

MIGRATIONS: dict[int, str] = {}
"""The statements that lead from a format to the next one."""

# fmt: off
NETWORK = frozenset({
    "9p", "afs", "afpfs", "beegfs", "ceph", "cifs", "coda", "davfs", "gpfs", "glusterfs", "lustre", "ncpfs",
    "nfs", "nfs4", "osxfs", "prl_fs", "smb2", "smb3", "smbfs", "vboxsf", "vmhgfs", "virtiofs", "webdav",
    "fuse.ceph", "fuse.cephfs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.grpcfuse", "fuse.juicefs",
    "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "fuse.vmhgfs-fuse",
})
# fmt: on
MOUNTS = Path("/proc/self/mountinfo")
VOLATILE = frozenset({"tmpfs", "ramfs"})

_held: dict[str, int] = {}
"""Locks of this process by path: POSIX locks do not keep a process from itself."""


def check_platform() -> None:
    """Return when this machine can hold a log. Raises: Fatal (`unsupported-platform`, `sqlite-too-old`)."""
    if sys.platform == "win32":
        raise Fatal(
            "the embedded log does not run on Windows itself",
            code="unsupported-platform",
            hint="run it in WSL 2, with the file on WSL's own disk",
        )
    found = apsw.sqlite_lib_version()
    if tuple(map(int, found.split("."))) < SQLITE_NEEDED:
        needed = ".".join(map(str, SQLITE_NEEDED))
        raise Fatal(
            f"apsw brings SQLite {found}, which can lose committed pages in WAL mode; {needed} is needed",
            code="sqlite-too-old",
            hint=f"pip install 'apsw>={needed}'",
        )


def check_disk(folder: Path) -> None:
    """Return when the folder's file system keeps locks and syncs. Raises: Fatal (`network-file-system`)."""
    kind = _file_system(folder)
    if kind in NETWORK:
        raise Fatal(
            f"{folder} is on {kind}, a network file system, where SQLite's shared memory and locks do not hold",
            code="network-file-system",
            hint="put the log on a local disk: --on embedded:/local/path/app.log",
        )
    if kind in VOLATILE:
        log.warning(
            "log.volatile folder=%s file_system=%s: it is gone after a restart of the machine", folder, kind
        )


def _file_system(folder: Path) -> str:
    """Return the type of the file system that holds a folder, as the system names it; empty when unknown."""
    if sys.platform == "darwin":
        buffer = ctypes.create_string_buffer(4096)
        if ctypes.CDLL(None).statfs(os.fsencode(folder), buffer) != 0:
            return ""
        return buffer.raw[72:88].split(b"\0")[0].decode()  # f_fstypename of struct statfs, 64-bit inodes
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    found = ""
    try:
        for line in MOUNTS.read_text().splitlines():
            fields, _, rest = line.partition(" - ")
            if fields.split()[2] == wanted:
                found = rest.split()[0]
    except OSError:
        return ""
    return found


def hold_worker(path: Path) -> int:
    """Return the descriptor of the lock that makes this process the log's only worker; it dies with the process.

    Raises: Fatal (`second-worker`) naming the process that has it.
    """
    import fcntl

    name = os.path.realpath(path)
    if name in _held:
        raise _second_worker(path, os.getpid())
    try:
        descriptor = os.open(f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as exc:
        raise _cannot_open(path, exc) from exc
    try:
        # Not flock: a forked child would inherit that one and keep it beyond our death.
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        holder = os.read(descriptor, 32).decode(errors="replace").strip()
        os.close(descriptor)
        if exc.errno in (errno.EACCES, errno.EAGAIN):
            raise _second_worker(path, holder or "unknown") from exc
        raise _cannot_open(Path(f"{name}.lock"), exc) from exc
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    _held[name] = descriptor
    return descriptor


def free_worker(path: Path) -> None:
    """Give the lock back, if this process has it."""
    descriptor = _held.pop(os.path.realpath(path), None)
    if descriptor is not None:
        os.close(descriptor)


def _cannot_open(path: Path, exc: OSError) -> Fatal:
    return Fatal(
        f"{path} cannot be opened for writing: {exc.strerror}",
        code="log-read-only" if exc.errno in (errno.EROFS, errno.EACCES, errno.EPERM) else "log-cannot-open",
        hint="check folder, owner and mode, or name another file: --on embedded:FILE",
    )


def _second_worker(path: Path, pid: object) -> Fatal:
    return Fatal(
        f"{path} already has its one worker: process {pid}",
        code="second-worker",
        hint=f"stop it first (kill {pid}), or give this one a log of its own: --on embedded:OTHER",
    )


def prepare(path: Path, application: str, role: Role, durability: Durability, vfs: str | None) -> None:
    """Return when the file is there, ours and of the present format; a worker creates and migrates it.

    Raises: Fatal: `no-log`, `not-a-log`, `other-application`, `newer-format`, `older-format`, `log-corrupt`.
    """
    is_new = not path.exists() or path.stat().st_size == 0
    if is_new and role == "client":
        raise _no_log(path)
    if not is_new:
        _check_owner(path, application, role, vfs)  # before any setting: what is not ours stays as it is
    connection = connect(path, role, durability, vfs)
    try:
        if _is_empty(connection):
            if role == "client":
                raise _no_log(path)
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(SCHEMA)
            connection.execute("INSERT INTO about VALUES ('application', ?)", (application,))
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={FORMAT}")
            connection.execute("COMMIT")
            sync_folder(path.parent)
        elif role == "worker":
            _migrate(connection, path)
    except apsw.Error as exc:
        raise translated(exc, path) from exc
    finally:
        connection.close()


def _check_owner(path: Path, application: str, role: Role, vfs: str | None) -> None:
    """Return when a file is a log of this application that this version can work with. Raises: Fatal."""
    try:
        connection = apsw.Connection(os.fspath(path), apsw.SQLITE_OPEN_READWRITE, vfs)
    except apsw.Error as exc:
        raise translated(exc, path) from exc
    try:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.set_busy_handler(Patience())
        if not _is_empty(connection):
            _check_identity(connection, path, application)
            _check_format(connection, path, role)
    except apsw.Error as exc:
        raise translated(exc, path) from exc
    finally:
        connection.close()


def _no_log(path: Path) -> Fatal:
    return Fatal(f"there is no log at {path}", code="no-log", hint="it is made by the first `streamlets run`")


def _is_empty(connection: apsw.Connection) -> bool:
    return not connection.execute("SELECT count(*) FROM sqlite_schema").get


def _check_identity(connection: apsw.Connection, path: Path, application: str) -> None:
    if connection.pragma("application_id") != APPLICATION_ID:
        raise Fatal(
            f"{path} is an SQLite file of another program, not a log of Streamlets",
            code="not-a-log",
            hint="name another file: --on embedded:FILE",
        )
    owner = connection.execute("SELECT value FROM about WHERE name = 'application'").get
    if owner != application:
        raise Fatal(
            f"{path} is the log of application {owner}, not of {application}",
            code="other-application",
            hint="each application has a log of its own: --on embedded:FILE",
        )


def _check_format(connection: apsw.Connection, path: Path, role: Role) -> None:
    found = connection.pragma("user_version")
    if found > FORMAT:
        raise Fatal(
            f"{path} has format {found}; this version of Streamlets knows formats up to {FORMAT}",
            code="newer-format",
            hint="upgrade Streamlets: pip install -U streamlets",
        )
    if found < min(MIGRATIONS, default=FORMAT):
        raise Fatal(
            f"{path} has format {found}, which no version of Streamlets has ever written",
            code="log-corrupt",
            hint="restore it from a copy, or name another file",
        )
    if found < FORMAT and role == "client":
        raise Fatal(
            f"{path} has the older format {found}; the present one is {FORMAT}",
            code="older-format",
            hint="the next `streamlets run` migrates it",
        )


def _migrate(connection: apsw.Connection, path: Path) -> None:
    """Bring an older log to the present format, in one transaction."""
    found = connection.pragma("user_version")
    if found == FORMAT:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in range(found, FORMAT):
            connection.execute(MIGRATIONS[step])
        connection.execute(f"PRAGMA user_version={FORMAT}")
        connection.execute("COMMIT")
    except apsw.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    log.info("log.migrated file=%s from=%d to=%d", path, found, FORMAT)


def connect(
    path: Path, role: Role, durability: Durability, vfs: str | None, patience: Patience | None = None
) -> apsw.Connection:
    """Return a connection with every setting set and read back. Raises: Fatal, as `translated` says."""
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if role == "worker" else 0)
    try:
        connection = apsw.Connection(os.fspath(path), flags, vfs)
    except apsw.Error as exc:
        raise translated(exc, path) from exc
    try:
        connection.set_busy_handler(patience or Patience())
        # A close must not checkpoint: that is the worker's alone.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        wanted = {**PRAGMAS, "synchronous": ("full", 2) if durability == "full" else ("normal", 1)}
        for name, (value, read_back) in wanted.items():
            connection.pragma(name, value)
            found = connection.pragma(name)
            if found != read_back:
                raise Fatal(
                    f"{path}: SQLite keeps {name} at {found!r} instead of {read_back!r}",
                    code="log-setting",
                    hint="the file or its folder may be read-only, or on a disk without shared memory",
                )
    except apsw.Error as exc:
        connection.close()
        raise translated(exc, path) from exc
    except Fatal:
        connection.close()
        raise
    return connection


class Patience:
    """A busy handler that asks every millisecond: SQLite's own waits grow to 100 ms, which starves who waits."""

    def __init__(self, limit_s: float = BUSY_S) -> None:
        self.limit_s = limit_s
        self._began = 0.0

    def __call__(self, tries: int) -> bool:
        now = time.monotonic()  # a real lock of a real process: no virtual clock moves it
        if tries == 0:
            self._began = now
        if now - self._began >= self.limit_s:
            return False
        time.sleep(0.001)
        return True


def sync_folder(folder: Path) -> None:
    """Make a new file's name durable: SQLite syncs the folder for a journal, not for the database itself."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def identity(path: Path) -> tuple[int, int] | None:
    """Return (device, inode) of the file, None when it is gone."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def translated(exc: apsw.Error | OSError, path: Path) -> StreamletsError:
    """Return the error in our words: Aborted where nothing was written and trying again may help, else Fatal."""
    if isinstance(exc, apsw.FullError) or (isinstance(exc, OSError) and exc.errno == errno.ENOSPC):
        return Aborted(
            f"{path}: disk full, nothing was written", code="disk-full", hint="free space: it is tried again"
        )
    if isinstance(exc, (apsw.BusyError, apsw.LockedError)):
        return Aborted(
            f"{path}: another process holds the log's write lock for more than {BUSY_S:.0f} s",
            code="busy",
            hint="look for a stopped process that has the file open",
        )
    if isinstance(exc, (apsw.IOError, OSError)):
        return Aborted(
            f"{path}: the disk failed ({exc}), nothing was written",
            code="disk-error",
            hint="it is tried again",
        )
    if isinstance(exc, apsw.NoMemError):
        return Aborted(
            f"{path}: out of memory, nothing was written", code="out-of-memory", hint="it is tried again"
        )
    if isinstance(exc, apsw.NotADBError):
        return Fatal(
            f"{path} is not a log: not an SQLite file",
            code="not-a-log",
            hint="name another file: --on embedded:FILE",
        )
    if isinstance(exc, apsw.CorruptError):
        return Fatal(f"{path} is damaged ({exc})", code="log-corrupt", hint="restore it from a copy")
    if isinstance(exc, (apsw.ReadOnlyError, apsw.PermissionsError, apsw.AuthError)):
        return Fatal(
            f"{path} cannot be written: read-only", code="log-read-only", hint="check owner and mode"
        )
    if isinstance(exc, apsw.CantOpenError):
        return Fatal(
            f"{path} cannot be opened ({exc})", code="log-cannot-open", hint="check folder, owner and mode"
        )
    return Fatal(
        f"{path}: {type(exc).__name__}: {exc}",
        code="log-failed",
        hint="nothing of what was asked for was written",
        exit_code=128,
    )


def outside(error: StreamletsError) -> StreamletsError:
    """Return the error for a caller who has no release: an outage to wait out instead of Aborted."""
    if isinstance(error, Aborted):
        return Unavailable(error.message, code=error.code, hint=error.hint)
    return error
