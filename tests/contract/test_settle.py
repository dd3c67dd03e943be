"""P9, P10: every order ends once, by the attempt that holds its lease, in the log's next place."""

import pytest

from orderintake_server.domain import Completion, Ending, Event, Failure, State
from orderintake_server.store.changes import Changes, Settlement
from support.changes import DONE, FAILED, claim, new, place, settle, start, waiting, whole_log
from support.stores import FoundStore, Home


async def test_completions_are_numbered_in_the_order_of_the_settles(store: FoundStore) -> None:
    await place(store, new(), new(), new())
    first, second, third = await start(store, 3)
    assert await settle(store, third, first) == [State.SUCCEEDED] * 2
    assert await settle(store, second, ending=FAILED) == [State.FAILED]
    log = await whole_log(store)
    assert [completion.sequence for completion in log] == [1, 2, 3]
    assert [completion.order.accept_sequence for completion in log] == [3, 1, 2]


async def test_completion_sequences_have_no_hole(home: Home, store: FoundStore) -> None:
    await place(store, *(new() for _ in range(4)))
    first, second = await start(store, 2)
    assert await settle(store, first, first, second) == [State.SUCCEEDED, None, State.SUCCEEDED]
    left = await home.crash()
    assert left.recovery.head == 2
    await settle(left, *await start(left))
    await home.close()
    again = await home.open()
    assert again.recovery.head == 3
    await settle(again, *await start(again))
    assert [end.sequence for end in await whole_log(again)] == [1, 2, 3, 4]


async def test_p10_an_order_ends_once(store: FoundStore) -> None:
    await place(store, new())
    (lease,) = await start(store)
    assert await settle(store, lease) == [State.SUCCEEDED]
    before = await store.find(1)
    assert await settle(store, lease, ending=FAILED) == [None]
    assert await settle(store, lease, lease) == [None, None]
    assert await store.find(1) == before
    assert len(await whole_log(store)) == 1


async def test_p10_the_lease_of_a_dead_process_changes_nothing(
    home: Home, store: FoundStore
) -> None:
    await place(store, new())
    (stale,) = await start(store)
    left = await home.crash()
    assert await settle(left, stale) == [None]
    (good,) = await start(left)
    assert await settle(left, stale, ending=FAILED) == [None]
    assert await left.find(1) == good.order
    assert await settle(left, good) == [State.SUCCEEDED]
    assert await settle(left, stale) == [None]


@pytest.mark.parametrize("stale_first", [True, False])
async def test_p10_a_stale_lease_beside_the_good_one_changes_nothing(
    home: Home, store: FoundStore, *, stale_first: bool
) -> None:
    await place(store, new())
    (stale,) = await start(store)
    left = await home.crash()
    (good,) = await start(left)
    settles = [Settlement(lease=stale, ending=FAILED), Settlement(lease=good, ending=DONE)]
    committed = await left.commit(Changes(settles=settles if stale_first else settles[::-1]))
    good_stands = [State.SUCCEEDED]
    assert committed.settled == ([None, *good_stands] if stale_first else [*good_stands, None])
    (completion,) = await whole_log(left)
    assert completion.failure is None
    assert completion.order.attempt_count == 2
    assert completion.order.start_sequence == good.order.start_sequence


ENDINGS = {
    "no result": Ending(),
    "an empty result": Ending(result=b""),
    "a result": Ending(result=bytes(range(256)) * 300),
    "a failure": FAILED,
    "a failure of any text": Ending(
        event=Event.FAIL, failure=Failure(code="HANDLER_ERROR", message="é\x00😀'\"\n")
    ),
    "a failure without text": Ending(
        event=Event.FAIL, failure=Failure(code="RESULT_INVALID", message="")
    ),
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
async def test_an_ending_is_kept_byte_for_byte(
    home: Home, store: FoundStore, ending: Ending
) -> None:
    await place(store, new(b"tea", vip=True))
    (lease,) = await start(store)
    await settle(store, lease, ending=ending)
    left = await home.crash()
    (completion,) = await whole_log(left)
    assert (completion.failure, completion.result) == (ending.failure, ending.result)
    assert await left.find(1) == completion


@pytest.mark.parametrize(("ending", "state"), [(DONE, State.SUCCEEDED), (FAILED, State.FAILED)])
async def test_a_completion_tells_the_order_as_it_ended(
    store: FoundStore, ending: Ending, state: State
) -> None:
    await place(store, new(b"tea", vip=True))
    (lease,) = await start(store)
    await settle(store, lease, ending=ending)
    (completion,) = await whole_log(store)
    order, leased = completion.order, lease.order
    assert completion == Completion(
        sequence=1, order=order, failure=ending.failure, result=ending.result
    )
    assert order.state is state
    assert order.complete_time > order.start_time == leased.start_time
    assert (order.content, order.tier, order.accept_time) == (
        leased.content,
        leased.tier,
        leased.accept_time,
    )
    assert (order.attempt_count, order.start_sequence) == (1, 1)


async def test_an_ended_order_neither_waits_nor_runs(home: Home, store: FoundStore) -> None:
    await place(store, new())
    (place_in_queue,) = await waiting(store)
    await settle(store, *await start(store))
    left = await home.crash()
    assert left.recovery.recovered == 0
    assert await waiting(left) == []
    assert await claim(left, place_in_queue) == [None]


async def test_every_commit_tells_the_head(store: FoundStore) -> None:
    await place(store, new(), new())
    leases = await start(store, 2)
    settles = [Settlement(lease=lease, ending=DONE) for lease in leases]
    assert (await store.commit(Changes())).head == 0
    assert (await store.commit(Changes(settles=settles))).head == 2
    assert (await store.commit(Changes())).head == 2
