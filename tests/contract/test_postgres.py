"""What a PostgreSQL store makes of lost connections, of locks, and of replicas beside it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import asyncpg
import pytest

from orderintake_server.domain import State, Tier
from orderintake_server.errors import StoreAway
from orderintake_server.store import postgres_link
from orderintake_server.store.base import Changes, Lease, Settlement, Take
from orderintake_server.store.postgres import PostgresStore, postgres_store
from orderintake_server.store.postgres_call import CALL, Answer, Caller, arguments
from support.changes import (
    DONE,
    ROOMY,
    accept,
    log_of,
    look,
    new,
    place,
    queue,
    settle,
    whole_log,
)
from support.pooler import pooler
from support.postgres import DATABASE
from support.postgres_home import PostgresHome, kinds
from support.proxy import Proxy, proxy
from support.replicas import until

if TYPE_CHECKING:
    from orderintake_server.store.postgres_link import Connection

KINDS = kinds()
LOCK = 8026370375060648052
"""The one that every commit takes."""
GATE = 1
"""The one that commits take too, behind all they do, while an operator holds them."""
REPLICAS, ROUNDS = 8, 50

WAITING = """
FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'
"""
_HOLD = f"""
SELECT pg_advisory_lock({GATE});
CREATE FUNCTION orderintake.hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock({GATE});
  RETURN NEW;
