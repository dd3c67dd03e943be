"""Where others use the store too: the most urgent at each commit, and nothing fetched ahead."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from orderintake_server.domain import Tier
from orderintake_server.store.base import Policy
from orderintake_server.store.changes import Changes, StoreState
from orderintake_server.views import TierCounts
from support.changes import DONE, new, place, start
from support.desk import Desk, working
from support.faulty import FaultyStore, faulty_store


@pytest.fixture
async def desk(store: FaultyStore) -> AsyncIterator[Desk]:
    """A committer at work on a queue that it shares."""
    async with working(Desk(store, is_shared=True)) as desk:
        yield desk
        store.let_go()


def news(
    *,
    regular: int = 0,
    vip: int = 0,
    head: int = 0,
    earliest: int = 0,
    to_stop: tuple[int, ...] = (),
) -> StoreState:
    """Tell how the store stands after somebody else has changed it."""
    return StoreState(
        counts={Tier.REGULAR: TierCounts(queued=regular), Tier.VIP: TierCounts(queued=vip)},
        accept_counts=dict.fromkeys(Tier, 0),
        completion_counts=dict.fromkeys(Tier, 0),
        head=head,
        earliest=earliest,
        to_stop=to_stop,
    )


def begun(store: FaultyStore) -> list[Changes]:
    """Forget the commits that began so far; tell what they were."""
    commits = []
    while not store.begun.empty():
        commits.append(store.begun.get_nowait())
    return commits


async def test_free_workers_take_the_most_urgent_there_is(desk: Desk) -> None:
    await desk.place(*(new(vip=number % 3 == 0) for number in range(9)))
    leases = await asyncio.gather(*(desk.committer.next_order() for _ in range(5)))
    assert [lease.order.accept_sequence for lease in leases] == [1, 4, 7, 2, 3]
    assert [lease.order.start_sequence for lease in leases] == [1, 2, 3, 4, 5]


async def test_what_others_accepted_is_taken_too(store: FaultyStore, desk: Desk) -> None:
    await desk.place(new())
    await place(store, new(vip=True))  # by somebody else
    assert (await desk.start()).order.accept_sequence == 2


async def test_where_nothing_waits_nobody_asks_until_there_is_news(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(new())
    assert (await desk.start()).order.accept_sequence == 1
    asked = desk.committer.next_order()
    await desk.committer.cancel(99)  # the commit in which it was asked, or a later one
    await place(store, new(vip=True))
    begun(store)
    desk.committer.apply(news())
    await asyncio.sleep(0)
    assert [commit for commit in begun(store) if commit.claim_next] == []
    desk.committer.apply(news(vip=1))
    assert (await asked).order.accept_sequence == 2


async def test_news_of_a_paused_tier_alone_starts_nothing(store: FaultyStore, desk: Desk) -> None:
    await desk.committer.pause(Tier.REGULAR, is_paused=True)
    await desk.place(new())
    asked = desk.committer.next_order()
    await desk.place(new())
    assert not asked.done()
    await desk.committer.pause(Tier.REGULAR, is_paused=False)
    assert (await asked).order.accept_sequence == 1


async def test_a_worker_that_was_stopped_meanwhile_gives_its_order_back(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(new(), new())
    store.hold()
    begun(store)
    first, second = desk.committer.next_order(), desk.committer.next_order()
    await store.begun.get()
    first.cancel()
    store.let_go()
    assert (await second).order.accept_sequence == 2
    assert (await desk.start()).order.accept_sequence == 1


async def test_what_others_completed_is_published_and_what_they_cancelled_is_stopped(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(new())
    lease = await desk.start()
    signal = desk.attempts.begin(lease.order)
    desk.committer.apply(news(head=7, to_stop=(lease.order.accept_sequence,)))
    assert desk.completions.head == 7
    assert signal.is_requested


async def test_p17_where_the_log_begins_and_ends_never_goes_back(desk: Desk) -> None:
    desk.committer.apply(news(head=7, earliest=5))
    desk.committer.apply(news(head=6, earliest=4))  # seen earlier, and told later
    assert (desk.completions.earliest, desk.completions.head) == (5, 7)


@pytest.mark.parametrize("others", [1, 2])
async def test_a_suspect_waits_until_nothing_else_is_in_process(
    tmp_path_factory: pytest.TempPathFactory, others: int
) -> None:
    policy = Policy(max_crashes=2)
    directory = tmp_path_factory.mktemp("store")
    async with faulty_store(directory, policy=policy) as store:
        await place(store, new(vip=True))
        await start(store)
    async with faulty_store(directory, policy=policy) as store:  # which is a crash
        assert store.recovery.recovered == 1
        desk = Desk(store, is_shared=True, max_crashes=2)
        async with working(desk):
            await place(store, *(new() for _ in range(others)))
            suspect = await desk.start()
            assert suspect.order.accept_sequence == 1
            waiting = [desk.committer.next_order() for _ in range(others)]
            await desk.place(new())
            assert not any(asked.done() for asked in waiting)
            desk.committer.settle(suspect, DONE)
            started = await asyncio.gather(*waiting)
            assert [lease.order.accept_sequence for lease in started] == list(range(2, others + 2))


async def test_with_no_crash_allowed_everything_may_run_together(store: FaultyStore) -> None:
    desk = Desk(store, is_shared=True, max_crashes=1)
    async with working(desk):
        await desk.place(new(), new())
        assert (
            len(await asyncio.gather(desk.committer.next_order(), desk.committer.next_order())) == 2
        )
