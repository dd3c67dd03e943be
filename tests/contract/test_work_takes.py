"""W1, W3, W6: the most urgent orders are dealt to the slots that are offered, in their order."""

import pytest

from orderintake_server.domain import State, Tier
from orderintake_server.holders import key_of
from orderintake_server.store.changes import Cancel, Changes, Take
from orderintake_server.store.work import WorkerWord
from support.changes import (
    AMPLE,
    again,
    new,
    pause,
    place,
    queue,
    release,
    settle,
    state,
    whole_log,
)
from support.clocks import SECOND
from support.stores import FoundStore, Home
from support.work import ANN, BEN, CAT, bury, calls, deal, end, lent, numbers, report, say, take


async def test_w1_orders_are_dealt_to_the_slots_in_the_order_of_the_offers(
    shop: FoundStore,
) -> None:
    await place(shop, *(new(vip=number in {4, 6}) for number in range(1, 9)))
    takes = [Take(2, calls(ANN, 1)), Take(1), Take(9, calls(BEN, 5))]
    leases = (await deal(shop, *takes)).claimed_next
    assert numbers(leases) == [4, 6, 1, 2, 3, 5, 7, 8]
    assert [lease.order.start_sequence for lease in leases] == list(range(1, 9))
    assert [lease.holder for lease in lent([*leases[:2], *leases[3:]])] == [
        *[calls(ANN, 1)] * 2,
        *[calls(BEN, 5)] * 5,
    ]
    assert not hasattr(leases[2], "holder")


async def test_w1_never_more_than_the_slots_and_none_of_none(shop: FoundStore) -> None:
    assert await take(shop, ANN, 3) == []
    await place(shop, new(), new(), new())
    assert numbers(await take(shop, ANN, 2)) == [1, 2]
    assert await queue(shop) == [3]


async def test_w1_what_the_same_commit_accepts_is_dealt_too(shop: FoundStore) -> None:
    asked = Changes(accepts=[[new(), new(vip=True)]], capacity=AMPLE)
    committed = await deal(shop, Take(1, calls(ANN, 1)), Take(1), changes=asked)
    assert numbers(committed.claimed_next) == [2, 1]
    assert committed.start_count == 2


async def test_w1_a_paused_tier_is_not_dealt(shop: FoundStore) -> None:
    await place(shop, new(vip=True), new())
    await pause(shop, Tier.VIP)
    assert numbers(await take(shop, ANN, 2)) == [2]


async def test_w3_a_repeated_call_is_given_the_same_and_nothing_else(shop: FoundStore) -> None:
    await place(shop, *(new(vip=number > 4) for number in range(1, 9)))
    first = await take(shop, ANN, 6, call=7)
    assert numbers(first) == [5, 6, 7, 8, 1, 2]
    committed = await deal(shop, Take(8, calls(ANN, 7)), Take(1, calls(ANN, 8)))
    assert committed.told_again == first
    assert numbers(committed.claimed_next) == [3]
    assert committed.start_count == 1
    assert await shop.at_work.leases_of(calls(ANN, 7)) == first


async def test_w3_of_a_repeated_call_only_what_is_still_good_is_told(shop: FoundStore) -> None:
    await place(shop, *(new() for _ in range(4)))
    one, two = await take(shop, ANN, 2, call=7)
    await report(shop, one)
    committed = await deal(shop, Take(2, calls(ANN, 7)))
    assert (committed.told_again, committed.claimed_next) == ([two], [])
    await report(shop, two)
    assert numbers(await take(shop, ANN, 1, call=7)) == [3]  # it has nothing: it is as a new one


async def test_w3_other_workers_and_unnumbered_calls_repeat_nothing(shop: FoundStore) -> None:
    await place(shop, *(new() for _ in range(4)))
    await take(shop, ANN, 1, call=7)
    assert numbers(await take(shop, BEN, 1, call=7)) == [2]
    await take(shop, CAT)
    assert numbers(await take(shop, CAT)) == [4]
    assert await shop.at_work.leases_of(calls(CAT)) == []


async def test_w3_a_call_is_repeated_after_a_crash_of_the_server(
    work_home: Home, shop: FoundStore
) -> None:
    await place(shop, new(), new())
    first = await take(shop, ANN, 1, call=7)
    left = await work_home.crash()
    assert left.recovery.kept == 1
    assert (await deal(left, Take(2, calls(ANN, 7)))).told_again == first


