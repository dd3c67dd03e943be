"""Workers of a PostgreSQL store: what is its own, with several replicas."""

import asyncio
from collections.abc import Sequence

import pytest

from orderintake_server.domain import Lease, State
from orderintake_server.holders import Holder, LentLease, key_of
from orderintake_server.store.base import Store
from orderintake_server.store.changes import Cancel, Changes, ClaimNext, Committed, Take
from orderintake_server.store.postgres.store import PostgresStore
from orderintake_server.store.work import AttemptEnd, Work, WorkerState, WorkerWord
from support.changes import DONE, again, new, order, place, queue
from support.postgres_home import PostgresHome


@pytest.fixture
def home(postgres_home: PostgresHome) -> PostgresHome:
    """The place of an empty store, of each PostgreSQL in turn."""
    return postgres_home


@pytest.fixture
async def store(home: PostgresHome) -> PostgresStore:
    """The store, open."""
    return await home.open()


async def deal(store: Store, *takes: tuple[str, int, int], alone: int = 99) -> Committed:
    """Offer slots of workers: worker, call, and how many."""
    offers = [Take(most, Holder(worker, call) if worker else None) for worker, call, most in takes]
    claim = ClaimNext(takes=offers, is_idle=True, alone=alone)
    return await store.commit(Changes(claim_next=claim, attempt_limit=0))


def who(leases: Sequence[Lease]) -> list[tuple[int, str]]:
    """Tell which orders were leased to whom."""
    return [
        (
            lease.order.accept_sequence,
            lease.holder.worker_id if isinstance(lease, LentLease) else "",
        )
        for lease in leases
    ]


async def tell(store: Store, **work: object) -> Committed:
    """Say something of workers."""
    return await store.commit(Changes(work=Work(**work)))  # type: ignore[arg-type]


async def test_w1_the_most_urgent_go_to_slots_in_the_order_of_offering(
    store: PostgresStore,
) -> None:
    await place(store, new(), new(), new(), new(vip=True))
    done = await deal(store, ("w", 1, 1), ("", 0, 1), ("v", 1, 5))
    assert who(done.claimed_next) == [(4, "w"), (1, ""), (2, "v"), (3, "v")]
    assert [lease.order.start_sequence for lease in done.claimed_next] == [1, 2, 3, 4]
    found = await store.at_work.read_worker("v")
    assert found
    assert [held.key.accept_sequence for held in found.leases] == [2, 3]
    assert await queue(store) == []


async def test_w3_a_repeat_at_another_replica_is_told_the_same_leases(
    home: PostgresHome, store: PostgresStore
) -> None:
    await place(store, new(), new(), new())
    first = await deal(store, ("w", 7, 2))
    other = await home.open()
    repeat = await deal(other, ("w", 7, 2), ("v", 1, 1))
    assert repeat.told_again == first.claimed_next
    assert who(repeat.claimed_next) == [(3, "v")]
    assert await other.at_work.leases_of(Holder("w", 7)) == first.claimed_next


async def test_w3_reports_count_once_and_are_answered_the_same(
    home: PostgresHome, store: PostgresStore
) -> None:
    await place(store, new(), new(), new())
    leases = (await deal(store, ("w", 1, 3))).claimed_next
    endings = [DONE, again(after=5_000_000), None]
    reports = [AttemptEnd(key_of(x), end) for x, end in zip(leases, endings, strict=True)]
    states = [State.SUCCEEDED, State.SCHEDULED, State.QUEUED]
    for each, repeated in ((store, []), (await home.open(), [0, 1, 2])):
        done = await tell(each, reports=reports)
        assert done.work
        assert (done.work.reports, done.work.repeated) == (states, repeated)
    swapped = [AttemptEnd(key_of(leases[2]), DONE), AttemptEnd(key_of(leases[0]), None)]
    done = await tell(store, reports=swapped)
    assert done.work
    assert done.work.reports == [None, None]
    assert (await order(store, 3)).attempt_count == 0


