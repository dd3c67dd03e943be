"""Where an order stands in the queue, exactly, whatever the ranking; and who counts there."""

import random

import pytest

from orderintake_server.domain import Completion, QueueEntry, Ranking, State, Tier
from orderintake_server.store.base import Policy
from orderintake_server.store.changes import Cancel, Changes, Settlement
from orderintake_server.views import TierCounts
from support.changes import (
    AMPLE,
    accept,
    again,
    look,
    new,
    order,
    place,
    position,
    queue,
    settle,
    start,
    waiting,
)
from support.clocks import SECOND
from support.mixes import mix
from support.stores import FoundStore, Home

STRICT = Policy()
AGED = Policy(ranking=Ranking(vip_head_start=20 * SECOND))
POLICIES = pytest.mark.parametrize("policy", [STRICT, AGED], ids=["strict", "aged"])


async def test_a_receipt_tells_the_place_in_the_queue(store: FoundStore) -> None:
    receipts = await place(store, new(), new(vip=True), new(), new(vip=True))
    assert [receipt.position for receipt in receipts] == [3, 1, 4, 2]
    first, second = await accept(store, [new()], [new(vip=True), new()])
    assert isinstance(first, tuple)
    assert isinstance(second, tuple)
    assert [receipt.position for receipt in first + second] == [6, 3, 7]


async def test_a_replay_tells_the_place_in_the_queue_now(store: FoundStore) -> None:
    tea = new(request_id="r")
    await place(store, new(), tea)
    await start(store)
    (again_,) = await place(store, tea)
    assert again_.position == 1
    (lease,) = await start(store)
    (running,) = await place(store, tea)
    assert running.position == 0
    await settle(store, lease)
    (ended,) = await place(store, tea)
    assert ended.position == 0


async def test_a_place_is_taken_before_the_claims_of_the_same_commit(store: FoundStore) -> None:
    await place(store, new())
    places = await waiting(store)
    committed = await store.commit(Changes(accepts=[[new()]], capacity=AMPLE, claims=places))
    ((receipt,),) = (group for group in committed.accepted if isinstance(group, tuple))
    assert receipt.position == 2
    assert await position(store, 2) == 1


async def test_who_is_not_queued_has_no_position(home: Home, store: FoundStore) -> None:
    await place(store, new(), new(), new(not_before=home.clock.later(60)))
    first, _ = await start(store, 2)
    await settle(store, first)
    assert [await position(store, number) for number in range(5)] == [0] * 5


@pytest.mark.seconds
@POLICIES
@pytest.mark.parametrize("seed", range(3))
async def test_a_position_is_what_sorting_says_after_any_mix(
    home: Home, policy: Policy, seed: int
) -> None:
    home.policy = policy
    store = await home.open()
    chance = random.Random(seed)
    for _ in range(12):
        await mix(home, store, chance)
        await _assert_counted(store)
    await _assert_counted(await home.crash())


@pytest.mark.slow
@POLICIES
async def test_a_position_is_what_sorting_says_in_a_long_queue(home: Home, policy: Policy) -> None:
    home.policy = policy
    store = await home.open()
    chance = random.Random(7)
    for _ in range(40):
        await mix(home, store, chance, orders=400)
    await _assert_counted(store, step=97)
    await _assert_counted(await home.reopen(), step=97)


# With a head start


async def test_p7_a_vip_order_overtakes_what_was_accepted_within_its_head_start(
    home: Home,
) -> None:
    home.policy = AGED
    store = await home.open()
    await place(store, new())
    home.clock.turn(10)
    await place(store, new())
    home.clock.turn(15)
    (vip,) = await place(store, new(vip=True))
    assert vip.position == 2
    assert await queue(store) == [1, 3, 2]


async def test_p7_the_head_start_is_exact_to_the_microsecond(home: Home) -> None:
    home.policy = Policy(ranking=Ranking(vip_head_start=3))
    store = await home.open()
    for _ in range(3):
        await place(store, new())
    await place(store, new(vip=True))  # three, two and one microseconds later
    assert await queue(store) == [1, 4, 2, 3]


async def test_equal_ranks_go_by_accept_sequence(home: Home) -> None:
    home.policy = Policy(ranking=Ranking(vip_head_start=1))
    store = await home.open()
    receipts = await place(store, new(), new(vip=True), new())
    (later,) = await place(store, new(vip=True))
    ranks = {place.accept_sequence: place.rank for place in await waiting(store)}
    assert ranks[1] == ranks[3] == ranks[4]
    assert [receipt.position for receipt in receipts] == [2, 1, 3]
    assert later.position == 4
    assert await queue(store) == [2, 1, 3, 4]


