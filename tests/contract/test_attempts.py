"""P8, P11: an order tried again keeps its place; one that takes the process down is set aside."""

import pytest

from orderintake_server.domain import Failure, State, Tier
from orderintake_server.store.base import Policy
from orderintake_server.store.changes import Changes, Settlement
from support.changes import (
    DONE,
    again,
    log_of,
    look,
    new,
    order,
    place,
    queue,
    release,
    settle,
    start,
    state,
    strictly,
    waiting,
    waits,
    whole_log,
)
from support.clocks import SECOND
from support.stores import FoundStore, Home


async def test_an_order_to_be_tried_again_waits_for_its_time(home: Home, store: FoundStore) -> None:
    await place(store, new())
    assert await settle(store, *await start(store), ending=again(60 * SECOND)) == [State.SCHEDULED]
    waiting_again = await order(store, 1)
    assert (waiting_again.state, waiting_again.attempt_count) == (State.SCHEDULED, 1)
    assert (waiting_again.start_sequence, waiting_again.start_time) == (0, 0)
    assert (await look(store)).next_due == home.clock.now + 60 * SECOND - 1
    assert await queue(store) == []
    home.clock.turn(60)
    assert await queue(store) == [1]
    assert await whole_log(store) == []


async def test_an_order_tried_again_keeps_its_place(home: Home, store: FoundStore) -> None:
    await place(store, new(), new(vip=True), new())
    before = await waiting(store)
    leases = await start(store, 2)
    await settle(store, *leases, ending=again(SECOND))
    await place(store, new(vip=True), new())
    home.clock.turn(2)
    assert [place for place in await waiting(store) if place in before] == before
    assert await queue(store) == [2, 4, 1, 3, 5]


async def test_an_order_to_be_tried_again_at_once_is_queued_by_the_next_commit(
    store: FoundStore,
) -> None:
    await place(store, new())
    (lease,) = await start(store)
    committed = await store.commit(Changes(settles=[Settlement(lease=lease, ending=again())]))
    assert committed.next_due is not None
    assert committed.next_due <= lease.order.start_time + 1
    assert (await look(store)).counts[Tier.REGULAR].queued == 1
    assert await waiting(store) == [strictly(1)]


async def test_every_attempt_of_the_handler_is_a_try(store: FoundStore) -> None:
    await place(store, new())
    for tries in (1, 2, 3):
        (lease,) = await start(store)
        assert (lease.tries, lease.order.attempt_count, lease.crash_count) == (tries, tries, 0)
        assert lease.order.start_sequence == tries
        await settle(store, lease, ending=again())
    (lease,) = await start(store)
    await settle(store, lease)
    (completion,) = await whole_log(store)
    assert completion.order.attempt_count == 4


async def test_an_attempt_that_died_is_no_try_of_the_handler(home: Home, store: FoundStore) -> None:
    await place(store, new())
    (first,) = await start(store)
    await settle(store, first, ending=again())
    await start(store)
    left = await home.crash()
    assert await waiting(left) == [strictly(1, crash_count=1)]
    (third,) = await start(left)
    assert (third.order.attempt_count, third.crash_count, third.tries) == (3, 1, 2)


async def test_crashes_are_remembered_through_retries_and_give_backs(
    home: Home, store: FoundStore
) -> None:
    await place(store, new())
    await start(store)
    left = await home.crash()
    (lease,) = await start(left)
    await settle(left, lease, ending=again(SECOND))
    left = await home.reopen()
    home.clock.turn(2)
    assert await waiting(left) == [strictly(1, crash_count=1)]
    await release(left, *await start(left))
    assert await waiting(left) == [strictly(1, crash_count=1)]


@pytest.mark.parametrize("max_crashes", [1, 2, 3])
async def test_an_order_is_quarantined_at_its_last_crash(home: Home, max_crashes: int) -> None:
    home.policy = Policy(max_crashes=max_crashes)
    store = await home.open()
    await place(store, new())
    for _ in range(max_crashes - 1):
        await start(store)
        store = await home.crash()
        assert (store.recovery.recovered, store.recovery.quarantined) == (1, 0)
    (last,) = await start(store)
    store = await home.crash()
    assert (store.recovery.recovered, store.recovery.quarantined) == (0, 1)
    assert (store.recovery.head, waits(store.recovery.counts)) == (1, 0)
    (completion,) = await whole_log(store)
    assert completion.order.state is State.FAILED
    assert completion.order.attempt_count == max_crashes
    assert completion.order.start_sequence == last.order.start_sequence
    assert completion.failure == Failure(
        code="QUARANTINED",
        message=f"the process died during {max_crashes} attempts of this order",
    )


async def test_beside_a_quarantined_order_others_are_queued_again(home: Home) -> None:
    home.policy = Policy(max_crashes=2)
    store = await home.open()
    await place(store, new(vip=True), new(), new())
    await start(store, 1)
    store = await home.crash()
    await start(store, 2)
    store = await home.crash()
    assert (store.recovery.recovered, store.recovery.quarantined) == (1, 1)
    assert await log_of(store) == [(1, State.FAILED)]
    assert await waiting(store) == [strictly(2, crash_count=1), strictly(3)]


async def test_what_ended_or_waits_is_not_charged_for_a_crash(
    home: Home, store: FoundStore
) -> None:
    await place(store, new(), new(), new(not_before=home.clock.later(60)), new())
    first, _ = await start(store, 2)
    await settle(store, first, ending=DONE)
    left = await home.crash()
    home.clock.turn(61)
    assert await waiting(left) == [strictly(2, crash_count=1), strictly(3), strictly(4)]


async def test_a_copy_of_a_failed_order_names_its_original(home: Home, store: FoundStore) -> None:
    await place(store, new())
    (receipt,) = await place(store, new(redrive_of=1))
    assert receipt.order.redrive_of == 1
    left = await home.crash()
    assert (await order(left, 2)).redrive_of == 1
    assert (await order(left, 1)).redrive_of == 0


async def test_a_tier_is_kept_through_everything(home: Home, store: FoundStore) -> None:
    await place(store, new(vip=True, not_before=home.clock.later(1)))
    home.clock.turn(2)
    await settle(store, *await start(store), ending=again())
    await release(store, *await start(store))
    await start(store)
    left = await home.crash()
    assert (await order(left, 1)).tier is Tier.VIP
    assert await state(left, 1) is State.QUEUED
