"""Whose fault each error of SQLite is."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from orderintake_server.errors import StoreBroken, StoreBusy, StoreError, StoreFull, StoreRefused
from orderintake_server.store.blame import blame

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orderintake_server.store.blame import Blame

_DATA = (
    *("OK", "ERROR", "INTERNAL", "NOTFOUND", "EMPTY", "TOOBIG", "CONSTRAINT", "MISMATCH", "MISUSE"),
    *("AUTH", "RANGE", "NOTICE", "WARNING", "ROW", "DONE"),
)
_LACKING = (
    *("ABORT", "BUSY", "LOCKED", "NOMEM", "INTERRUPT", "CANTOPEN", "PROTOCOL", "SCHEMA"),
    *("IOERR_NOMEM", "IOERR_SHMMAP", "IOERR_SHMOPEN", "IOERR_SHMLOCK", "IOERR_GETTEMPPATH"),
    *("IOERR_BLOCKED", "IOERR_LOCK", "IOERR_RDLOCK", "IOERR_UNLOCK", "IOERR_CHECKRESERVEDLOCK"),
    *("IOERR_MMAP", "READONLY_CANTLOCK", "READONLY_CANTINIT", "READONLY_RECOVERY"),
)
"""Memory, descriptors, and locks that another process holds."""
_FULL = ("FULL", "NOLFS", "IOERR_SHMSIZE")
"""No room for the database or its log; or for the log's index."""
_BROKEN = ("PERM", "READONLY", "IOERR", "CORRUPT", "FORMAT", "NOTADB")
"""A disk or a file system that fails or takes no writes; damaged data."""


def _rows(names: Iterable[str], blamed: Blame) -> dict[int, Blame]:
    return {getattr(sqlite3, f"SQLITE_{name}"): blamed for name in names}


BLAME: dict[int, Blame] = (
    _rows(_DATA, StoreRefused)
    | _rows(_LACKING, StoreBusy)
    | _rows(_FULL, StoreFull)
    | _rows(_BROKEN, StoreBroken)
)
"""By result code: every primary one, and those extended ones that mean something else."""


def blamed(error: Exception) -> StoreError:
    """Return any error of a statement as the store's own error; what it did was rolled back."""
    if isinstance(error, MemoryError):
        return StoreBusy("out of memory")
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # Python's own: a value that no column can hold, or a bug
        return StoreRefused(f"SQLite: {type(error).__name__}")
    name = getattr(error, "sqlite_errorname", "SQLite")
    return blame(BLAME, code, code & 0xFF)(f"{name}: {error}")
