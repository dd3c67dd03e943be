"""The schema in PostgreSQL: made once, checked by who starts, worked with beside newer steps."""

import asyncio
from itertools import count
from pathlib import Path

import pytest

from orderintake_server.domain import Tier
from orderintake_server.errors import StartupFailed
from orderintake_server.store.changes import Changes, ClaimNext
from orderintake_server.store.postgres import schema as postgres_schema
from orderintake_server.store.postgres.audit import audit
from orderintake_server.store.postgres.schema import migrate, steps
from orderintake_server.store.postgres.store import PostgresStore, postgres_store
from support.changes import again, new, pause, place, release, settle, whole_log
from support.postgres import Cluster
from support.postgres_home import each, kinds, running
from support.process import run_to_end

KINDS = kinds()
STEPS = steps()
KNOWN = len(STEPS)
_NUMBERS = count(1)
TABLES = (
    "identity", "policy", "commits", "orders", "requests", "scheduled", "expiries", "sessions",
    "leases", "starts", "log", "pauses", "customers",
)  # fmt: skip
_ADDED = """
ALTER TABLE orderintake.{} ADD COLUMN added text NOT NULL DEFAULT 'by a newer step';
"""
_NEWER = """
CREATE FUNCTION orderintake.commit_more(p jsonb) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint';
INSERT INTO orderintake.steps (number, least) SELECT max(number) + 1, {} FROM orderintake.steps;
"""
_OLDER = """
DELETE FROM orderintake.steps WHERE number = (SELECT max(number) FROM orderintake.steps)
"""


class Database:
    """A database of its own, in which a store may be made."""

    def __init__(self, cluster: Cluster) -> None:
        self.name = f"schema_{next(_NUMBERS)}"
        self.cluster = cluster
        self.url = cluster.create_database(self.name)

    async def run(self, script: str) -> str:
        return await asyncio.to_thread(self.cluster.run_sql, script, database=self.name)


@pytest.fixture(params=each(KINDS), ids=lambda kind: kind.name)
async def empty(request: pytest.FixtureRequest) -> Database:
    """A database with nothing in it, of each PostgreSQL in turn."""
    return await asyncio.to_thread(lambda: Database(running(request.param.programs)))


@pytest.fixture
async def database(empty: Database) -> Database:
    """A database with a store in it."""
    await migrate(empty.url)
    return empty


async def _refusal(url: str) -> str:
    """Open a store, which must be refused; tell why."""
    with pytest.raises(StartupFailed) as refused:
        async with postgres_store(url):
            pass
    return str(refused.value)


async def test_the_schema_is_made_once(empty: Database) -> None:
    assert await migrate(empty.url) == [step.number for step in STEPS]
    assert await migrate(empty.url) == []
    assert await audit(empty.url) == []


async def test_two_who_make_the_schema_at_once_make_it_together(empty: Database) -> None:
    async with asyncio.timeout(20):
        made = await asyncio.gather(*(migrate(empty.url) for _ in range(4)))
    assert sorted(number for each in made for number in each) == [step.number for step in STEPS]
    assert await audit(empty.url) == []