async def test_w6_a_suspect_is_alone_at_its_worker(shop: FoundStore) -> None:
    await place(shop, *(new() for _ in range(4)))
    await take(shop, CAT, 2)
    await bury(shop, CAT)
    await place(shop, new(vip=True))
    committed = await deal(shop, Take(1), Take(4, calls(ANN, 1)), Take(4, calls(BEN, 1)), alone=1)
    assert numbers(committed.claimed_next) == [5, 1, 2]  # none is left for order 3
    assert [lease.holder.worker_id for lease in lent(committed.claimed_next[1:])] == [ANN, BEN]
    assert numbers((await deal(shop, Take(4, calls(ANN, 2)), alone=1)).claimed_next) == []
    assert numbers((await deal(shop, Take(4, calls(CAT, 2)), alone=1)).claimed_next) == [3, 4]


async def test_w6_who_has_anything_is_given_no_suspect_and_nothing_starts_past_it(
    shop: FoundStore,
) -> None:
    await place(shop, new(), new(), new())
    await take(shop, CAT, 1)
    await bury(shop, CAT)
    await place(shop, new(vip=True))
    (running,) = await take(shop, ANN)
    assert numbers([running]) == [4]
    assert (await deal(shop, Take(3, calls(ANN, 2)), alone=1)).claimed_next == []
    await report(shop, running)
    assert numbers((await deal(shop, Take(3, calls(ANN, 2)), alone=1)).claimed_next) == [1]


async def test_w7_who_stops_or_has_ended_is_given_nothing_and_that_is_told(
    shop: FoundStore,
) -> None:
    await place(shop, *(new() for _ in range(3)))
    await say(shop, WorkerWord(ANN, is_stopping=True))
    await end(shop, BEN)
    committed = await deal(shop, Take(1, calls(ANN, 1)), Take(1, calls(BEN, 1)), Take(1))
    assert numbers(committed.claimed_next) == [1]
    assert set(committed.closed) == {ANN, BEN}


async def test_w4_what_nobody_awaited_waits_again_uncounted(shop: FoundStore) -> None:
    await place(shop, new())
    (lease,) = await take(shop, ANN, call=1)
    assert await release(shop, lease) == [State.QUEUED]
    (again_,) = await take(shop, BEN)
    assert (again_.order.attempt_count, again_.crash_count) == (1, 0)


async def test_this_processs_own_attempts_are_settled_as_ever(shop: FoundStore) -> None:
    await place(shop, new(), new())
    own, _ = (await deal(shop, Take(1), Take(1, calls(ANN, 1)))).claimed_next
    assert await report(shop, own) == [None]  # it is no worker's
    assert await settle(shop, own) == [State.SUCCEEDED]


@pytest.mark.parametrize("limit", [0, 20 * SECOND])
async def test_w10_an_attempt_that_takes_too_long_is_told_until_it_is_ended(
    work_home: Home, shop: FoundStore, limit: int
) -> None:
    await place(shop, new(), new())
    (lease,) = await take(shop, ANN, limit=limit)
    told = []
    for seconds in (19, 2, 1, 5):
        work_home.clock.turn(seconds)
        told.append(list((await shop.commit(Changes())).overdue.items()))
    expected = [(key_of(lease), ANN)] if limit else []
    assert told == [[], expected, [], expected]
    assert await report(shop, lease, ending=again()) == [State.SCHEDULED]
    work_home.clock.turn(30)
    assert (await shop.commit(Changes())).overdue == {}


async def test_w10_a_restart_leaves_a_while_and_a_leap_of_the_clock_is_no_age(
    work_home: Home, shop: FoundStore
) -> None:
    await place(shop, new())
    await take(shop, ANN, limit=20 * SECOND)
    work_home.clock.leap(3600)
    assert (await shop.commit(Changes())).overdue == {}
    work_home.clock.turn(30)
    left = await work_home.crash()
    assert (await left.commit(Changes())).overdue == {}
    work_home.clock.turn(6)
    assert len((await left.commit(Changes())).overdue) == 1


async def test_p13_who_has_a_cancelled_order_has_news(shop: FoundStore) -> None:
    await place(shop, new())
    (lease,) = await take(shop, ANN)
    committed = await shop.commit(Changes(cancels=[Cancel(1)]))
    assert list(committed.news) == [ANN]
    row = await shop.at_work.read_worker(ANN)
    assert row is not None
    assert [held.is_cancel_requested for held in row.leases] == [True]
    assert await report(shop, lease, ending=again()) == [State.CANCELLED]
    assert await state(shop, 1) is State.CANCELLED
    assert len(await whole_log(shop)) == 1
