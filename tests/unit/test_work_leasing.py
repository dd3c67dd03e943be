"""W1 to W4, W7 and W12 of LeaseOrders, over a committer that answers when it is told to."""

import asyncio

import pytest

from orderintake.work.outcome import Kind, Outcome, failure_of
from orderintake_server.domain import Ending, Event, Failure, State
from orderintake_server.errors import Draining, StorageUnavailable, WorkerLimit
from orderintake_server.holders import Holder
from orderintake_server.store.work import AttemptEnd
from orderintake_server.work.words import Inventory, KeepAsked, LeaseAsked, Leased, Report
from support.work_room import ME, Floor, key, lent

DONE = Outcome(kind=Kind.SUCCEEDED)


def asked(
    *reports: Report, call: int = 1, slots: int = 2, wait: float = 60.0, worker: str = ME
) -> LeaseAsked:
    """Make a call of LeaseOrders."""
    return LeaseAsked(holder=Holder(worker, call), slots=slots, reports=reports, wait=wait)


def done(number: int) -> Report:
    """Say that an order was processed."""
    return Report(key=key(number), outcome=DONE)


async def begun(floor: Floor, call: LeaseAsked) -> "asyncio.Task[Leased]":
    """Make a call; return when the committer is asked what it wants."""
    task = asyncio.create_task(floor.room.lease(call))
    await floor.when_asked()
    return task


async def test_w1_a_call_is_answered_with_what_one_commit_gives_its_slots() -> None:
    floor = Floor()
    call = await begun(floor, asked(slots=3))
    ((holder, slots, offer),) = floor.committer.offers
    assert (holder, slots, call.done()) == (Holder(ME, 1), 3, False)
    assert floor.room.leasing.offered == 3
    offer.set_result([lent(1), lent(2)])
    assert [lease.order.accept_sequence for lease in (await call).leases] == [1, 2]
    assert (floor.room.leasing.offered, len(floor.room.running)) == (0, 2)


async def test_w2_reports_are_recorded_in_their_order_and_answered_at_once() -> None:
    floor = Floor()
    floor.committer.states = {key(1): State.SUCCEEDED, key(2): None, key(3): State.QUEUED}
    returned = Report(key=key(3), outcome=None)
    leased = await floor.room.lease(asked(done(1), done(2), returned))
    assert leased.states == [State.SUCCEEDED, None, State.QUEUED]
    assert [of for of, _ in floor.committer.reports] == [key(1), key(2), key(3)]
    assert floor.committer.reports[2][1] is None
    assert floor.committer.offers[0][2].cancelled()  # the slots are not offered any more
    assert floor.meters.work.outcomes == {
        ("succeeded",): 1, ("lease_lost",): 1, ("returned",): 1,
        ("failed",): 0, ("rejected",): 0, ("retry",): 0,
    }  # fmt: skip


async def test_w2_the_commit_of_the_reports_gives_orders_too() -> None:
    floor = Floor()
    call = await begun(floor, asked(done(1)))
    floor.committer.offers[0][2].set_result([lent(2)])
    floor.committer.waiting[key(1)].set_result(State.SUCCEEDED)
    leased = await call
    assert (leased.states, [lease.order.accept_sequence for lease in leased.leases]) == (
        [State.SUCCEEDED],
        [2],
    )


async def test_a_call_without_slots_and_reports_is_answered_at_once() -> None:
    floor = Floor()
    assert await floor.room.lease(asked(slots=0)) == Leased(states=[])
    assert len(floor.life) == 1


async def test_a_call_that_waits_long_enough_is_answered_without_orders() -> None:
    floor = Floor()
    assert await floor.room.lease(asked(wait=0.0)) == Leased(states=[])
    assert floor.committer.offers[0][2].cancelled()


