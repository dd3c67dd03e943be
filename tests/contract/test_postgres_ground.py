"""The ground a store stands on: what a database must be is looked at, and refused by name."""

import asyncio
from itertools import count
from types import SimpleNamespace

import pytest

from orderintake_server.errors import StartupFailed
from orderintake_server.store.postgres import schema
from orderintake_server.store.postgres.connector import Connector
from orderintake_server.store.postgres.schema import migrate
from orderintake_server.store.postgres.store import postgres_store
from support.changes import complete, new, place
from support.logs import capture_logs
from support.postgres_home import PostgresHome, kinds, running

_NUMBERS = count(1)
_CHANGES = """
ALTER DATABASE {name} SET default_transaction_isolation = 'serializable';
ALTER DATABASE {name} SET TimeZone = 'Pacific/Chatham';
ALTER DATABASE {name} SET DateStyle = 'SQL, DMY';
ALTER DATABASE {name} SET IntervalStyle = 'postgres_verbose';
"""


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JP"])
async def test_a_database_that_cannot_hold_every_text_is_refused_by_name(encoding: str) -> None:
    cluster = running(kinds()[0].programs)
    name = f"ground_{next(_NUMBERS)}"
    create = f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
    await asyncio.to_thread(cluster.run_sql, create)
    with pytest.raises(StartupFailed, match=f"encoding is {encoding}.*UTF8"):
        await migrate(cluster.url(name))
    with pytest.raises(StartupFailed, match=f"encoding is {encoding}"):
        async with postgres_store(cluster.url(name)):
            pass


async def test_an_older_postgresql_is_refused_by_its_version() -> None:
    async def fetch(_: str) -> list[tuple[str, int]]:
        return [("UTF8", 140_011)]

    with pytest.raises(StartupFailed, match="PostgreSQL 14; orderintake needs 15 or newer"):
        await schema.refuse_ground(SimpleNamespace(fetch=fetch))  # type: ignore[arg-type]


@pytest.mark.parametrize("is_pooled", [False, True])
async def test_a_store_brings_its_own_isolation_and_depends_on_no_time_zone(
    database: PostgresHome, *, is_pooled: bool
) -> None:
    name = database.url.rpartition("/")[2]
    await asyncio.to_thread(database.cluster.run_sql, _CHANGES.format(name=name))
    try:
        connector = Connector(database.url, is_pooled)
        connection = await connector.connect()
        found = await connector.fetch(connection, "SELECT current_setting('transaction_isolation')")
        connection.terminate()
        assert [tuple(row) for row in found] == [("read committed",)]
        async with postgres_store(database.url, is_pooled=is_pooled) as one:
            await complete(one, new(), new())
            async with postgres_store(database.url, is_pooled=is_pooled) as other:
                await asyncio.gather(*(place(s, new()) for s in (one, other) for _ in range(10)))
    finally:
        reset = f"ALTER DATABASE {name} RESET ALL"
        await asyncio.to_thread(database.cluster.run_sql, reset)


async def test_how_durable_a_commit_is_is_told_at_the_start(
    database: PostgresHome,
) -> None:
    with capture_logs() as log:
        async with postgres_store(database.url):
            pass
    told, warned = (entry for entry in log if "database" in entry["event"])
    assert (told["synchronous_commit"], told["fsync"]) == ("on", "off")
    assert "a power cut may lose acknowledged orders" in warned["event"]
