"""Flushes files and directories to the disk, and makes directories whose names are on it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

OWNER_ONLY = 0o700


def flush(path: Path) -> None:
    """Return when the file, or the names in the directory, are on the disk.

    Never for a file that SQLite has open with locks: to close it here would end those locks.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Make the directory, for its owner alone, if there is none; its name is on the disk then.

    Raises OSError when it cannot be made.
    """
    path = path.absolute()
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=OWNER_ONLY if each == path else 0o777, exist_ok=True)
        flush(each.parent)
    path.mkdir(exist_ok=True)  # raises when it is a file
