"""The store for one machine: SQLite, with one writer thread and one flush per commit."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing
from typing import TYPE_CHECKING, TypeVar

from orderintake_server.domain import Order, State
from orderintake_server.errors import StartupFailed, StoreBroken, StoreFull
from orderintake_server.store.base import Located, Policy
from orderintake_server.store.changes import StoreState
from orderintake_server.store.sqlite import database, reads, schema
from orderintake_server.store.sqlite.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from orderintake_server.clock import Clock
    from orderintake_server.domain import Completion, Tier
    from orderintake_server.store.base import RecoveryReport
    from orderintake_server.store.changes import Changes, Committed
    from orderintake_server.views import LogPage, OrderFilter

_T = TypeVar("_T")

READERS = 2
"""Threads that read. SQLite reads in parallel, but Python's lock leaves little gain beyond two."""


class SqliteStore:
    """A `Store` in one directory, which no other process uses at the same time."""

    is_shared = False

    def __init__(self, path: Path, writer: Writer) -> None:
        """Read from the database at `path`; write through `writer`."""
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

    async def locate(self, accept_sequence: int) -> Located | None:
        """Keep `Store.locate`; only for an order that is queued the writer is asked."""
        stands = await self.find(accept_sequence)
        if not isinstance(stands, Order) or stands.state is not State.QUEUED:
            return None if stands is None else Located(stands)
        return await _in_thread(self._writing, lambda: self._writer.locate(accept_sequence))

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
        """Keep `Store.watch`: no other process changes anything, so nothing ever comes."""
        await asyncio.Event().wait()
        yield StoreState(counts={}, accept_counts={}, completion_counts={}, head=0, earliest=0)

    def _reader(self) -> sqlite3.Connection:
        """Return this thread's own connection for reading."""
        if not hasattr(self._local, "connection"):
            self._local.connection = database.connect(self._path, read_only=True)
            self._readers.append(self._local.connection)
        connection: sqlite3.Connection = self._local.connection
        return connection

    def close(self) -> None:
        """Finish what has begun and close the connections for reading; block until then."""
        self._writing.shutdown()
        self._reading.shutdown()
        for connection in self._readers:
            connection.close()


_DISK_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
"""SQLite's codes for a full disk: for the database or its log, and for the log's index."""


@asynccontextmanager
async def sqlite_store(
    directory: Path, *, clock: Clock, policy: Policy | None = None
) -> AsyncIterator[SqliteStore]:
    """Open the store in `directory`; make it if there is none. While inside, no other process can.

    On entry, everything that was in process waits again or has ended.

    Raises StartupFailed when another process has locked the directory, when the file is of a newer
    version or is not a store, or when it cannot be written.
    """
    with ExitStack() as files:
        store = await asyncio.to_thread(_opened, directory, clock, policy or Policy(), files)
        try:
            yield store
        finally:
            await asyncio.to_thread(files.close)


def _opened(directory: Path, clock: Clock, policy: Policy, files: ExitStack) -> SqliteStore:
    """Open the lock, the database and the store; `files` closes them."""
    files.enter_context(database.locked(directory))
    path = directory / database.NAME
    try:
        connection = files.enter_context(closing(database.connect(path)))
        schema.prepare(connection, path)
        return files.enter_context(closing(SqliteStore(path, Writer(connection, clock, policy))))
    except sqlite3.Error as error:
        raise StartupFailed(f"cannot open the store {path}: {error}") from error


async def _in_thread(pool: ThreadPoolExecutor, work: Callable[[], _T]) -> _T:
    """Run `work` in the pool; raise its SQLite errors as StoreFull or StoreBroken."""
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, work)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) in _DISK_FULL:
            raise StoreFull(str(error)) from error
        raise StoreBroken(f"{getattr(error, 'sqlite_errorname', 'SQLite')}: {error}") from error
