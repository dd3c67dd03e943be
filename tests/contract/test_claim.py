"""Starting orders: once each, numbered in the order of their start."""

import pytest

from orderintake_server.domain import Lease, Order, State, Tier
from orderintake_server.store.changes import Changes, Page, Settlement
from support.changes import (
    AMPLE,
    DONE,
    FRONT,
    claim,
    new,
    place,
    settle,
    start,
    strictly,
    waiting,
)
from support.stores import FoundStore, Home


async def test_a_lease_carries_the_order_as_it_starts(store: FoundStore) -> None:
    (receipt,) = await place(store, new(b"tea", vip=True))
    (lease,) = await start(store)
    assert lease == Lease(
        crash_count=0,
        order=Order(
            accept_sequence=1,
            customer_id="ada",
            tier=Tier.VIP,
            content=b"tea",
            accept_time=receipt.order.accept_time,
            state=State.PROCESSING,
            attempt_count=1,
            start_sequence=1,
            start_time=lease.order.start_time,
        ),
    )
    assert lease.order.start_time > receipt.order.accept_time
    assert await store.find(1) == lease.order
    assert await waiting(store) == []


@pytest.mark.parametrize("trace", [None, bytes(range(25))])
@pytest.mark.parametrize("content", [b"", bytes(range(256)), b"\xff" * 65_536])
async def test_an_order_starts_as_it_was_placed_whatever_is_in_it(
    store: FoundStore, content: bytes, trace: bytes | None
) -> None:
    customer = "\\\"{}[]'%_\u2028\U0001f375"
    order = new(content, customer_id=customer, trace=trace, expire_time=(1 << 53) + 1)
    await place(store, order)
    (lease,) = await start(store)
    started = lease.order
    assert (started.customer_id, started.content, started.trace) == (customer, content, trace)
    assert started.expire_time == (1 << 53) + 1
    assert await waiting(store) == []


async def test_orders_start_in_the_order_of_the_claims(store: FoundStore) -> None:
    await place(store, new(), new(), new(vip=True))
    vip, first, second = await waiting(store)
    leases = await claim(store, second, vip, first)
    assert [lease and lease.order.accept_sequence for lease in leases] == [2, 3, 1]
    assert [lease and lease.order.start_sequence for lease in leases] == [1, 2, 3]


async def test_start_sequences_have_no_hole(home: Home, store: FoundStore) -> None:
    await place(store, *(new() for _ in range(6)))
    places = await waiting(store)
    first = await claim(store, places[0], places[0], strictly(99))
    second = await claim(store, places[0], places[1])
    left = await home.crash()
    third = await claim(left, *places[2:4])
    await home.close()
    again = await home.open()
    fourth = await claim(again, places[4])
    started = [lease.order.start_sequence for lease in first + second + third + fourth if lease]
    assert started == [1, 2, 3, 4, 5]


async def test_what_waits_no_longer_cannot_start(store: FoundStore) -> None:
    await place(store, new(), new())
    first, second = await waiting(store)
    assert await claim(store, first, first) == [await _leased(store, 1), None]
    assert await claim(store, first) == [None]
    (lease,) = await claim(store, second)
    assert lease is not None
    await settle(store, lease)
    assert await claim(store, second, FRONT) == [None, None]


async def test_a_claim_of_nothing_does_not_hold_up_its_neighbours(store: FoundStore) -> None:
    await place(store, new(), new())
    first, second = await waiting(store)
    gone = strictly(7, vip=True)
    leases = await claim(store, gone, first, gone, second)
    assert [lease and lease.order.start_sequence for lease in leases] == [None, 1, None, 2]


@pytest.mark.parametrize("count", [255, 256, 257, 1000])
async def test_any_number_of_orders_starts_together(store: FoundStore, count: int) -> None:
    await place(store, *(new(b"%d" % number) for number in range(1, count + 1)))
    leases = await start(store, count)
    assert [lease.order.start_sequence for lease in leases] == list(range(1, count + 1))
    assert [lease.order.content for lease in leases][-1] == b"%d" % count
    assert await settle(store, *leases) == [State.SUCCEEDED] * count


async def test_changes_take_effect_in_the_order_they_stand_in(
    home: Home, store: FoundStore
) -> None:
    await place(store, new(), new(), new())
    ended, released = await start(store, 2)
    old, third, fresh = strictly(2), strictly(3), strictly(4, vip=True)
    committed = await store.commit(
        Changes(
            settles=[Settlement(lease=ended, ending=DONE)],
            releases=[ended, released],
            accepts=[[new(vip=True)]],
            capacity=AMPLE,
            claims=[fresh, old],
            page=Page(after=FRONT, limit=10),
        )
    )
    assert committed.settled == [State.SUCCEEDED]
    assert committed.released == [None, State.QUEUED]
    assert committed.queued == ([] if home.is_shared else [old, fresh])
    assert [lease and lease.order.start_sequence for lease in committed.claimed] == [3, 4]
    assert committed.page == [third]
    assert committed.head == 1


async def _leased(store: FoundStore, accept_sequence: int) -> Lease:
    """Write the lease that an order in process must have."""
    order = await store.find(accept_sequence)
    assert isinstance(order, Order)
    return Lease(order=order, crash_count=0)
