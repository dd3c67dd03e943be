"""The database file of a SQLite store: one process locks it, and every commit is flushed."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from orderintake_server.errors import StartupFailed
from orderintake_server.store.sqlite.files.flush import make_directory, open_own
from orderintake_server.store.sqlite.files.generations import refuse_foreign_log

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "orders.db"
LOCK_NAME = "server.lock"
CACHE_KIB = 16_384
"""Page cache of one connection: a bound on memory, however large the store."""
LEFT_BEHIND = " (which has ended: a process that it left behind holds its lock)"
LOG_PAGES = 4_000
"""Pages (of 4 KiB) in the write-ahead log before a checkpoint copies them back: 16 MiB."""
LOG_BYTES = LOG_PAGES * 4096
"""The log is cut to this size when it begins anew, after something had kept it from that."""
BUSY_SECONDS = 1.0
"""How long a commit waits when another program has locked the database; then it is refused."""
START_BUSY_SECONDS = 10.0
"""How long a start waits for the same."""


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Lock the directory for this process alone while inside; make it if there is none.

    Raises StartupFailed when another process has locked it, and names its pid.
    """
    try:
        make_directory(directory)
        descriptor = open_own(directory / LOCK_NAME)
    except OSError as error:
        raise _unusable(directory, error) from error
    try:
        _lock(descriptor, directory)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, directory: Path) -> None:
    """Lock the open file and write our pid into it; the lock ends with the process."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
        raise _in_use(f"the data directory {directory}", pid) from None
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:  # a full disk, say
        raise _unusable(directory, error) from error


def _unusable(directory: Path, error: OSError) -> StartupFailed:
    return StartupFailed(f"cannot use the data directory {directory}: {error}")


def _lives(pid: str) -> bool:
    """Tell whether there is a process of this number; one that is no number may live."""
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OverflowError, PermissionError):
        return True
    return True


def _in_use(what: str, pid: str) -> StartupFailed:
    return StartupFailed(
        f"{what} is in use by another orderintake-server, pid {pid}"
        f"{'' if _lives(pid) else LEFT_BEHIND}; "
        "stop that one, or give this one a directory of its own with --data"
    )


@contextmanager
def owned(path: Path) -> Iterator[int]:
    """Lock the database's own file while inside, whatever name it is reached by.

    Makes the file if there is none, for its owner alone. Yields its descriptor, which must stay
    open as long as SQLite uses the file: to close it would end SQLite's locks. Raises StartupFailed
    when another process has locked it, or when its log belongs to another database.
    """
    refuse_foreign_log(path)
    try:
        descriptor = open_own(path)
    except OSError as error:
        raise StartupFailed(f"cannot open the store {path}: {error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    except BlockingIOError:
        raise _in_use(f"the store {os.path.realpath(path)}", _holder(descriptor)) from None
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    """Return the pid of the process that has locked an open file, if the system tells it."""
    inode = f":{os.fstat(descriptor).st_ino} "
    with suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            if "FLOCK" in line and inode in line:
                return line.split()[4]
    return "unknown"


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the database so that a commit is flushed; threads may use it one after the other."""
    connection = sqlite3.connect(
        path,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
        timeout=BUSY_SECONDS,
    )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = 1")  # macOS: only this flush reaches the disk
    connection.execute("PRAGMA checkpoint_fullfsync = 1")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
    connection.execute("PRAGMA temp_store = MEMORY")  # no descriptor is needed later
    if read_only:
        connection.execute("PRAGMA query_only = 1")
    return connection


def wait_when_busy(connection: sqlite3.Connection, seconds: float) -> None:
    """Let statements of the connection wait so long for another program's lock."""
    connection.execute(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")


def truncate_log(connection: sqlite3.Connection) -> bool:
    """Copy the whole log back and empty it; tell whether it is, for a reader may need it still."""
    wait_when_busy(connection, 0)  # for a reader that may need long
    try:
        (is_busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        wait_when_busy(connection, BUSY_SECONDS)
    return not is_busy