async def test_a_dead_worker_costs_a_crash_each_and_one_that_stops_none(
    store: PostgresStore,
) -> None:
    await place(store, new(), new(), new())
    words = [WorkerWord("w", "host:1", 4), WorkerWord("v", capacity=2)]
    done = await tell(store, words=words)
    assert done.work
    assert done.work.words == [WorkerState.WORKS] * 2
    assert done.capacity == 6
    await deal(store, ("w", 1, 2), ("v", 1, 1))
    await tell(store, words=[WorkerWord("v", is_stopping=True)])
    done = await tell(store, deaths=["w", "v", "unknown"])
    assert done.work
    assert [[taken.state for taken in taken_back] for taken_back in done.work.deaths] == [
        [State.QUEUED] * 2, [State.QUEUED], [],
    ]  # fmt: skip
    assert done.capacity == 0
    assert set(done.news) == {"w", "v"}
    assert [(await order(store, number)).attempt_count for number in (1, 2, 3)] == [1, 1, 0]
    assert await store.at_work.list_workers() == []


async def test_who_ended_takes_nothing_at_any_replica(
    home: PostgresHome, store: PostgresStore
) -> None:
    await place(store, new())
    await deal(store, ("w", 1, 1))
    done = await tell(store, ends=["w", "never seen"])
    assert done.work
    assert [len(taken) for taken in done.work.ends] == [1, 0]
    other = await home.open()
    late = await deal(other, ("w", 2, 1), ("never seen", 1, 1))
    assert (late.claimed_next, set(late.closed)) == ([], {"w", "never seen"})
    assert who((await deal(other, ("", 0, 1))).claimed_next) == [(1, "")]


async def test_a_suspect_runs_alone_at_its_worker(store: PostgresStore) -> None:
    await place(store, new())
    for _ in range(2):
        await deal(store, ("w", 0, 1))
        await tell(store, deaths=["w"])
    await place(store, new(vip=True), new())
    busy = await deal(store, ("w", 1, 1), alone=2)
    assert who(busy.claimed_next) == [(2, "w")]
    stuck = await deal(store, ("w", 2, 4), alone=2)
    assert stuck.claimed_next == []
    done = await deal(store, ("w", 3, 1), ("v", 1, 2), ("u", 1, 2), alone=2)
    assert who(done.claimed_next) == [(1, "v"), (3, "w")]
    await place(store, new())
    assert who((await deal(store, ("v", 2, 1), ("u", 2, 1), alone=2)).claimed_next) == [(4, "u")]


async def test_what_is_overdue_is_told_once_in_a_while(
    home: PostgresHome, store: PostgresStore
) -> None:
    await place(store, new())
    claim = ClaimNext(takes=[Take(1, Holder("w", 1))], is_idle=True)
    done = await store.commit(Changes(claim_next=claim, attempt_limit=30_000_000))
    (lease,) = done.claimed_next
    assert done.next_due == lease.order.start_time + 30_000_000
    home.clock.now += 30_000_000
    assert (await store.commit(Changes())).overdue == {key_of(lease): "w"}
    assert (await store.commit(Changes())).overdue == {}
    home.clock.now += 5_000_000
    assert (await store.commit(Changes())).overdue == {key_of(lease): "w"}
    await tell(store, reports=[AttemptEnd(key_of(lease), again())])
    home.clock.now += 60_000_000
    assert (await store.commit(Changes())).overdue == {}


async def test_a_cancel_is_news_of_its_worker_at_every_replica(
    home: PostgresHome, store: PostgresStore
) -> None:
    await place(store, new())
    await deal(store, ("w", 1, 1))
    other = await home.open()
    states = other.watch()
    await anext(states)
    assert (await store.commit(Changes(cancels=[Cancel(1)]))).news == ("w",)
    async with asyncio.timeout(20):
        async for state in states:
            if state.news:
                break
    assert state.news == ("w",)
    found = await other.at_work.read_worker("w")
    assert found
    assert found.leases[0].is_cancel_requested


_TEN_THOUSAND = """
INSERT INTO orderintake.workers (worker_id, expires_at, is_stopping, ended_at)
SELECT 'w' || n, clock_timestamp(), true, c.time - 20000 + n
FROM orderintake.commits c, generate_series(1, 10001) AS n
WHERE c.number = (SELECT max(number) FROM orderintake.commits)
"""


async def test_w7_of_more_than_ten_thousand_that_ended_the_first_are_forgotten(
    home: PostgresHome, store: PostgresStore
) -> None:
    await tell(store, ends=["v"])
    await tell(store, deaths=["v"])
    database = home.url.rpartition("/")[2]
    await asyncio.to_thread(home.cluster.run_sql, _TEN_THOUSAND, database=database)
    await tell(store, ends=["x"])
    found = [await store.at_work.read_worker(worker_id) for worker_id in ("w1", "w2", "w3", "v")]
    assert [row is not None and row.is_ended for row in found] == [False, False, True, True]
