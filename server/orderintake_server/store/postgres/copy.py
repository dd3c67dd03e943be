"""The PostgreSQL side of a copy: a database that is read, or that is filled in one transaction."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from orderintake_server.errors import StartupFailed
from orderintake_server.store.blame.postgres import failures
from orderintake_server.store.changes import Changes
from orderintake_server.store.copy_tables import CHUNK_ROWS, Numbers
from orderintake_server.store.postgres import connector, schema
from orderintake_server.store.postgres.call import Caller, arguments
from orderintake_server.store.postgres.connector import COMMIT_LOCK
from orderintake_server.store.postgres.functions import this_release

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator

    from orderintake_server.store.copy_tables import Rows, Table

    Connection = asyncpg.Connection[asyncpg.Record]

_BY_COMMIT = {"orders", "starts", "log", "pauses", "operator_actions"}
"""Tables that tell by which commit each row was made. Copied rows are told to be of commit 0, which
comes before all others."""


class PostgresCopy:
    """A database that is worked on in one transaction, during which nobody else can commit."""

    def __init__(self, connection: Connection, clock: Callable[[], int]) -> None:
        """Work on a connection that is in this transaction."""
        self._connection = connection
        self._clock = clock

    async def numbers(self) -> Numbers:
        """Keep `Source.numbers`."""
        with failures(tells_all=True):
            (row,) = await self._connection.fetch(_NUMBERS)
        return Numbers(*row)

    async def chunks(self, table: Table) -> AsyncGenerator[Rows, None]:
        """Keep `Source.chunks`."""
        columns = ", ".join(table.columns)
        query = f"SELECT {columns} FROM orderintake.{table.name} ORDER BY {table.key}"
        with failures(tells_all=True):
            rows = await self._connection.cursor(query)
            while chunk := await rows.fetch(CHUNK_ROWS):
                yield chunk

    async def count(self, table: Table) -> int:
        """Keep `Source.count` and `Target.count`."""
        query = f"SELECT count(*) FROM orderintake.{table.name}"
        with failures(tells_all=True):
            return int(await self._connection.fetchval(query))

    async def write(self, table: Table, chunks: AsyncIterator[Rows]) -> None:
        """Keep `Target.write`."""
        is_by_commit = table.name in _BY_COMMIT
        columns = (*table.columns, "commit_number") if is_by_commit else table.columns
        with failures(tells_all=True):
            await self._connection.copy_records_to_table(
                table.name,
                schema_name="orderintake",
                columns=columns,
                records=_rows(chunks, (0,) if is_by_commit else ()),
            )

    async def finish(self, numbers: Numbers) -> None:
        """Keep `Target.finish`."""
        log_id, head_start, accepted, *_ = numbers
        with failures(tells_all=True):
            await self._connection.execute(_ANALYZE)
            await self._connection.execute(_NAME, log_id)
            await self._connection.execute(_POLICY, head_start, accepted)
            await self._connection.execute(_COMMIT, self._clock(), *numbers[2:])


async def _rows(
    chunks: AsyncIterator[Rows], more: tuple[int, ...]
) -> AsyncIterator[tuple[Any, ...]]:
    async for chunk in chunks:
        for row in chunk:
            yield (*row, *more)


_NUMBERS = """
SELECT log_id, vip_head_start, accepted, started, completed, earliest, accept_time
FROM orderintake.identity, orderintake.policy, orderintake.commits ORDER BY number DESC LIMIT 1
"""
_NAME = "UPDATE orderintake.identity SET log_id = $1"
_POLICY = """
UPDATE orderintake.policy SET vip_head_start = $1, counts_customers = false, since = $2
"""
_COMMIT = """
WITH stands AS (
  SELECT tier,
    (SELECT count(*) FROM orderintake.ready r WHERE r.tier = t.tier) AS queued,
    (SELECT count(*) FROM orderintake.scheduled JOIN orderintake.orders o USING (accept_sequence)
      WHERE o.tier = t.tier) AS scheduled,
    (SELECT count(*) FROM orderintake.log g WHERE g.tier = t.tier) + forgotten AS completed,
    coalesce((SELECT is_paused FROM orderintake.pauses p WHERE p.tier = t.tier
      ORDER BY number DESC LIMIT 1), false) AS is_paused
  -- of what was forgotten the tier is not known; what matters is how these numbers grow
  FROM (VALUES (1, $5::bigint), (2, 0)) AS t (tier, forgotten))
INSERT INTO orderintake.commits
SELECT 0, greatest($1::bigint, $6), NULL, NULL, $2, $3, $4, $5, $6,
  array_agg(queued ORDER BY tier), array_agg(scheduled ORDER BY tier), '{0,0}',
  array_agg(queued + scheduled + completed ORDER BY tier), array_agg(completed ORDER BY tier),
  array_agg(is_paused ORDER BY tier), 0,
  least((SELECT min(due_time) FROM orderintake.scheduled),
    (SELECT min(expire_time) FROM orderintake.expiries)), '{0,0}', 0
