"""When a store is not copied, nothing is: of either home."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from orderintake_server.commands.copy import copy
from orderintake_server.domain import Tier
from orderintake_server.errors import StartupFailed
from orderintake_server.store.sqlite.copy import UNFINISHED
from orderintake_server.store.sqlite.database import LOCK_NAME, NAME
from support.changes import BOSS, actions, complete, new, pause, place, start, whole_log
from support.moving import STANDS, asked, files, rows
from support.postgres_home import PostgresHome
from support.stores import SqliteHome
from support.work import ANN, end, take


@pytest.fixture
def home(sqlite_home: SqliteHome) -> SqliteHome:
    """The place of a store in a directory."""
    return sqlite_home


@pytest.fixture
async def filled(home: SqliteHome) -> SqliteHome:
    """The place of a store, closed, of two orders: one ended, one in process."""
    store = await home.open()
    await complete(store, new(request_id="one"))
    await place(store, new())
    await start(store)
    await home.close()
    return home


@pytest.fixture
async def moved(filled: SqliteHome, database: PostgresHome) -> PostgresHome:
    """The database with this store in it."""
    await copy(str(filled.directory), database.url)
    return database


async def refused(source: Path | str, target: Path | str, *, match: str) -> None:
    with pytest.raises(StartupFailed, match=match):
        await copy(str(source), str(target))


async def test_a_directory_in_use_is_not_copied(filled: SqliteHome, database: PostgresHome) -> None:
    await filled.open()
    await refused(filled.directory, database.url, match="in use by another orderintake-server")
    await filled.close()
    assert (await copy(str(filled.directory), database.url)).orders == 2


async def test_a_store_with_workers_that_live_is_not_copied(
    filled: SqliteHome, database: PostgresHome
) -> None:
    store = await filled.open()
    await place(store, new())
    await take(store, ANN)
    await filled.close()
    await refused(filled.directory, database.url, match="1 workers may have orders of the store")
    await end(await filled.open(), ANN)
    await filled.close()
    assert (await copy(str(filled.directory), database.url)).orders == 3


async def test_a_database_in_use_is_not_copied(moved: PostgresHome, tmp_path: Path) -> None:
    back = tmp_path / "back"
    await moved.open()
    await refused(moved.url, back, match=r"in use by replica 'tested' \(0 workers\); stop")
    assert not back.exists()
    await moved.close()
    assert (await copy(moved.url, str(back))).orders == 2


async def test_a_database_in_which_somebody_commits_is_in_use(
    moved: PostgresHome, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(moved.url)
    try:
        await connection.execute("SELECT pg_advisory_lock(8026370375060648052)")
        await refused(moved.url, tmp_path / "back", match="in use by somebody")
    finally:
        await connection.close()


async def test_nothing_is_copied_into_a_database_in_use(
    filled: SqliteHome, database: PostgresHome
) -> None:
    await database.open()
    await refused(filled.directory, database.url, match="in use by replica 'tested'")


async def test_nothing_is_copied_into_a_database_that_has_orders(
    filled: SqliteHome, moved: PostgresHome
) -> None:
    await refused(filled.directory, moved.url, match="is not empty: 2 orders were accepted")
    assert len(await whole_log(await moved.open())) == 1


async def test_nothing_is_copied_into_a_directory_with_a_store(
    filled: SqliteHome, moved: PostgresHome
) -> None:
    before = await asyncio.to_thread(rows, filled.directory)
    await refused(moved.url, filled.directory, match="there is a store in .*data already")
    assert await asyncio.to_thread(rows, filled.directory) == before


async def test_nothing_is_copied_into_a_database_without_a_store(
    filled: SqliteHome, database: PostgresHome, tmp_path: Path
) -> None:
    there = database.cluster.url("postgres")
    await refused(filled.directory, there, match="no store in this database yet; .* migrate")
    await refused(there, tmp_path / "back", match="no store in this database yet; .* migrate")
    nowhere = database.cluster.url("nowhere")
    await refused(filled.directory, nowhere, match='database "nowhere" does not exist')


async def test_where_there_is_no_store_there_is_nothing_to_copy(
    database: PostgresHome, tmp_path: Path
) -> None:
    await refused(tmp_path / "none", database.url, match="there is no store in .*none")
    assert not (tmp_path / "none").exists()


async def test_a_file_that_is_no_store_is_not_copied(
    filled: SqliteHome, database: PostgresHome
) -> None:
    (filled.directory / NAME).write_bytes(b"no database" * 1000)
    await refused(filled.directory, database.url, match="cannot open the store")


@pytest.mark.parametrize("address", ["postgres://here/one", "data"])
async def test_a_copy_is_from_one_engine_to_the_other(address: str) -> None:
    await refused(address, address, match="one must be a directory and the other a database")


# What breaks off

FAIL = """
CREATE FUNCTION orderintake.fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN {} END $$;
CREATE TRIGGER fail BEFORE INSERT ON orderintake.log
FOR EACH ROW EXECUTE FUNCTION orderintake.fail();
"""
MEND = "DROP TRIGGER fail ON orderintake.log; DROP FUNCTION orderintake.fail"


@pytest.mark.parametrize(
    ("failing", "match"),
    [
        ("RAISE EXCEPTION 'enough';", "the copy failed: RaiseError: enough"),
        ("RAISE EXCEPTION 'no space' USING ERRCODE = '53100';", "the copy failed: .*no space"),
        ("RETURN NULL;", "0 rows in log, and not 1"),
    ],
)
async def test_a_copy_into_a_database_that_breaks_off_leaves_it_empty(
    filled: SqliteHome, database: PostgresHome, failing: str, match: str
) -> None:
    before = await asyncio.to_thread(rows, filled.directory)
    stood = await asked(database, STANDS)
    await asked(database, FAIL.format(failing))
    await refused(filled.directory, database.url, match=match)
    await asked(database, MEND)
    assert await asked(database, STANDS) == stood
    assert await asyncio.to_thread(rows, filled.directory) == before
    assert (await copy(str(filled.directory), database.url)).completions == 1


async def test_a_copy_into_a_directory_that_breaks_off_leaves_no_store(
    moved: PostgresHome, tmp_path: Path
) -> None:
    back = tmp_path / "back"
    await asked(moved, "ALTER TABLE orderintake.log RENAME TO log_")
    await refused(moved.url, back, match='the copy failed: .*"orderintake.log" does not exist')
    await asked(moved, "ALTER TABLE orderintake.log_ RENAME TO log")
    assert files(back) == {LOCK_NAME}
    (back / UNFINISHED).write_text("of a copy that was killed")
    assert (await copy(moved.url, str(back))).completions == 1
    assert files(back) == {NAME, LOCK_NAME}


async def test_a_copy_that_is_stopped_leaves_no_store(
    filled: SqliteHome, database: PostgresHome, tmp_path: Path
) -> None:
    here, there, back = str(filled.directory), database.url, tmp_path / "back"
    await stopped(here, there, database)
    assert (await copy(here, there)).orders == 2
    await stopped(there, str(back), database)
    assert files(back) == {LOCK_NAME}
    assert (await copy(there, str(back))).orders == 2


async def stopped(source: str, target: str, database: PostgresHome) -> None:
    """Stop a copy when it has come to the log."""
    connection = await asyncpg.connect(database.url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE orderintake.log")
            copying = asyncio.create_task(copy(source, target))
            while not await connection.fetchval(WAITING):
                pass
            copying.cancel()
            with pytest.raises(asyncio.CancelledError):
                await copying
    finally:
        await connection.close()


WAITING = (
    "SELECT count(*) FROM pg_locks WHERE relation = 'orderintake.log'::regclass AND NOT granted"
)


async def test_a_store_in_which_orders_are_lost_is_not_copied(
    moved: PostgresHome, tmp_path: Path
) -> None:
    await start(await moved.open())
    await moved.close()
    await asked(moved, "DELETE FROM orderintake.sessions")
    await refused(moved.url, tmp_path / "back", match="1 orders have not ended, and 0 wait")
    assert files(tmp_path / "back") == {LOCK_NAME}


async def test_nothing_is_copied_over_what_operators_did(
    filled: SqliteHome, database: PostgresHome
) -> None:
    await pause(await database.open(), Tier.VIP, by=BOSS)
    await database.close()
    await refused(filled.directory, database.url, match="1 actions of operators are recorded")
    assert len(await actions(await database.open())) == 1
