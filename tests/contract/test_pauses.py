"""A paused tier's orders stay where they are until it is resumed."""

import pytest

from orderintake_server.domain import State, Tier
from orderintake_server.store.changes import Changes, Page, Pause
from support.changes import (
    FRONT,
    cancel,
    look,
    new,
    pause,
    place,
    position,
    queue,
    release,
    settle,
    start,
)
from support.stores import FoundStore, Home

BOTH = frozenset({Tier.REGULAR, Tier.VIP})


async def test_at_first_no_tier_is_paused(store: FoundStore) -> None:
    assert store.recovery.paused == (await look(store)).paused == frozenset()


async def test_pages_leave_a_paused_tier_out(store: FoundStore) -> None:
    await place(store, new(), new(vip=True), new())
    assert (await pause(store, Tier.VIP)).paused == {Tier.VIP}
    assert await queue(store) == [1, 3]
    assert (await pause(store, Tier.REGULAR)).paused == BOTH
    assert await queue(store) == []
    assert (await pause(store, Tier.VIP, is_paused=False)).paused == {Tier.REGULAR}
    assert await queue(store) == [2]


async def test_the_page_of_the_commit_that_pauses_leaves_it_out(store: FoundStore) -> None:
    await place(store, new(), new(vip=True))
    page = Page(after=FRONT, limit=9)
    committed = await store.commit(Changes(pauses=[Pause(Tier.VIP, is_paused=True)], page=page))
    assert [place.accept_sequence for place in committed.page] == [1]
    committed = await store.commit(Changes(pauses=[Pause(Tier.VIP, is_paused=False)], page=page))
    assert [place.accept_sequence for place in committed.page] == [2, 1]


@pytest.mark.parametrize("is_paused", [True, False])
async def test_to_pause_twice_is_to_pause_once(store: FoundStore, *, is_paused: bool) -> None:
    for _ in range(2):
        await pause(store, Tier.REGULAR, is_paused=is_paused)
    committed = await pause(store, Tier.REGULAR, is_paused=not is_paused)
    assert (Tier.REGULAR in committed.paused) is not is_paused


async def test_a_pause_holds_after_a_crash_and_a_stop(home: Home, store: FoundStore) -> None:
    await place(store, new(), new(vip=True))
    await pause(store, Tier.VIP)
    left = await home.crash()
    assert left.recovery.paused == {Tier.VIP}
    assert await queue(left) == [1]
    again = await home.reopen()
    assert (await look(again)).paused == {Tier.VIP}
    await pause(again, Tier.VIP, is_paused=False)
    assert (await home.crash()).recovery.paused == frozenset()


async def test_both_tiers_are_paused_by_one_commit(home: Home, store: FoundStore) -> None:
    committed = await store.commit(Changes(pauses=[Pause(tier, is_paused=True) for tier in Tier]))
    assert committed.paused == (await home.crash()).recovery.paused == BOTH


async def test_in_a_paused_tier_orders_come_go_and_keep_their_places(
    home: Home, store: FoundStore
) -> None:
    await place(store, new(), new(), new(expire_time=home.clock.later(1)))
    running = await start(store, 2)
    await pause(store, Tier.REGULAR)
    (receipt,) = await place(store, new())
    assert receipt.position == 2
    await release(store, running[0])
    assert await settle(store, running[1]) == [State.SUCCEEDED]
    home.clock.turn(2)
    assert (await look(store)).counts[Tier.REGULAR].queued == 2
    assert await position(store, 4) == 2
    await cancel(store, 4)
    await pause(store, Tier.REGULAR, is_paused=False)
    assert await queue(store) == [1]