END $$;
CREATE TRIGGER hold BEFORE INSERT ON orderintake.commits
FOR EACH ROW EXECUTE FUNCTION orderintake.hold();
"""
_LET_GO = """
DROP TRIGGER hold ON orderintake.commits;
DROP FUNCTION orderintake.hold;
"""


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[PostgresHome]:
    """The place of an empty store, of each PostgreSQL in turn; it obeys all rules at the end."""
    place: PostgresHome = request.param(tmp_path)
    yield place
    assert await asyncio.to_thread(place.findings) == []
    await place.leave()


@pytest.fixture
async def store(home: PostgresHome) -> PostgresStore:
    """The store, open."""
    return await home.open()


@pytest.fixture
async def operator(home: PostgresHome, store: PostgresStore) -> "AsyncIterator[Connection]":
    """Somebody who is connected to the same database."""
    connection = await asyncpg.connect(home.url)
    yield connection
    await connection.close()


@asynccontextmanager
async def held(operator: "Connection") -> AsyncIterator[None]:
    """Let no commit come to its end while inside."""
    await operator.execute(_HOLD)
    try:
        yield
    finally:
        await operator.execute(f"SELECT pg_advisory_unlock({GATE})")
        await operator.execute(_LET_GO)


async def until_waiting(operator: "Connection") -> None:
    """Wait until somebody waits for one of the locks."""

    async def is_waiting() -> bool:
        return bool(await operator.fetchval(f"SELECT count(*) > 0 {WAITING}"))

    await until(is_waiting)


async def take(store: PostgresStore, most: int) -> list[Lease]:
    """Start the most urgent orders."""
    return (await store.commit(Changes(take=Take(most=most, is_idle=True)))).taken


async def cut_off(operator: "Connection", commit: Awaitable[object]) -> None:
    """Let a commit lose its connection while it waits; it must raise StoreAway."""
    under_way = asyncio.ensure_future(commit)
    await until_waiting(operator)
    await operator.execute(f"SELECT pg_terminate_backend(pid) {WAITING}")
    with pytest.raises(StoreAway):
        await under_way


async def test_a_commit_that_is_cut_off_while_it_waits_for_its_turn_changes_nothing(
    store: PostgresStore, operator: "Connection"
) -> None:
    async with operator.transaction():
        await operator.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        await cut_off(operator, place(store, new(b"coffee")))
    (receipt,) = await place(store, new())
    assert receipt.order.accept_sequence == 1
    assert await queue(store) == [1]


async def test_a_commit_that_is_cut_off_in_the_middle_changes_nothing(
    store: PostgresStore, operator: "Connection"
) -> None:
    await place(store, new())
    async with held(operator):
        changes = Changes(accepts=[[new()]], room=ROOMY, take=Take(most=1, is_idle=True))
        await cut_off(operator, store.commit(changes))
    committed = await look(store)
    assert committed.tallies[Tier.REGULAR].queued == 1
    assert committed.tallies[Tier.REGULAR].processing == 0
    assert [lease.order.start_sequence for lease in await take(store, 1)] == [1]


async def test_a_commit_waits_for_the_others_no_longer_than_its_time_out_and_changes_nothing(
    store: PostgresStore, operator: "Connection"
) -> None:
    await operator.execute("ALTER FUNCTION orderintake.commit_changes SET lock_timeout = '50ms'")
    try:
        async with operator.transaction():
            await operator.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            with pytest.raises(StoreAway, match="lock timeout"):
                await place(store, new(b"coffee"))
        (receipt,) = await place(store, new())
    finally:
        await operator.execute("ALTER FUNCTION orderintake.commit_changes SET lock_timeout = '10s'")
    assert receipt.order.accept_sequence == 1


class Unheard:
    """A store whose commits can be done without its hearing so."""

    def __init__(self, store: PostgresStore, way: Proxy, operator: "Connection") -> None:
        self.store = store
        self._way = way
        self._operator = operator

    async def commit(self, changes: Changes) -> None:
        """Make the changes; the store must raise StoreAway."""
        number = "SELECT max(number) FROM orderintake.commits"
        before = await self._operator.fetchval(number)

        async def is_done() -> bool:
            return bool(await self._operator.fetchval(number) > before)

        async with held(self._operator):
            under_way = asyncio.ensure_future(self.store.commit(changes))
            await until_waiting(self._operator)
            self._way.swallow()
        await until(is_done)
        self._way.cut()
        with pytest.raises(StoreAway):
            await under_way


@pytest.fixture
async def unheard(home: PostgresHome, operator: "Connection") -> AsyncIterator[Unheard]:
    """A store behind a way of its own to the database."""
    database = home.url.rpartition("/")[2]
    async with proxy(f"127.0.0.1:{home.cluster.port}") as way:
        url = f"postgresql://{DATABASE}@{way.address}/{database}"
        async with postgres_store(url, clock=home.clock, hints=False) as store:
            yield Unheard(store, way, operator)


async def test_what_was_started_unheard_waits_again_and_what_was_ended_unheard_ends_once(
    unheard: Unheard,
) -> None:
    store = unheard.store
    await place(store, new(), new(), new())
    leases = await take(store, 1)
    settles = [Settlement(lease=lease, ending=DONE) for lease in leases]
    await unheard.commit(Changes(settles=settles, take=Take(most=2, is_idle=False)))
    committed = await store.commit(Changes(settles=settles))
    assert committed.settled == [None]
    assert committed.tallies[Tier.REGULAR].queued == 2
    assert committed.tallies[Tier.REGULAR].processing == 0
    again = await take(store, 2)
    assert [(lease.order.accept_sequence, lease.order.attempt_count) for lease in again] == [
        (2, 1),
        (3, 1),
    ]
    assert await log_of(store) == [(1, State.SUCCEEDED)]


async def test_what_runs_goes_on_behind_a_commit_that_was_not_heard(unheard: Unheard) -> None:
    store = unheard.store
    await place(store, new(), new())
    (running,) = await take(store, 1)
    await unheard.commit(Changes(take=Take(most=1, is_idle=False)))
    committed = await look(store)
    assert committed.tallies[Tier.REGULAR].processing == 1
    assert await settle(store, running) == [State.SUCCEEDED]


async def test_what_was_accepted_unheard_is_there_once_for_who_repeats_it(
    unheard: Unheard,
) -> None:
    order = new(request_id="once")
    await unheard.commit(Changes(accepts=[[order]], room=ROOMY))
    (receipt,) = await place(unheard.store, order)
    assert receipt.replayed
    assert receipt.position == receipt.order.accept_sequence == 1


async def test_a_commit_that_comes_behind_a_later_one_of_its_session_does_nothing(
    store: PostgresStore, operator: "Connection"
) -> None:
    await place(store, new())
    before = await look(store)
    session_id = await operator.fetchval("SELECT session_id FROM orderintake.sessions")
    late = Caller(session_id=session_id, request=2, max_crashes=3)
    changes = Changes(accepts=[[new()]], room=ROOMY, cancels=[1], take=Take(most=1, is_idle=True))
    rows = await operator.fetch(CALL, *arguments(changes, late))
    assert Answer([tuple(row) for row in rows]).is_superseded
    assert (await look(store)).tallies == before.tallies


async def test_orders_start_though_a_repeats_place_in_the_queue_cannot_be_read(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: int) -> int:
        raise StoreAway("no connection to read by")

    await place(store, new(), new(request_id="once"))
    monkeypatch.setattr(store, "position", away)
    repeat = [[new(request_id="once")]]
    committed = await store.commit(
        Changes(accepts=repeat, room=ROOMY, take=Take(most=1, is_idle=True))
    )
    assert await settle(store, *committed.taken) == [State.SUCCEEDED]
    ((receipt,),) = committed.accepted  # type: ignore[misc] # it is no refusal
    assert receipt.position == 0


async def test_news_come_behind_a_commit_under_way_that_is_older(
    home: PostgresHome, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting, counted, seen = asyncio.Event(), asyncio.Event(), asyncio.Event()
    newest = store._watch.newest  # noqa: SLF001 - nothing else tells that it has looked

    async def held_position(_: int) -> int:
        counting.set()
        await counted.wait()
        return 1

    async def told_newest(behind: Callable[[], int]) -> object:
        said = await newest(behind)
        seen.set()
        return said

    await place(store, new(request_id="once"))
    monkeypatch.setattr(store, "position", held_position)
    monkeypatch.setattr(store._watch, "newest", told_newest)  # noqa: SLF001
    repeat = asyncio.create_task(place(store, new(request_id="once")))
    await counting.wait()
    await place(await home.open(), new())
    hearing = asyncio.ensure_future(anext(store.news()))
    await seen.wait()
    is_early = hearing.done()
    counted.set()
    await repeat
    news = await hearing
    assert not is_early
    assert news.tallies[Tier.REGULAR].queued == 2


async def test_a_server_that_does_not_answer_is_passed_by_and_tried_no_more(
    home: PostgresHome, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        await reader.read()
        writer.close()

    monkeypatch.setattr(postgres_link, "CONNECT_SECONDS", 0.2)
    dead = await asyncio.start_server(silence, "127.0.0.1", 0)
    port = dead.sockets[0].getsockname()[1]
    both = home.url.replace("@", f"@127.0.0.1:{port},")
    async with postgres_store(both, hints=False) as found:
        (receipt,) = await place(found, new())
    dead.close()
    assert receipt.order.accept_sequence == 1
    assert tries == 1


async def _work(store: PostgresStore, chance: Random) -> None:
    """Accept, start and end orders, many of which others accept too."""
    leases: list[Lease] = []
    for _ in range(ROUNDS):
        groups = [
            [new(request_id=str(chance.randrange(200))) for _ in range(chance.randint(1, 3))]
            for _ in range(chance.randint(0, 3))
        ]
        committed = await store.commit(
            Changes(
                settles=[Settlement(lease=lease, ending=DONE) for lease in leases],
                accepts=groups,
                room=ROOMY,
                take=Take(most=chance.randint(1, 4), is_idle=not leases),
            )
        )
        assert set(committed.settled) <= {State.SUCCEEDED}
        leases = committed.taken
    await settle(store, *leases)


async def test_replicas_that_commit_at_once_neither_lock_each_other_out_nor_leave_a_hole(
    home: PostgresHome, store: PostgresStore
) -> None:
    stores = [store, *[await home.open() for _ in range(REPLICAS - 1)]]
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        for seed, each in enumerate(stores):
            tasks.create_task(_work(each, Random(seed)))
    await settle(store, *await take(store, 200))
    log = await whole_log(store)
    assert [end.sequence for end in log] == list(range(1, len(log) + 1))
    assert sorted(end.order.accept_sequence for end in log) == list(range(1, len(log) + 1))
    assert sorted(end.order.start_sequence for end in log) == list(range(1, len(log) + 1))
    assert await queue(store) == []


async def test_through_a_pooler_orders_are_accepted_started_ended_and_repeated(
    home: PostgresHome, store: PostgresStore
) -> None:
    database = home.url.rpartition("/")[2]
    try:
        with pooler(home.cluster, database=database) as url:
            async with postgres_store(url, clock=home.clock, is_pooled=True) as pooled:
                await _live(pooled)
    except FileNotFoundError as missing:
        pytest.skip(str(missing))


async def _live(store: PostgresStore) -> None:
    order = new(request_id="once")
    (first,), (vip,) = await accept(store, [order], [new(vip=True)])  # type: ignore[misc]
    leases = await take(store, 5)
    assert [lease.order.accept_sequence for lease in leases] == [2, 1]
    assert await settle(store, *leases) == [State.SUCCEEDED] * 2
    (again,) = await place(store, order)
    assert again.replayed
    assert again.order.accept_sequence == first.order.accept_sequence == 1
    assert vip.position == 1
    assert await log_of(store) == [(2, State.SUCCEEDED), (1, State.SUCCEEDED)]
