"""The store for one machine: SQLite, with one writer thread and one flush per commit."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from orderintake_server.domain import Order, State
from orderintake_server.errors import Refusal, StartupFailed, StoreBroken, StoreError
from orderintake_server.process.thread import WorkThread
from orderintake_server.store.actions import sqlite as actions
from orderintake_server.store.at_work.sqlite import SqliteAtWork
from orderintake_server.store.base import Located, Policy
from orderintake_server.store.blame.sqlite import blamed
from orderintake_server.store.condition.sqlite import SqliteCondition
from orderintake_server.store.rows import completion_of
from orderintake_server.store.selections.sqlite import SqliteSelections
from orderintake_server.store.sqlite import database, reads, schema
from orderintake_server.store.sqlite.files.rights import warn_of_others
from orderintake_server.store.sqlite.files.room import or_full
from orderintake_server.store.sqlite.files.watch import FileWatch
from orderintake_server.store.sqlite.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection
    from pathlib import Path

    from orderintake_server.clock import Clock
    from orderintake_server.domain import Completion, Tier
    from orderintake_server.store.base import RecoveryReport
    from orderintake_server.store.changes import Changes, Committed, StoreState
    from orderintake_server.store.rows import ReadRow
    from orderintake_server.views import LogPage, OperatorAction, OrderFilter

_T = TypeVar("_T")

READERS = 2
"""Threads that read. SQLite reads in parallel, but Python's lock leaves little gain beyond two."""
LOOK_SECONDS = 1.0
"""How often the files are looked at when nothing is committed."""
IDLE_SECONDS = 5.0
"""How long nothing must be committed before the log is emptied."""


