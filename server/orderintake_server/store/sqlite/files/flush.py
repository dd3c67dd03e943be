"""Makes files and directories for their owner alone, and flushes them to the disk."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

OWNER_ONLY = 0o600
OWNER_ONLY_DIRECTORY = 0o700


def flush(path: Path) -> None:
    """Return when the file, or the names in the directory, are on the disk.

    Never for a file that SQLite has open with locks: to close it here would end those locks.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_own(path: Path) -> int:
    """Open a file to read and write; make it, for its owner alone, if there is none.

    The owner has his rights whatever the umask is: the file will be opened again by its name.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags | os.O_EXCL, OWNER_ONLY)
    except FileExistsError:
        return os.open(path, flags, OWNER_ONLY)
    os.fchmod(descriptor, OWNER_ONLY)
    return descriptor


def make_directory(path: Path) -> None:
    """Make the directory, for its owner alone, if there is none; its name is on the disk then.

    Those above it that are missing are made as the umask says, but never closed to their owner.

    Raises OSError when it cannot be made.
    """
    path = path.absolute()
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=OWNER_ONLY_DIRECTORY if each == path else 0o777, exist_ok=True)
        each.chmod(stat.S_IMODE(each.stat().st_mode) | OWNER_ONLY_DIRECTORY)
        flush(each.parent)
    path.mkdir(exist_ok=True)  # raises when it is a file
