"""A store that moves to the other engine, or back, is the same store: all goes on where it was."""

import asyncio
import random
import shutil
import sqlite3
import tracemalloc
from collections.abc import Coroutine
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from orderintake_server.commands.copy import Copied, copy
from orderintake_server.domain import (
    Ranking,
    State,
    Tier,
)
from orderintake_server.store.base import Policy
from orderintake_server.store.postgres import schema as postgres_schema
from orderintake_server.store.sqlite.database import LOCK_NAME, NAME
from support.changes import (
    cancel,
    complete,
    log_of,
    new,
    place,
    queue,
    start,
    waiting,
)
from support.clocks import SECOND
from support.moving import (
    ODD,
    STANDS,
    Placed,
    asked,
    everything,
    files,
    live,
    note,
    repeated,
    rows,
)
from support.postgres_home import PostgresHome
from support.stores import FoundStore, Home, SqliteHome

BOTH = {
    "strictly": Policy(),
    "with_head_start": Policy(ranking=Ranking(vip_head_start=2 * SECOND)),
}


@pytest.fixture
def home(sqlite_home: SqliteHome) -> SqliteHome:
    """The place of a store in a directory."""
    return sqlite_home


async def twin_of(home: SqliteHome, root: Path) -> SqliteHome:
    """Give a home where a copy of the files lives on, from this time on."""
    twin = SqliteHome(root)
    twin.policy = home.policy
    twin.clock.now = home.clock.now
    await asyncio.to_thread(shutil.copytree, home.directory, twin.directory)
    return twin


async def open_together(one: Home, other: Home) -> tuple[FoundStore, FoundStore]:
    """Open both; from here on the other's clock tells what the one's does."""
    stores = await one.open(), await other.open()
    other.clock.now = one.clock.now
    return stores


# The same store