class SqliteStore:
    """A `Store` in one directory, which no other process uses at the same time."""

    is_shared = False

    def __init__(self, path: Path, writer: Writer, files: FileWatch | None = None) -> None:
        """Read from the database at `path`; write through `writer`; watch `files`."""
        self._path = path
        self._writer = writer
        self._files = files
        self._writing = WorkThread("store-writer")
        self._reading = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._broken: StoreBroken | None = None
        self._broke = asyncio.Event()
        self._written_at: float | None = time.monotonic()
        self.selections = SqliteSelections(self._read, writer.ranking)
        self.at_work = SqliteAtWork(self._read)
        self.condition = SqliteCondition(path, self._run)

    def start(self) -> None:
        """Start every thread and open every file that will be needed; block until then.

        Later, when the system has no more of them, the store needs none.
        """
        together = threading.Barrier(READERS)  # so that each thread does one of these

        def read() -> None:
            self._reader().execute("SELECT log_id FROM identity").fetchone()
            together.wait()

        for started in [self._reading.submit(read) for _ in range(READERS)]:
            started.result()

    @property
    def recovery(self) -> RecoveryReport:
        """What the store held when it was opened."""
        return self._writer.recovery

    async def commit(self, changes: Changes) -> Committed:
        """Keep `Store.commit`."""
        if self._broken:
            raise self._broken
        return await self._write(partial(self._commit, changes))

    def _commit(self, changes: Changes) -> Committed:
        """Commit in the writer's thread; nothing is acknowledged into files that are gone.

        A look after the commit tells, also of files that went before it: SQLite wrote into those
        that it has open, which nobody will read, and the store is broken from then on.
        """
        if self._files is None:
            return self._writer.commit(changes)
        committed = self._writer.commit(changes)
        self._files.note_commit()
        self._files.check()
        self._written_at = time.monotonic()
        return committed

    async def note_stop(self) -> None:
        """Keep `Store.note_stop`."""
        await self._write(self._writer.note_stop)

    async def find(self, accept_sequence: int) -> Order | Completion | None:
        """Keep `Store.find`."""
        return await self._run(lambda: reads.find(self._reader(), accept_sequence))

    async def known_requests(self, names: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Keep `Store.known_requests`."""
        return await self._run(lambda: reads.known_requests(self._reader(), names))

    async def locate(self, accept_sequence: int) -> Located | None:
        """Keep `Store.locate`; only for an order that is queued the writer is asked."""
        stands = await self.find(accept_sequence)
        if not isinstance(stands, Order) or stands.state is not State.QUEUED:
            return None if stands is None else Located(stands)
        return await self._write(partial(self._writer.locate, accept_sequence))

    async def list_orders(
        self, wanted: OrderFilter, *, after: int, limit: int, newest_first: bool = False
    ) -> tuple[list[Order], int | None]:
        """Keep `Store.list_orders`."""
        return await self._run(
            lambda: reads.list_orders(
                self._reader(), wanted, after, limit, newest_first=newest_first
            ),
        )

    async def read_log(
        self,
        wanted: OrderFilter,
        *,
        after: int,
        limit: int,
        max_bytes: int,
        read: ReadRow = completion_of,
    ) -> LogPage[Any]:
        """Keep `Store.read_log`."""
        return await self._run(
            lambda: reads.read_log(self._reader(), wanted, after, limit, max_bytes, read=read),
        )

    async def bounds(self) -> tuple[int, int]:
        """Keep `Store.bounds`."""
        return await self._run(lambda: reads.bounds(self._reader()))

    async def list_actions(
        self, accept_sequence: int | None, *, before: int, limit: int
    ) -> tuple[list[OperatorAction], bool]:
        """Keep `Store.list_actions`."""
        return await self._run(
            lambda: actions.list_actions(self._reader(), accept_sequence, before, limit),
        )

    async def oldest_waiting(self) -> dict[Tier, int]:
        """Keep `Store.oldest_waiting`."""
        return await self._run(lambda: reads.oldest_waiting(self._reader()))

    async def watch(self) -> AsyncIterator[StoreState]:
        """Keep `Store.watch`: no other process changes anything, so nothing ever comes.

        Meanwhile, look after the files. Raises StoreBroken when they are gone, and when anything
        else, a read too, has met a broken store.
        """
        while self._broken is None:
            with suppress(TimeoutError, StoreError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._broke.wait()
            with suppress(StoreError):
                await self._look_after_files()
        raise self._broken
        yield

    async def _look_after_files(self) -> None:
        """Look whether the files are still there; empty the log when nothing is written."""
        if self._files is not None:
            await self._write(self._files.check_content)  # where tokens are written, and known
        written_at = self._written_at
        if written_at is None or time.monotonic() - written_at < IDLE_SECONDS:
            return
        if await self._write(self._writer.truncate_log) and self._written_at == written_at:
            self._written_at = None

    async def _write(self, work: Callable[[], _T]) -> _T:
        """Run `work` in the thread that writes; it is done also when the caller is cancelled.

        Whatever fails in a commit is rolled back, so that any error means that nothing was stored.
        """
        return await self._judged(self._writing.run(self._with_room(work)))

    async def _run(self, work: Callable[[], _T]) -> _T:
        """Run `work` in a thread that reads."""
        loop = asyncio.get_running_loop()
        return await self._judged(loop.run_in_executor(self._reading, self._with_room(work)))

    async def _read(self, read: Callable[[sqlite3.Connection], _T]) -> _T:
        return await self._run(lambda: read(self._reader()))

    def _with_room(self, work: Callable[[], _T]) -> Callable[[], _T]:
        return partial(or_full, self._path.parent, work)

    async def _judged(self, work: Awaitable[_T]) -> _T:
        """Raise the errors of `work` as those of the store, but its refusals as they are.

        Once it finds the store broken, the store is that for good.
        """
        try:
            return await work
        except Exception as error:
            judged = _judged(error)
            if isinstance(judged, StoreBroken):
                self._broken = self._broken or judged
                self._broke.set()
            if judged is error:
                raise
            raise judged from error

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


@asynccontextmanager
async def sqlite_store(
    directory: Path, *, clock: Clock, policy: Policy | None = None
) -> AsyncIterator[SqliteStore]:
    """Open the store in `directory`; make it if there is none. While inside, no other process can.

    On entry, everything that was in process waits again or has ended.

    Raises StartupFailed when another process has locked the directory, when the file is of a newer
    version or is not a store, or when it cannot be written.
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix="store-files")  # it is kept for the end
    run = partial(asyncio.get_running_loop().run_in_executor, thread)
    with ExitStack() as files:
        try:
            yield await run(_opened, directory, clock, policy or Policy(), files)
        finally:
            await run(files.close)
            thread.shutdown(wait=False)


def _opened(directory: Path, clock: Clock, policy: Policy, files: ExitStack) -> SqliteStore:
    """Open the lock, the database and the store; `files` closes them."""
    files.enter_context(database.locked(directory))
    path = directory / database.NAME
    try:
        descriptor = files.enter_context(database.owned(path))
        connection = files.enter_context(closing(database.connect(path)))
        database.wait_when_busy(connection, database.START_BUSY_SECONDS)
        schema.prepare(connection, path)
        writer = Writer(connection, clock, policy)
        database.wait_when_busy(connection, database.BUSY_SECONDS)
        watch = FileWatch(path, descriptor, connection, files)
        store = files.enter_context(closing(SqliteStore(path, writer, watch)))
        store.start()
        warn_of_others(directory, database.NAME)
    except (sqlite3.Error, OSError) as error:
        raise StartupFailed(f"cannot open the store {path}: {error}") from error
    return store


def _judged(error: Exception) -> Exception:
    if isinstance(error, (Refusal, StoreError)):
        return error
    if isinstance(error, OSError):  # of the files that are watched
        return StoreBroken(str(error))
    return blamed(error)
