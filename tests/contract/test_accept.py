"""Accepting orders: durable on return, numbered without a hole, each group as a whole."""

import pytest

from orderintake_server.domain import Order, State, Tier
from orderintake_server.errors import RequestIdReused
from orderintake_server.store.changes import Changes, OverCapacity
from support.changes import (
    accept,
    new,
    place,
    queue,
    strictly,
    waiting,
    waits,
    whole_log,
)
from support.stores import FoundStore, Home


async def test_p1_an_accepted_order_survives_a_crash(home: Home, store: FoundStore) -> None:
    (receipt,) = await place(store, new(b"tea"))
    left = await home.crash()
    assert await left.find(1) == receipt.order
    assert await queue(left) == [1]
    assert waits(left.recovery.counts) == 1


async def test_an_accepted_order_survives_a_stop(home: Home, store: FoundStore) -> None:
    (receipt,) = await place(store, new(b"tea"))
    await home.close()
    again = await home.open()
    assert await again.find(1) == receipt.order
    assert waits(again.recovery.counts) == 1
    assert again.recovery.recovered == 0


async def test_the_receipt_tells_the_order_as_it_was_placed(store: FoundStore) -> None:
    (receipt,) = await place(store, new(b"\x00tea\xff", vip=True))
    assert receipt.order == Order(
        accept_sequence=1,
        customer_id="ada",
        tier=Tier.VIP,
        content=b"\x00tea\xff",
        accept_time=receipt.order.accept_time,
        state=State.QUEUED,
    )
    assert receipt.order.accept_time > 0
    assert not receipt.replayed
    assert await store.find(1) == receipt.order


async def test_an_accepted_order_waits_at_its_rank(store: FoundStore) -> None:
    await place(store, new(), new(vip=True))
    assert await waiting(store) == [
        strictly(2, vip=True),
        strictly(1),
    ]


async def test_a_group_is_numbered_in_its_own_order(store: FoundStore) -> None:
    receipts = await place(store, new(b"a"), new(b"b", vip=True), new(b"c"))
    assert [receipt.order.accept_sequence for receipt in receipts] == [1, 2, 3]
    assert [receipt.order.content for receipt in receipts] == [b"a", b"b", b"c"]


@pytest.mark.parametrize("count", [1, 2, 3, 255, 256, 257, 511, 1000])
async def test_a_group_of_any_size_is_stored_whole(store: FoundStore, count: int) -> None:
    contents = [b"%d" % number for number in range(1, count + 1)]
    receipts = await place(store, *map(new, contents))
    assert [receipt.order.content for receipt in receipts] == contents
    assert await queue(store) == list(range(1, count + 1))
    last = await store.find(count)
    assert isinstance(last, Order)
    assert last.content == contents[-1]
    assert await store.find(count + 1) is None


async def test_accept_sequences_have_no_hole(home: Home, store: FoundStore) -> None:
    await place(store, new(), new())
    refused = [new(), new(request_id="r"), new(b"other", request_id="r")]
    await accept(store, [new()], refused, [new()])
    await accept(store, [new()], capacity=0)
    left = await home.crash()
    await place(left, new())
    await home.close()
    again = await home.open()
    await place(again, new())
    assert await queue(again) == [1, 2, 3, 4, 5, 6]
    assert await again.find(7) is None


async def test_a_group_with_a_conflict_is_refused_whole(store: FoundStore) -> None:
    await place(store, new(b"tea", request_id="r"))
    conflict = [new(b"first"), new(b"cake", request_id="r"), new(b"last", request_id="s")]
    (outcome,) = await accept(store, conflict)
    assert isinstance(outcome, RequestIdReused)
    assert len(await waiting(store)) == 1
    (receipt,) = await place(store, new(b"s is free", request_id="s"))
    assert not receipt.replayed
    assert receipt.order.accept_sequence == 2


async def test_a_refused_group_does_not_hold_up_its_neighbours(store: FoundStore) -> None:
    await place(store, new(b"tea", request_id="r"))
    before, refused, tight, after = await accept(
        store, [new()], [new(b"cake", request_id="r")], [new(), new()], [new()], capacity=2
    )
    assert isinstance(before, tuple)
    assert isinstance(refused, RequestIdReused)
    assert tight == OverCapacity(2)
    assert isinstance(after, tuple)
    assert after[0].order.accept_sequence == before[0].order.accept_sequence + 1


async def test_nothing_asked_changes_nothing(store: FoundStore) -> None:
    committed = await store.commit(Changes(accepts=[[]]))
    assert committed.accepted == [()]
    assert committed.head == 0
    assert await waiting(store) == []
    assert await whole_log(store) == []
