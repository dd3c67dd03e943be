"""The SQLite side of a copy: a store file that is read, or a new one that is written."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from orderintake_server.domain import Ranking
from orderintake_server.errors import StartupFailed
from orderintake_server.store.base import Policy
from orderintake_server.store.copy_tables import CHUNK_ROWS, Numbers
from orderintake_server.store.sqlite import database, schema
from orderintake_server.store.sqlite.files.flush import flush
from orderintake_server.store.sqlite.unit_of_work import UnitOfWork
from orderintake_server.store.sqlite.workers import lost

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable
    from pathlib import Path

    from orderintake_server.store.copy_tables import Rows, Table

_T = TypeVar("_T")

UNFINISHED = "copying.db"
"""The name of a store's file until the copy is complete."""

_BYTES = {"failure_code", "failure_message"}
"""Text columns that PostgreSQL keeps as bytes: its text type does not hold every character."""
_ROWID = {"number": "rowid"}
"""The key that SQLite assigns by itself."""


class SqliteCopy:
    """A SQLite database that one thread reads or writes, in one transaction."""

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        """Work on an open database, on this thread."""
        self._connection = connection
        self._thread = thread

    async def numbers(self) -> Numbers:
        """Keep `Source.numbers`."""
        row = await self._run(lambda: self._connection.execute(_NUMBERS).fetchone())
        return Numbers(*row)

    async def chunks(self, table: Table) -> AsyncGenerator[Rows, None]:
        """Keep `Source.chunks`."""
        rows = await self._run(lambda: self._connection.execute(_select(table)))
        while chunk := await self._run(lambda: rows.fetchmany(CHUNK_ROWS)):
            yield chunk

    async def count(self, table: Table) -> int:
        """Keep `Source.count` and `Target.count`."""
        query = f"SELECT count(*) FROM {table.name}"
        (count,) = await self._run(lambda: self._connection.execute(query).fetchone())
        return int(count)

    async def write(self, table: Table, chunks: AsyncIterator[Rows]) -> None:
        """Keep `Target.write`."""
        statement = _insert(table)
        async for chunk in chunks:
            await self._run(partial(self._connection.executemany, statement, chunk))

    async def finish(self, numbers: Numbers) -> None:
        """Keep `Target.finish`."""
        await self._run(lambda: _write(self._connection, numbers))

    async def _run(self, work: Callable[[], _T]) -> _T:
        return await _on(self._thread, work)


async def _on(thread: ThreadPoolExecutor, work: Callable[[], _T]) -> _T:
    return await asyncio.get_running_loop().run_in_executor(thread, work)


_NUMBERS = """
SELECT log_id, vip_head_start, accepted, started, completed, pruned.sequence, accept_time
FROM identity, policy, counters, pruned
"""


def _select(table: Table) -> str:
    columns = ", ".join(
        f"CAST({column} AS BLOB)" if column in _BYTES else column for column in table.columns
    )
    return f"SELECT {columns} FROM {table.name} ORDER BY {_ROWID.get(table.key, table.key)}"


def _insert(table: Table) -> str:
    values = ", ".join("CAST(? AS TEXT)" if column in _BYTES else "?" for column in table.columns)
    return f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({values})"


def _write(connection: sqlite3.Connection, numbers: Numbers) -> None:
    connection.execute("UPDATE identity SET log_id = ?", (numbers.log_id,))
    connection.execute(
        "UPDATE counters SET accepted = ?, started = ?, completed = ?, accept_time = ?",
        (numbers.accepted, numbers.started, numbers.completed, numbers.accept_time),
    )
    connection.execute(
        "UPDATE policy SET vip_head_start = ?, since = ?",
        (numbers.vip_head_start, numbers.accepted),
    )
    connection.execute("UPDATE pruned SET sequence = ?", (numbers.earliest,))
    connection.execute(_LATEST)


