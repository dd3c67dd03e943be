"""What who cancels, pauses or works gets when the disk is full, and when it breaks."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from orderintake_server.dispatch.inbox import CommitPolicy
from orderintake_server.domain import Cancelled, CancelOutcome, Tier
from orderintake_server.errors import StorageUnavailable
from support.changes import new
from support.desk import Desk, working
from support.faulty import FaultyStore

FOREVER = 3600.0


@pytest.fixture
async def desk(store: FaultyStore, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    """A committer at work, by the policy that a test names."""
    async with working(Desk(store, commits=getattr(request, "param", None))) as desk:
        yield desk
        store.repair()
        store.let_go()


async def begins(store: FaultyStore) -> None:
    """Wait until the next commit has begun."""
    while not store.begun.empty():
        store.begun.get_nowait()
    await store.begun.get()


async def outcome(answer: asyncio.Future[Cancelled | None]) -> CancelOutcome:
    cancelled = await answer
    assert cancelled is not None
    return cancelled.outcome


@pytest.mark.parametrize("desk", [CommitPolicy(retry_seconds=0.0)], indirect=True)
async def test_on_a_full_disk_whoever_cancels_or_pauses_is_refused(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(new())
    store.fill()
    with pytest.raises(StorageUnavailable):
        await desk.committer.cancel(1)
    with pytest.raises(StorageUnavailable):
        await desk.committer.pause(Tier.VIP, is_paused=True)
    store.repair()
    assert await outcome(desk.committer.cancel(1)) is CancelOutcome.CANCELLED
    assert not desk.stats.of(Tier.VIP).is_paused


@pytest.mark.parametrize("desk", [CommitPolicy(retry_seconds=FOREVER)], indirect=True)
async def test_who_cancels_or_pauses_while_a_commit_fails_is_answered_at_once(
    store: FaultyStore, desk: Desk
) -> None:
    for ask in (
        lambda: desk.committer.cancel(1),
        lambda: desk.committer.pause(Tier.VIP, is_paused=True),
    ):
        store.fill()
        store.hold()
        first = desk.committer.accept((new(),))
        await begins(store)
        second = asyncio.ensure_future(ask())
        store.let_go()
        with pytest.raises(StorageUnavailable):
            await first
        with pytest.raises(StorageUnavailable):
            await second


@pytest.mark.parametrize("desk", [CommitPolicy(retry_seconds=0.0)], indirect=True)
async def test_on_a_full_disk_a_running_attempt_is_not_told_to_stop(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(new())
    signal = desk.attempts.begin((await desk.start()).order)
    store.fill()
    with pytest.raises(StorageUnavailable):
        await desk.committer.cancel(1)
    assert not signal.is_requested


@pytest.mark.parametrize("desk", [CommitPolicy(retry_seconds=0.0)], indirect=True)
async def test_on_a_full_disk_each_worker_keeps_the_order_it_was_to_be_given(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(new(), new(), new())
    store.fill()
    claims = [desk.committer.next_order() for _ in range(2)]
    for _ in range(3):
        await begins(store)
    late = desk.committer.next_order()
    await begins(store)
    assert not any(claim.done() for claim in (*claims, late))
    store.repair()
    leases = [await claim for claim in (*claims, late)]
    assert [lease.order.accept_sequence for lease in leases] == [1, 2, 3]
    assert [lease.order.start_sequence for lease in leases] == [1, 2, 3]


@pytest.mark.parametrize("desk", [CommitPolicy(retry_seconds=0.0)], indirect=True)
async def test_on_a_full_disk_a_worker_that_leaves_gives_its_order_back(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(new())
    store.fill()
    leaves = desk.committer.next_order()
    await begins(store)
    leaves.cancel()
    store.repair()
    lease = await desk.start()
    assert (lease.order.accept_sequence, lease.order.attempt_count) == (1, 1)


async def test_a_broken_store_refuses_whoever_cancels_or_pauses(store: FaultyStore) -> None:
    desk = Desk(store)
    cancel, pause = desk.committer.cancel(1), desk.committer.pause(Tier.VIP, is_paused=True)
    store.break_down()
    with pytest.raises(Exception, match="malformed"):
        await desk.committer.run()
    answers = await asyncio.gather(cancel, pause, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StorageUnavailable] * 2
    with pytest.raises(StorageUnavailable):
        desk.committer.cancel(1)
    with pytest.raises(StorageUnavailable):
        desk.committer.pause(Tier.VIP, is_paused=True)
