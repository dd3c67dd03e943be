"""A commit that fails changed nothing: of a full disk, and of a broken one."""

import pytest

from orderintake_server.domain import Ending, State, Tier
from orderintake_server.errors import StoreBroken, StoreFull
from orderintake_server.store.base import Policy
from orderintake_server.store.changes import (
    Cancel,
    Capacity,
    Changes,
    OverCapacity,
    Pause,
    Prune,
    Settlement,
)
from support.changes import (
    AMPLE,
    accept,
    again,
    look,
    new,
    place,
    position,
    settle,
    start,
    waiting,
    whole_log,
)
from support.stores import FoundStore, Home

LARGE = b"x" * 60_000
"""More than is free in any page of a file."""


async def test_on_a_full_disk_an_order_is_refused_and_leaves_nothing(
    home: Home, store: FoundStore
) -> None:
    await place(store, new())
    with home.full(), pytest.raises(StoreFull):
        await place(store, new(LARGE, request_id="r"))
    assert len(await waiting(store)) == 1
    assert await store.find(2) is None


async def test_when_there_is_room_again_the_next_number_is_the_next(
    home: Home, store: FoundStore
) -> None:
    await place(store, new())
    with home.full():
        for _ in range(3):
            with pytest.raises(StoreFull):
                await place(store, new(LARGE, request_id="r"))
    (receipt,) = await place(store, new(LARGE, request_id="r"))
    assert receipt.order.accept_sequence == 2
    assert not receipt.replayed
    assert len(await waiting(await home.crash())) == 2


async def test_p4_a_failed_commit_undoes_all_that_it_was_asked(
    home: Home, store: FoundStore
) -> None:
    await place(store, *(new() for _ in range(4)))
    ending, released = await start(store, 2)
    queue = await waiting(store)
    changes = Changes(
        settles=[Settlement(lease=ending, ending=Ending(result=LARGE))],
        releases=[released],
        accepts=[[new(LARGE)]],
        capacity=AMPLE,
        claims=queue,
    )
    with home.full(), pytest.raises(StoreFull):
        await store.commit(changes)
    assert await waiting(store) == queue
    assert await whole_log(store) == []
    assert [await store.find(1), await store.find(2)] == [ending.order, released.order]

    committed = await store.commit(changes)
    assert committed.settled == [State.SUCCEEDED]
    assert committed.released == [State.QUEUED]
    assert [lease and lease.order.start_sequence for lease in committed.claimed] == [3, 4]
    assert await store.find(5) is not None


async def test_a_failed_commit_is_not_seen_after_a_crash(home: Home, store: FoundStore) -> None:
    await place(store, new())
    (lease,) = await start(store)
    with home.full(), pytest.raises(StoreFull):
        await settle(store, lease, ending=Ending(result=LARGE))
    left = await home.crash()
    assert left.recovery.recovered == 1
    assert left.recovery.head == 0


async def test_reads_go_on_while_the_disk_is_full(home: Home, store: FoundStore) -> None:
    await place(store, new(), new())
    await settle(store, *await start(store))
    with home.full():
        with pytest.raises(StoreFull):
            await place(store, new(LARGE))
        assert await store.find(2) is not None
        assert len(await whole_log(store)) == 1


async def test_a_spoiled_store_says_that_it_is_broken(home: Home, store: FoundStore) -> None:
    await place(store, new(), new())
    damaged = await home.damage()
    with pytest.raises(StoreBroken):
        await accept(damaged, [new()])
    with pytest.raises(StoreBroken):
        await damaged.find(1)


async def test_a_failed_commit_leaves_counts_places_and_numbers_as_they_were(
    home: Home, store: FoundStore
) -> None:
    home.policy = Policy(counts_customers=True)
    counted = await home.reopen()
    await place(counted, new(), new(vip=True), new(), new(request_id="r"))
    lease, other = await start(counted, 2)
    before = await look(counted)
    changes = Changes(
        settles=[Settlement(lease=lease, ending=again(5))],
        releases=[other],
        cancels=[Cancel(3)],
        pauses=[Pause(Tier.VIP, is_paused=True)],
        accepts=[[new(LARGE, vip=True, request_id="s"), new(not_before=home.clock.later(60))]],
        capacity=AMPLE,
        claims=await waiting(counted),
        prune=Prune(completed_before=home.clock.now, requests_before=None, limit=9),
    )
    with home.full(), pytest.raises(StoreFull):
        await counted.commit(changes)
    assert await look(counted) == before
    assert [await position(counted, number) for number in range(1, 6)] == [0, 0, 1, 2, 0]
    (full,) = await accept(counted, [new()], capacity=Capacity(total=9, regular=9, per_customer=2))
    assert full == OverCapacity(1, "ada")
    (receipt,) = await accept(
        counted, [new()], capacity=Capacity(total=9, regular=9, per_customer=3)
    )
    assert isinstance(receipt, tuple)
    assert receipt[0].order.accept_sequence == 5
    (next_start,) = await start(counted)
    assert next_start.order.start_sequence == 3
    assert await settle(counted, other) == [State.SUCCEEDED]
    assert [end.sequence for end in await whole_log(counted)] == [1]


@pytest.mark.parametrize("is_scheduled", [True, False])
async def test_what_was_due_in_a_failed_commit_is_still_due(
    home: Home, store: FoundStore, *, is_scheduled: bool
) -> None:
    time = home.clock.later(60)
    order = new(not_before=time) if is_scheduled else new(expire_time=time)
    await place(store, order)
    home.clock.turn(61)
    with home.full(), pytest.raises(StoreFull):
        await place(store, new(LARGE))
    committed = await look(store)
    assert committed.counts[Tier.REGULAR].queued == is_scheduled
    assert committed.head == (not is_scheduled)
