"""P5: the queue is full exactly at its limit, and a full queue still knows what it holds."""

import pytest

from orderintake_server.store.base import Policy
from orderintake_server.store.changes import Capacity, OverCapacity
from support.changes import (
    PLENTY,
    accept,
    again,
    cancel,
    new,
    place,
    settle,
    start,
    waiting,
)
from support.stores import FoundStore, Home


async def test_the_nth_order_is_accepted_and_the_next_refused(store: FoundStore) -> None:
    outcomes = await accept(store, *([new()] for _ in range(4)), capacity=3)
    assert [isinstance(outcome, tuple) for outcome in outcomes] == [True, True, True, False]
    assert outcomes[3] == OverCapacity(1)
    assert len(await waiting(store)) == 3


async def test_a_group_fits_exactly_or_not_at_all(store: FoundStore) -> None:
    (refused,) = await accept(store, [new()] * 4, capacity=3)
    assert refused == OverCapacity(4)
    assert await waiting(store) == []
    (accepted,) = await accept(store, [new()] * 3, capacity=3)
    assert isinstance(accepted, tuple)
    assert len(await waiting(store)) == 3


async def test_a_group_too_large_leaves_its_room_to_the_next(store: FoundStore) -> None:
    outcomes = await accept(store, [new()] * 2, [new()] * 2, [new()], [new()], capacity=3)
    assert [isinstance(outcome, tuple) for outcome in outcomes] == [True, False, True, False]


async def test_without_room_nothing_new_is_accepted(store: FoundStore) -> None:
    assert await accept(store, [new()], capacity=0) == [OverCapacity(1)]
    assert await accept(store, [new()], capacity=-5) == [OverCapacity(1)]


async def test_a_replay_needs_no_room(store: FoundStore) -> None:
    tea = new(request_id="r")
    (first,) = await place(store, tea)
    for capacity in (0, -5):
        (again,) = await accept(store, [tea, tea], capacity=capacity)
        assert isinstance(again, tuple)
        assert [receipt.order for receipt in again] == [first.order] * 2


async def test_only_what_is_new_in_a_group_needs_room(store: FoundStore) -> None:
    tea, cake = new(b"tea", request_id="t"), new(b"cake", request_id="c")
    await place(store, tea)
    assert await accept(store, [tea, cake, cake, new()], capacity=1) == [OverCapacity(2)]
    (accepted,) = await accept(store, [tea, cake, cake, new()], capacity=2)
    assert isinstance(accepted, tuple)
    assert [receipt.replayed for receipt in accepted] == [True, False, True, False]


async def test_a_repeat_in_a_later_group_needs_no_room(store: FoundStore) -> None:
    tea = new(request_id="r")
    outcomes = await accept(store, [tea], [tea], [new()], capacity=1)
    assert [isinstance(outcome, tuple) for outcome in outcomes] == [True, True, False]


async def test_a_replay_of_an_ended_order_needs_no_room(store: FoundStore) -> None:
    tea = new(request_id="r")
    await place(store, tea)
    await settle(store, *await start(store))
    (again,) = await accept(store, [tea], capacity=0)
    assert isinstance(again, tuple)


# By tier


async def test_regular_orders_have_their_own_limit_and_vip_orders_the_rest(
    store: FoundStore,
) -> None:
    capacity = Capacity(total=3, regular=2)
    outcomes = await accept(
        store, [new()], [new()], [new()], [new(vip=True)], [new(vip=True)], capacity=capacity
    )
    assert [isinstance(outcome, tuple) for outcome in outcomes] == [True, True, False, True, False]
    assert [outcomes[2], outcomes[4]] == [OverCapacity(1), OverCapacity(1)]


async def test_what_is_kept_for_vip_orders_is_kept_whoever_came_first(store: FoundStore) -> None:
    capacity = Capacity(total=3, regular=2)
    outcomes = await accept(store, [new(vip=True)] * 2, [new()], [new(vip=True)], capacity=capacity)
    assert [isinstance(outcome, tuple) for outcome in outcomes] == [True, False, True]


async def test_a_group_with_a_regular_order_goes_by_their_limit(store: FoundStore) -> None:
    capacity = Capacity(total=3, regular=2)
    mixed = [new(vip=True), new(vip=True), new()]
    assert await accept(store, mixed, capacity=capacity) == [OverCapacity(3)]
    (accepted,) = await accept(store, mixed, capacity=Capacity(total=3, regular=3))
    assert isinstance(accepted, tuple)


# By customer


@pytest.fixture
async def counting(home: Home) -> FoundStore:
    """A store that counts the orders of each customer."""
    home.policy = Policy(counts_customers=True)
    return await home.open()


def _for_each(count: int) -> Capacity:
    return Capacity(total=PLENTY, regular=PLENTY, per_customer=count)


async def test_the_nth_order_of_a_customer_is_accepted_and_the_next_refused(
    counting: FoundStore,
) -> None:
    bobs = new(customer_id="bob")
    first, second, third, other = await accept(
        counting, [new()], [new(vip=True)], [new()], [bobs], capacity=_for_each(2)
    )
    assert isinstance(first, tuple)
    assert isinstance(second, tuple)
    assert third == OverCapacity(1, "ada")
    assert isinstance(other, tuple)
    assert await accept(counting, [new()], capacity=_for_each(2)) == [OverCapacity(1, "ada")]
    assert await accept(counting, [bobs, bobs], capacity=_for_each(2)) == [OverCapacity(2, "bob")]


async def test_one_customer_over_its_limit_refuses_the_group(counting: FoundStore) -> None:
    group = [new(customer_id="bob"), new(), new()]
    assert await accept(counting, group, capacity=_for_each(1)) == [OverCapacity(2, "ada")]
    (accepted,) = await accept(counting, group, capacity=_for_each(2))
    assert isinstance(accepted, tuple)


async def test_scheduled_orders_of_a_customer_wait_too_and_running_ones_do_not(
    home: Home, counting: FoundStore
) -> None:
    await place(counting, new(), new(), new(not_before=home.clock.later(60)))
    assert await accept(counting, [new()], capacity=_for_each(3)) == [OverCapacity(1, "ada")]
    (lease,) = await start(counting)
    (accepted,) = await accept(counting, [new()], capacity=_for_each(3))
    assert isinstance(accepted, tuple)
    await settle(counting, lease, ending=again(9))
    assert await accept(counting, [new()], capacity=_for_each(4)) == [OverCapacity(1, "ada")]
    await cancel(counting, 1, 2)
    outcomes = await accept(counting, [new()], [new()], [new()], capacity=_for_each(4))
    assert [isinstance(outcome, tuple) for outcome in outcomes] == [True, True, False]


async def test_the_count_of_a_customer_is_exact_after_a_crash_and_a_stop(
    home: Home, counting: FoundStore
) -> None:
    await place(counting, new(), new(), new(not_before=home.clock.later(60)), new())
    ended, _ = await start(counting, 2)
    await settle(counting, ended)
    for opened in (home.crash, home.reopen):
        store = await opened()
        refused, accepted = await accept(store, [new()] * 2, [new()], capacity=_for_each(4))
        assert refused == OverCapacity(2, "ada")
        assert isinstance(accepted, tuple)
        await cancel(store, accepted[0].order.accept_sequence)


async def test_a_replay_needs_no_room_of_its_customer(counting: FoundStore) -> None:
    tea = new(request_id="r")
    await place(counting, tea)
    (again_,) = await accept(counting, [tea, tea], capacity=_for_each(0))
    assert isinstance(again_, tuple)