async def test_w3_a_repeat_takes_over_what_its_first_call_waits_for() -> None:
    floor = Floor()
    first = await begun(floor, asked(call=7))
    repeat = asyncio.create_task(floor.room.lease(asked(call=7)))
    assert await first == Leased(states=[])
    ((_, _, offer),) = floor.committer.offers
    offer.set_result([lent(1)])
    assert len((await repeat).leases) == 1
    assert not floor.committer.released


async def test_w3_a_call_that_was_repeated_while_it_looked_takes_no_orders_beside_its_repeat() -> (
    None
):
    floor = Floor()
    calls = [asyncio.create_task(floor.room.lease(asked(done(1)))) for _ in range(3)]
    while len(floor.committer.reports) < 3:
        await floor.when_asked()
    assert len(floor.committer.offers) == 1
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)


async def test_w3_a_repeat_that_was_answered_is_answered_the_same() -> None:
    floor = Floor()
    floor.store.given[Holder(ME, 7)] = [lent(1, 7)]
    assert (await floor.room.lease(asked(call=7))).leases == [lent(1, 7)]
    assert not floor.committer.offers
    assert floor.meters.work.lost_answers["repeat",] == 1


async def test_w3_a_call_that_can_be_no_repeat_costs_no_read() -> None:
    floor = Floor()
    await floor.room.keep(KeepAsked(worker_id=ME, inventory=Inventory(held=(), last_call=4)))
    floor.store.given[Holder(ME, 5)] = [lent(1, 5)]  # nobody will look
    call = await begun(floor, asked(call=5))
    floor.committer.offers[0][2].set_result([lent(2, 5)])
    assert (await call).leases == [lent(2, 5)]


async def test_w3_a_shared_store_answers_repeats_by_itself() -> None:
    floor = Floor(is_shared=True)
    floor.store.given[Holder(ME, 7)] = [lent(1, 7)]
    call = await begun(floor, asked(call=7))
    floor.committer.offers[0][2].set_result([lent(1, 7)])
    assert len((await call).leases) == 1


async def test_w4_what_a_caller_that_left_had_got_is_given_back() -> None:
    floor = Floor()
    call = await begun(floor, asked())
    floor.committer.offers[0][2].set_result([lent(1)])
    call.cancel()
    await asyncio.wait({call})
    assert [lease.order.accept_sequence for lease in floor.committer.released] == [1]
    assert floor.room.unawaited == 1


async def test_w4_nothing_is_offered_for_a_caller_that_left() -> None:
    floor = Floor()
    call = await begun(floor, asked())
    call.cancel()
    await asyncio.wait({call})
    assert floor.committer.offers[0][2].cancelled()
    assert len(floor.room.leasing.waits) == 0


async def test_w4_a_repeat_after_its_caller_left_does_not_look_at_what_is_given_back() -> None:
    floor = Floor()
    call = await begun(floor, asked(call=7))
    floor.committer.offers[0][2].set_result([lent(1, 7)])
    call.cancel()
    await asyncio.wait({call})
    floor.store.given[Holder(ME, 7)] = [lent(1, 7)]  # the release is under way
    repeat = await begun(floor, asked(call=7))
    floor.committer.offers[1][2].set_result([lent(2, 7)])
    assert (await repeat).leases == [lent(2, 7)]


async def test_w4_a_repeat_does_not_look_at_what_its_call_was_given_too_late() -> None:
    floor = Floor()
    assert (await (await begun(floor, asked(wait=0.0)))).leases == ()
    floor.store.given[Holder(ME, 1)] = [lent(1)]  # by the commit that was under way: it goes back
    repeat = await begun(floor, asked())
    floor.committer.offers[1][2].set_result([lent(2)])
    assert [lease.order.accept_sequence for lease in (await repeat).leases] == [2]


async def test_a_store_that_is_away_keeps_nothing_of_a_call() -> None:
    floor = Floor()
    floor.committer.states = {key(1): StorageUnavailable("away"), key(2): State.SUCCEEDED}
    with pytest.raises(StorageUnavailable):
        await floor.room.lease(asked(done(1), done(2)))
    assert floor.committer.offers[0][2].cancelled()


