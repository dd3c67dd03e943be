"""A commit that fails changed nothing: of a full disk, and of a broken one."""

import pytest

from orderintake_server.domain import Ending
from orderintake_server.errors import StoreBroken, StoreFull
from orderintake_server.store.base import Changes, Settlement
from support.changes import PLENTY, accept, new, place, settle, start, waiting, whole_log
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
    ending, returned = await start(store, 2)
    queue = await waiting(store)
    changes = Changes(
        settles=[Settlement(lease=ending, ending=Ending(result=LARGE))],
        returns=[returned],
        accepts=[[new(LARGE)]],
        room=PLENTY,
        claims=queue,
    )
    with home.full(), pytest.raises(StoreFull):
        await store.commit(changes)
    assert await waiting(store) == queue
    assert await whole_log(store) == []
    assert [await store.find(1), await store.find(2)] == [ending.order, returned.order]

    committed = await store.commit(changes)
    assert committed.settled == [1]
    assert committed.returned == [(returned.rank, 2, 0)]
    assert [lease and lease.order.start_sequence for lease in committed.claimed] == [3, 4]
    assert await store.find(5) is not None


async def test_a_failed_commit_is_not_seen_after_a_crash(home: Home, store: FoundStore) -> None:
    await place(store, new())
    (lease,) = await start(store)
    with home.full(), pytest.raises(StoreFull):
        await settle(store, lease, ending=Ending(result=LARGE))
    left = await home.crash()
    assert left.found.recovered == 1
    assert left.found.head == 0


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
