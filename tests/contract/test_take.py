"""Free workers take the most urgent orders there are, at the moment of the commit."""

import random

import pytest

from orderintake_server.domain import Lease, Ranking, Tier
from orderintake_server.store.base import Policy
from orderintake_server.store.changes import Capacity, Changes, ClaimNext, Settlement, Take
from support.changes import (
    AMPLE,
    DONE,
    accept,
    cancel,
    new,
    pause,
    place,
    queue,
    release,
    settle,
    start,
)
from support.clocks import SECOND
from support.mixes import mix
from support.stores import FoundStore, Home


async def take(
    store: FoundStore, most: int, *, alone: int = 1_000_000, is_idle: bool = True
) -> list[Lease]:
    """Take so many of the most urgent."""
    asked = ClaimNext(takes=[Take(most)], is_idle=is_idle, alone=alone)
    return (await store.commit(Changes(claim_next=asked))).claimed_next


def numbers(leases: list[Lease]) -> list[int]:
    return [lease.order.accept_sequence for lease in leases]


async def test_vip_orders_first_and_as_accepted_inside_a_tier(store: FoundStore) -> None:
    await place(store, *(new(vip=number in {3, 5}) for number in range(1, 7)))
    leases = await take(store, 4)
    assert numbers(leases) == [3, 5, 1, 2]
    assert [lease.order.start_sequence for lease in leases] == [1, 2, 3, 4]
    assert await queue(store) == [4, 6]


async def test_no_more_than_there_are_and_none_of_none(store: FoundStore) -> None:
    assert await take(store, 3) == []
    await place(store, new(), new())
    assert numbers(await take(store, 9)) == [1, 2]
    assert await take(store, 1) == []


async def test_what_the_same_commit_accepts_and_gives_back_is_among_them(store: FoundStore) -> None:
    await place(store, new(), new())
    (first,) = await take(store, 1)
    committed = await store.commit(
        Changes(
            releases=[first],
            accepts=[[new(), new(vip=True)]],
            capacity=AMPLE,
            claim_next=ClaimNext(takes=[Take(3)], is_idle=True),
        )
    )
    assert numbers(committed.claimed_next) == [4, 1, 2]
    assert committed.start_count == 3


async def test_what_comes_back_is_taken_before_what_came_later(store: FoundStore) -> None:
    await place(store, *(new() for _ in range(6)))
    leases = await take(store, 4)
    await release(store, leases[2], leases[0])
    assert numbers(await take(store, 3)) == [1, 3, 5]


async def test_a_paused_tier_is_left_out(store: FoundStore) -> None:
    await place(store, new(vip=True), new(), new(vip=True))
    await pause(store, Tier.VIP)
    assert numbers(await take(store, 3)) == [2]
    await pause(store, Tier.VIP, is_paused=False)
    assert numbers(await take(store, 3)) == [1, 3]


async def test_a_suspect_is_taken_alone_and_by_who_is_idle_and_passed_by_nobody(
    home: Home, store: FoundStore
) -> None:
    await place(store, new(), new(vip=True), new())
    await take(store, 1)
    left = await home.crash()
    assert await take(left, 3, alone=1, is_idle=False) == []
    (suspect,) = await take(left, 3, alone=1)
    assert (suspect.order.accept_sequence, suspect.crash_count) == (2, 1)
    await release(left, suspect)
    await place(left, new(vip=True))
    assert numbers(await take(left, 9, alone=2, is_idle=False)) == [2, 4, 1, 3]


async def test_who_stands_before_a_suspect_is_taken_without_it(
    home: Home, store: FoundStore
) -> None:
    await place(store, new())
    await take(store, 1)
    left = await home.crash()
    await place(left, new(vip=True), new(vip=True), new())
    assert numbers(await take(left, 9, alone=1)) == [2, 3]
    assert await take(left, 9, alone=1, is_idle=False) == []


@pytest.mark.parametrize("head_start", [None, 20 * SECOND], ids=["strict", "aged"])
async def test_after_any_mix_the_head_of_the_queue_is_taken(
    home: Home, head_start: int | None
) -> None:
    home.policy = Policy(ranking=Ranking(vip_head_start=head_start))
    store = await home.open()
    chance = random.Random(11)
    for _ in range(15):
        await mix(home, store, chance)
        there = await queue(store)
        leases = await take(store, chance.randrange(9))
        assert numbers(leases) == there[: len(leases)]
        chance.shuffle(leases)
        await release(store, *leases[:2])
        await settle(store, *leases[2:])
        await cancel(store, *there[-2:])
    assert await queue(await home.crash()) == await queue(await home.reopen())


# How much room there is, by the moment at which it was told


async def test_room_told_when_more_waited_is_larger_now(store: FoundStore) -> None:
    await place(store, new(), new(), new())
    await start(store, 2)
    capacity = Capacity(total=1, regular=1, waiting=3)
    outcomes = await accept(store, *([new()] for _ in range(4)), capacity=capacity)
    assert [isinstance(outcome, tuple) for outcome in outcomes] == [True, True, True, False]


async def test_room_told_when_fewer_waited_is_smaller_now(store: FoundStore) -> None:
    await place(store, new(), new(), new())
    capacity = Capacity(total=4, regular=4, waiting=0)
    outcomes = await accept(store, [new()], [new(vip=True)], capacity=capacity)
    assert [isinstance(outcome, tuple) for outcome in outcomes] == [True, False]


async def test_room_counts_what_the_same_commit_lets_wait_again(store: FoundStore) -> None:
    await place(store, new(), new())
    ended, released = await start(store, 2)
    committed = await store.commit(
        Changes(
            settles=[Settlement(lease=ended, ending=DONE)],
            releases=[released],
            accepts=[[new()], [new()]],
            capacity=Capacity(total=2, regular=2, waiting=0),
        )
    )
    assert [isinstance(outcome, tuple) for outcome in committed.accepted] == [True, False]