_LATEST = """
UPDATE counters SET time = (SELECT max(time) FROM (
  SELECT max(start_time) AS time FROM starts UNION ALL SELECT max(complete_time) FROM log
  UNION ALL SELECT max(time) FROM pauses UNION ALL SELECT accept_time FROM counters))
"""


@asynccontextmanager
async def _thread() -> AsyncIterator[tuple[ThreadPoolExecutor, ExitStack]]:
    """Yield a thread, and a stack that the thread closes at the end, after all its other work."""
    with ThreadPoolExecutor(1, thread_name_prefix="copy") as thread:
        files = ExitStack()
        try:
            yield thread, files
        finally:
            await _on(thread, files.close)


# The source: a store that is read


@asynccontextmanager
async def source(
    directory: Path, max_crashes: int, clock: Callable[[], int]
) -> AsyncIterator[SqliteCopy]:
    """Open the store in `directory` as its server would find it after a start.

    Nothing in it is changed, except that an older schema is updated. Raises StartupFailed when the
    store is in use, or when there is none.
    """
    async with _thread() as (thread, files):
        connection = await _on(thread, lambda: _opened(directory, files))
        await _on(thread, lambda: _recover(connection, max_crashes, clock()))
        yield SqliteCopy(connection, thread)


def _opened(directory: Path, files: ExitStack) -> sqlite3.Connection:
    path = directory / database.NAME
    if not path.is_file():
        raise StartupFailed(f"there is no store in {directory}")
    files.enter_context(database.locked(directory))
    files.enter_context(database.owned(path))
    try:
        connection = files.enter_context(closing(database.connect(path)))
        schema.prepare(connection, path)
        (count,) = connection.execute(_WORKERS).fetchone()
    except sqlite3.Error as error:
        raise StartupFailed(f"cannot open the store {path}: {error}") from error
    if count:
        raise StartupFailed(
            f"{count} workers may have orders of the store {path}: stop them while its server runs,"
            " or start that and wait until it takes them for dead; then copy"
        )
    return connection


_WORKERS = "SELECT count(*) FROM workers WHERE ended_at = 0 AND NOT is_local"


def _recover(connection: sqlite3.Connection, max_crashes: int, now: int) -> None:
    """Queue again, or end, what was in process, in a transaction that is never committed."""
    (head_start,) = connection.execute("SELECT vip_head_start FROM policy").fetchone()
    policy = Policy(ranking=Ranking(vip_head_start=head_start), max_crashes=max_crashes)
    connection.execute("BEGIN IMMEDIATE")
    unit = UnitOfWork(connection, policy)  # its counts are not used, so they are not loaded
    unit.begin(now)
    lost.recover(unit)
    unit.flush()


# The target: a store that is made


@asynccontextmanager
async def target(directory: Path) -> AsyncIterator[SqliteCopy]:
    """Make a store in `directory`; it exists only if the block ends without an error.

    Raises StartupFailed when there is a store already, or the directory cannot be used.
    """
    async with _thread() as (thread, files):
        connection = await _on(thread, lambda: _made(directory, files))
        yield SqliteCopy(connection, thread)
        await _on(thread, lambda: _publish(connection, directory))


def _made(directory: Path, files: ExitStack) -> sqlite3.Connection:
    """Make an empty store, without a journal: an incomplete copy is deleted, never repaired."""
    files.enter_context(database.locked(directory))
    if any(directory.glob(f"{database.NAME}*")):
        raise StartupFailed(f"there is a store in {directory} already")
    _remove(directory)
    files.callback(_remove, directory)
    path = directory / UNFINISHED
    connection = files.enter_context(closing(database.connect(path)))
    schema.prepare(connection, path)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN IMMEDIATE")
    return connection


def _remove(directory: Path) -> None:
    for path in directory.glob(f"{UNFINISHED}*"):
        path.unlink()


def _publish(connection: sqlite3.Connection, directory: Path) -> None:
    """Make the store durable, and only then give it its final name."""
    connection.execute("COMMIT")
    connection.close()
    path = directory / UNFINISHED
    flush(path)
    path.rename(directory / database.NAME)
    flush(directory)
