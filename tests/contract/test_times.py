"""P12: not_before and expire_time are honoured wherever an order stands."""

import asyncio
from dataclasses import replace

import pytest

from orderintake_server.domain import State, Tier
from orderintake_server.errors import StoreFull
from orderintake_server.store.changes import Changes, ClaimNext, Take
from orderintake_server.store.sqlite.due import DUE_ORDERS
from support.changes import (
    AMPLE,
    again,
    log_of,
    look,
    new,
    order,
    pause,
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
from support.stores import FoundStore, Home, SqliteHome

YEAR = 365 * 86_400

# Scheduled


async def test_an_order_for_later_is_scheduled(home: Home, store: FoundStore) -> None:
    due = home.clock.later(60)
    (receipt,) = await place(store, new(not_before=due))
    assert receipt.order.state is State.SCHEDULED
    assert (receipt.order.not_before, receipt.position) == (due, 0)
    assert await store.find(1) == receipt.order
    assert await queue(store) == []
    assert (await look(store)).next_due == due


async def test_an_order_for_a_time_gone_by_is_queued_at_once(home: Home, store: FoundStore) -> None:
    (receipt,) = await place(store, new(not_before=home.clock.now))
    assert receipt.order.state is State.QUEUED
    assert receipt.position == 1


async def test_an_order_falls_due_at_its_time_and_not_before(home: Home, store: FoundStore) -> None:
    await place(store, new(not_before=home.clock.now + 4))
    assert await queue(store) == []
    assert await queue(store) == []
    assert await queue(store) == [1]


async def test_an_order_falls_due_in_the_place_of_its_accept_sequence(
    home: Home, store: FoundStore
) -> None:
    due = home.clock.later(60)
    await place(store, new(), new(not_before=due), new(vip=True, not_before=due), new())
    home.clock.turn(61)
    committed = await look(store)
    assert [committed.counts[tier].queued for tier in Tier] == [3, 1]
    assert committed.next_due is None
    assert await queue(store) == [3, 1, 2, 4]


async def test_an_order_may_be_claimed_by_the_commit_in_which_it_falls_due(
    home: Home, store: FoundStore
) -> None:
    await place(store, new(not_before=home.clock.later(60)))
    assert (await store.commit(Changes(claims=[strictly(1)]))).claimed == [None]
    home.clock.turn(61)
    (lease,) = (await store.commit(Changes(claims=[strictly(1)]))).claimed
    assert lease
    assert lease.order.start_time >= lease.order.not_before


async def test_a_scheduled_order_stays_so_after_a_crash(home: Home, store: FoundStore) -> None:
    due = home.clock.later(60)
    await place(store, new(not_before=due))
    left = await home.crash()
    assert left.recovery.recovered == 0
    assert waits(left.recovery.counts) == 1
    assert (await look(left)).next_due == due
    home.clock.turn(61)
    assert await queue(await home.crash()) == [1]


async def test_a_given_back_order_that_was_scheduled_waits_no_more_for_its_time(
    home: Home, store: FoundStore
) -> None:
    await place(store, new(not_before=home.clock.later(60)))
    home.clock.turn(61)
    await release(store, *await start(store))
    assert await state(store, 1) is State.QUEUED


async def test_so_many_fall_due_by_one_commit_and_the_rest_by_the_next(
    home: Home, store: FoundStore
) -> None:
    await place(store, *(new(not_before=home.clock.later(60)) for _ in range(DUE_ORDERS + 5)))
    home.clock.turn(61)
    first = await look(store)
    assert first.counts[Tier.REGULAR].queued == DUE_ORDERS
    assert first.next_due is not None
    assert first.next_due <= home.clock.now
    second = await look(store)
    assert second.counts[Tier.REGULAR].queued == DUE_ORDERS + 5
    assert second.next_due is None
    assert await queue(store) == list(range(1, DUE_ORDERS + 6))


# Expired


async def test_an_order_without_expire_time_waits_for_ever(home: Home, store: FoundStore) -> None:
    await place(store, new())
    home.clock.turn(30 * 24 * 3600)
    assert (await look(store)).next_due is None
    assert await queue(store) == [1]


async def test_a_queued_order_expires_at_its_time_and_not_before(
    home: Home, store: FoundStore
) -> None:
    await place(store, new(), new(expire_time=home.clock.now + 4))
    assert await queue(store) == [1, 2]
    assert await queue(store) == [1, 2]
    assert await queue(store) == [1]
    (completion,) = await whole_log(store)
    assert completion.order.state is State.EXPIRED
    assert completion.order.complete_time >= completion.order.expire_time
    assert completion.failure is None


async def test_an_order_expires_behind_others_that_wait(home: Home, store: FoundStore) -> None:
    await place(store, new(vip=True), new(), new(expire_time=home.clock.later(1)), new())
    home.clock.turn(2)
    assert await queue(store) == [1, 2, 4]


async def test_an_order_that_expired_long_ago_expires_though_others_did_before(
    home: Home, store: FoundStore
) -> None:
    await place(store, new(expire_time=home.clock.later(1)))
    home.clock.turn(2)
    await look(store)
    await place(store, new(expire_time=1), new(not_before=1))
    await look(store)
    assert await log_of(store) == [(1, State.EXPIRED), (2, State.EXPIRED)]
    assert await queue(store) == [3]


async def test_a_scheduled_order_expires(home: Home, store: FoundStore) -> None:
    await place(store, new(not_before=home.clock.later(60), expire_time=home.clock.later(30)))
    home.clock.turn(31)
    assert waits((await look(store)).counts) == 0
    assert await log_of(store) == [(1, State.EXPIRED)]


async def test_an_order_whose_times_have_both_come_expires(home: Home, store: FoundStore) -> None:
    await place(store, new(not_before=home.clock.later(1), expire_time=home.clock.later(2)))
    home.clock.turn(60)
    assert waits((await look(store)).counts) == 0
    assert await log_of(store) == [(1, State.EXPIRED)]


async def test_an_order_expires_while_it_waits_for_another_attempt(
    home: Home, store: FoundStore
) -> None:
    await place(store, new(expire_time=home.clock.later(30)))
    await settle(store, *await start(store), ending=again(60 * SECOND))
    home.clock.turn(31)
    await look(store)
    ended = await order(store, 1)
    assert (ended.state, ended.attempt_count) == (State.EXPIRED, 1)


async def test_an_order_in_process_does_not_expire(home: Home, store: FoundStore) -> None:
    await place(store, new(expire_time=home.clock.later(1)))
    (lease,) = await start(store)
    home.clock.turn(2)
    await look(store)
    assert await state(store, 1) is State.PROCESSING
    assert await settle(store, lease) == [State.SUCCEEDED]


@pytest.mark.parametrize("is_seen_while_processed", [True, False])
async def test_an_order_given_back_after_its_time_expires(
    home: Home, store: FoundStore, *, is_seen_while_processed: bool
) -> None:
    await place(store, new(expire_time=home.clock.later(1)))
    (lease,) = await start(store)
    if is_seen_while_processed:
        home.clock.turn(2)
        await look(store)
    committed = await store.commit(Changes(releases=[lease]))
    assert committed.released == [State.QUEUED]
    assert committed.next_due is not None
    home.clock.turn(2)
    assert await queue(store) == []
    assert await log_of(store) == [(1, State.EXPIRED)]


async def test_an_order_to_be_tried_again_after_its_time_expires(
    home: Home, store: FoundStore
) -> None:
    await place(store, new(expire_time=home.clock.later(1)))
    (lease,) = await start(store)
    home.clock.turn(2)
    await look(store)
    await settle(store, lease, ending=again(60 * SECOND))
    await look(store)
    assert await log_of(store) == [(1, State.EXPIRED)]


async def test_an_order_recovered_after_its_time_expires(home: Home, store: FoundStore) -> None:
    await place(store, new(expire_time=home.clock.later(1)))
    await start(store)
    home.clock.turn(2)
    await look(store)
    left = await home.crash()
    assert left.recovery.recovered == 1
    await look(left)
    assert await log_of(left) == [(1, State.EXPIRED)]


async def test_an_order_that_expired_while_nobody_looked_cannot_start(
    home: Home, store: FoundStore
) -> None:
    await place(store, new(expire_time=home.clock.later(1)), new())
    places = await waiting(store)
    home.clock.turn(2)
    committed = await store.commit(Changes(claims=places))
    assert [lease and lease.order.accept_sequence for lease in committed.claimed] == [None, 2]


async def test_so_many_expire_by_one_commit_and_the_rest_by_the_next(
    home: Home, store: FoundStore
) -> None:
    await place(store, *(new(expire_time=home.clock.later(60)) for _ in range(DUE_ORDERS + 5)))
    home.clock.turn(61)
    first = await look(store)
    assert (first.head, waits(first.counts)) == (DUE_ORDERS, 5)
    assert first.next_due is not None
    assert first.next_due <= home.clock.now
    second = await look(store)
    assert (second.head, waits(second.counts), second.next_due) == (DUE_ORDERS + 5, 0, None)


# Nothing whose time is over is ever started


@pytest.mark.parametrize("is_asked_by_name", [True, False])
async def test_p12_an_order_accepted_after_its_time_expires_and_never_starts(
    home: Home, store: FoundStore, *, is_asked_by_name: bool
) -> None:
    home.clock.turn(5)
    changes = Changes(accepts=[[new(expire_time=home.clock.now)]], capacity=AMPLE)
    committed = await store.commit(_and_start(changes, 1, is_asked_by_name=is_asked_by_name))
    assert (committed.claimed, committed.claimed_next) == ([None] * is_asked_by_name, [])
    assert committed.start_count == 0
    ((receipt,),) = (group for group in committed.accepted if isinstance(group, tuple))
    assert (receipt.after, committed.head) == (0, 1)  # its cursor is from before its completion
    assert await log_of(store) == [(1, State.EXPIRED)]


@pytest.mark.parametrize("is_asked_by_name", [True, False])
async def test_p12_an_order_taken_back_after_its_time_expires_and_never_starts_again(
    home: Home, store: FoundStore, *, is_asked_by_name: bool
) -> None:
    await place(store, new(expire_time=home.clock.later(1)), new())
    (lease,) = await start(store)
    home.clock.turn(2)
    changes = _and_start(Changes(releases=[lease]), 1, is_asked_by_name=is_asked_by_name)
    committed = await store.commit(changes)
    assert committed.released == [State.QUEUED]
    assert [lease.order.accept_sequence for lease in committed.claimed_next] in ([], [2])
    assert await log_of(store) == [(1, State.EXPIRED)]


async def test_p12_what_one_commit_cannot_sweep_does_not_start_in_it(
    home: Home, store: FoundStore
) -> None:
    over = home.clock.later(60)
    await place(store, *(new(expire_time=over) for _ in range(DUE_ORDERS)), new(expire_time=over))
    home.clock.turn(61)
    committed = await store.commit(_and_start(Changes(), DUE_ORDERS + 1, is_asked_by_name=True))
    assert committed.claimed == [None]
    assert committed.head == DUE_ORDERS + 1


async def test_p12_who_asks_for_an_order_gets_the_one_after_those_that_are_over(
    home: Home, store: FoundStore
) -> None:
    await place(store, new())
    home.clock.turn(5)
    over = [new(vip=True, expire_time=home.clock.now) for _ in range(3)]
    changes = Changes(
        accepts=[over], capacity=AMPLE, claim_next=ClaimNext(takes=[Take(1)], is_idle=True)
    )
    (lease,) = (await store.commit(changes)).claimed_next
    assert lease.order.accept_sequence == 1


def _and_start(changes: Changes, number: int, *, is_asked_by_name: bool) -> Changes:
    if is_asked_by_name:
        return replace(changes, claims=[strictly(number)])
    return replace(changes, claim_next=ClaimNext(takes=[Take(1)], is_idle=True))


# Due is what the clock says now


async def test_p12_a_leap_of_the_clock_that_is_taken_back_leaves_nothing(
    home: Home, store: FoundStore
) -> None:
    home.clock.leap(YEAR)
    (glitch,) = await place(store, new())
    await settle(store, *await start(store))
    home.clock.leap(-YEAR)
    due, over = home.clock.later(60), home.clock.later(120)
    (later, mortal) = await place(store, new(not_before=due), new(vip=True, expire_time=over))
    assert (later.order.state, mortal.order.state) == (State.SCHEDULED, State.QUEUED)
    assert later.order.accept_time == mortal.order.accept_time == glitch.order.accept_time
    assert await queue(store) == [3]
    home.clock.turn(61)
    assert await queue(store) == [3, 2]
    home.clock.turn(60)
    assert await queue(store) == [2]
    (lease,) = await start(store)
    assert lease.order.start_time < glitch.order.accept_time


async def test_p12_what_waits_for_a_time_is_due_by_the_clock_as_it_was_set(
    home: Home, store: FoundStore
) -> None:
    day = 86_400
    await place(
        store, new(not_before=home.clock.later(day)), new(expire_time=home.clock.later(day))
    )
    home.clock.leap(day + 1)
    assert await queue(store) == [1]
    assert await log_of(store) == [(2, State.EXPIRED)]


@pytest.mark.parametrize("leap", [-3600, 3600])
async def test_p11_the_delay_of_a_retry_is_a_length_whatever_the_clock_does(
    home: Home, store: FoundStore, leap: int
) -> None:
    await place(store, new(), new(not_before=home.clock.later(7200)))
    await settle(store, *await start(store), ending=again(60 * SECOND))
    home.clock.turn(30)
    home.clock.leap(leap)
    assert await queue(store) == []
    next_due = (await look(store)).next_due
    assert next_due is not None
    assert abs(next_due - home.clock.later(30)) < SECOND
    home.clock.turn(29)
    assert await queue(store) == []
    home.clock.turn(1)
    assert await queue(store) == [1]


async def test_p11_a_leap_that_a_failed_commit_saw_moves_a_delay_once(
    home: Home, store: FoundStore
) -> None:
    await place(store, new())
    await settle(store, *await start(store), ending=again(60 * SECOND))
    home.clock.leap(3600)
    with home.full(), pytest.raises(StoreFull):
        await store.commit(Changes(accepts=[[new(b"x" * 90_000)]], capacity=AMPLE))
    home.clock.turn(59)
    assert await queue(store) == []
    home.clock.turn(1)
    assert await queue(store) == [1]


async def test_the_order_of_starts_is_proved_across_a_fall_of_the_clock(
    sqlite_home: SqliteHome,
) -> None:
    store = await sqlite_home.open()
    for leap in (YEAR, -YEAR, -3600, 60, -1):
        await place(store, new(), new(vip=True), new())
        await settle(store, *await start(store, 2))
        await pause(store, Tier.VIP, is_paused=leap > 0)
        sqlite_home.clock.leap(leap)
        store = await sqlite_home.reopen()
    assert await asyncio.to_thread(sqlite_home.findings) == []
