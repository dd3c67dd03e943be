"""The schema in PostgreSQL: made once, checked at start, worked with beside newer steps."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path

import pytest

from orderintake_server.domain import Tier
from orderintake_server.errors import StartupFailed, StoreBroken
from orderintake_server.store.changes import Changes, ClaimNext, Take
from orderintake_server.store.postgres.audit import audit
from orderintake_server.store.postgres.functions import RELEASE, Release
from orderintake_server.store.postgres.schema import Version, migrate, this_version
from orderintake_server.store.postgres.store import PostgresStore, postgres_store
from orderintake_server.store.steps import Step
from support.changes import again, new, pause, place, release, settle, whole_log
from support.postgres import Cluster
from support.postgres_home import each, kinds, running
from support.process import run_to_end

KINDS = kinds()
OURS = this_version()
STEPS = OURS.steps
KNOWN = len(STEPS)
_NUMBERS = count(1)
TABLES = (
    "identity", "policy", "commits", "orders", "requests", "scheduled", "expiries", "sessions",
    "leases", "starts", "log", "pauses", "customers",
    "operator_actions", "workers", "ends",
)  # fmt: skip
_ADDED = """
ALTER TABLE orderintake.{} ADD COLUMN added text NOT NULL DEFAULT 'by a newer step';
"""
_NEWER = """
CREATE SCHEMA orderintake_r9;
CREATE FUNCTION orderintake_r9.commit_changes() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint';
INSERT INTO orderintake.releases VALUES (9, '');
INSERT INTO orderintake.steps (number, least, checksum)
SELECT max(number) + 1, {}, '' FROM orderintake.steps;
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


async def _refusal(url: str, version: Version | None = None) -> str:
    """Open a store, which must be refused; tell why."""
    with pytest.raises(StartupFailed) as refused:
        async with postgres_store(url, version=version):
            pass
    return str(refused.value)


def _with_release(number: int, text: str = OURS.release.text) -> Version:
    """Give a version with the same steps and other functions."""
    return Version(STEPS, Release(number, text))


def _with_steps(steps: Sequence[Step]) -> Version:
    return Version(steps, OURS.release)


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
    empty: Database,
) -> None:
    bad = Step(KNOWN + 1, 1, "CREATE TABLE half (); SELECT 1 / 0")
    with pytest.raises(Exception, match="division by zero"):
        await migrate(empty.url, _with_steps([*STEPS, bad]))
    assert await empty.run("SELECT to_regclass('orderintake.half')") == ""
    assert await empty.run("SELECT max(number) FROM orderintake.steps") == str(KNOWN)
    assert await migrate(empty.url) == []


async def test_a_server_says_how_to_make_a_store_where_there_is_none(empty: Database) -> None:
    assert "orderintake-server migrate --store" in await _refusal(empty.url)


async def test_a_server_does_not_start_on_an_older_schema(database: Database) -> None:
    newer = Step(KNOWN + 1, 1, "CREATE TABLE more ()")
    refusal = await _refusal(database.url, _with_steps([*STEPS, newer]))
    assert f"of schema {KNOWN}, older than {KNOWN + 1}" in refusal
    assert "orderintake-server migrate --store" in refusal


async def test_a_server_does_not_start_on_a_schema_that_takes_a_newer_one(
    database: Database,
) -> None:
    await database.run(_NEWER.format(RELEASE + 1))
    refusal = await _refusal(database.url)
    assert f"must be of release {RELEASE + 1}; this one is of {RELEASE}: start a newer" in refusal
    assert await migrate(database.url) == []


