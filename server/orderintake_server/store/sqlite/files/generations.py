"""The token by which a write-ahead log is known to belong to its database.

SQLite replays any orders.db-wal that lies beside orders.db, also one that was left behind when the
database was replaced by a backup; the result is neither. So each generation of the log (from one
reset to the next) writes a token into the database's header: the successor of the last one. What
the file itself holds must then be a token that the log has too, or the one before its first.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from orderintake_server.errors import StartupFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

LOG_SUFFIX = "-wal"
_LOG_HEADER, _FRAME_HEADER = 32, 24
_SALTS = slice(16, 24)
"""Of the log's header: two numbers that are new in each generation."""
_TOKEN = slice(68, 72)
"""Of the database's header: SQLite's application_id, which means nothing to SQLite."""


def refuse_foreign_log(path: Path) -> None:
    """Raise StartupFailed when the log beside the database at `path` belongs to another database.

    Nobody has the database open. A log that names no token is taken for the database's own.
    """
    path = Path(os.path.realpath(path))
    log = path.with_name(path.name + LOG_SUFFIX)
    if not log.exists() or log.stat().st_size <= _LOG_HEADER:
        return
    header = _header(path)
    if not header:
        raise StartupFailed(
            f"{log} holds the newest changes of a store, but {path} is missing or empty; put the"
            " store's file back, or move the log away to begin a new store"
        )
    with log.open("rb") as file:
        tokens = list(_tokens(file))
    token = int.from_bytes(header[_TOKEN])
    if tokens and token not in tokens and tokens[0] != successor(token, _log_id(path)):
        raise StartupFailed(
            f"{log} does not belong to {path}: one of them was replaced, as when a backup is"
            " restored beside the log of the store it replaces; move the log away to start with"
            f" {path.name} as it is, or put the file back that the log belongs to"
        )


def _header(path: Path) -> bytes:
    """Read the header of the database; it is empty if there is none."""
    if not path.exists():
        return b""
    with path.open("rb") as file:
        return file.read(100)


def _tokens(log: BinaryIO) -> Iterator[int]:
    """Yield the token of each first page in the newest generation of an open log."""
    header = log.read(_LOG_HEADER)
    page_size = int.from_bytes(header[8:12])
    while len(frame := log.read(_FRAME_HEADER)) == _FRAME_HEADER and frame[8:16] == header[_SALTS]:
        page = log.read(page_size)
        if int.from_bytes(frame[:4]) == 1 and len(page) == page_size:
            yield int.from_bytes(page[_TOKEN])


def _log_id(path: Path) -> str:
    """Read the log id that stands in the file itself, without the write-ahead log."""
    address = f"{path.as_uri()}?mode=ro&immutable=1"
    with suppress(sqlite3.Error), closing(sqlite3.connect(address, uri=True)) as connection:
        (log_id,) = connection.execute("SELECT log_id FROM identity").fetchone()
        return str(log_id)
    return ""


def successor(token: int, log_id: str) -> int:
    """Return the token after this one, in the store with this log id."""
    return zlib.crc32(f"{log_id} {token}".encode()) & 0x7FFF_FFFF


class Generations:
    """Gives each generation of an open store's log its token. One thread at a time may use it."""

    def __init__(self, connection: sqlite3.Connection, log: int, database: int) -> None:
        """Watch the log by its descriptor; the connection is the only one that writes.

        `database` is the descriptor of the database's own file.
        """
        self._connection = connection
        self._log, self._database = log, database
        self._salts = b""
        (self._log_id,) = connection.execute("SELECT log_id FROM identity").fetchone()
        (self._token,) = connection.execute("PRAGMA application_id").fetchone()
        self._known = {self._token, self._token_in_file()}

    def note_commit(self) -> None:
        """Write the next token if the last commit began a generation; never fails.

        What cannot be written now is written after a later commit.
        """
        salts = os.pread(self._log, 8, _SALTS.start)
        if salts == self._salts:
            return
        token = successor(self._token, self._log_id)
        self._known.add(token)  # the commit that writes it may copy it into the file at once
        with suppress(sqlite3.Error, MemoryError):
            self._connection.execute(f"PRAGMA application_id = {token:d}")
            is_new = bool(self._salts)  # at the first time, the log may be an older one
            self._known = {self._token, token} if is_new else {*self._known, token}
            self._token, self._salts = token, salts

    def is_own_database(self) -> bool:
        """Tell whether the database's file still holds a token that this process knows."""
        return self._token_in_file() in self._known

    def _token_in_file(self) -> int:
        return int.from_bytes(os.pread(self._database, 4, _TOKEN.start))
