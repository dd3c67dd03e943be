"""What ended long ago is forgotten step by step; a request_id outlives its order."""

import asyncio

import pytest

from orderintake_server.domain import Order, State, Tier
from orderintake_server.errors import CursorExpired, RequestIdReused
from orderintake_server.store.changes import Changes, Prune
from orderintake_server.views import EVERY_ORDER, OrderFilter
from support.changes import (
    AMPLE,
    FAILED,
    PLENTY,
    accept,
    cancel,
    complete,
    look,
    new,
    place,
    prune,
    queue,
    start,
    whole_log,
)
from support.stores import FoundStore, Home

NOBODY = OrderFilter()


async def test_what_ended_before_a_time_is_forgotten(home: Home, store: FoundStore) -> None:
    await complete(store, new(b"1"), new(b"2"))
    then = home.clock.now
    await complete(store, new(b"3"))
    committed = await prune(store, then)
    assert (committed.pruned, committed.earliest, committed.head) == (2, 2, 3)
    assert [await store.find(number) for number in (1, 2)] == [None, None]
    assert await cancel(store, 1) == [None]
    assert (await store.list_orders(NOBODY, after=0, limit=9))[0] == [
        end.order for end in await whole_log(store, after=2)
    ]


async def test_to_the_microsecond(home: Home, store: FoundStore) -> None:
    await complete(store, new())
    (completion,) = await whole_log(store)
    ended = completion.order.complete_time
    assert (await prune(store, ended)).pruned == 0
    assert (await prune(store, ended + 1)).pruned == 1


async def test_what_has_not_ended_is_never_forgotten(home: Home, store: FoundStore) -> None:
    await place(store, new(), new(), new(not_before=home.clock.later(9e9)))
    await start(store)
    home.clock.turn(1e6)
    assert (await prune(store, home.clock.now)).pruned == 0
    assert await queue(store) == [2]
    assert None not in [await store.find(number) for number in (1, 2, 3)]


async def test_a_step_forgets_as_many_as_its_limit(home: Home, store: FoundStore) -> None:
    await complete(store, *(new() for _ in range(5)))
    steps = [await prune(store, home.clock.now, limit=2) for _ in range(4)]
    assert [step.pruned for step in steps] == [2, 2, 1, 0]
    assert [step.earliest for step in steps] == [2, 4, 5, 5]
    assert [end.sequence for end in await whole_log(store, after=5)] == []


async def test_a_place_before_what_was_forgotten_has_expired(home: Home, store: FoundStore) -> None:
    await complete(store, *(new() for _ in range(5)))
    await prune(store, home.clock.now, limit=3)
    for after in range(3):
        with pytest.raises(CursorExpired) as read:
            await store.read_log(EVERY_ORDER, after=after, limit=9, max_bytes=PLENTY)
        with pytest.raises(CursorExpired) as searched:
            await store.read_log(NOBODY, after=after, limit=9, max_bytes=PLENTY)
        assert read.value.earliest == searched.value.earliest == 3
    assert [end.sequence for end in await whole_log(store, after=3)] == [4, 5]


async def test_an_empty_log_that_was_pruned_goes_on_with_its_numbers(
    home: Home, store: FoundStore
) -> None:
    await complete(store, new(), new())
    await prune(store, home.clock.now)
    left = await home.crash()
    assert (left.recovery.head, left.recovery.earliest) == (2, 2)
    await complete(left, new())
    (completion,) = await whole_log(left, after=2)
    assert (completion.sequence, completion.order.accept_sequence) == (3, 3)
    assert completion.order.start_sequence == 3


