"""The database file of a SQLite store: one process locks it, and every commit is flushed."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orderintake_server.errors import StartupFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "orders.db"
LOCK_NAME = "server.lock"
CACHE_KIB = 16_384
"""Page cache of one connection: a bound on memory, however large the store."""
LEFT_BEHIND = " (which has ended: a process that it left behind holds its lock)"
LOG_PAGES = 4_000
"""Pages (of 4 KiB) in the write-ahead log before a checkpoint copies them back: 16 MiB."""


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Lock the directory for this process alone while inside; make it if there is none.

    Raises StartupFailed when another process has locked it, and names its pid.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StartupFailed(f"cannot use the data directory {directory}: {error}") from error
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
        raise StartupFailed(
            f"the data directory {directory} is in use by another orderintake-server, pid {pid}"
            f"{'' if _lives(pid) else LEFT_BEHIND}; "
            "stop that one, or give this one a directory of its own with --data"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def _lives(pid: str) -> bool:
    """Tell whether there is a process of this number; one that is no number may live."""
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OverflowError, PermissionError):
        return True
    return True


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the database so that a commit is flushed; threads may use it one after the other."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = 1")  # macOS: only this flush reaches the disk
    connection.execute("PRAGMA checkpoint_fullfsync = 1")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
    if read_only:
        connection.execute("PRAGMA query_only = 1")
    return connection
