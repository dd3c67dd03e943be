"""A PostgreSQL store among others: replicas at once, a pooler, a server that does not answer."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest

from orderintake_server.domain import Lease, State, Tier
from orderintake_server.errors import StoreAway
from orderintake_server.store.changes import Cancel, Changes, ClaimNext, Settlement, Take
from orderintake_server.store.postgres.answer import Answer
from orderintake_server.store.postgres.connector import Connector, Row
from orderintake_server.store.postgres.store import PostgresStore, postgres_store
from support.changes import AMPLE, DONE, accept, log_of, new, place, queue, settle, whole_log
from support.clocks import SECOND
from support.logs import capture_logs
from support.pooler import pooler
from support.postgres_home import PostgresHome, kinds
from support.proxy import proxy

KINDS = kinds()
REPLICAS, ROUNDS = 8, 50


@pytest.fixture
def home(postgres_home: PostgresHome) -> PostgresHome:
    """The place of an empty store, of each PostgreSQL in turn."""
    return postgres_home


@pytest.fixture
async def store(home: PostgresHome) -> PostgresStore:
    """The store, open."""
    return await home.open()


async def take(store: PostgresStore, most: int) -> list[Lease]:
    """Start the most urgent orders."""
    return (
        await store.commit(Changes(claim_next=ClaimNext(takes=[Take(most)], is_idle=True)))
    ).claimed_next


async def test_news_come_behind_a_commit_under_way_that_is_older(
    home: PostgresHome, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed, arrived, seen = asyncio.Event(), asyncio.Event(), asyncio.Event()
    newest = store._notifier.newest  # noqa: SLF001 - nothing else tells that it has looked
    call = store._writer.call  # noqa: SLF001 - the answer is on its way for a while

    async def late_call(values: Sequence[object]) -> Answer:
        answer = await call(values)
        committed.set()
        await arrived.wait()
        return answer

    async def told_newest(after: Callable[[], int]) -> object:
        said = await newest(after)
        seen.set()
        return said

    monkeypatch.setattr(store._writer, "call", late_call)  # noqa: SLF001
    monkeypatch.setattr(store._notifier, "newest", told_newest)  # noqa: SLF001
    older = asyncio.create_task(place(store, new()))
    await committed.wait()
    await place(await home.open(), new())
    hearing = asyncio.ensure_future(anext(store.watch()))
    await seen.wait()
    is_early = hearing.done()
    arrived.set()
    await older
    news = await hearing
    assert not is_early
    assert news.counts[Tier.REGULAR].queued == 2


async def test_a_server_that_does_not_answer_is_passed_by_and_tried_no_more(
    home: PostgresHome, store: PostgresStore
) -> None:
    await store.close()
    tries = 0

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        await reader.read()
        writer.close()

    dead = await asyncio.start_server(silence, "127.0.0.1", 0)
    port = dead.sockets[0].getsockname()[1]
    both = home.url.replace("@", f"@127.0.0.1:{port},")
    async with postgres_store(both, hints=False, connect_seconds=0.2) as found:
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
                capacity=AMPLE,
                claim_next=ClaimNext(takes=[Take(chance.randint(1, 4))], is_idle=not leases),
            )
        )
        assert set(committed.settled) <= {State.SUCCEEDED}
        leases = committed.claimed_next
    await settle(store, *leases)


@pytest.mark.seconds
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


async def test_a_cancel_that_cannot_be_looked_up_is_looked_up_again(
    home: PostgresHome, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place(store, new())
    await take(store, 1)
    refused: list[str] = []
    fetch = store._readers.fetch  # noqa: SLF001 - the database goes away at this very moment

    async def away_once(query: str, *values: object) -> list[Row]:
        if not refused:
            refused.append(query)
            raise StoreAway("PostgreSQL cannot be reached")
        return await fetch(query, *values)

    async with postgres_store(home.url, clock=home.clock, hints=False) as other:
        await other.commit(Changes(cancels=[Cancel(1)]))
        monkeypatch.setattr(store._readers, "fetch", away_once)  # noqa: SLF001
        async with asyncio.timeout(20):
            async for news in store.watch():
                if news.to_stop:
                    break
    assert news.to_stop == (1,)
    assert len(refused) == 1


async def test_p2_a_repeat_is_told_as_it_stands_at_one_moment_whoever_starts_the_order(
    home: PostgresHome, store: PostgresStore
) -> None:
    other = await home.open()
    for number in range(60):
        order = new(request_id=str(number))
        await place(store, order)
        repeats, _ = await asyncio.gather(
            accept(store, [order], [order]),
            other.commit(Changes(claim_next=ClaimNext(takes=[Take(1)], is_idle=True))),
        )
        for receipts in repeats:
            assert isinstance(receipts, tuple)
            (receipt,) = receipts
            assert receipt.replayed
            assert bool(receipt.position) == (receipt.order.state is State.QUEUED)


async def test_a_leap_of_the_databases_clock_is_noticed_by_an_idle_replica(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch, leap = Connector.fetch, 0

    async def fetch_leapt(self: Connector, connection: Any, query: str, *values: object) -> Any:  # noqa: ANN401
        rows: list[Any] = await fetch(self, connection, query, *values)
        if "AS clock" not in query:
            return rows
        return [{**dict(row), "clock": row["clock"] + leap} for row in rows]

    monkeypatch.setattr(Connector, "fetch", fetch_leapt)  # nobody sets a real database's clock
    async with asyncio.timeout(20):
        with capture_logs() as logs:
            states = store.watch()
            await anext(states)
            leap = 3600 * SECOND
            while (await anext(states)).next_due != 0:
                pass
    assert [line["seconds"] for line in logs if "clock" in line["event"]] == [
        pytest.approx(3600, abs=1)
    ]


@pytest.mark.seconds
async def test_p11_a_stop_that_cannot_be_noted_is_told_at_once_and_noted_when_it_can_be(
    home: PostgresHome, store: PostgresStore
) -> None:
    await store.close()
    at = urlsplit(home.url)
    async with proxy(f"127.0.0.1:{at.port}") as line:
        url = home.url.replace(f"127.0.0.1:{at.port}", line.address)
        async with postgres_store(url, hints=False) as cut_off:
            there, line.target = line.target, "127.0.0.1:1"
            line.cut()
            with pytest.raises(StoreAway):
                await cut_off.note_stop()
            line.target = there
            await cut_off.note_stop()
            session_id = cut_off._heartbeat.status.session_id  # noqa: SLF001
            noted = await asyncio.to_thread(home.cluster.run_sql, _STOPPING, database=at.path[1:])
            assert str(session_id) in noted.split()


_STOPPING = "SELECT session_id FROM orderintake.sessions WHERE is_stopping"
