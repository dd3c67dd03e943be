"""The store for one machine: SQLite, one writer thread, everything in one flush per commit."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing
from typing import TYPE_CHECKING, TypeVar

from orderintake_server.errors import StartupFailed, StoreBroken, StoreFull
from orderintake_server.store.base import Policy
from orderintake_server.store.changes import StoreState
from orderintake_server.store.sqlite import database, reads, schema
from orderintake_server.store.sqlite.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from orderintake_server.domain import Completion, Order, Tier
    from orderintake_server.store.base import RecoveryReport
    from orderintake_server.store.changes import Changes, Committed
    from orderintake_server.views import LogPage, OrderFilter

_T = TypeVar("_T")

READERS = 2
"""Threads that read; SQLite reads in parallel, Python's lock leaves little to gain beyond two."""


class SqliteStore:
    """A `Store` in one directory that no other process uses meanwhile."""

    is_shared = False

    def __init__(self, path: Path, writer: Writer) -> None:
        """Serve reads from the database at `path`, and writes through `writer`."""
        self._path = path
        self._writer = writer
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._reading = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []

    @property
    def recovery(self) -> RecoveryReport:
        """What the store held when it was opened."""
        return self._writer.recovery

    async def commit(self, changes: Changes) -> Committed:
        """Keep `Store.commit`."""
        return await _in_thread(self._writing, lambda: self._writer.commit(changes))

    async def find(self, accept_sequence: int) -> Order | Completion | None:
        """Keep `Store.find`."""
        return await _in_thread(self._reading, lambda: reads.find(self._reader(), accept_sequence))

    async def position(self, accept_sequence: int) -> int:
        """Keep `Store.position`."""
        return await _in_thread(self._writing, lambda: self._writer.position(accept_sequence))

    async def list_orders(
        self, wanted: OrderFilter, *, after: int, limit: int
    ) -> tuple[list[Order], int | None]:
        """Keep `Store.list_orders`."""
        return await _in_thread(
            self._reading, lambda: reads.list_orders(self._reader(), wanted, after, limit)
        )

    async def read_log(
        self, wanted: OrderFilter, *, after: int, limit: int, max_bytes: int
    ) -> LogPage:
        """Keep `Store.read_log`."""
        return await _in_thread(
            self._reading,
            lambda: reads.read_log(self._reader(), wanted, after, limit, max_bytes),
        )

    async def bounds(self) -> tuple[int, int]:
        """Keep `Store.bounds`."""
        return await _in_thread(self._reading, lambda: reads.bounds(self._reader()))

    async def oldest_waiting(self) -> dict[Tier, int]:
        """Keep `Store.oldest_waiting`."""
        return await _in_thread(self._reading, lambda: reads.oldest_waiting(self._reader()))

    async def watch(self) -> AsyncIterator[StoreState]:
        """Keep `Store.news`: nobody else changes anything."""
        await asyncio.Event().wait()
        yield StoreState(counts={}, accept_counts={}, completion_counts={}, head=0, earliest=0)

    def _reader(self) -> sqlite3.Connection:
        """Give this thread's own connection for reading."""
        if not hasattr(self._local, "connection"):
            self._local.connection = database.connect(self._path, read_only=True)
            self._readers.append(self._local.connection)
        connection: sqlite3.Connection = self._local.connection
        return connection

    def close(self) -> None:
        """Finish what was begun and let the files go; blocks until then."""
        self._writing.shutdown()
        self._reading.shutdown()
        for connection in self._readers:
            connection.close()


_NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
"""What SQLite says on a full disk: of the database or its log, and of the log's index."""


@asynccontextmanager
async def sqlite_store(
    directory: Path, *, clock: Callable[[], int], policy: Policy | None = None
) -> AsyncIterator[SqliteStore]:
    """Open the store in `directory`, making it if there is none; inside, nobody else can.

    On entry everything that was in process is waiting again. `clock` tells the time in
    microseconds since 1970.

    Raises StartupFailed when another process holds the directory, when the file is of a newer
    version or is no store, or when it cannot be written.
    """
    with ExitStack() as files:
        store = await asyncio.to_thread(_opened, directory, clock, policy or Policy(), files)
        try:
            yield store
        finally:
            await asyncio.to_thread(files.close)


def _opened(
    directory: Path, clock: Callable[[], int], policy: Policy, files: ExitStack
) -> SqliteStore:
    """Open lock, database and store, each to be closed by `files`."""
    files.enter_context(database.locked(directory))
    path = directory / database.NAME
    try:
        connection = files.enter_context(closing(database.connect(path)))
        schema.prepare(connection, path)
        return files.enter_context(closing(SqliteStore(path, Writer(connection, clock, policy))))
    except sqlite3.Error as error:
        raise StartupFailed(f"cannot open the store {path}: {error}") from error


async def _in_thread(pool: ThreadPoolExecutor, work: Callable[[], _T]) -> _T:
    """Run `work` in the pool, its SQLite errors told as the store's own."""
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, work)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) in _NO_ROOM:
            raise StoreFull(str(error)) from error
        raise StoreBroken(f"{getattr(error, 'sqlite_errorname', 'SQLite')}: {error}") from error
