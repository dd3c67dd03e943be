"""P13: to cancel is one durable change; its answer always matches the completion that follows."""

import pytest

from orderintake_server.domain import (
    Cancelled,
    CancelOutcome,
    Completion,
    Ending,
    Event,
    Lease,
    State,
)
from orderintake_server.store.base import Policy
from orderintake_server.store.changes import Cancel, Changes, Settlement
from support.changes import (
    DONE,
    FAILED,
    again,
    cancel,
    log_of,
    look,
    new,
    place,
    queue,
    release,
    settle,
    start,
    state,
    waiting,
    waits,
    whole_log,
)
from support.clocks import SECOND
from support.stores import FoundStore, Home


async def test_a_queued_order_is_cancelled(home: Home, store: FoundStore) -> None:
    await place(store, new(), new(), new(vip=True))
    assert await _outcomes(store, 1, 3) == [CancelOutcome.CANCELLED] * 2
    assert await queue(store) == [2]
    left = await home.crash()
    assert await log_of(left) == [(1, State.CANCELLED), (3, State.CANCELLED)]
    assert await queue(left) == [2]


async def test_the_answer_shows_the_completion(store: FoundStore) -> None:
    await place(store, new(b"tea"))
    (answer,) = await cancel(store, 1)
    (completion,) = await whole_log(store)
    assert answer == Cancelled(outcome=CancelOutcome.CANCELLED, stands=completion)
    assert completion.order.content == b"tea"
    assert (completion.order.attempt_count, completion.order.start_sequence) == (0, 0)
    assert completion.order.complete_time > completion.order.accept_time
    assert (completion.failure, completion.result) == (None, None)


async def test_a_scheduled_order_is_cancelled(home: Home, store: FoundStore) -> None:
    await place(store, new(not_before=home.clock.later(60)))
    assert await _outcomes(store, 1) == [CancelOutcome.CANCELLED]
    home.clock.turn(100)
    assert waits((await look(store)).counts) == 0
    assert await log_of(store) == [(1, State.CANCELLED)]


async def test_an_order_that_waits_for_another_attempt_is_cancelled(
    home: Home, store: FoundStore
) -> None:
    await place(store, new())
    await settle(store, *await start(store), ending=again(60 * SECOND))
    assert await _outcomes(store, 1) == [CancelOutcome.CANCELLED]
    home.clock.turn(100)
    assert await queue(store) == []
    (completion,) = await whole_log(store)
    assert completion.order.attempt_count == 1
    assert completion.failure is None


async def test_an_order_in_process_is_asked_to_stop(store: FoundStore) -> None:
    await place(store, new())
    (lease,) = await start(store)
    asked = Cancelled(outcome=CancelOutcome.CANCEL_REQUESTED, stands=lease.order)
    assert await cancel(store, 1) == [asked]
    assert await cancel(store, 1) == [asked]
    assert await whole_log(store) == []


async def test_an_order_that_succeeds_all_the_same_has_succeeded(store: FoundStore) -> None:
    lease = await _asked_to_stop(store)
    assert await settle(store, lease, ending=Ending(result=b"r")) == [State.SUCCEEDED]
    (completion,) = await whole_log(store)
    assert completion.result == b"r"
    assert await _outcomes(store, 1) == [CancelOutcome.TOO_LATE]


HEEDED = {
    "fails": FAILED,
    "would be tried again": again(),
    "would be tried again, nobody says why": Ending(event=Event.RETRY, retry_after=5),
}


@pytest.mark.parametrize("ending", HEEDED.values(), ids=HEEDED.keys())
async def test_an_order_that_was_to_stop_and_does_not_succeed_is_cancelled(
    store: FoundStore, ending: Ending
) -> None:
    lease = await _asked_to_stop(store)
    assert await settle(store, lease, ending=ending) == [State.CANCELLED]
    (completion,) = await whole_log(store)
    assert completion.failure is None
    assert completion.order.attempt_count == 1
    assert completion.order.start_sequence == lease.order.start_sequence
    assert await _outcomes(store, 1) == [CancelOutcome.CANCELLED]


async def test_an_order_that_was_to_stop_and_is_given_back_is_cancelled(store: FoundStore) -> None:
    lease = await _asked_to_stop(store)
    assert await release(store, lease) == [State.CANCELLED]
    assert await log_of(store) == [(1, State.CANCELLED)]
    assert await waiting(store) == []


@pytest.mark.parametrize("max_crashes", [1, 3])
async def test_an_order_that_was_to_stop_and_crashes_is_cancelled(
    home: Home, store: FoundStore, max_crashes: int
) -> None:
    await _asked_to_stop(store)
    home.policy = Policy(max_crashes=max_crashes)
    left = await home.crash()
    assert (left.recovery.recovered, left.recovery.quarantined) == (0, 0)
    assert (left.recovery.head, waits(left.recovery.counts)) == (1, 0)
    assert await log_of(left) == [(1, State.CANCELLED)]


async def test_a_request_to_stop_is_for_that_attempt_only_when_it_ended_otherwise(
    store: FoundStore,
) -> None:
    await place(store, new(), new())
    first, second = await start(store, 2)
    await cancel(store, 1)
    assert await settle(store, second, ending=again()) == [State.SCHEDULED]
    assert await settle(store, first, ending=again()) == [State.CANCELLED]
    assert await queue(store) == [2]


