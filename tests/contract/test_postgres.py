"""What a PostgreSQL store makes of lost connections, of lost answers, and of locks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import pytest

from orderintake_server.domain import Lease, State, Tier
from orderintake_server.errors import StoreAway
from orderintake_server.store.changes import Cancel, Changes, ClaimNext, Settlement, Take
from orderintake_server.store.postgres.answer import Answer
from orderintake_server.store.postgres.call import Caller, arguments
from orderintake_server.store.postgres.functions import this_release
from orderintake_server.store.postgres.store import PostgresStore, postgres_store
from support.changes import (
    AMPLE,
    DONE,
    log_of,
    look,
    new,
    place,
    queue,
    settle,
)
from support.postgres import DATABASE
from support.postgres_home import PostgresHome, kinds
from support.proxy import Proxy, proxy
from support.replicas import until

if TYPE_CHECKING:
    from orderintake_server.store.postgres.connector import Connection, Row

KINDS = kinds()
RELEASE = this_release()
LOCK = 8026370375060648052
"""The one that every commit takes."""
GATE = 1
"""The one that commits take too, behind all they do, while an operator holds them."""

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


@pytest.fixture
def home(postgres_home: PostgresHome) -> PostgresHome:
    """The place of an empty store, of each PostgreSQL in turn."""
    return postgres_home


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
    return (
        await store.commit(Changes(claim_next=ClaimNext(takes=[Take(most)], is_idle=True)))
    ).claimed_next


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
        changes = Changes(
            accepts=[[new()]], capacity=AMPLE, claim_next=ClaimNext(takes=[Take(1)], is_idle=True)
        )
        await cut_off(operator, store.commit(changes))
    committed = await look(store)
    assert committed.counts[Tier.REGULAR].queued == 1
    assert committed.counts[Tier.REGULAR].processing == 0
    assert [lease.order.start_sequence for lease in await take(store, 1)] == [1]


async def test_a_commit_waits_for_the_others_no_longer_than_its_time_out_and_changes_nothing(
    store: PostgresStore, operator: "Connection"
) -> None:
    await operator.execute(
        f"ALTER FUNCTION {RELEASE.schema}.commit_changes SET lock_timeout = '50ms'"
    )
    try:
        async with operator.transaction():
            await operator.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            with pytest.raises(StoreAway, match="lock timeout"):
                await place(store, new(b"coffee"))
        (receipt,) = await place(store, new())
    finally:
        await operator.execute(
            f"ALTER FUNCTION {RELEASE.schema}.commit_changes SET lock_timeout = '10s'"
        )
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
    await unheard.commit(
        Changes(settles=settles, claim_next=ClaimNext(takes=[Take(2)], is_idle=False))
    )
    committed = await store.commit(Changes(settles=settles))
    assert committed.settled == [None]
    assert committed.counts[Tier.REGULAR].queued == 2
    assert committed.counts[Tier.REGULAR].processing == 0
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
    await unheard.commit(Changes(claim_next=ClaimNext(takes=[Take(1)], is_idle=False)))
    committed = await look(store)
    assert committed.counts[Tier.REGULAR].processing == 1
    assert await settle(store, running) == [State.SUCCEEDED]


async def test_what_was_accepted_unheard_is_there_once_for_who_repeats_it(
    unheard: Unheard,
) -> None:
    order = new(request_id="once")
    await unheard.commit(Changes(accepts=[[order]], capacity=AMPLE))
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
    changes = Changes(
        accepts=[[new()]],
        capacity=AMPLE,
        cancels=[Cancel(1)],
        claim_next=ClaimNext(takes=[Take(1)], is_idle=True),
    )
    rows = await operator.fetch(RELEASE.call, *arguments(changes, late))
    assert Answer([tuple(row) for row in rows]).is_superseded
    assert (await look(store)).counts == before.counts


async def test_orders_start_though_a_repeats_place_in_the_queue_cannot_be_read(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> "list[Row]":
        raise StoreAway("no connection to read by")

    await place(store, new(), new(request_id="once"))
    monkeypatch.setattr(store._readers, "fetch", away)  # noqa: SLF001
    repeat = [[new(request_id="once")]]
    committed = await store.commit(
        Changes(accepts=repeat, capacity=AMPLE, claim_next=ClaimNext(takes=[Take(1)], is_idle=True))
    )
    assert await settle(store, *committed.claimed_next) == [State.SUCCEEDED]
    ((receipt,),) = committed.accepted  # type: ignore[misc] # it is no refusal
    assert receipt.order.state is State.QUEUED
    assert receipt.position is None  # which is no place that is known


class HeldReads:
    """The reads of a store, held up until they are let go, and counted."""

    def __init__(self, store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.has_begun, self.let_go = asyncio.Event(), asyncio.Event()
        self._fetch = store._readers.fetch  # noqa: SLF001 - nothing else holds up reads alone
        monkeypatch.setattr(store._readers, "fetch", self._held)  # noqa: SLF001

    async def _held(self, query: str, *values: object) -> "list[Row]":
        self.count += 1
        self.has_begun.set()
        await self.let_go.wait()
        return await self._fetch(query, *values)


REPEATS, WAITING_ORDERS = 500, 40_000


@pytest.mark.seconds
async def test_another_commit_is_done_while_the_places_of_repeats_are_read(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for begin in range(0, WAITING_ORDERS, 1_000):
        await place(store, *(new(request_id=str(begin + n)) for n in range(1_000)))
    reads = HeldReads(store, monkeypatch)
    step = WAITING_ORDERS // REPEATS
    repeats = [new(request_id=str(number)) for number in range(0, WAITING_ORDERS, step)]
    repeated = asyncio.create_task(place(store, *repeats))
    await reads.has_begun.wait()
    (other,) = await place(store, new())
    assert not repeated.done()
    reads.let_go.set()
    receipts = await repeated
    assert other.position == WAITING_ORDERS + 1
    assert [receipt.position for receipt in receipts] == [1 + n * step for n in range(REPEATS)]
    assert reads.count == 1


async def test_a_repeat_of_an_order_that_starts_meanwhile_says_so(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    repeats = [new(request_id=name) for name in ("ended", "running", "queued")]
    await place(store, *repeats)
    reads = HeldReads(store, monkeypatch)
    repeated = asyncio.create_task(place(store, *repeats))
    await reads.has_begun.wait()
    ended, _ = await take(store, 2)
    await settle(store, ended)
    reads.let_go.set()
    receipts = await repeated
    found = [(receipt.order.state, receipt.position) for receipt in receipts]
    assert found == [(State.SUCCEEDED, 0), (State.PROCESSING, 0), (State.QUEUED, 1)]
    assert [receipt.after for receipt in receipts] == [0, 0, 0]


async def test_what_was_reported_is_never_older_than_before(
    home: PostgresHome, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place(store, new(request_id="once"))
    reads = HeldReads(store, monkeypatch)
    repeat = Changes(accepts=[[new(request_id="once"), new()]], capacity=AMPLE)
    repeated = asyncio.create_task(store.commit(repeat))
    await reads.has_begun.wait()
    await place(await home.open(), new())
    news = await anext(store.watch())
    reads.let_go.set()
    committed = await repeated
    assert news.counts[Tier.REGULAR].queued == committed.counts[Tier.REGULAR].queued == 3
    assert news.accept_counts[Tier.REGULAR] == 2
    assert committed.accept_counts[Tier.REGULAR] == 0
