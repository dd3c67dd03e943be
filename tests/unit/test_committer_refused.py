"""P22: a commit that fails by one request's data refuses that request alone."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing

import pytest

from orderintake_server.dispatch.inbox import CommitPolicy
from orderintake_server.domain import CancelOutcome, Ending, State, Tier
from orderintake_server.errors import StorageUnavailable, StoreBroken, StoreFull, StoreRefused
from orderintake_server.store.changes import CancelWaiting, Changes, Committed
from support.changes import BOSS, DONE, new, state, whole_log
from support.desk import Desk, working
from support.faulty import FaultyStore

BAD = b"guilty"
AT_ONCE = CommitPolicy(retry_seconds=0.0, probe_seconds=0.0)


@pytest.fixture
async def desk(store: FaultyStore) -> AsyncIterator[Desk]:
    """A committer at work, on a store that an operator has taught to refuse some data."""
    with closing(sqlite3.connect(store._path)) as operator:  # noqa: SLF001 - the file itself
        for table, condition in (
            ("orders", f"NEW.content = X'{BAD.hex()}'"),
            ("log", f"NEW.result = X'{BAD.hex()}'"),
            ("log", "NEW.customer_id = 'eve'"),
        ):
            name = f"refusing_{table}_{len(condition)}"
            operator.execute(
                f"CREATE TRIGGER {name} BEFORE INSERT ON {table} WHEN {condition}"
                " BEGIN SELECT RAISE(ABORT, 'an operator refuses it'); END"
            )
        async with working(Desk(store, commits=AT_ONCE)) as desk:
            yield desk


async def test_of_many_orders_in_one_commit_only_the_guilty_one_is_refused(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(new())
    store.hold()
    contents = [BAD if n == 41 else b"%d" % n for n in range(64)]
    answers = [desk.committer.accept((new(content),)) for content in contents]
    while not store.begun.empty():
        store.begun.get_nowait()
    store.let_go()
    found = await asyncio.gather(*answers, return_exceptions=True)
    assert [n for n, answer in enumerate(found) if isinstance(answer, StoreRefused)] == [41]
    numbers = [a[0].order.accept_sequence for a in found if isinstance(a, tuple)]
    assert numbers == list(range(2, 65))
    assert store.begun.qsize() <= 16  # halved, and not tried one by one


async def test_the_orders_of_a_group_are_refused_together(desk: Desk) -> None:
    with pytest.raises(StoreRefused):
        await desk.place(new(), new(BAD))
    (receipt,) = await desk.place(new())
    assert receipt.order.accept_sequence == 1


async def test_everything_else_of_a_refused_commit_is_done(store: FaultyStore, desk: Desk) -> None:
    await desk.place(*[new()] * 5)
    ended, released = await desk.starts(2)
    store.hold()
    claim = desk.committer.next_order()
    desk.committer.settle(ended, DONE)
    desk.committer.release(released)
    cancel = desk.committer.cancel(5)
    pause = desk.committer.pause(Tier.VIP, is_paused=True)
    bad, good = desk.committer.accept((new(BAD),)), desk.committer.accept((new(),))
    store.let_go()
    with pytest.raises(StoreRefused):
        await bad
    assert (await good)[0].order.accept_sequence == 6
    cancelled = await cancel
    assert cancelled is not None
    assert cancelled.outcome is CancelOutcome.CANCELLED
    await pause
    assert desk.stats.of(Tier.VIP).is_paused
    assert (await claim).order.accept_sequence in {2, 3}
    assert await state(store, 1) is State.SUCCEEDED


async def test_a_cancel_of_many_that_is_refused_refuses_nothing_else(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(new(), new(customer_id="eve"))
    lease = await desk.start()
    store.hold()
    desk.committer.settle(lease, DONE)
    bad = desk.committer.cancel_waiting(CancelWaiting([2], BOSS))
    store.let_go()
    with pytest.raises(StoreRefused):
        await bad
    await desk.completions.head_beyond(0)
    assert await state(store, 1) is State.SUCCEEDED


async def test_an_order_whose_result_is_refused_fails_plainly_and_holds_up_nobody(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(*[new()] * 3)
    leases = await desk.starts(3)
    store.hold()
    for lease, result in zip(leases, (b"fine", BAD, b"fine"), strict=True):
        desk.committer.settle(lease, Ending(result=result))
    store.let_go()
    await desk.completions.head_beyond(2)
    ends = {end.order.accept_sequence: end for end in await whole_log(store)}
    assert [ends[n].order.state for n in (1, 2, 3)] == [
        State.SUCCEEDED,
        State.FAILED,
        State.SUCCEEDED,
    ]
    failure = ends[2].failure
    assert failure is not None
    assert failure.code == "OUTCOME_NOT_STORED"


async def test_an_order_that_cannot_even_fail_is_tried_again_and_holds_up_nobody(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(new(customer_id="eve"), new())
    eves, adas = await desk.starts(2)
    desk.committer.settle(eves, DONE)
    desk.committer.settle(adas, DONE)
    await desk.completions.head_beyond(0)
    for _ in range(3):
        await desk.place(new())
    assert await state(store, 1) is State.PROCESSING
    await asyncio.to_thread(_forgive, store)
    await desk.completions.head_beyond(1)
    assert await state(store, 1) is State.FAILED


def _forgive(store: FaultyStore) -> None:
    with closing(sqlite3.connect(store._path)) as operator:  # noqa: SLF001 - as above
        names = operator.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in names.fetchall():
            operator.execute(f"DROP TRIGGER {name}")


@pytest.mark.parametrize(
    "fault", [StoreFull("no room"), StoreBroken("malformed")], ids=["full", "broken"]
)
async def test_an_obstacle_while_parts_are_tried_refuses_all_that_is_left(
    store: FaultyStore, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = iter([StoreRefused("one of them"), StoreRefused("one of half"), *[fault] * 99])

    async def fails(_: Changes) -> Committed:
        raise next(faults)

    monkeypatch.setattr(store, "commit", fails)
    desk = Desk(store, commits=AT_ONCE)
    answers = [desk.committer.accept((new(),)) for _ in range(8)]
    desk.committer.close()
    running = asyncio.create_task(desk.committer.run())
    found = await asyncio.gather(*answers, return_exceptions=True)
    assert [type(answer) for answer in found] == [StorageUnavailable] * 8
    (end,) = await asyncio.gather(running, return_exceptions=True)
    assert end is (fault if isinstance(fault, StoreBroken) else None)


async def test_a_store_that_refuses_to_do_what_is_due_ends_nothing(store: FaultyStore) -> None:
    store.fault = StoreRefused("what is due")
    async with working(Desk(store, commits=AT_ONCE)) as desk:
        for _ in range(3):
            await store.begun.get()
        with pytest.raises(StoreRefused):
            await desk.place(new())
        store.repair()
        assert len(await desk.place(new())) == 1