@pytest.mark.parametrize("ending", [DONE, FAILED])
async def test_an_ended_order_stays_as_it_ended(store: FoundStore, ending: Ending) -> None:
    await place(store, new())
    await settle(store, *await start(store), ending=ending)
    (completion,) = await whole_log(store)
    assert await cancel(store, 1) == [Cancelled(outcome=CancelOutcome.TOO_LATE, stands=completion)]
    assert await whole_log(store) == [completion]


async def test_an_expired_order_is_too_late_to_cancel(home: Home, store: FoundStore) -> None:
    await place(store, new(expire_time=home.clock.later(1)))
    home.clock.turn(2)
    assert await _outcomes(store, 1) == [CancelOutcome.TOO_LATE]
    assert await log_of(store) == [(1, State.EXPIRED)]


async def test_an_unknown_order_is_none(store: FoundStore) -> None:
    await place(store, new())
    assert await cancel(store, 0, 2, 2**48 - 1) == [None] * 3
    assert await queue(store) == [1]


async def test_a_repeated_cancel_is_answered_alike(home: Home, store: FoundStore) -> None:
    await place(store, new())
    first, twin = await cancel(store, 1, 1)
    (later,) = await cancel(store, 1)
    (after_crash,) = await cancel(await home.crash(), 1)
    assert first == twin == later == after_crash
    assert first
    assert first.outcome is CancelOutcome.CANCELLED


async def test_many_are_cancelled_by_one_commit_each_answered_in_its_place(
    home: Home, store: FoundStore
) -> None:
    await place(store, new(), new(), new(), new(not_before=home.clock.later(9)), new(vip=True))
    ended, _ = await start(store, 2)  # the VIP order 5, and order 1
    await settle(store, ended)
    assert await _outcomes(store, 9, 4, 1, 2, 5, 4) == [
        None,
        CancelOutcome.CANCELLED,
        CancelOutcome.CANCEL_REQUESTED,
        CancelOutcome.CANCELLED,
        CancelOutcome.TOO_LATE,
        CancelOutcome.CANCELLED,
    ]
    assert await queue(store) == [3]
    assert [end.sequence for end in await whole_log(store)] == [1, 2, 3]


async def test_an_order_cancelled_and_claimed_by_one_commit_is_cancelled(store: FoundStore) -> None:
    await place(store, new(), new())
    places = await waiting(store)
    committed = await store.commit(Changes(cancels=[Cancel(1)], claims=places))
    assert _outcome(committed.cancelled[0]) is CancelOutcome.CANCELLED
    assert [lease and lease.order.accept_sequence for lease in committed.claimed] == [None, 2]
    assert await log_of(store) == [(1, State.CANCELLED)]


SETTLED_AND_CANCELLED = [
    (DONE, State.SUCCEEDED, CancelOutcome.TOO_LATE, State.SUCCEEDED),
    (FAILED, State.FAILED, CancelOutcome.TOO_LATE, State.FAILED),
    (again(), State.SCHEDULED, CancelOutcome.CANCELLED, State.CANCELLED),
]


@pytest.mark.parametrize(("ending", "settled", "answer", "end"), SETTLED_AND_CANCELLED)
async def test_an_order_settled_and_cancelled_by_one_commit_was_settled_first(
    store: FoundStore, ending: Ending, settled: State, answer: CancelOutcome, end: State
) -> None:
    await place(store, new())
    (lease,) = await start(store)
    committed = await store.commit(
        Changes(settles=[Settlement(lease=lease, ending=ending)], cancels=[Cancel(1)])
    )
    assert committed.settled == [settled]
    assert _outcome(committed.cancelled[0]) is answer
    assert await log_of(store) == [(1, end)]


async def test_an_order_given_back_cancelled_and_claimed_by_one_commit_is_cancelled(
    store: FoundStore,
) -> None:
    await place(store, new())
    (place_in_queue,) = await waiting(store)
    (lease,) = await start(store)
    committed = await store.commit(
        Changes(releases=[lease], cancels=[Cancel(1)], claims=[place_in_queue])
    )
    assert committed.released == [State.QUEUED]
    assert _outcome(committed.cancelled[0]) is CancelOutcome.CANCELLED
    assert committed.claimed == [None]
    assert await state(store, 1) is State.CANCELLED


async def test_a_cancelled_request_id_is_replayed_not_reused(store: FoundStore) -> None:
    await place(store, new(request_id="r"))
    await cancel(store, 1)
    (receipt,) = await place(store, new(request_id="r"))
    assert receipt.replayed
    assert receipt.order.state is State.CANCELLED
    assert (receipt.after, receipt.position) == (0, 0)


async def _asked_to_stop(store: FoundStore) -> Lease:
    await place(store, new())
    (lease,) = await start(store)
    assert await _outcomes(store, 1) == [CancelOutcome.CANCEL_REQUESTED]
    return lease


async def _outcomes(store: FoundStore, *numbers: int) -> list[CancelOutcome | None]:
    answers = await cancel(store, *numbers)
    for number, answer in zip(numbers, answers, strict=True):
        assert (answer and answer.stands) == await store.find(number)
        if answer and isinstance(answer.stands, Completion):
            assert answer.stands.order.accept_sequence == number
    return [_outcome(answer) for answer in answers]


def _outcome(answer: Cancelled | None) -> CancelOutcome | None:
    return answer.outcome if answer else None
