"""W2 to W8, W13: what workers say counts once; what they leave behind waits again."""

from pathlib import Path

import pytest

from orderintake_server.domain import Ending, Event, Failure, State
from orderintake_server.errors import StoreFull
from orderintake_server.holders import Holder, LentLease, key_of
from orderintake_server.store.base import Policy
from orderintake_server.store.changes import Changes, Take
from orderintake_server.store.sqlite.workers import roster
from orderintake_server.store.work import (
    NOT_STORED,
    REMEMBERED,
    AttemptEnd,
    Work,
    WorkerState,
    WorkerWord,
)
from support.changes import (
    AMPLE,
    DONE,
    FAILED,
    again,
    cancel,
    log_of,
    new,
    order,
    place,
    queue,
    settle,
    start,
    state,
    strictly,
    waiting,
    whole_log,
)
from support.clocks import SECOND
from support.stores import FoundStore, Home, SqliteHome
from support.work import ANN, BEN, CAT, bury, calls, deal, end, numbers, report, say, take, work

ENDINGS = {
    "succeeded": (DONE, State.SUCCEEDED),
    "with a result": (Ending(result=b"r"), State.SUCCEEDED),
    "failed": (FAILED, State.FAILED),
    "retried": (again(60 * SECOND), State.SCHEDULED),
    "returned": (None, State.QUEUED),
}


@pytest.mark.parametrize(("ending", "becomes"), ENDINGS.values(), ids=ENDINGS.keys())
async def test_w2_w3_a_report_counts_once_and_is_answered_the_same_again(
    work_home: Home, shop: FoundStore, ending: Ending | None, becomes: State
) -> None:
    await place(shop, new())
    (lease,) = await take(shop, ANN)
    done = await work(shop, reports=[AttemptEnd(key_of(lease), ending)] * 2)
    assert (done.reports, list(done.repeated)) == ([becomes, becomes], [1])
    left = await work_home.crash()
    assert await report(left, lease, ending=ending) == [becomes]
    assert await state(left, 1) is becomes
    assert len(await whole_log(left)) == (becomes in {State.SUCCEEDED, State.FAILED})


@pytest.mark.parametrize("other", ENDINGS)
@pytest.mark.parametrize("first", ENDINGS)
async def test_w2_a_report_that_cannot_have_been_recorded_is_lost(
    shop: FoundStore, first: str, other: str
) -> None:
    (ending, becomes), (second, would) = ENDINGS[first], ENDINGS[other]
    await place(shop, new())
    (lease,) = await take(shop, ANN)
    await report(shop, lease, ending=ending)
    both_failed = {becomes, would} == {State.FAILED, State.SCHEDULED}
    is_same = becomes is would or both_failed
    assert await report(shop, lease, ending=second) == [becomes if is_same else None]


async def test_w2_a_report_ends_as_an_attempt_in_process_does(shop: FoundStore) -> None:
    await place(shop, *(new() for _ in range(6)))
    own = await start(shop, 3)
    remote = await take(shop, ANN, 3)
    for mine, theirs, ending in zip(own, remote, [Ending(result=b"r"), FAILED, DONE], strict=True):
        await settle(shop, mine, ending=ending)
        await report(shop, theirs, ending=ending)
    ends = await whole_log(shop)
    told = [(end.order.state, end.failure, end.result, end.order.attempt_count) for end in ends]
    assert told[::2] == told[1::2]


async def test_w2_an_order_that_was_cancelled_is_not_tried_again(shop: FoundStore) -> None:
    await place(shop, new(), new(), new())
    leases = await take(shop, ANN, 3)
    await cancel(shop, 1, 2, 3)
    for lease, ending in zip(leases, [DONE, again(), None], strict=True):
        expected = State.SUCCEEDED if ending is DONE else State.CANCELLED
        for _ in range(2):
            assert await report(shop, lease, ending=ending) == [expected]


async def test_w2_who_lost_its_lease_changes_nothing(shop: FoundStore) -> None:
    await place(shop, new())
    (old,) = await take(shop, ANN)
    await bury(shop, ANN)
    (good,) = await take(shop, BEN)
    assert await report(shop, old) == [None]
    assert await report(shop, good, old, ending=again()) == [State.SCHEDULED, None]


