"""PostgreSQL databases with a store in each, for tests of any store."""

import asyncio
import atexit
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from orderintake_server.store.audit import Finding
from orderintake_server.store.base import Policy
from orderintake_server.store.postgres import schema as postgres_schema
from orderintake_server.store.postgres.audit import audit
from orderintake_server.store.postgres.store import PostgresStore, postgres_store
from support.clocks import Microseconds
from support.postgres import Cluster, binaries, cluster, version

_NUMBERS = count(1)
_FREE: dict[Path, list[str]] = {}
"""Databases, by the programs of their cluster, that no test uses at the moment."""

_EMPTY = """
TRUNCATE orderintake.identity, orderintake.policy, orderintake.commits, orderintake.orders,
  orderintake.requests, orderintake.ready, orderintake.scheduled, orderintake.expiries,
  orderintake.sessions, orderintake.leases, orderintake.starts, orderintake.log,
  orderintake.pauses, orderintake.operator_actions, orderintake.customers, orderintake.workers,
  orderintake.ends RESTART IDENTITY;
INSERT INTO orderintake.identity VALUES (substr(md5(random()::text), 1, 8));
INSERT INTO orderintake.policy VALUES (NULL, false, 0);
INSERT INTO orderintake.commits VALUES (0, 0, NULL, NULL, 0, 0, 0, 0, 0,
  '{0,0}', '{0,0}', '{0,0}', '{0,0}', '{0,0}', '{f,f}', 0, NULL, '{0,0}', 0);
"""
_FILL_UP = """
CREATE FUNCTION orderintake.no_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$;
CREATE TRIGGER no_room BEFORE INSERT ON orderintake.commits
EXECUTE FUNCTION orderintake.no_room();
"""
_MAKE_ROOM = """
DROP TRIGGER no_room ON orderintake.commits;
DROP FUNCTION orderintake.no_room;
"""


@cache
def running(programs: Path) -> Cluster:
    """Give the cluster of these programs that all tests share, started by the first who asks."""
    life = ExitStack()
    atexit.register(life.close)
    return life.enter_context(cluster(programs))


class PostgresHome:
    """A database of a real PostgreSQL with a store in it."""

    name = "postgres"
    is_shared = True
    programs: Path

    def __init__(self, _: Path) -> None:
        self.clock = Microseconds()
        self.policy = Policy()
        self.cluster = running(self.programs)
        self._life = AsyncExitStack()
        self._database = ""

    @property
    def url(self) -> str:
        return self.cluster.url(self._database)

    async def open(self) -> PostgresStore:
        if not self._database:
            self._database = await self._empty_database()
        return await self._life.enter_async_context(
            postgres_store(
                self.url, clock=self.clock, policy=self.policy, replica="tested", hints=False
            )
        )

    async def _empty_database(self) -> str:
        """Give a database with an empty store; who used it before has gone."""
        free = _FREE.setdefault(self.programs, [])
        if free:
            database = free.pop()
            await asyncio.to_thread(self.cluster.run_sql, _EMPTY, database=database)
        else:
            database = f"store_{next(_NUMBERS)}"
            await postgres_schema.migrate(
                await asyncio.to_thread(self.cluster.create_database, database)
            )
        return database

    async def close(self) -> None:
        await self._life.aclose()

    async def leave(self) -> None:
        """Close it, and let somebody else have the database."""
        await self.close()
        if self._database:
            _FREE[self.programs].append(self._database)
            self._database = ""

    async def reopen(self, policy: Policy | None = None) -> PostgresStore:
        await self.close()
        self.policy = policy or self.policy
        return await self.open()

    async def crash(self) -> PostgresStore:
        """As if the replica had been killed, and its leases had run out."""
        return await self.reopen()

    @contextmanager
    def full(self) -> Iterator[None]:
        self.cluster.run_sql(_FILL_UP, database=self._database)  # no disk here to fill
        try:
            yield
        finally:
            self.cluster.run_sql(_MAKE_ROOM, database=self._database)

    @contextmanager
    def refusing(self, table: str, column: str, value: bytes) -> Iterator[None]:
        table = f"orderintake.{table}"
        check = f"CHECK ({column} IS DISTINCT FROM '\\x{value.hex()}'::bytea)"
        self.cluster.run_sql(
            f"ALTER TABLE {table} ADD CONSTRAINT refusing {check}", database=self._database
        )
        try:
            yield
        finally:
            self.cluster.run_sql(
                f"ALTER TABLE {table} DROP CONSTRAINT refusing", database=self._database
            )

    async def damage(self) -> PostgresStore:
        store = await self.reopen()
        spoil = "ALTER TABLE orderintake.orders RENAME TO spoiled"
        await asyncio.to_thread(self.cluster.run_sql, spoil, database=self._database)
        self._database = ""  # of no use to anybody any more
        return store

    def findings(self) -> list[Finding]:
        assert self._database, "there is none yet, or none any more"
        with ThreadPoolExecutor(1) as thread:  # where no event loop runs
            return thread.submit(asyncio.run, audit(self.url)).result()


def kinds() -> list[type[PostgresHome]]:
    """Give a home for each PostgreSQL to be tested: PyPI's newest, and the system's."""
    return [
        type(f"Postgres{version(programs)}Home", (PostgresHome,), {
            "name": f"postgres{version(programs)}", "programs": programs,
        })
        for programs in binaries()[::2]
    ]  # fmt: skip


def each(homes: Sequence[Any]) -> list[object]:
    """Give these homes as parameters; marked are those of a PostgreSQL that is not the first."""
    first = binaries()[0]
    marks = {True: [pytest.mark.again], False: []}
    return [
        pytest.param(home, marks=marks[home.is_shared and home.programs != first]) for home in homes
    ]