async def _live(store: PostgresStore) -> None:
    """Do a bit of everything; regular orders and VIP ones start together."""
    await place(store, *(new(vip=number % 2 == 0) for number in range(6)))
    leases = (
        await store.commit(Changes(claim_next=ClaimNext(takes=[Take(5)], is_idle=True)))
    ).claimed_next
    tiers = [lease.order.tier for lease in leases]
    assert tiers == [Tier.VIP] * 3 + [Tier.REGULAR] * 2
    await settle(store, *leases[:2])
    await settle(store, leases[2], ending=again())
    await release(store, *leases[3:])
    await pause(store, Tier.VIP)
    await pause(store, Tier.VIP, is_paused=False)
    await settle(
        store,
        *(
            await store.commit(Changes(claim_next=ClaimNext(takes=[Take(9)], is_idle=True)))
        ).claimed_next,
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


async def test_servers_of_two_releases_commit_into_the_same_tables(database: Database) -> None:
    newer = _with_release(RELEASE + 1)
    assert await migrate(database.url, newer) == []
    async with (
        asyncio.timeout(20),
        postgres_store(database.url, hints=False) as one,
        postgres_store(database.url, hints=False, version=newer) as other,
    ):
        for store in (one, other, one, other):
            await _live(store)
        await database.run(f"DROP SCHEMA orderintake_r{RELEASE} CASCADE")
        await _live(other)
        with pytest.raises(StoreBroken, match=f"orderintake_r{RELEASE}"):
            await _live(one)
    await migrate(database.url)
    assert await audit(database.url) == []


_FASTER = "-- as before, but faster\n" + OURS.release.text


async def test_changed_functions_of_the_same_release_are_deployed_anew(database: Database) -> None:
    changed = _with_release(RELEASE, _FASTER)
    assert "does not have the functions of release" in await _refusal(database.url, changed)
    assert "orderintake-server migrate --store" in await _refusal(database.url, changed)
    assert await migrate(database.url, changed) == []
    async with postgres_store(database.url, version=changed) as store:
        await _live(store)
    assert "does not have the functions of release" in await _refusal(database.url)
    await migrate(database.url)
    assert await audit(database.url) == []


async def test_functions_are_deployed_once(database: Database) -> None:
    deployed = (
        "SELECT deployed_at, concat('orderintake_r', release)::regnamespace::oid"
        " FROM orderintake.releases"
    )
    before = await database.run(deployed)
    await migrate(database.url)
    assert await database.run(deployed) == before
    await migrate(database.url, _with_release(RELEASE, _FASTER))
    assert await database.run(deployed) != before


async def test_functions_that_fail_leave_those_that_were_there(database: Database) -> None:
    with pytest.raises(StoreBroken, match="syntax error"):
        await migrate(database.url, _with_release(RELEASE, "CREATE FUNCTION half"))
    async with postgres_store(database.url) as store:
        await _live(store)
    assert await audit(database.url) == []


@pytest.mark.seconds
async def test_a_server_commits_on_while_the_functions_of_its_release_are_deployed_anew(
    database: Database,
) -> None:
    is_deployed = asyncio.Event()
    async with asyncio.timeout(40), AsyncExitStack() as stack:
        stores = [
            await stack.enter_async_context(postgres_store(database.url, hints=False))
            for _ in range(3)
        ]
        async with asyncio.TaskGroup() as tasks:
            for store in stores:
                tasks.create_task(_accept_until(store, is_deployed))
            for number in range(6):
                text = f"-- {number}\n{OURS.release.text}"
                await migrate(database.url, _with_release(RELEASE, text))
            is_deployed.set()
    await migrate(database.url)
    assert await audit(database.url) == []


async def _accept_until(store: PostgresStore, is_over: asyncio.Event) -> None:
    """Place orders, start and end them, and see that all of it is so, as often as there is time."""
    while not is_over.is_set():
        (receipt,) = await place(store, new(vip=True))
        assert receipt.order.accept_sequence
        found = await store.commit(Changes(claim_next=ClaimNext(takes=[Take(1)], is_idle=True)))
        await settle(store, *found.claimed_next)


async def test_a_role_that_may_use_the_tables_serves_also_after_functions_were_made_anew(
    database: Database,
) -> None:
    await database.run(_CLERK)
    url = database.url.replace("://orderintake@", "://clerk@")
    for text in (OURS.release.text, _FASTER, OURS.release.text):
        changed = _with_release(RELEASE, text)
        await migrate(database.url, changed)
        async with postgres_store(url, version=changed) as store:
            await _live(store)


_CLERK = """
DO $$ BEGIN CREATE ROLE clerk LOGIN; EXCEPTION WHEN duplicate_object THEN END $$;
GRANT USAGE ON SCHEMA orderintake TO clerk;
GRANT ALL ON ALL TABLES IN SCHEMA orderintake TO clerk;
GRANT ALL ON ALL SEQUENCES IN SCHEMA orderintake TO clerk;
"""


async def test_a_step_whose_text_was_changed_is_refused(database: Database) -> None:
    changed = [STEPS[0]._replace(text=STEPS[0].text + "-- changed"), *STEPS[1:]]
    assert "step 1" in await _refusal(database.url, _with_steps(changed))
    with pytest.raises(StartupFailed, match="was applied with another text"):
        await migrate(database.url, _with_steps(changed))
    assert await audit(database.url) == []


async def test_functions_below_the_least_release_are_dropped_and_their_servers_refused(
    database: Database,
) -> None:
    least = RELEASE + 1
    step = Step(KNOWN + 1, least, f"-- least: {least}\nCREATE TABLE more ()")
    newer = Version([*STEPS, step], Release(least, OURS.release.text))
    assert await migrate(database.url, newer) == [step.number]
    schemas = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'orderintake_r%'"
    assert await database.run(schemas) == newer.release.schema
    assert f"must be of release {least}; this one is of {RELEASE}" in await _refusal(database.url)
    assert await migrate(database.url) == []  # by an older server: it deploys nothing
    assert await database.run(schemas) == newer.release.schema
    async with postgres_store(database.url, version=newer) as store:
        await _live(store)


async def test_an_order_leads_the_same_life_in_the_database_as_in_the_server(
    database: Database,
) -> None:
    await database.run(f"""
        CREATE OR REPLACE FUNCTION orderintake_r{RELEASE}.becomes(state text, event text)
        RETURNS smallint LANGUAGE sql IMMUTABLE AS 'SELECT 4::smallint';
    """)
    assert "know other changes of an order's state" in await _refusal(database.url)


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