async def test_w13_a_failure_of_what_could_not_be_stored_is_the_answer_to_any_repeat(
    shop: FoundStore,
) -> None:
    await place(shop, new())
    (lease,) = await take(shop, ANN)
    failure = Failure(code=NOT_STORED, message="too much")
    await report(shop, lease, ending=Ending(event=Event.FAIL, failure=failure))
    assert await report(shop, lease, ending=DONE) == [State.FAILED]


async def test_w3_what_was_noted_is_forgotten_after_a_while(
    work_home: Home, shop: FoundStore
) -> None:
    await place(shop, new())
    (lease,) = await take(shop, ANN)
    await report(shop, lease, ending=None)
    work_home.clock.turn(REMEMBERED / SECOND - 1)
    assert await report(shop, lease, ending=None) == [State.QUEUED]
    work_home.clock.turn(2)
    assert await report(shop, lease, ending=None) == [None]


async def test_w6_each_attempt_of_a_dead_worker_counts_one_crash_once(shop: FoundStore) -> None:
    await place(shop, new(), new(), new())
    await take(shop, ANN, 2)
    await take(shop, BEN, 1)
    taken = await bury(shop, ANN)
    assert [(key.accept_sequence, state) for key, state in taken] == [
        (1, State.QUEUED),
        (2, State.QUEUED),
    ]
    assert await bury(shop, ANN) == []
    assert await waiting(shop) == [strictly(1, crash_count=1), strictly(2, crash_count=1)]
    assert await shop.at_work.read_worker(ANN) is None
    assert numbers(await take(shop, ANN, 1)) == [1]  # it lives again


@pytest.mark.parametrize("max_crashes", [1, 3])
async def test_w6_an_order_is_quarantined_at_its_last_crash(
    work_home: Home, max_crashes: int
) -> None:
    work_home.policy = Policy(max_crashes=max_crashes)
    shop = await work_home.open()
    await place(shop, new())
    for _ in range(max_crashes - 1):
        await take(shop, ANN)
        assert [state for _, state in await bury(shop, ANN)] == [State.QUEUED]
    (lease,) = await take(shop, ANN)
    assert [state for _, state in await bury(shop, ANN)] == [State.FAILED]
    (completion,) = await whole_log(shop)
    assert completion.failure is not None
    assert completion.failure.code == "QUARANTINED"
    assert await report(shop, lease, ending=FAILED) == [None]


async def test_w6_who_was_only_thought_dead_comes_back_with_its_name(shop: FoundStore) -> None:
    await place(shop, new(), new())
    me = Holder(ANN, 1, "host:7", 4)
    await deal(shop, Take(1, me))
    await bury(shop, ANN)
    assert await shop.at_work.read_worker(ANN) is None
    await deal(shop, Take(1, Holder(ANN, 2, "host:7", 4)))
    row = await shop.at_work.read_worker(ANN)
    assert row is not None
    assert (row.name, row.capacity, len(row.leases)) == ("host:7", 4, 1)
    await deal(shop, Take(1, Holder(ANN, 3, "another", 9)))
    row = await shop.at_work.read_worker(ANN)
    assert row is not None
    assert (row.name, row.capacity, len(row.leases)) == ("host:7", 4, 2)


async def test_w6_a_cancelled_order_of_a_dead_worker_is_cancelled(shop: FoundStore) -> None:
    await place(shop, new())
    await take(shop, ANN)
    await cancel(shop, 1)
    assert [state for _, state in await bury(shop, ANN)] == [State.CANCELLED]
    assert await log_of(shop) == [(1, State.CANCELLED)]


async def test_w7_what_an_ended_worker_had_waits_again_uncounted(shop: FoundStore) -> None:
    await place(shop, new(), new(), new())
    await take(shop, ANN, 3)
    await cancel(shop, 2)
    taken = await end(shop, ANN)
    assert [state for _, state in taken] == [State.QUEUED, State.CANCELLED, State.QUEUED]
    assert await end(shop, ANN) == []
    assert await queue(shop) == [1, 3]
    assert (await order(shop, 1)).attempt_count == 0


async def test_w7_a_death_after_the_stop_was_announced_is_not_counted(shop: FoundStore) -> None:
    await place(shop, new())
    await take(shop, ANN)
    assert await say(shop, WorkerWord(ANN, is_stopping=True)) is WorkerState.STOPS
    assert await say(shop, WorkerWord(ANN)) is WorkerState.STOPS
    assert [state for _, state in await bury(shop, ANN)] == [State.QUEUED]
    assert await waiting(shop) == [strictly(1)]
    assert (await order(shop, 1)).attempt_count == 0