@pytest.mark.seconds
@pytest.mark.parametrize("policy", BOTH.values(), ids=BOTH)
async def test_a_copy_lives_on_as_the_store_itself_does(
    home: SqliteHome,
    database: PostgresHome,
    tmp_path: Path,
    policy: Policy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home.policy = database.policy = policy
    placed: Placed = []
    note(home, monkeypatch, placed)
    await live(home, await home.open(), random.Random(1))
    await home.close()
    twin, back = await twin_of(home, tmp_path / "twin"), SqliteHome(tmp_path / "back")
    back.policy = policy

    copied = await copy(str(home.directory), database.url, clock=home.clock)
    left, moved = await open_together(twin, database)
    told = await everything(left)
    assert_that_there_is_some_of_all(told)
    assert await everything(moved) == told
    assert copied.completions == len(told["log"])
    assert await asyncio.to_thread(database.findings) == []
    replays = await repeated(left, placed)
    assert await repeated(moved, placed) == replays
    assert {replay.replayed for replay in replays} == {True, False}  # a few were forgotten

    await live(twin, left, random.Random(2))
    await live(database, moved, random.Random(2))
    await twin.close()
    await database.close()

    await copy(database.url, str(back.directory), clock=database.clock)
    left, released = await open_together(twin, back)
    told = await everything(left)
    assert_that_there_is_some_of_all(told)
    assert await everything(released) == told
    assert await repeated(released, placed) == await repeated(left, placed)
    assert await asyncio.to_thread(back.findings) == []


def assert_that_there_is_some_of_all(told: dict[str, Any]) -> None:
    """Check that the lives before were not too short."""
    assert {order.state for order in told["listed"]} == set(State) - {State.PROCESSING}
    assert {end.failure.code for end in told["log"] if end.failure} >= {ODD.code, "QUARANTINED"}
    assert told["paused"] == {Tier.VIP}
    earliest, head = told["ends"]
    assert 0 < earliest < head


@pytest.mark.parametrize("policy", BOTH.values(), ids=BOTH)
async def test_a_copy_of_a_copy_has_the_same_rows(
    home: SqliteHome, database: PostgresHome, tmp_path: Path, policy: Policy
) -> None:
    home.policy = policy
    await live(home, await home.open(), random.Random(3))
    await home.close()
    back = SqliteHome(tmp_path / "back")
    then = home.clock.now
    there = await copy(str(home.directory), database.url, clock=home.clock)
    back_again = await copy(database.url, str(back.directory), clock=home.clock)
    home.clock.now = then
    await home.reopen()  # what was in process is not any more
    await home.close()
    assert back_again == there
    assert await asyncio.to_thread(rows, back.directory) == rows(home.directory)
    assert files(back.directory) == {NAME, LOCK_NAME}


async def test_an_empty_store_is_copied_too(
    home: SqliteHome, database: PostgresHome, tmp_path: Path
) -> None:
    log_id = (await home.open()).recovery.log_id
    await home.close()
    there = await copy(str(home.directory), database.url)
    back = await copy(database.url, str(tmp_path / "back"))
    assert there == back == Copied(orders=0, completions=0, request_ids=0)
    assert (await database.open()).recovery.log_id == log_id
    home.directory = tmp_path / "back"
    assert (await home.open()).recovery.log_id == log_id


async def test_a_database_is_copied_into_that_nobody_ever_opened(
    home: SqliteHome, database: PostgresHome
) -> None:
    store = await home.open()
    await complete(store, new(), new())
    await home.close()
    url = await asyncio.to_thread(database.cluster.create_database, "never_opened")
    await postgres_schema.migrate(url)
    assert (await copy(str(home.directory), url)).orders == 2


async def test_a_store_of_an_older_schema_is_brought_up_to_date_first(
    home: SqliteHome, database: PostgresHome
) -> None:
    home.directory.mkdir()
    scripts = resources.files("orderintake_server.store.sqlite") / "tables"
    with closing(sqlite3.connect(home.directory / NAME)) as connection:
        connection.executescript((scripts / "0001_orders.sql").read_text())
        connection.executescript(
            "PRAGMA user_version = 1; UPDATE counters SET accepted = 1;"
            "INSERT INTO orders VALUES (1, 'ada', 2, 1, 5, x'74');"
            "INSERT INTO ready VALUES (1, 1, 0)"
        )
    await copy(str(home.directory), database.url)
    assert len(await waiting(await database.open())) == 1


async def test_who_counts_customers_goes_on_counting_behind_a_copy(
    home: SqliteHome, database: PostgresHome, tmp_path: Path
) -> None:
    home.policy = database.policy = Policy(counts_customers=True)
    await place(await home.open(), new(), new(customer_id="bob"), new())
    await home.close()
    await copy(str(home.directory), database.url)
    store = await database.open()
    await start(store)
    assert await asyncio.to_thread(database.findings) == []
    await database.close()
    assert (await copy(database.url, str(tmp_path / "back"))).orders == 3


async def test_what_was_in_process_waits_again_in_a_copy_or_has_ended(
    home: SqliteHome, database: PostgresHome, tmp_path: Path
) -> None:
    store = await home.open()
    await place(store, new(), new(), new(), new())
    await start(store, 3)
    await cancel(store, 2)
    await home.close()
    await copy(str(home.directory), database.url)
    moved = await database.open()
    assert await log_of(moved) == [(2, State.CANCELLED)]
    crashes = {place.accept_sequence: place.crash_count for place in await waiting(moved)}
    assert crashes == {1: 1, 3: 1, 4: 0}

    await start(moved, 2)
    await cancel(moved, 3)
    await database.close()
    home.directory = tmp_path / "back"
    await copy(database.url, str(home.directory), max_crashes=2)
    store = await home.open()
    assert await log_of(store) == [(2, State.CANCELLED), (1, State.FAILED), (3, State.CANCELLED)]
    assert await queue(store) == [4]


@pytest.mark.seconds
async def test_a_source_stays_as_it_was(
    home: SqliteHome, database: PostgresHome, tmp_path: Path
) -> None:
    await live(home, await home.open(), random.Random(4))
    await home.close()
    before = await asyncio.to_thread(rows, home.directory)
    await copy(str(home.directory), database.url)
    assert await asyncio.to_thread(rows, home.directory) == before
    assert before["leases"]

    await live(database, await database.open(), random.Random(5))
    await database.close()
    stood = await asked(database, STANDS)
    await copy(database.url, str(tmp_path / "back"))
    assert await asked(database, STANDS) == stood


# Many


@pytest.mark.seconds
async def test_however_many_orders_are_copied_only_a_few_are_in_memory(
    home: SqliteHome, database: PostgresHome, tmp_path: Path
) -> None:
    await home.open()
    await home.close()
    await asyncio.to_thread(fill, home.directory)
    assert await peak(copy(str(home.directory), database.url)) < MEMORY_BYTES
    assert await peak(copy(database.url, str(tmp_path / "back"))) < MEMORY_BYTES


MEMORY_BYTES = 10 << 20
"""The orders are ten times as large: a thousand of them, and whatever copies them, take half."""
MANY = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT 50000)
INSERT INTO orders (accept_sequence, customer_id, tier, rank, accept_time, content)
  SELECT n, 'ada', 1, 1 << 56 | n, 1, zeroblob(2000) FROM numbers;
INSERT INTO ready SELECT tier, rank, accept_sequence, 0, 0 FROM orders;
UPDATE counters SET accepted = 50000;
"""


def fill(directory: Path) -> None:
    """Let many orders wait in an empty store."""
    with closing(sqlite3.connect(directory / NAME)) as connection:
        connection.executescript(f"BEGIN; {MANY} COMMIT;")


async def peak(copying: Coroutine[Any, Any, Copied]) -> int:
    """Tell how many bytes of memory were held at the most meanwhile."""
    tracemalloc.start()
    try:
        assert (await copying).orders == 50_000

        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
