"""P8: an order whose attempt was cut short waits again in its old place."""

from orderintake_server.domain import Order, State
from orderintake_server.store.base import Policy
from orderintake_server.store.changes import Changes, Settlement
from support.changes import (
    DONE,
    new,
    order,
    place,
    release,
    settle,
    start,
    strictly,
    waiting,
    waits,
    whole_log,
)
from support.stores import FoundStore, Home


async def test_an_order_given_back_keeps_its_place(store: FoundStore) -> None:
    await place(store, new(), new(vip=True), new(), new(vip=True))
    before = await waiting(store)
    leases = await start(store, 3)
    assert await release(store, *reversed(leases)) == [State.QUEUED] * 3
    assert await waiting(store) == before


async def test_an_attempt_given_back_is_not_counted(store: FoundStore) -> None:
    await place(store, new())
    (first,) = await start(store)
    await release(store, first)
    order = await store.find(1)
    assert isinstance(order, Order)
    assert order.state is State.QUEUED
    assert order.attempt_count == 0
    (second,) = await start(store)
    assert second.order.attempt_count == 1
    assert second.order.start_sequence == 2


async def test_a_lease_given_back_is_good_no_more(store: FoundStore) -> None:
    await place(store, new())
    (lease,) = await start(store)
    assert await release(store, lease, lease) == [State.QUEUED, None]
    assert await release(store, lease) == [None]
    assert await settle(store, lease) == [None]
    (again,) = await start(store)
    assert await release(store, lease) == [None]
    assert await settle(store, lease) == [None]
    assert await store.find(1) == again.order
    assert await whole_log(store) == []


async def test_a_stale_lease_beside_the_good_one_gives_nothing_back(store: FoundStore) -> None:
    await place(store, new())
    (stale,) = await start(store)
    await release(store, stale)
    (good,) = await start(store)
    assert await release(store, stale, good) == [None, State.QUEUED]


async def test_an_order_settled_and_given_back_at_once_has_ended(store: FoundStore) -> None:
    await place(store, new())
    (lease,) = await start(store)
    committed = await store.commit(
        Changes(settles=[Settlement(lease=lease, ending=DONE)], releases=[lease])
    )
    assert committed.settled == [State.SUCCEEDED]
    assert committed.released == [None]
    assert await waiting(store) == []


async def test_an_order_given_back_waits_after_a_crash(home: Home, store: FoundStore) -> None:
    await place(store, new())
    await release(store, *await start(store))
    left = await home.crash()
    assert left.recovery.recovered == 0
    assert await waiting(left) == [strictly(1)]


async def test_p18_what_was_in_process_waits_again_after_a_crash(
    home: Home, store: FoundStore
) -> None:
    await place(store, new(), new(vip=True), new(), new(vip=True))
    before = await waiting(store)
    await start(store, 3)
    left = await home.crash()
    assert waits(left.recovery.counts) == 4
    assert left.recovery.recovered == 3
    assert [place[:2] for place in await waiting(left)] == [place[:2] for place in before]


async def test_an_attempt_that_a_crash_cut_short_is_counted(home: Home, store: FoundStore) -> None:
    await place(store, new())
    await start(store)
    home.policy = Policy(max_crashes=9)
    for crashes in (1, 2, 3):
        left = await home.crash()
        assert left.recovery.recovered == 1
        assert await waiting(left) == [strictly(1, crash_count=crashes)]
        assert (await order(left, 1)).attempt_count == crashes
        (lease,) = await start(left)
        assert lease.order.attempt_count == crashes + 1
        assert lease.order.start_sequence == crashes + 1


async def test_a_recovered_order_given_back_is_counted_as_before(
    home: Home, store: FoundStore
) -> None:
    await place(store, new())
    await start(store)
    left = await home.crash()
    (lease,) = await start(left)
    assert await release(left, lease) == [State.QUEUED]
    assert await waiting(left) == [strictly(1, crash_count=1)]
    assert (await order(left, 1)).attempt_count == 1


async def test_what_a_stop_left_in_process_waits_again_too(home: Home, store: FoundStore) -> None:
    await place(store, new())
    await start(store)
    await home.close()
    again = await home.open()
    assert again.recovery.recovered == 1
    order = await again.find(1)
    assert isinstance(order, Order)
    assert order.state is State.QUEUED
    assert order.attempt_count == 1


async def test_a_store_is_found_as_it_was_left(home: Home, store: FoundStore) -> None:
    assert (waits(store.recovery.counts), store.recovery.recovered, store.recovery.head) == (
        0,
        0,
        0,
    )
    await place(store, *(new() for _ in range(5)))
    running = await start(store, 3)
    await settle(store, running[0])
    left = await home.crash()
    assert left.recovery.log_id == store.recovery.log_id
    assert (waits(left.recovery.counts), left.recovery.recovered, left.recovery.head) == (4, 2, 1)


async def test_p11_an_end_that_an_operator_asked_for_is_no_crash(
    home: Home, store: FoundStore
) -> None:
    home.policy = Policy(max_crashes=2)
    await place(store, new(), new())
    await start(store)
    left = await home.crash()
    (suspect,) = await start(left)
    await left.note_stop()
    await start(left)
    left = await home.crash()
    assert (left.recovery.recovered, left.recovery.quarantined) == (2, 0)
    assert await waiting(left) == [strictly(1, crash_count=suspect.crash_count), strictly(2)]
    await start(left, 2)  # and this one nobody asks for
    left = await home.crash()
    assert (left.recovery.recovered, left.recovery.quarantined) == (1, 1)


async def test_p11_what_a_stop_gives_back_keeps_its_crashes(home: Home, store: FoundStore) -> None:
    await place(store, new())
    await start(store)
    left = await home.crash()
    leases = await start(left)
    await left.note_stop()
    await release(left, *leases)
    assert await waiting(left) == [strictly(1, crash_count=1)]
