"""What callers and workers get when the disk is full, and when it breaks."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from orderintake_server.dispatch.admission import Limits
from orderintake_server.dispatch.inbox import CommitPolicy
from orderintake_server.errors import QueueFull, StorageUnavailable, StoreBroken
from support.changes import DONE, FAILED, new, place, strictly, waiting, whole_log
from support.desk import Desk, working
from support.faulty import FaultyStore

FOREVER = 3600.0


@pytest.fixture
async def desk(store: FaultyStore, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    """A committer at work that tries again at once, unless a test names another policy."""
    policy = getattr(request, "param", CommitPolicy(retry_seconds=0.0))
    async with working(Desk(store, limits=Limits(queue=3), commits=policy)) as desk:
        await _drain_begun(store)
        yield desk
        store.repair()


async def _drain_begun(store: FaultyStore) -> None:
    """Forget the commits that began so far, of which there is one at least."""
    await store.begun.get()
    while not store.begun.empty():
        store.begun.get_nowait()


async def test_on_a_full_disk_callers_are_refused(store: FaultyStore, desk: Desk) -> None:
    store.fill()
    for _ in range(3):
        with pytest.raises(StorageUnavailable) as refused:
            await desk.place(new(), new())
        assert refused.value.retry_after > 0
    store.repair()
    assert [r.order.accept_sequence for r in await desk.place(new(), new(), new())] == [1, 2, 3]
    with pytest.raises(QueueFull):
        await desk.place(new())


@pytest.mark.parametrize("desk", [CommitPolicy(pending_orders=2)], indirect=True)
async def test_a_caller_refused_by_a_full_disk_no_longer_waits_for_a_commit(
    store: FaultyStore, desk: Desk
) -> None:
    store.fill()
    for _ in range(3):
        with pytest.raises(StorageUnavailable):
            await desk.place(new(), new())
    store.repair()
    assert len(await desk.place(new(), new())) == 2


async def test_what_workers_ask_is_tried_until_there_is_room(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(new(), new(), new())
    ended, released = await desk.start(), await desk.start()
    store.fill()
    await _drain_begun(store)
    desk.committer.settle(ended, DONE)
    desk.committer.release(released)
    claimed = desk.committer.next_order()
    for _ in range(3):
        tried = await store.begun.get()
        assert [settle.lease for settle in tried.settles] == [ended]
        assert tried.releases == [released]
        assert tried.claims == [strictly(3)]
    assert not claimed.done()
    store.repair()
    lease = await claimed
    assert lease.order.start_sequence == 3
    assert desk.completions.head == 1
    assert (await desk.start()).order.accept_sequence == 2


async def test_what_was_asked_first_is_tried_first(store: FaultyStore, desk: Desk) -> None:
    await desk.place(new(), new())
    leases = [await desk.start(), await desk.start()]
    await desk.place(new(), new())
    leases += [await desk.start(), await desk.start()]
    await _drain_begun(store)
    store.fill()
    store.hold()
    desk.committer.settle(leases[0], DONE)
    desk.committer.release(leases[1])
    await store.begun.get()
    desk.committer.settle(leases[2], DONE)
    desk.committer.release(leases[3])
    store.let_go()
    tried = await store.begun.get()
    assert [settle.lease for settle in tried.settles] == [leases[0], leases[2]]
    assert list(tried.releases) == [leases[1], leases[3]]
    store.repair()
    await desk.completions.head_beyond(1)
    log = await whole_log(store)
    assert [completion.order.accept_sequence for completion in log] == [1, 3]


@pytest.mark.parametrize("desk", [CommitPolicy(retry_seconds=FOREVER)], indirect=True)
async def test_a_caller_does_not_wait_for_the_next_try(store: FaultyStore, desk: Desk) -> None:
    await desk.place(new())
    lease = await desk.start()
    store.fill()
    await _drain_begun(store)
    desk.committer.settle(lease, FAILED)
    await store.begun.get()
    with pytest.raises(StorageUnavailable):
        await desk.place(new())
    store.repair()
    await desk.place(new())
    assert desk.completions.head == 1


@pytest.mark.parametrize("desk", [CommitPolicy(retry_seconds=FOREVER)], indirect=True)
async def test_who_asks_while_a_commit_fails_is_tried_at_once(
    store: FaultyStore, desk: Desk
) -> None:
    store.fill()
    store.hold()
    first = desk.committer.accept((new(),))
    await store.begun.get()
    second = desk.committer.accept((new(),))
    store.let_go()
    for answer in (first, second):
        with pytest.raises(StorageUnavailable):
            await answer


async def test_a_full_disk_loses_no_page_of_the_queue(store: FaultyStore) -> None:
    policy = CommitPolicy(retry_seconds=0.0)
    await place(store, *[new()] * 4)
    store.fill()
    desk = Desk(store, window=2, commits=policy)
    async with working(desk):
        await _drain_begun(store)
        await store.begun.get()
        store.repair()
        leases = [await desk.start() for _ in range(4)]
    assert [lease.order.accept_sequence for lease in leases] == [1, 2, 3, 4]


async def test_a_disk_still_full_does_not_keep_the_service_from_stopping(
    store: FaultyStore,
) -> None:
    policy = CommitPolicy(retry_seconds=FOREVER)
    async with working(Desk(store, commits=policy)) as desk:
        await desk.place(new())
        lease = await desk.start()
        store.fill()
        await _drain_begun(store)
        desk.committer.settle(lease, DONE)
        await store.begun.get()
    store.repair()
    assert await store.find(1) == lease.order  # and waits again when the store is opened next


async def test_a_caller_is_answered_also_while_a_full_service_stops(store: FaultyStore) -> None:
    store.fill()
    async with working(Desk(store)) as desk:
        answers = [desk.committer.accept((new(),)) for _ in range(5)]
    for answer in answers:
        assert isinstance(answer.exception(), StorageUnavailable)


async def test_a_broken_store_ends_the_ledger_and_refuses_everybody(store: FaultyStore) -> None:
    desk = Desk(store)
    running = asyncio.create_task(desk.committer.run())
    await _drain_begun(store)
    store.hold()
    first = desk.committer.accept((new(),))
    await store.begun.get()
    second = desk.committer.accept((new(),))
    store.break_down()
    store.let_go()
    with pytest.raises(StoreBroken):
        await running
    for answer in (first, second):
        with pytest.raises(StorageUnavailable):
            await answer
    with pytest.raises(StorageUnavailable):
        desk.committer.accept((new(),))
    store.repair()
    assert await waiting(store) == []


async def test_a_bug_in_a_commit_ends_the_ledger_and_refuses_everybody(store: FaultyStore) -> None:
    desk = Desk(store)
    running = asyncio.create_task(desk.committer.run())
    store.fault = ZeroDivisionError("a bug")
    answer = desk.committer.accept((new(),))
    with pytest.raises(StorageUnavailable):
        await answer
    with pytest.raises(ZeroDivisionError):
        await running


async def test_a_caller_who_left_a_broken_store_disturbs_nobody(store: FaultyStore) -> None:
    desk = Desk(store)
    running = asyncio.create_task(desk.committer.run())
    await _drain_begun(store)
    store.break_down()
    left, stays = (desk.committer.accept((new(),)) for _ in range(2))
    left.cancel()
    with pytest.raises(StoreBroken):
        await running
    with pytest.raises(StorageUnavailable):
        await stays


async def test_what_was_acknowledged_before_the_store_broke_is_safe(store: FaultyStore) -> None:
    desk = Desk(store)
    running = asyncio.create_task(desk.committer.run())
    (receipt,) = await desk.place(new())
    lease = await desk.start()
    store.break_down()
    desk.committer.settle(lease, DONE)
    with pytest.raises(StoreBroken):
        await running
    store.repair()
    assert await store.find(receipt.order.accept_sequence) == lease.order
