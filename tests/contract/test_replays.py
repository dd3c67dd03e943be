"""P2: a request_id names one order of its customer, for ever."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orderintake_server.domain import Ending, Ranking, State
from orderintake_server.errors import RequestIdReused
from orderintake_server.store.base import Policy
from orderintake_server.store.changes import Changes, OverCapacity, Settlement
from orderintake_server.views import EVERY_ORDER
from support.changes import (
    DONE,
    FAILED,
    accept,
    new,
    place,
    position,
    settle,
    start,
    waiting,
)
from support.clocks import SECOND
from support.stores import FoundStore, Home

TEA = new(b"tea", request_id="r")
CAKE = new(b"cake", request_id="r")


async def test_equal_content_gives_the_same_order_again(store: FoundStore) -> None:
    (first,) = await place(store, TEA)
    (again,) = await place(store, TEA)
    assert again.replayed
    assert again.order == first.order
    assert len(await waiting(store)) == 1


async def test_a_repeat_is_the_same_order_whatever_trace_it_is_made_in(store: FoundStore) -> None:
    first_trace, other_trace = bytes(range(1, 26)), bytes(range(2, 27))
    (first,) = await place(store, replace(TEA, trace=first_trace))
    assert first.order.trace == first_trace
    for trace in (other_trace, None):
        (again,) = await place(store, replace(TEA, trace=trace))
        assert again.replayed
        assert again.order == first.order


async def test_other_content_is_refused_naming_the_order(store: FoundStore) -> None:
    await place(store, new(), TEA)
    (outcome,) = await accept(store, [CAKE])
    assert isinstance(outcome, RequestIdReused)
    assert outcome.accept_sequence == 2
    assert len(await waiting(store)) == 2
    (again,) = await place(store, TEA)
    assert again.replayed


async def test_equal_orders_of_one_group_are_one_order(store: FoundStore) -> None:
    receipts = await place(store, TEA, new(b"else"), TEA, TEA)
    assert [receipt.order.accept_sequence for receipt in receipts] == [1, 2, 1, 1]
    assert [receipt.replayed for receipt in receipts] == [False, False, True, True]
    assert len(await waiting(store)) == 2


async def test_unequal_orders_of_one_group_refuse_it(store: FoundStore) -> None:
    (outcome,) = await accept(store, [TEA, CAKE])
    assert isinstance(outcome, RequestIdReused)
    assert await waiting(store) == []
    (receipt,) = await place(store, CAKE)
    assert not receipt.replayed


async def test_equal_orders_of_two_groups_in_one_commit_are_one_order(store: FoundStore) -> None:
    first, second = await accept(store, [TEA], [new(b"else"), TEA])
    assert isinstance(first, tuple)
    assert isinstance(second, tuple)
    assert [receipt.replayed for receipt in (*first, *second)] == [False, False, True]
    assert second[1].order == first[0].order
    assert len(await waiting(store)) == 2


async def test_of_unequal_groups_in_one_commit_the_first_stands(store: FoundStore) -> None:
    first, second = await accept(store, [TEA], [new(b"else"), CAKE])
    assert isinstance(first, tuple)
    assert isinstance(second, RequestIdReused)
    assert second.accept_sequence == 1
    assert len(await waiting(store)) == 1


async def test_a_refused_group_leaves_its_request_ids_free(store: FoundStore) -> None:
    await place(store, new(b"old", request_id="taken"))
    conflict = [TEA, new(b"new", request_id="taken")]
    too_many = [TEA, new(), new()]
    reused, over_capacity, accepted = await accept(store, conflict, too_many, [CAKE], capacity=2)
    assert isinstance(reused, RequestIdReused)
    assert over_capacity == OverCapacity(3)
    assert isinstance(accepted, tuple)
    assert not accepted[0].replayed
    assert accepted[0].order.content == b"cake"


async def test_a_replay_and_a_refusal_hold_after_a_crash(home: Home, store: FoundStore) -> None:
    (first,) = await place(store, TEA)
    left = await home.crash()
    replay, refusal = await accept(left, [TEA], [CAKE])
    assert isinstance(replay, tuple)
    assert replay[0].replayed
    assert replay[0].order == first.order
    assert isinstance(refusal, RequestIdReused)


async def test_a_replay_of_an_order_in_process_says_so(store: FoundStore) -> None:
    await place(store, TEA)
    (lease,) = await start(store)
    (again,) = await place(store, TEA)
    assert again.replayed
    assert again.order == lease.order
    assert again.order.state is State.PROCESSING
    assert again.after == 0


@pytest.mark.parametrize("ending", [DONE, FAILED])
async def test_a_replay_of_an_ended_order_is_behind_its_completion(
    home: Home, store: FoundStore, ending: Ending
) -> None:
    await place(store, new(b"1"), TEA, new(b"3"))
    leases = await start(store, 3)
    assert len(await settle(store, *leases, ending=ending)) == 3
    left = await home.crash()
    (again,) = await place(left, TEA)
    page = await left.read_log(EVERY_ORDER, after=again.after, limit=1, max_bytes=1)
    (completion,) = page.completions
    assert again.replayed
    assert again.order == completion.order
    assert again.order.state in (State.SUCCEEDED, State.FAILED)
    assert completion.order.accept_sequence == 2
    assert await waiting(left) == []


async def test_a_replay_sees_the_end_that_the_same_commit_writes(store: FoundStore) -> None:
    await place(store, TEA)
    (lease,) = await start(store)
    ends = [Settlement(lease=lease, ending=DONE)]
    committed = await store.commit(Changes(settles=ends, accepts=[[TEA]]))
    ((again,),) = (group for group in committed.accepted if isinstance(group, tuple))
    assert again.order.state is State.SUCCEEDED
    assert again.after == 0
    assert committed.head == 1


async def test_a_fresh_receipt_is_behind_nothing_but_the_past(store: FoundStore) -> None:
    await place(store, new())
    await settle(store, *await start(store))
    (receipt,) = await place(store, new())
    assert receipt.after == 1


@pytest.mark.parametrize("vip_head_start", [None, 30 * SECOND])
async def test_replays_in_one_commit_tell_each_its_place_in_the_queue(
    home: Home, store: FoundStore, vip_head_start: int | None
) -> None:
    store = await home.reopen(Policy(ranking=Ranking(vip_head_start=vip_head_start)))
    orders = [new(vip=number % 3 == 0, request_id=str(number)) for number in range(60)]
    for order in orders:
        await place(store, order)
        home.clock.now += SECOND
    await start(store, 5)
    repeats = [*reversed(orders), orders[30]]
    receipts = await place(store, *repeats)
    assert all(receipt.replayed for receipt in receipts)
    places = [await position(store, receipt.order.accept_sequence) for receipt in receipts]
    assert [receipt.position for receipt in receipts] == places
    assert sorted({*places}) == list(range(56))


async def test_orders_without_request_id_never_replay(store: FoundStore) -> None:
    receipts = await place(store, new(), new(), new(b"other"))
    more = await place(store, new())
    assert not any(receipt.replayed for receipt in receipts + more)
    assert len(await waiting(store)) == 4


async def test_other_customers_may_use_the_same_request_id(store: FoundStore) -> None:
    await place(store, new(b"tea", customer_id="ada", request_id="r"))
    (receipt,) = await place(store, new(b"cake", customer_id="bob", request_id="r"))
    assert not receipt.replayed
    assert len(await waiting(store)) == 2


TEXTS = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=128)
CUSTOMERS_AND_REQUESTS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=20, unique=True)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=CUSTOMERS_AND_REQUESTS)
async def test_whatever_the_names_are_made_of_each_pair_is_its_own(
    store: FoundStore, names: list[tuple[str, str]]
) -> None:
    orders = [
        new(f"{customer}/{request}".encode(), customer_id=customer, request_id=request)
        for customer, request in names
    ]
    first = await place(store, *orders)
    again = await place(store, *reversed(orders))
    assert all(receipt.replayed for receipt in again)
    assert [receipt.order for receipt in again] == [receipt.order for receipt in reversed(first)]
    assert len({receipt.order.accept_sequence for receipt in first}) == len(names)