async def test_sixty_four_calls_of_a_worker_may_wait() -> None:
    floor = Floor()
    calls = [await begun(floor, asked(call=n, slots=1)) for n in range(1, 65)]
    with pytest.raises(WorkerLimit):
        await floor.room.lease(asked(call=65))
    assert (await floor.room.lease(asked(call=65, worker="another", wait=0.0))).leases == ()
    floor.room.refuse_leases()
    await asyncio.gather(*calls)


async def test_there_are_so_many_workers_at_the_most() -> None:
    floor = Floor(limit=1)
    await floor.room.lease(asked(wait=0.0))
    with pytest.raises(WorkerLimit):
        await floor.room.lease(asked(worker="another"))
    await floor.room.end(ME)
    await floor.room.lease(asked(worker="another", wait=0.0))


async def test_w7_the_calls_of_a_worker_that_ends_are_answered_without_orders() -> None:
    floor = Floor()
    call = await begun(floor, asked())
    assert await floor.room.end(ME) == 1
    assert await call == Leased(states=[])


async def test_w7_nothing_is_kept_of_a_worker_that_ended_while_its_calls_were_answered() -> None:
    floor = Floor()
    cut, answered = await begun(floor, asked(call=1)), await begun(floor, asked(call=2))
    floor.committer.offers[1][2].set_result([lent(2, call=2)])  # and taken back by the end
    await floor.room.end(ME)
    cut.cancel()
    await asyncio.wait([cut, answered])
    assert (len(floor.room.running), len(floor.room.leasing.repeats)) == (0, 0)


async def test_w12_calls_that_wait_are_told_to_go_elsewhere_and_reports_are_taken() -> None:
    floor = Floor()
    call = await begun(floor, asked())
    floor.room.refuse_leases()
    assert await call == Leased(states=[], is_going_away=True)
    floor.committer.states = {key(1): State.SUCCEEDED}
    late = await floor.room.lease(asked(done(1), call=2))
    assert late == Leased(states=[State.SUCCEEDED], is_going_away=True)
    assert len(floor.committer.offers) == 1
    with pytest.raises(Draining):
        await floor.room.lease(asked(call=3))


async def test_w12_nothing_is_taken_when_the_ledger_is_closed() -> None:
    floor = Floor()
    floor.room.close()
    with pytest.raises(Draining):
        await floor.room.lease(asked(done(1)))
    with pytest.raises(Draining):
        await floor.room.end(ME)


async def test_an_attempt_is_counted_when_it_is_recorded() -> None:
    floor = Floor()
    call = await begun(floor, asked())
    floor.committer.offers[0][2].set_result([lent(1)])
    await call
    floor.clock.turn(2.5)
    failed = Ending(event=Event.FAIL, failure=Failure(code="OVEN_COLD", message="cold"))
    floor.committer.on_recorded(AttemptEnd(key(1), failed), State.FAILED)
    floor.committer.on_recorded(AttemptEnd(key(2), Ending()), State.SUCCEEDED)
    floor.committer.on_recorded(AttemptEnd(key(3)), State.QUEUED)
    attempts = floor.meters.attempts
    assert attempts.failures.counts == {("OVEN_COLD",): 1}
    assert [attempts.ended["regular", how] for how in ("failed", "succeeded", "released")] == [
        1
    ] * 3
    assert attempts.seconds[1].total == 2.5  # only of what began here it is known
    assert len(floor.room.running) == 0


async def test_what_workers_say_is_counted_by_its_kind() -> None:
    floor = Floor()
    floor.committer.states = {key(1): State.FAILED}
    report = Report(key=key(1), outcome=failure_of(Kind.REJECTED, "OVEN_COLD", "cold"))
    await floor.room.lease(asked(report))
    assert floor.meters.work.outcomes["rejected",] == 1
    (_, ending), *_ = floor.committer.reports
    assert ending == Ending(event=Event.FAIL, failure=Failure(code="OVEN_COLD", message="cold"))
