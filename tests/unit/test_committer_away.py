"""What callers and workers get while the store cannot be reached, and when it is there again."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from orderintake_server.dispatch.inbox import CommitPolicy
from orderintake_server.errors import StorageUnavailable
from support.changes import DONE, new, whole_log
from support.desk import Desk, working
from support.faulty import FaultyStore


@pytest.fixture(params=[False, True], ids=["own", "shared"])
async def desk(store: FaultyStore, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    """A committer at work that tries again at once."""
    policy = CommitPolicy(retry_seconds=0.0, probe_seconds=0.0)
    async with working(Desk(store, is_shared=request.param, commits=policy)) as desk:
        yield desk
        store.repair()


async def test_callers_are_refused_and_served_again(store: FaultyStore, desk: Desk) -> None:
    store.go_away()
    for _ in range(3):
        with pytest.raises(StorageUnavailable, match="away"):
            await desk.place(new())
        with pytest.raises(StorageUnavailable):
            await desk.committer.cancel(1)
    store.repair()
    assert len(await desk.place(new())) == 1


async def test_what_attempts_came_to_is_kept_and_free_workers_still_ask(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(new(), new(), new())
    ended, released = await desk.start(), await desk.start()
    store.go_away()
    desk.committer.settle(ended, DONE)
    desk.committer.release(released)
    asked = [desk.committer.next_order() for _ in range(2)]
    for _ in range(3):
        await store.begun.get()
    store.repair()
    leases = await asyncio.gather(*asked)
    assert {lease.order.accept_sequence for lease in leases} == {2, 3}
    assert [end.order.accept_sequence for end in await whole_log(store)] == [1]


async def test_it_is_told_that_the_store_is_away_and_that_it_is_back_though_nobody_asks(
    store: FaultyStore, desk: Desk
) -> None:
    told: asyncio.Queue[bool] = asyncio.Queue()
    desk.committer.on_reach = told.put_nowait
    store.go_away()
    with pytest.raises(StorageUnavailable):
        await desk.place(new())
    assert await told.get() is False
    store.repair()
    assert await told.get() is True


async def test_a_full_disk_is_not_told_as_away(store: FaultyStore, desk: Desk) -> None:
    told: asyncio.Queue[bool] = asyncio.Queue()
    desk.committer.on_reach = told.put_nowait
    store.fill()
    with pytest.raises(StorageUnavailable, match="full"):
        await desk.place(new())
    store.repair()
    await desk.place(new())
    assert [told.get_nowait(), told.get_nowait()] == [True, True]


async def test_a_ledger_that_closes_does_not_wait_for_the_store(store: FaultyStore) -> None:
    async with working(Desk(store)) as desk:
        await desk.place(new())
        lease = await desk.start()
        store.go_away()
        desk.committer.settle(lease, DONE)
