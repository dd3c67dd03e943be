"""Tells a full disk from one that fails, where SQLite does not: may another file still grow?"""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from typing import TYPE_CHECKING, TypeVar

from orderintake_server.errors import StoreFull

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_T = TypeVar("_T")

_PAGE = 4096
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""No disk left, no quota left, and more than a file of this process may have."""


def or_full(directory: Path, work: Callable[[], _T]) -> _T:
    """Return what the work does with a store in the directory.

    A write that SQLite could not make raises StoreFull when no other file there could grow by as
    much: to SQLite a used up quota, or a limit of the size of files, looks like a failing disk.
    """
    try:
        return work()
    except sqlite3.OperationalError as error:
        why = _why_full(directory) if _is_write(error) else None
        if why is None:
            raise
        raise StoreFull(f"{error.sqlite_errorname}: {os.strerror(why)}") from error


def _is_write(error: sqlite3.OperationalError) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_IOERR_WRITE


def _why_full(directory: Path) -> int | None:
    """Write a page where the largest file of the store ends; return the error that means no room.

    A write that failed has filled its file up to the limit, so that the next byte is beyond it.
    """
    try:
        largest = max(file.stat().st_size for file in directory.iterdir())
        with tempfile.TemporaryFile(dir=directory, buffering=0) as beside:
            beside.seek(largest)
            for size in (_PAGE, 1):  # of the first, a part may still fit
                beside.write(bytes(size))
    except OSError as error:
        return error.errno if error.errno in _NO_ROOM else None
    return None
