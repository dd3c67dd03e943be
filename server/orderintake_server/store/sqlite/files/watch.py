"""Watches the files of an open store: nothing is acknowledged into files that are gone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from orderintake_server.errors import StoreAway, StoreGone
from orderintake_server.store.sqlite.files.flush import flush
from orderintake_server.store.sqlite.files.generations import LOG_SUFFIX, Generations

if TYPE_CHECKING:
    import sqlite3
    from contextlib import ExitStack

_Identity = tuple[int, int]


class FileWatch:
    """The files of an open store as they were when it was opened, by device and inode."""

    def __init__(
        self, path: Path, database: int, connection: sqlite3.Connection, files: ExitStack
    ) -> None:
        """Watch the store at `path`, which has been written to; `files` closes what is opened.

        `database` is the descriptor of its file. What was found in its log is on the disk on
        return: SQLite does not flush a log that it only recovers.
        """
        real = Path(os.path.realpath(path))
        log = real.with_name(real.name + LOG_SUFFIX)
        index = real.with_name(real.name + "-shm")
        descriptor = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
        files.callback(os.close, descriptor)
        flush(log)
        flush(real.parent)
        self._known = {each: _identity(each) for each in (path, log, index)}
        self._generations = Generations(connection, descriptor, database)
        self.note_commit()

    def check(self) -> None:
        """Raise StoreGone when a file was removed, or another is in its place.

        Raises StoreAway when it cannot be told.
        """
        for path, identity in self._known.items():
            if _identity(path) != identity:
                raise StoreGone(f"{path} was removed or replaced while the server was running")

    def check_content(self) -> None:
        """Raise StoreGone when a file was removed or replaced, or written over by another.

        It belongs to the thread that commits: between two commits the tokens are what is written.
        """
        self.check()
        if not self._generations.is_own_database():
            path = next(iter(self._known))
            raise StoreGone(f"{path} was written over while the server was running")

    def note_commit(self) -> None:
        """Mark the log as this database's own, if the last commit began it anew."""
        self._generations.note_commit()


def _identity(path: Path) -> _Identity | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - a few microseconds less, for each commit
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreAway(f"{path} cannot be looked at: {error}") from error
    return found.st_dev, found.st_ino