async def test_w7_a_worker_that_ended_stays_so_for_a_while(
    work_home: Home, shop: FoundStore
) -> None:
    await place(shop, new())
    await end(shop, ANN)
    assert await bury(shop, ANN) == []
    left = await work_home.crash()
    assert await say(left, WorkerWord(ANN, name="late")) is WorkerState.ENDED
    assert await take(left, ANN) == []
    work_home.clock.turn(REMEMBERED / SECOND + 1)
    assert numbers(await take(left, ANN)) == [1]


async def test_w7_of_too_many_that_ended_the_first_are_forgotten(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(roster, "MOST_ENDED", 2)
    home = SqliteHome(tmp_path)
    shop = await home.open()
    for worker_id in ANN, BEN, CAT:
        await end(shop, worker_id)
    shop = await home.crash()
    rows = [await shop.at_work.read_worker(worker_id) for worker_id in (ANN, BEN, CAT)]
    assert [row is not None and row.is_ended for row in rows] == [False, True, True]
    await end(shop, ANN)
    assert await shop.at_work.read_worker(BEN) is None
    await home.close()


async def test_w8_attempts_of_workers_outlive_the_server(work_home: Home, shop: FoundStore) -> None:
    await place(shop, *(new() for _ in range(4)))
    (own,) = (await deal(shop, Take(1))).claimed_next
    kept = await take(shop, ANN, 2)
    left = await work_home.crash()
    assert (left.recovery.recovered, left.recovery.kept) == (1, 2)
    assert await report(left, *kept) == [State.SUCCEEDED, State.SUCCEEDED]
    assert await waiting(left) == [strictly(1, crash_count=1), strictly(4)]
    assert await settle(left, own) == [None]


async def test_what_a_full_disk_refuses_of_workers_was_not_done(
    work_home: Home, shop: FoundStore
) -> None:
    await place(shop, *(new() for _ in range(3)))
    await say(shop, WorkerWord(ANN, capacity=4))
    (lease,) = await take(shop, ANN, call=1)
    await take(shop, BEN)
    words = [WorkerWord("eve-5", capacity=9), WorkerWord(ANN, capacity=7)]
    asked = Work(reports=[AttemptEnd(key_of(lease), DONE)], words=words, ends=[ANN], deaths=[BEN])
    full = Changes(work=asked, accepts=[[new(b"x" * 90_000)]], capacity=AMPLE)
    with work_home.full(), pytest.raises(StoreFull):
        await shop.commit(full)
    committed = await deal(shop, Take(1, calls(ANN, 1)), Take(1, calls(ANN, 2)))
    assert (committed.told_again, numbers(committed.claimed_next)) == ([lease], [3])
    assert committed.capacity == 4
    assert [state for _, state in await bury(shop, BEN)] == [State.QUEUED]


async def test_a_worker_is_known_by_what_it_said(work_home: Home, shop: FoundStore) -> None:
    assert await shop.at_work.read_worker(ANN) is None
    assert await say(shop, WorkerWord(ANN, name="ann:1", capacity=16)) is WorkerState.WORKS
    assert await say(shop, WorkerWord(BEN, capacity=4, is_stopping=True)) is WorkerState.STOPS
    await place(shop, new(), new())
    leases = await take(shop, ANN, 2, call=3)
    committed = await shop.commit(Changes(work=Work(words=[WorkerWord(ANN, capacity=8)])))
    assert committed.capacity == 12
    await _knows_both(shop, leases)
    store = await work_home.crash()
    await _knows_both(store, leases)
    await end(store, BEN)
    assert [row.worker_id for row in await store.at_work.list_workers()] == [ANN]
    assert (await store.commit(Changes())).capacity == 8
    assert (await deal(store, Take(1, calls(BEN)))).closed


async def _knows_both(store: FoundStore, leases: list[LentLease]) -> None:
    rows = {row.worker_id: row for row in await store.at_work.list_workers()}
    assert (rows[ANN].name, rows[ANN].capacity, rows[ANN].is_stopping) == ("ann:1", 8, False)
    assert (rows[BEN].capacity, rows[BEN].is_stopping) == (4, True)
    held = [(held.key, held.call, held.is_cancel_requested) for held in rows[ANN].leases]
    assert held == [(key_of(lease), 3, False) for lease in leases]
