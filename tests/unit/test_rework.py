"""Many orders are redriven or cancelled by one call, and a repeat of it changes nothing more."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from orderintake_server import rework
from orderintake_server.dispatch.admission import Limits
from orderintake_server.domain import State, WaitEstimate
from orderintake_server.errors import Draining, QueueFull, RequestIdReused, StorageUnavailable
from orderintake_server.rework import Bulk, BulkOutcome, Section
from orderintake_server.views import Selection
from support.changes import BOSS, FAILED, actions, complete, log_of, new, queue, state, told
from support.desk import Desk, working
from support.faulty import FaultyStore

ALL, WHOLE = Selection(), Section()
HOUR = 3600


@pytest.fixture
async def desk(store: FaultyStore) -> AsyncIterator[Desk]:
    """A desk at work, where five orders have failed."""
    orders = [new(b"x" * 100, customer_id=name) for name in ("ada", "bob", "ada", "ada", "bob")]
    desk = Desk(store)
    desk.completions.publish(await complete(store, *orders, ending=FAILED))
    async with working(desk):
        yield desk


def bulk(
    request_id: str = "", *, wanted: Selection = ALL, section: Section = WHOLE, limit: int = 9
) -> Bulk:
    """Ask for many orders to be changed."""
    by = replace(BOSS, request_id=request_id)
    return Bulk(wanted=wanted, section=section, limit=limit, by=by)


async def left(desk: Desk, wanted: Selection = ALL) -> list[int]:
    """Tell which failures are left, the newest first."""
    failures, _ = await desk.intake.rework.failures(wanted, after=0, limit=99)
    return [failed.completion.order.accept_sequence for failed in failures]


async def test_the_oldest_failures_are_redriven_first_and_leave_the_list(desk: Desk) -> None:
    done = await desk.intake.rework.redrive_many(bulk("r", limit=3), trace=b"t" * 25)
    assert done == BulkOutcome(3, is_replayed=False, rest=Section(3, 5))
    assert await left(desk) == [5, 4]
    for number, original in ((6, 1), (7, 2), (8, 3)):
        order = (await desk.intake.get(number, owner=None)).found
        assert (getattr(order, "redrive_of", 0), getattr(order, "trace", b"")) == (
            original,
            b"t" * 25,
        )
    assert told(await actions(desk.store)) == [("REDRIVE_ORDER", "boss", n) for n in (1, 2, 3)]


async def test_calls_go_on_where_the_one_before_ended(desk: Desk) -> None:
    counts: list[int] = []
    rest: Section | None = WHOLE
    while rest is not None:
        done = await desk.intake.rework.redrive_many(bulk(section=rest, limit=2))
        counts.append(done.orders)
        rest = done.rest
    assert (counts, await left(desk)) == ([2, 2, 1], [])


async def test_calls_that_go_on_leave_the_copies_that_failed_meanwhile(desk: Desk) -> None:
    rework, counts = desk.intake.rework, []
    rest: Section | None = WHOLE
    while rest is not None:
        done = await rework.redrive_many(bulk(section=rest, limit=2))
        counts.append(done.orders)
        for _ in range(done.orders):
            desk.committer.settle(await desk.start(), FAILED)
        await desk.completions.head_beyond(4 + sum(counts))
        rest = done.rest
    assert (counts, await left(desk)) == ([2, 2, 1], [10, 9, 8, 7, 6])


async def test_a_cancel_that_goes_on_leaves_what_was_accepted_meanwhile(desk: Desk) -> None:
    await desk.place(new(), new(), new())
    first = await desk.intake.rework.cancel_many(bulk(limit=2))
    await desk.place(new())
    assert (first.orders, first.rest) == (2, Section(7, 8))
    then = await desk.intake.rework.cancel_many(bulk(section=Section(7, 8)))
    assert (then.orders, then.rest, await queue(desk.store)) == (1, None, [9])


async def test_a_repeat_of_a_redrive_tells_what_the_first_one_did(desk: Desk) -> None:
    asked = bulk("r", limit=2)
    first = await desk.intake.rework.redrive_many(asked)
    again = await desk.intake.rework.redrive_many(asked)
    assert first == BulkOutcome(2, is_replayed=False, rest=Section(2, 5))
    assert again == BulkOutcome(2, is_replayed=True, rest=Section(2, 5))
    assert await left(desk) == [5, 4, 3]


async def test_a_repeat_goes_on_no_further_than_the_first_call_would_have(desk: Desk) -> None:
    rework = desk.intake.rework
    for redriven in (bulk("r", limit=2), bulk("s")):
        first = await rework.redrive_many(redriven)
        desk.committer.settle(await desk.start(), FAILED)
        await desk.completions.head_beyond((await desk.store.bounds())[1])
        again = await rework.redrive_many(redriven)
        assert again == first._replace(is_replayed=True)
    await desk.place(new(), new(), new())
    for cancelled in (bulk("t", limit=2), bulk("u")):
        first_cancel = await rework.cancel_many(cancelled)
        await desk.place(new())
        assert await rework.cancel_many(cancelled) == first_cancel._replace(is_replayed=True)


async def test_without_a_request_id_a_repeat_goes_on(desk: Desk) -> None:
    for remaining in ([5, 4, 3], [5], []):
        assert (await desk.intake.rework.redrive_many(bulk(limit=2))).orders > 0
        assert await left(desk) == remaining
    assert (await desk.intake.rework.redrive_many(bulk(limit=2))).orders == 0
    assert len({each.by.request_id for each in await actions(desk.store)}) == 3


async def test_a_call_that_changed_nothing_is_not_remembered(desk: Desk) -> None:
    nobody = bulk("r", wanted=Selection(customer_id="eve"))
    assert (await desk.intake.rework.redrive_many(nobody)).orders == 0
    done = await desk.intake.rework.redrive_many(bulk("r"))
    assert (done.orders, done.is_replayed) == (5, False)


async def test_a_repeat_whose_first_call_is_under_way_redrives_nothing_else(
    desk: Desk, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.hold()
    both_wait = asyncio.Barrier(2)
    accept = desk.committer.accept

    async def accept_both(group: Any) -> Any:  # noqa: ANN401 - as it does
        answer = accept(group)
        await both_wait.wait()
        store.let_go()
        return await answer

    monkeypatch.setattr(desk.committer, "accept", accept_both)
    asked = bulk("r", limit=2)
    calls = [asyncio.create_task(desk.intake.rework.redrive_many(asked)) for _ in range(2)]
    assert [(await call).orders for call in calls] == [2, 2]
    assert await left(desk) == [5, 4, 3]
    assert len(await queue(store)) == 2


async def test_a_repeat_that_reads_before_the_commit_and_looks_after_it_changes_nothing(
    desk: Desk, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = bulk("r", limit=2)
    find_bulk = store.selections.find_bulk

    async def find_after_the_first_call(request_id: str) -> Any:  # noqa: ANN401 - as it does
        monkeypatch.undo()
        await desk.intake.rework.redrive_many(asked)
        return await find_bulk(request_id)

    monkeypatch.setattr(store.selections, "find_bulk", find_after_the_first_call)
    done = await desk.intake.rework.redrive_many(asked)
    assert (done.orders, done.is_replayed) == (2, True)
    assert await left(desk) == [5, 4, 3]


async def test_of_two_calls_that_redrive_the_same_each_tells_what_it_did(desk: Desk) -> None:
    done = await asyncio.gather(
        desk.intake.rework.redrive_many(bulk("r", limit=2)),
        desk.intake.rework.redrive_many(bulk("s", limit=3)),
    )
    by_call = [each.by.request_id for each in await actions(desk.store)]
    assert [each.orders for each in done] == [by_call.count("r"), by_call.count("s")]
    assert (len(by_call), await left(desk)) == (3, [5, 4])


async def test_a_redriven_order_is_not_redriven_again_and_one_call_more_gives_its_copy(
    desk: Desk,
) -> None:
    copy = await desk.intake.rework.redrive(2, by=BOSS)
    assert (await desk.intake.rework.redrive_many(bulk("r"))).orders == 4
    again = await desk.intake.rework.redrive(3, by=BOSS)
    assert (copy.replayed, again.replayed) == (False, True)


async def test_all_copies_of_a_call_are_placed_or_none(store: FaultyStore) -> None:
    desk = Desk(store, limits=Limits(queue=5))
    await complete(store, *[new() for _ in range(5)], ending=FAILED)
    async with working(desk):
        await desk.place(new())
        with pytest.raises(QueueFull):
            await desk.intake.rework.redrive_many(bulk("r"))
        assert (await queue(store), await left(desk)) == ([6], [5, 4, 3, 2, 1])
        assert (await desk.intake.rework.redrive_many(bulk("r", limit=4))).orders == 4


async def test_a_call_redrives_no_more_content_than_a_batch_has(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rework, "BULK_BYTES", 1_000)
    done = await desk.intake.rework.redrive_many(bulk())
    assert 0 < done.orders < 5
    assert done.rest == Section(done.orders, 5)


async def test_p13_many_that_wait_are_cancelled_and_what_runs_goes_on(desk: Desk) -> None:
    later = desk.store.clock.later(HOUR)
    await desk.place(new(vip=True), new(), new(not_before=later), new(customer_id="bob"))
    lease = await desk.start()
    done = await desk.intake.rework.cancel_many(bulk("r", wanted=Selection(customer_id="ada")))
    assert done == BulkOutcome(2, is_replayed=False, rest=None)
    assert (await log_of(desk.store))[5:] == [(7, State.CANCELLED), (8, State.CANCELLED)]
    assert (lease.order.accept_sequence, await queue(desk.store)) == (6, [9])
    assert not desk.attempts.begin(lease.order).is_requested
    again = await desk.intake.rework.cancel_many(bulk("r"))
    assert again == BulkOutcome(2, is_replayed=True, rest=Section(8, 9))
    assert await state(desk.store, 9) is State.QUEUED


async def test_an_order_that_starts_meanwhile_is_neither_cancelled_nor_told(
    desk: Desk, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.place(new(), new())
    list_waiting = store.selections.list_waiting

    async def list_before_one_starts(*asked: Any, **named: Any) -> Any:  # noqa: ANN401 - as it does
        listed = await list_waiting(*asked, **named)
        await desk.start()
        return listed

    monkeypatch.setattr(store.selections, "list_waiting", list_before_one_starts)
    assert (await desk.intake.rework.cancel_many(bulk("r"))).orders == 1
    assert await state(store, 6) is State.PROCESSING
    assert told(await actions(store)) == [("CANCEL_ORDER", "boss", 7)]


async def test_what_was_cancelled_does_not_hold_up_what_comes_later(
    desk: Desk, store: FaultyStore
) -> None:
    await desk.place(*[new() for _ in range(99)])
    await desk.intake.rework.cancel_many(bulk(limit=99))
    await desk.place(new())
    before = store.begun.qsize()
    assert (await desk.start()).order.accept_sequence == 105
    assert store.begun.qsize() - before < 5


async def test_what_was_promised_to_those_that_are_cancelled_is_forgotten(desk: Desk) -> None:
    await desk.place(new(), new())
    for number in (6, 7):
        desk.meters.promises.note(number, lambda: WaitEstimate(1.0, 0.5, 2.0))
    await desk.intake.rework.cancel_many(bulk())
    assert len(desk.meters.promises) == 0


async def test_what_was_cancelled_is_counted_by_tier(desk: Desk) -> None:
    await desk.place(new(vip=True), new(), new())
    await desk.intake.rework.cancel_many(bulk())
    completed = {labels: count for labels, count in desk.meters.commits.completed.items() if count}
    assert completed == {("regular", "cancelled"): 2, ("vip", "cancelled"): 1}


@pytest.mark.parametrize("first", ["redrive_many", "cancel_many"])
async def test_a_request_id_of_the_other_kind_is_refused(desk: Desk, first: str) -> None:
    await desk.place(new())
    calls: dict[str, Callable[[Bulk], Any]] = {
        "redrive_many": desk.intake.rework.redrive_many,
        "cancel_many": desk.intake.rework.cancel_many,
    }
    await calls.pop(first)(bulk("r"))
    (second,) = calls.values()
    before = await actions(desk.store)
    with pytest.raises(RequestIdReused):
        await second(bulk("r"))
    assert await actions(desk.store) == before


async def test_p19_a_draining_service_redrives_nothing_and_cancels(desk: Desk) -> None:
    await desk.place(new())
    desk.intake.refuse_orders()
    with pytest.raises(Draining):
        await desk.intake.rework.redrive_many(bulk())
    assert (await desk.intake.rework.cancel_many(bulk())).orders == 1


async def test_without_room_on_the_disk_both_are_refused(desk: Desk, store: FaultyStore) -> None:
    await desk.place(new())
    store.fill()
    for call in (desk.intake.rework.redrive_many, desk.intake.rework.cancel_many):
        asked: Any = call
        with pytest.raises(StorageUnavailable):
            await asked(bulk("r"))
    store.repair()
    assert (await desk.intake.rework.redrive_many(bulk("r"))).orders == 5