FROM stands
"""
_ANALYZE = """
ANALYZE orderintake.orders, orderintake.requests, orderintake.ready, orderintake.scheduled,
  orderintake.expiries, orderintake.starts, orderintake.log
"""


@contextmanager
def _refusals() -> Iterator[None]:
    """Tell by StartupFailed why a copy failed, where the connector does not know it either."""
    try:
        yield
    except asyncpg.PostgresError as error:
        raise StartupFailed(f"the copy failed: {type(error).__name__}: {error}") from error


@asynccontextmanager
async def _connected(address: str) -> AsyncIterator[Connection]:
    """Connect for as long as a copy takes; what is not committed inside never was.

    Raises StartupFailed when there is no store of this version, and when the copy fails.
    """
    with connector.reaching():
        connection = await asyncpg.connect(
            address,
            timeout=connector.Connector(address).connect_seconds,
            target_session_attrs=SessionAttribute.read_write,
            statement_cache_size=0,  # there may be a pooler in between
        )
    try:
        await schema.check(connection)
        with failures(tells_all=True):
            for name, encoder, decoder in _CODECS:
                await connection.set_type_codec(
                    name, schema="pg_catalog", encoder=encoder, decoder=decoder, format="binary"
                )
        with _refusals():
            yield connection
    finally:
        connection.terminate()


_CODECS = (
    ("uuid", bytes, bytes),
    ("bool", lambda value: b"\1" if value else b"\0", lambda raw: raw != b"\0"),
)
"""A digest is bytes in SQLite, and a truth a number."""


async def _hold(connection: Connection) -> None:
    """Keep everybody else from committing until the transaction ends.

    Raises StartupFailed when a replica or a worker is alive, or a worker has something in process.
    """
    with failures(tells_all=True):
        await connection.execute(_NO_TIMEOUT)
        is_ours = await connection.fetchval(_LOCK)
        alive = await connection.fetchval(_ALIVE)
    if alive or not is_ours:
        raise StartupFailed(
            f"the store in the database is in use by {alive or 'somebody'}; stop that first"
        )


_NO_TIMEOUT = """
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
"""
_LOCK = f"SELECT pg_try_advisory_xact_lock({COMMIT_LOCK})"
_ALIVE = """
SELECT string_agg(told, ', ') FROM (
  SELECT format('replica %s (%s workers)', quote_literal(replica), workers) AS told
  FROM orderintake.sessions WHERE expires_at >= clock_timestamp()
  UNION ALL
  SELECT format('worker %s', quote_literal(coalesce(nullif(name, ''), worker_id)))
  FROM orderintake.workers k WHERE ended_at = 0 AND (expires_at >= clock_timestamp() OR EXISTS (
    SELECT FROM orderintake.leases l WHERE l.worker = k.number AND l.worker > 0))) AS alive
"""
"""A worker that is dead is so only once a server has taken back what it had."""


# A store that is read


@asynccontextmanager
async def source(
    address: str, max_crashes: int, clock: Callable[[], int]
) -> AsyncIterator[PostgresCopy]:
    """Hold the store in a database, as a server would find it when it starts.

    Nothing of it is changed. Raises StartupFailed when it is in use, and when there is none.
    """
    recovery = Caller(session_id=0, request=0, max_crashes=max_crashes, opens=True, now=clock())
    release = await asyncio.to_thread(this_release)
    async with _connected(address) as connection:
        await connection.transaction().start()  # and never committed
        await _hold(connection)
        with failures(tells_all=True):
            await connection.fetch(release.call, *arguments(Changes(), recovery))
        yield PostgresCopy(connection, clock)


# A store that is filled


@asynccontextmanager
async def target(address: str, clock: Callable[[], int]) -> AsyncIterator[PostgresCopy]:
    """Fill the store in a database; if anything is raised inside, it stays empty.

    Raises StartupFailed when it is not empty, when it is in use, and when there is none.
    """
    async with _connected(address) as connection:
        transaction = connection.transaction()
        await transaction.start()
        await _hold(connection)
        await _clear(connection)
        yield PostgresCopy(connection, clock)
        with failures(tells_all=True):
            await transaction.commit()


async def _clear(connection: Connection) -> None:
    """Take away what an empty store has. Raises StartupFailed when it is not empty."""
    with failures(tells_all=True):
        ((accepted, acted),) = await connection.fetch(_CONTENT)
        if accepted or acted:
            raise StartupFailed(
                f"the store in the database is not empty: {accepted} orders were accepted there, "
                f"{acted} actions of operators are recorded; copy into a database of its own"
            )
        await connection.execute(_CLEAR)


_CONTENT = """
SELECT (SELECT max(accepted) FROM orderintake.commits),
  (SELECT count(*) FROM orderintake.operator_actions)
"""
_CLEAR = """
DELETE FROM orderintake.commits;
DELETE FROM orderintake.sessions;
DELETE FROM orderintake.pauses;
DELETE FROM orderintake.customers;
DELETE FROM orderintake.workers;
DELETE FROM orderintake.ends;
"""
