"""Who takes a worker of a PostgreSQL store for dead, and when: among several replicas."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest

from orderintake_server.domain import State
from orderintake_server.errors import StartupFailed, StoreError
from orderintake_server.store.changes import Changes
from orderintake_server.store.postgres.copy import source
from orderintake_server.store.postgres.store import PostgresStore, postgres_store
from orderintake_server.store.work import WorkerState, WorkerWord
from support.changes import new, order, place, state
from support.postgres_home import PostgresHome
from support.proxy import proxy
from support.work import ANN, bury, report, say, take

LEASE, WORKER_LEASE = 0.45, 0.9


@pytest.fixture
def home(postgres_home: PostgresHome) -> PostgresHome:
    """The place of an empty store, of each PostgreSQL in turn."""
    return postgres_home


@asynccontextmanager
async def replica(url: str, heard: Mapping[str, float]) -> AsyncIterator[PostgresStore]:
    """Open the store as a replica that hears these workers, and does what it is told to."""
    async with postgres_store(
        url, lease_seconds=LEASE, worker_lease=WORKER_LEASE, hints=False
    ) as store:
        store.at_work.follow(lambda: heard)
        chores = asyncio.create_task(_do_chores(store))
        try:
            yield store
        finally:
            chores.cancel()
            await asyncio.wait([chores])


async def _do_chores(store: PostgresStore) -> None:
    async for news in store.watch():
        if news.next_due == 0:
            with suppress(StoreError):
                await store.commit(Changes())


async def _until(store: PostgresStore, wanted: State) -> None:
    """Wait until the first order stands so."""
    async with asyncio.timeout(20):
        while await state(store, 1) is not wanted:  # noqa: ASYNC110 - polled, as by a caller
            await asyncio.sleep(0.05)


async def _run(home: PostgresHome, script: str) -> str:
    """Do something to the database that no server does."""
    database = urlsplit(home.url).path[1:]
    return await asyncio.to_thread(home.cluster.run_sql, script, database=database)


SILENT = "UPDATE orderintake.workers SET expires_at = clock_timestamp() - interval '1 hour'"


async def test_w8_who_opens_the_store_buries_nobody_however_long_all_was_silent(
    home: PostgresHome,
) -> None:
    await place(await home.open(), new())
    await take(await home.reopen(), ANN)
    await home.close()
    await _run(home, SILENT)
    opened = await home.open()
    assert (opened.recovery.kept, opened.recovery.recovered) == (1, 0)
    await opened.commit(Changes())
    found = await opened.at_work.read_worker(ANN)
    assert found
    assert [held.key.accept_sequence for held in found.leases] == [1]


async def test_w6_a_worker_ends_with_the_server_that_supervises_it(home: PostgresHome) -> None:
    store = await home.open()
    await place(store, new(), new())
    await say(store, WorkerWord(ANN, capacity=2, is_local=True))
    await take(store, ANN)
    crashed = await home.crash()
    assert crashed.recovery.recovered == 1
    assert await crashed.at_work.list_workers() == []
    assert (await order(crashed, 1)).attempt_count == 1
    await say(crashed, WorkerWord(ANN, is_local=True))
    await take(crashed, ANN)
    await crashed.note_stop()
    found = await crashed.at_work.read_worker(ANN)
    assert found
    assert found.is_stopping
    stopped = await home.crash()
    assert (stopped.recovery.recovered, stopped.recovery.kept) == (1, 0)
    assert await state(stopped, 1) is State.QUEUED
    assert (await order(stopped, 1)).attempt_count == 1


async def test_w7_a_child_that_dies_while_its_server_stops_costs_no_attempt(
    home: PostgresHome,
) -> None:
    store = await home.open()
    await place(store, new())
    assert await say(store, WorkerWord(ANN, is_local=True)) is WorkerState.WORKS
    await take(store, ANN)
    await store.note_stop()
    await bury(store, ANN)
    assert (await order(store, 1)).attempt_count == 0


async def test_a_store_is_not_copied_while_a_worker_has_something_of_it(
    home: PostgresHome,
) -> None:
    store = await home.open()
    await say(store, WorkerWord(ANN, "kitchen:7"))
    await home.close()
    await _refused(home)  # it lives
    store = await home.open()
    await place(store, new())
    (lease,) = await take(store, ANN)
    await home.close()
    await _run(home, SILENT)
    await _refused(home)  # nobody has taken back what it has
    assert await report(await home.open(), lease) == [State.SUCCEEDED]
    await home.close()
    await _run(home, SILENT)
    async with source(home.url, 3, home.clock) as left:
        assert (await left.numbers()).completed == 1


async def _refused(home: PostgresHome) -> None:
    with pytest.raises(StartupFailed, match="in use by worker 'kitchen:7'"):
        async with source(home.url, 3, home.clock):
            pass


@pytest.mark.seconds
async def test_w5_w6_a_worker_lives_while_any_replica_hears_it_and_is_buried_once(
    home: PostgresHome,
) -> None:
    await home.open()
    await home.close()
    heard = {ANN: 0.0}
    async with replica(home.url, {}) as deaf, replica(home.url, heard) as near:
        await place(deaf, new())
        await take(deaf, ANN)
        await asyncio.sleep(3 * WORKER_LEASE)  # so long it would be dead if nobody heard it
        assert await state(deaf, 1) is State.PROCESSING
        heard.clear()
        await _until(near, State.QUEUED)
        stands = await order(deaf, 1)
        assert stands.attempt_count == 1
        (lease,) = await take(near, ANN)
        assert lease.crash_count == 1


@pytest.mark.seconds
async def test_w8_a_replica_that_was_cut_off_from_the_database_buries_nobody_when_it_is_back(
    home: PostgresHome,
) -> None:
    await home.open()
    await home.close()
    at = urlsplit(home.url)
    async with proxy(f"127.0.0.1:{at.port}") as line:
        url = home.url.replace(f"127.0.0.1:{at.port}", line.address)
        heard: dict[str, float] = {ANN: 0.0}
        async with replica(url, heard) as store:
            await place(store, new())
            await take(store, ANN)
            await asyncio.sleep(2 * WORKER_LEASE)
            there, line.target = line.target, "127.0.0.1:1"
            line.cut()
            await asyncio.sleep(3 * WORKER_LEASE)
            line.target = there
            async with asyncio.timeout(20):
                while await _alive(home) != "t":  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.05)
            assert await _run(home, _LENT) == "1"
            await asyncio.sleep(2 * WORKER_LEASE)
            assert await _run(home, _LENT) == "1"


_LENT = "SELECT count(*) FROM orderintake.leases WHERE worker > 0"


async def _alive(home: PostgresHome) -> str:
    return await _run(
        home, "SELECT bool_or(expires_at > clock_timestamp()) FROM orderintake.sessions"
    )