async def test_another_policy_ranks_all_that_has_not_ended_anew(home: Home) -> None:
    store = await home.open()
    await place(store, new(), new(not_before=home.clock.later(90)), new(), new())
    running, retried = await start(store, 2)
    await settle(store, retried, ending=again(90 * SECOND))
    assert await store.find(running.order.accept_sequence) == running.order
    home.clock.turn(60)
    await place(store, new(vip=True))
    assert await queue(store) == [5, 4]
    aged = await home.reopen(AGED)
    assert await queue(aged) == [1, 4, 5]
    home.clock.turn(60)
    assert await queue(aged) == [1, 2, 3, 4, 5]
    await _assert_counted(aged)
    strict = await home.reopen(STRICT)
    assert await queue(strict) == [5, 1, 2, 3, 4]
    await _assert_counted(strict)
    assert [lease.order.accept_sequence for lease in await start(strict, 5)] == [5, 1, 2, 3, 4]


async def test_the_same_policy_changes_no_rank(home: Home) -> None:
    home.policy = AGED
    store = await home.open()
    await place(store, new(), new(vip=True))
    before = await waiting(store)
    assert await waiting(await home.reopen()) == before


async def test_a_clock_set_back_lets_no_order_overtake_its_tier(home: Home) -> None:
    home.policy = AGED
    store = await home.open()
    await place(store, new())
    home.clock.turn(-3600)
    await place(store, new())
    store = await home.reopen()
    await place(store, new())
    assert await queue(store) == [1, 2, 3]
    times = [(await order(store, number)).accept_time for number in (1, 2, 3)]
    assert times == sorted(times)


# Who stands where


async def test_the_tallies_tell_who_stands_where(home: Home, store: FoundStore) -> None:
    later = home.clock.later(60)
    await place(store, new(), new(), new(vip=True), new(vip=True, not_before=later), new())
    leases = await start(store, 2)
    counts = (await look(store)).counts
    assert counts[Tier.REGULAR] == TierCounts(queued=2, processing=1)
    assert counts[Tier.VIP] == TierCounts(scheduled=1, processing=1)
    await settle(store, *leases, ending=again(SECOND))
    counts = (await look(store)).counts
    assert counts[Tier.REGULAR] == TierCounts(queued=2, scheduled=1)
    assert counts[Tier.VIP] == TierCounts(scheduled=2)
    assert (await home.crash()).recovery.counts == counts


async def test_a_commit_tells_who_came_and_who_ended(home: Home, store: FoundStore) -> None:
    over = home.clock.later(60)
    await place(store, new(), new(), new(vip=True), new(vip=True, expire_time=over))
    (vip,) = await start(store)
    home.clock.turn(61)
    committed = await store.commit(
        Changes(
            settles=[Settlement(lease=vip, ending=again())],
            cancels=[Cancel(1)],
            accepts=[[new(), new(vip=True), new()]],
            capacity=AMPLE,
        )
    )
    assert committed.accept_counts == {Tier.REGULAR: 2, Tier.VIP: 1}
    assert committed.completion_counts == {Tier.REGULAR: 1, Tier.VIP: 1}
    quiet = await look(store)
    assert (quiet.accept_counts[Tier.VIP], quiet.completion_counts[Tier.REGULAR]) == (0, 0)


async def test_the_oldest_that_is_queued_is_told_for_each_tier(
    home: Home, store: FoundStore
) -> None:
    assert await store.oldest_waiting() == {}
    later = home.clock.later(60)
    await place(store, new(not_before=later), new(vip=True))
    (second,) = await place(store, new())
    await place(store, new(), new(vip=True))
    (vip,) = await start(store)
    oldest = await store.oldest_waiting()
    assert oldest[Tier.REGULAR] == second.order.accept_time
    assert oldest[Tier.VIP] > vip.order.accept_time


async def _assert_counted(store: FoundStore, *, step: int = 1) -> None:
    """Check positions and tallies against what sorting and counting say."""
    places = await waiting(store)
    assert places == sorted(places)
    for index in range(0, len(places), step):
        assert await position(store, places[index].accept_sequence) == index + 1
    counts = (await look(store)).counts
    assert counts == await _recounted(store, places)


async def _recounted(store: FoundStore, places: list[QueueEntry]) -> dict[Tier, TierCounts]:
    counts = dict.fromkeys(((tier, state) for tier in Tier for state in State), 0)
    for found in await _all_orders(store):
        counts[found] += 1
    assert sum(counts[tier, State.QUEUED] for tier in Tier) == len(places)
    return {
        tier: TierCounts(
            queued=counts[tier, State.QUEUED],
            scheduled=counts[tier, State.SCHEDULED],
            processing=counts[tier, State.PROCESSING],
        )
        for tier in Tier
    }


async def _all_orders(store: FoundStore) -> list[tuple[Tier, State]]:
    number, found = 1, []
    while (stands := await store.find(number)) is not None:
        order = stands.order if isinstance(stands, Completion) else stands
        found.append((order.tier, order.state))
        number += 1
    return found