async def test_a_forgotten_order_replays_by_its_request_id(home: Home, store: FoundStore) -> None:
    tea = new(b"tea", vip=True, request_id="r", expire_time=home.clock.later(9))
    await complete(store, new(), tea, ending=FAILED)
    ended = (await whole_log(store))[0].order
    assert ended.accept_sequence == 2
    await prune(store, home.clock.now)
    (again,) = await place(store, tea)
    assert again.replayed
    assert (again.after, again.position) == (2, 0)
    assert again.order == Order(
        accept_sequence=2,
        customer_id="ada",
        tier=Tier.VIP,
        content=b"tea",
        accept_time=ended.accept_time,
        state=State.FAILED,
        expire_time=ended.expire_time,
        complete_time=ended.complete_time,
    )
    left = await home.crash()
    assert await place(left, tea) == (again,)
    assert await queue(left) == []


async def test_other_content_under_a_forgotten_orders_request_id_is_refused(
    home: Home, store: FoundStore
) -> None:
    await complete(store, new(b"tea", request_id="r"))
    await prune(store, home.clock.now)
    replay, refusal = await accept(
        store, [new(b"tea", request_id="r")], [new(b"cake", request_id="r")], capacity=0
    )
    assert isinstance(replay, tuple)
    assert isinstance(refusal, RequestIdReused)
    assert refusal.accept_sequence == 1


async def test_a_replay_and_the_pruning_of_its_order_in_one_commit(
    home: Home, store: FoundStore
) -> None:
    tea = new(b"tea", request_id="r")
    await complete(store, tea)
    wanted = Prune(completed_before=home.clock.now + 1, requests_before=None, limit=9)
    committed = await store.commit(Changes(accepts=[[tea]], capacity=AMPLE, prune=wanted))
    ((again,),) = (group for group in committed.accepted if isinstance(group, tuple))
    assert (again.replayed, again.order.attempt_count) == (True, 1)
    assert await store.find(1) is None


async def test_a_request_id_is_forgotten_later_and_free_then(home: Home, store: FoundStore) -> None:
    tea, cake = new(b"tea", request_id="r"), new(b"cake", request_id="r")
    await complete(store, tea)
    (completion,) = await whole_log(store)
    ended = completion.order.complete_time
    assert (await prune(store, home.clock.now, requests_before=ended)).pruned == 1
    (again,) = await place(store, tea)
    assert again.replayed
    assert (await prune(store, home.clock.now, requests_before=ended + 1)).pruned == 1
    (fresh,) = await place(store, cake)
    assert not fresh.replayed
    assert fresh.order.accept_sequence == 2


async def test_request_ids_are_forgotten_as_many_as_the_limit(
    home: Home, store: FoundStore
) -> None:
    await complete(store, *(new(request_id=str(number)) for number in range(5)))
    await prune(store, home.clock.now)
    now = home.clock.now
    steps = [await prune(store, now, requests_before=now, limit=2) for _ in range(4)]
    assert [step.pruned for step in steps] == [2, 2, 1, 0]


async def test_the_request_id_of_an_order_that_is_there_is_kept(
    home: Home, store: FoundStore
) -> None:
    tea = new(b"tea", request_id="r")
    await place(store, tea)
    await complete(store, new(vip=True, request_id="v"))
    await prune(store, 0, requests_before=home.clock.later(1e6))
    (waits, ended) = await place(store, tea, new(vip=True, request_id="v"))
    assert (waits.replayed, ended.replayed) == (True, True)


async def test_a_clock_set_back_lets_no_completion_be_forgotten_out_of_turn(
    home: Home, store: FoundStore
) -> None:
    await place(store, new(), new())
    home.clock.turn(3600)
    await cancel(store, 1)
    home.clock.turn(-3500)
    left = await home.reopen()
    await cancel(left, 2)
    committed = await prune(left, home.clock.later(10))
    assert (committed.pruned, committed.earliest) == (0, 0)
    assert [end.sequence for end in await whole_log(left)] == [1, 2]
    assert await asyncio.to_thread(home.findings) == []


async def test_what_expires_later_may_be_forgotten_before(home: Home, store: FoundStore) -> None:
    await complete(store, new(expire_time=home.clock.later(60)))
    await prune(store, home.clock.now)
    home.clock.turn(61)
    assert (await look(store)).head == 1
    assert (await look(store)).next_due is None
