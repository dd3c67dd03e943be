"""Where a subscriber saves its cursor, so that it resumes there after a restart."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class Checkpoint(Protocol):
    """Stores one subscriber's cursor; what its methods raise is raised to the subscriber.

    AsyncClient calls them on a thread, one at a time.
    """

    def load(self) -> str | None:
        """Return the cursor that was saved last; None if there never was one."""

    def save(self, cursor: str) -> None:
        """Replace the saved cursor by this one; on return it must be durable."""


class FileCheckpoint:
    """A cursor in a file of its own, which one subscriber writes.

    At any time, and after any crash, the file holds one whole cursor: the last one saved, or the
    one before.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Name the file. Its directory must exist; `<path>.new` in it is written first."""
        self._path = Path(path)
        self._new = self._path.with_name(f"{self._path.name}.new")

    def load(self) -> str | None:
        """Return the cursor; None if there is no file.

        Raises:
            ValueError: the file is empty or damaged. To begin from the start, remove it.
            OSError: it cannot be read.
        """
        try:
            content = self._path.read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return None
        cursor = content.removesuffix("\n")
        if cursor == content or not _is_cursor(cursor):
            raise ValueError(f"{self._path} is no checkpoint: it holds no cursor, or half of one")
        return cursor

    def save(self, cursor: str) -> None:
        """Store the cursor durably, all of it or none.

        Raises:
            ValueError: the cursor is not a line of printable ASCII.
            OSError: it cannot be stored; the file still holds what was saved before.
        """
        if not _is_cursor(cursor):
            raise ValueError(f"{cursor!r} is no cursor")
        with self._new.open("w", encoding="ascii", newline="\n") as file:
            file.write(f"{cursor}\n")
            file.flush()
            os.fsync(file.fileno())
        self._new.replace(self._path)
        _make_names_durable(self._path.parent)


def _is_cursor(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable()


def _make_names_durable(directory: Path) -> None:
    if os.name == "nt":  # it can neither open nor flush a directory
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