async def test_a_step_that_fails_leaves_nothing_of_itself(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = postgres_schema.Step(KNOWN + 1, 1, "CREATE TABLE half (); SELECT 1 / 0")
    monkeypatch.setattr(postgres_schema, "steps", lambda: [*STEPS, bad])
    with pytest.raises(Exception, match="division by zero"):
        await migrate(empty.url)
    monkeypatch.undo()
    assert await empty.run("SELECT to_regclass('orderintake.half')") == ""
    assert await empty.run("SELECT max(number) FROM orderintake.steps") == str(KNOWN)
    assert await migrate(empty.url) == []


async def test_a_server_says_how_to_make_a_store_where_there_is_none(empty: Database) -> None:
    assert "orderintake-server migrate --store" in await _refusal(empty.url)


async def test_a_server_does_not_start_on_an_older_schema(database: Database) -> None:
    await database.run(_OLDER)
    refusal = await _refusal(database.url)
    assert f"of schema {KNOWN - 1}, older than {KNOWN}" in refusal
    assert "orderintake-server migrate --store" in refusal


async def test_a_server_does_not_start_on_a_schema_that_takes_a_newer_one(
    database: Database,
) -> None:
    await database.run(_NEWER.format(KNOWN + 1))
    refusal = await _refusal(database.url)
    assert f"must know {KNOWN + 1}; this one knows {KNOWN}" in refusal
    assert await migrate(database.url) == []


async def _live(store: PostgresStore) -> None:
    """Do a bit of everything; regular orders and VIP ones start together."""
    await place(store, *(new(vip=number % 2 == 0) for number in range(6)))
    leases = (await store.commit(Changes(claim_next=ClaimNext(most=5, is_idle=True)))).claimed_next
    tiers = [lease.order.tier for lease in leases]
    assert tiers == [Tier.VIP] * 3 + [Tier.REGULAR] * 2
    await settle(store, *leases[:2])
    await settle(store, leases[2], ending=again())
    await release(store, *leases[3:])
    await pause(store, Tier.VIP)
    await pause(store, Tier.VIP, is_paused=False)
    await settle(
        store,
        *(await store.commit(Changes(claim_next=ClaimNext(most=9, is_idle=True)))).claimed_next,
    )


async def test_a_server_works_beside_a_newer_step_that_comes_while_it_runs_or_before(
    database: Database,
) -> None:
    async with asyncio.timeout(20), postgres_store(database.url, hints=False) as running_before:
        await _live(running_before)
        await anext(running_before.watch())
        await database.run("".join(map(_ADDED.format, TABLES)) + _NEWER.format(1))
        await _live(running_before)
        async with postgres_store(database.url, hints=False) as started_behind:
            await _live(started_behind)
        news = running_before.watch()
        while (await anext(news)).head < 18:
            pass
        assert len(await whole_log(running_before)) == 18
    assert await audit(database.url) == []


async def test_a_server_starts_orders_in_order_beside_a_step_that_adds_to_the_queue(
    database: Database,
) -> None:
    await database.run(_ADDED.format("ready") + _NEWER.format(1))
    async with postgres_store(database.url, hints=False) as store:
        await _live(store)
    assert await audit(database.url) == []


async def test_a_server_does_not_start_where_advisory_locks_do_nothing(
    database: Database,
) -> None:
    await database.run(f"""
        CREATE SCHEMA shadow;
        CREATE FUNCTION shadow.pg_try_advisory_xact_lock(bigint) RETURNS boolean LANGUAGE sql
          AS 'SELECT true';
        ALTER DATABASE {database.name} SET search_path = shadow, pg_catalog;
    """)
    assert "does not hold advisory locks" in await _refusal(database.url)


@pytest.fixture(scope="module")
def guarded() -> Cluster:
    """A cluster in which there is one who needs a password."""
    cluster = running(KINDS[0].programs)
    rules = Path(cluster.run_sql("SHOW hba_file"))
    rules.write_text(f"host all guarded 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
    cluster.run_sql("CREATE ROLE guarded LOGIN PASSWORD 'another'; SELECT pg_reload_conf()")
    cluster.server.wait_for("reloading configuration files")
    return cluster


ADDRESSES = {
    "postgresql://guarded:hun%2Fter2@127.0.0.1:{port}/orderintake": (
        'password authentication failed for user "guarded"'
    ),
    "postgresql://orderintake:hun%2Fter2@127.0.0.1:{port}/absent": (
        'database "absent" does not exist'
    ),
    "postgresql://orderintake:hun%2Fter2@localhost:1,127.0.0.1:2/x": (
        ", at localhost; PostgreSQL cannot be reached: "
    ),
    "postgresql://orderintake:hun%2Fter2@127.0.0.1:none/x": "is the port a number",
    "postgresql://orderintake:hun#ter2@127.0.0.1:{port}/x": "written as",
    "postgresql://orderintake:hun?ter2@127.0.0.1:{port}/x": "written as",
    "postgresql://orderintake:hun/ter2@127.0.0.1:{port}/x": "written as",
}
"""Of no use, each for the reason beside it."""


@pytest.mark.parametrize("address", ADDRESSES)
async def test_who_cannot_reach_a_database_is_told_why_and_nothing_of_the_password(
    guarded: Cluster, address: str
) -> None:
    refusal = await _refusal(address.format(port=guarded.port))
    assert ADDRESSES[address] in refusal
    assert "hun" not in refusal
    assert "ter2" not in refusal


@pytest.mark.parametrize(
    ("command", "code"), [("", 1), ("migrate", 2), ("audit", 2)], ids=["serve", "migrate", "audit"]
)
def test_each_command_that_is_not_let_in_says_so_in_one_line(
    guarded: Cluster, command: str, code: int
) -> None:
    address = next(iter(ADDRESSES)).format(port=guarded.port)
    run = run_to_end(*command.split(), "--store", address)
    assert run.returncode == code
    assert run.stderr.startswith(" ".join(["orderintake-server", *command.split()]) + ": ")
    assert 'password authentication failed for user "guarded"' in run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert "ter2" not in run.stderr + run.stdout
