"""The committer and the rest of an order's life: cancelled, due, expired, paused, forgotten."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from orderintake_server.dispatch.retention import STEP_SECONDS
from orderintake_server.domain import Cancelled, CancelOutcome, Completion, State, Tier
from orderintake_server.store.changes import Changes
from support.changes import DONE, again, log_of, new, state, strictly
from support.desk import Desk, working
from support.faulty import FaultyStore

HOUR = 3600.0


@pytest.fixture
async def desk(store: FaultyStore) -> AsyncIterator[Desk]:
    """A committer at work."""
    async with working(Desk(store)) as desk:
        yield desk
        store.repair()
        store.let_go()


async def begins(store: FaultyStore) -> None:
    """Wait until the next commit has begun."""
    while not store.begun.empty():
        store.begun.get_nowait()
    await store.begun.get()


# Cancelled


async def outcome(answer: asyncio.Future[Cancelled | None]) -> CancelOutcome:
    cancelled = await answer
    assert cancelled is not None
    return cancelled.outcome


async def test_p13_a_waiting_order_is_cancelled_and_published(desk: Desk) -> None:
    await desk.place(new(), new())
    assert await outcome(desk.committer.cancel(1)) is CancelOutcome.CANCELLED
    assert desk.completions.head == 1
    assert (await desk.start()).order.accept_sequence == 2


async def test_p13_what_is_not_there_is_answered_by_none(desk: Desk) -> None:
    assert await desk.committer.cancel(1) is None


async def test_p13_a_running_attempt_is_told_to_stop(desk: Desk) -> None:
    await desk.place(new())
    lease = await desk.start()
    signal = desk.attempts.begin(lease.order)
    assert await outcome(desk.committer.cancel(1)) is CancelOutcome.CANCEL_REQUESTED
    assert signal.is_requested
    desk.committer.settle(lease, DONE)
    assert await outcome(desk.committer.cancel(1)) is CancelOutcome.TOO_LATE


async def test_p13_a_running_attempt_is_told_also_when_the_caller_left(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(new())
    signal = desk.attempts.begin((await desk.start()).order)
    store.hold()
    desk.committer.cancel(1).cancel()
    store.let_go()
    await desk.place()
    assert signal.is_requested


@pytest.mark.parametrize("ends", ["fails", "is given back"])
async def test_p13_an_attempt_told_to_stop_that_does_not_succeed_is_cancelled(
    desk: Desk, ends: str
) -> None:
    await desk.place(new())
    lease = await desk.start()
    await desk.committer.cancel(1)
    if ends == "fails":
        desk.committer.settle(lease, again())
    else:
        desk.committer.release(lease)
    await desk.place()
    assert await log_of(desk.store) == [(1, State.CANCELLED)]


async def test_the_next_attempt_of_an_order_is_not_told_to_stop(desk: Desk) -> None:
    await desk.place(new())
    lease = await desk.start()
    desk.attempts.stop(1)
    desk.committer.settle(lease, again())
    lease = await desk.start()
    assert lease.order.attempt_count == 2
    assert not desk.attempts.begin(lease.order).is_requested


# Due


async def test_p12_a_scheduled_order_starts_when_its_time_has_come(desk: Desk) -> None:
    await desk.place(new(not_before=desk.store.clock.later(HOUR)))
    claimed = desk.committer.next_order()
    desk.turn(HOUR - 1)
    await desk.place()
    assert not claimed.done()
    desk.turn(1)
    assert (await claimed).order.accept_sequence == 1


async def test_p12_what_falls_due_by_itself_needs_nobody_to_ask(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(new(not_before=store.clock.later(0.05)))
    claimed = desk.committer.next_order()
    store.clock.turn(0.05)  # nobody says so: the committer waits its time out
    assert (await claimed).order.accept_sequence == 1


async def test_p12_an_order_expires_without_anybody_asking(desk: Desk) -> None:
    await desk.place(new(expire_time=desk.store.clock.later(HOUR)))
    desk.turn(HOUR)
    await desk.completions.head_beyond(0)
    assert await log_of(desk.store) == [(1, State.EXPIRED)]


async def test_p12_an_order_that_runs_does_not_expire(desk: Desk) -> None:
    await desk.place(new(expire_time=desk.store.clock.later(HOUR)))
    lease = await desk.start()
    desk.turn(2 * HOUR)
    desk.committer.settle(lease, DONE)
    await desk.completions.head_beyond(0)
    assert await log_of(desk.store) == [(1, State.SUCCEEDED)]


async def test_p12_an_expired_order_makes_room(desk: Desk) -> None:
    await desk.place(new(expire_time=desk.store.clock.later(HOUR)), new())
    desk.turn(HOUR)
    await desk.completions.head_beyond(0)
    assert desk.stats.of(Tier.REGULAR).counts.queued == 1
    assert (await desk.start()).order.accept_sequence == 2


async def test_what_was_due_before_the_ledger_began_is_done_at_once(store: FaultyStore) -> None:
    async with working(Desk(store)) as first:
        await first.place(new(expire_time=store.clock.later(HOUR)))
    store.clock.turn(HOUR)
    async with working(Desk(store)) as second:
        await second.completions.head_beyond(0)
    assert await state(store, 1) is State.EXPIRED


async def test_with_nothing_to_come_the_ledger_asks_the_store_for_nothing(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(new())
    while not store.begun.empty():
        store.begun.get_nowait()
    desk.turn(HOUR)
    for _ in range(20):
        await asyncio.sleep(0)
    assert store.begun.empty()


# Paused


async def test_p7_of_a_paused_tier_no_order_starts_and_of_the_other_they_do(desk: Desk) -> None:
    await desk.place(new(vip=True), new())
    await desk.committer.pause(Tier.VIP, is_paused=True)
    assert desk.stats.of(Tier.VIP).is_paused
    assert (await desk.start()).order.accept_sequence == 2
    claimed = desk.committer.next_order()
    await desk.place(new(vip=True))
    assert not claimed.done()
    await desk.committer.pause(Tier.VIP, is_paused=False)
    assert (await claimed).order.accept_sequence == 1
    assert (await desk.start()).order.accept_sequence == 3


async def test_p7_once_a_pause_is_answered_nothing_of_its_tier_starts(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(*[new(vip=True)] * 3)
    store.hold()
    desk.committer.accept((new(),))
    await begins(store)
    paused, claimed = desk.committer.pause(Tier.VIP, is_paused=True), desk.committer.next_order()
    store.let_go()
    await paused
    assert (await claimed).order.accept_sequence == 1  # by the same commit
    assert (await desk.start()).order.accept_sequence == 4
    await desk.committer.pause(Tier.VIP, is_paused=False)
    assert (await desk.start()).order.accept_sequence == 2


async def test_p7_a_tier_paused_twice_and_resumed_once_goes_on(desk: Desk) -> None:
    for is_paused in (True, True, False):
        await desk.committer.pause(Tier.REGULAR, is_paused=is_paused)
    await desk.place(new())
    assert (await desk.start()).order.accept_sequence == 1


async def test_p7_what_was_paused_when_the_ledger_began_stays_so(store: FaultyStore) -> None:
    async with working(Desk(store)) as first:
        await first.place(new(vip=True), new())
        await first.committer.pause(Tier.VIP, is_paused=True)
    async with working(Desk(store)) as second:
        assert (await second.start()).order.accept_sequence == 2
        claimed = second.committer.next_order()
        await second.place()
        assert not claimed.done()
        claimed.cancel()


# Alone


async def test_p10_a_suspect_starts_when_nothing_runs_and_alone(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(new(), new(), new(vip=True))
    running = await desk.start()
    desk.ready.pop()
    desk.ready.push(strictly(1, crash_count=2))  # as found after two crashes
    suspect = desk.committer.next_order()
    await desk.place()
    assert not suspect.done()
    desk.committer.settle(running, DONE)
    lease = await suspect
    assert lease.order.accept_sequence == 1
    other = desk.committer.next_order()
    await desk.place()
    assert not other.done()
    desk.committer.release(lease)
    assert (await other).order.accept_sequence == 1


# Forgotten


async def test_p18_what_ended_long_ago_is_forgotten_step_by_step(store: FaultyStore) -> None:
    async with working(Desk(store, retention=HOUR, step_orders=2)) as desk:
        await desk.place(*[new()] * 5)
        for lease in await desk.starts(5):
            desk.committer.settle(lease, DONE)
        await desk.completions.head_beyond(4)
        while not store.begun.empty():
            store.begun.get_nowait()
        desk.turn(HOUR / 2)
        await desk.place()
        assert desk.completions.earliest == 0
        for earliest in (2, 4, 5):
            desk.turn(HOUR if earliest == 2 else STEP_SECONDS)
            while desk.completions.earliest < earliest:
                await desk.place()
        assert await store.find(1) is None
        assert await store.find(5) is None
    steps = [changes.prune for changes in _begun(store) if changes.prune]
    assert {step.limit for step in steps} == {2}


async def test_p18_what_is_kept_for_ever_is_never_looked_for(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(new())
    desk.committer.settle(await desk.start(), DONE)
    desk.turn(1000 * HOUR)
    await desk.place()
    assert not [changes for changes in _begun(store) if changes.prune]
    assert isinstance(await store.find(1), Completion)


def _begun(store: FaultyStore) -> list[Changes]:
    return [store.begun.get_nowait() for _ in range(store.begun.qsize())]
