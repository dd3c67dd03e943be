"""What ended badly is placed again by an operator, once."""

from collections.abc import AsyncIterator

import pytest

from orderintake_server.domain import (
    Completion,
    State,
    Tier,
)
from orderintake_server.errors import (
    CustomerQuota,
    OrderNotRedrivable,
)
from orderintake_server.intake import Intake
from support.changes import BOSS, DONE, complete, new
from support.desk import Desk, working
from support.faulty import FaultyStore

HOUR = 3600.0


@pytest.fixture
async def desk(store: FaultyStore) -> AsyncIterator[Desk]:
    """A committer at work, on a log of three completions."""
    desk = Desk(store)
    desk.completions.publish(await complete(store, new(), new(), new()))
    async with working(desk):
        yield desk


@pytest.fixture
def intake(desk: Desk) -> Intake:
    """An intake over it."""
    return desk.intake


async def ended_badly(desk: Desk) -> int:
    """Place an order and cancel it; tell which it is."""
    (receipt,) = await desk.intake.place(
        (new(b"cake", vip=True, customer_id="bob", request_id="r", expire_time=2**60),)
    )
    await desk.intake.cancel(receipt.order.accept_sequence, owner=None, by=None)
    return receipt.order.accept_sequence


async def test_a_copy_has_the_content_and_begins_its_own_life(desk: Desk, intake: Intake) -> None:
    number = await ended_badly(desk)
    copy = (await intake.rework.redrive(number, by=BOSS)).order
    assert (copy.customer_id, copy.tier, copy.content) == ("bob", Tier.VIP, b"cake")
    assert (copy.state, copy.redrive_of) == (State.QUEUED, number)
    assert (copy.not_before, copy.expire_time) == (0, 0)


async def test_a_repeat_gives_the_same_copy_even_when_it_ended(desk: Desk, intake: Intake) -> None:
    number = await ended_badly(desk)
    first = await intake.rework.redrive(number, by=BOSS)
    again_ = await intake.rework.redrive(number, by=BOSS)
    await intake.cancel(first.order.accept_sequence, owner=None, by=None)
    late = await intake.rework.redrive(number, by=BOSS)
    assert [receipt.replayed for receipt in (first, again_, late)] == [False, True, True]
    numbers = {receipt.order.accept_sequence for receipt in (first, again_, late)}
    assert numbers == {first.order.accept_sequence}


async def test_a_copy_that_ended_badly_too_can_be_copied(desk: Desk, intake: Intake) -> None:
    first = (await intake.rework.redrive(await ended_badly(desk), by=BOSS)).order.accept_sequence
    await intake.cancel(first, owner=None, by=None)
    second = (await intake.rework.redrive(first, by=BOSS)).order
    assert second.accept_sequence != first
    assert second.redrive_of == first


async def test_only_what_ended_badly_is_placed_again(desk: Desk, intake: Intake) -> None:
    await intake.place((new(), new(not_before=desk.store.clock.later(HOUR)), new(vip=True)))
    lease = await desk.start()
    for number, state in (
        (1, State.SUCCEEDED),
        (4, State.QUEUED),
        (5, State.SCHEDULED),
        (6, State.PROCESSING),
    ):
        found = (await intake.get(number, owner=None)).found
        order = found.order if isinstance(found, Completion) else found
        assert order.state is state
        with pytest.raises(OrderNotRedrivable):
            await intake.rework.redrive(number, by=BOSS)
    desk.committer.settle(lease, DONE)


async def test_an_operators_copies_are_not_counted_for_the_customers_rate(
    store: FaultyStore,
) -> None:
    desk = Desk(store, orders_per_second=0.001)
    async with working(desk):
        number = await ended_badly(desk)
        await desk.intake.place((new(customer_id="bob"),))
        with pytest.raises(CustomerQuota):
            await desk.intake.place((new(customer_id="bob"),))
        await desk.intake.rework.redrive(number, by=BOSS)
