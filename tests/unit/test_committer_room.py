"""P5: the queue's limit is exact, whatever starts, comes back and is refused meanwhile."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from orderintake_server.dispatch.admission import Limits
from orderintake_server.domain import Receipt
from orderintake_server.errors import InvalidOrder, QueueFull
from support.changes import DONE, new, place
from support.desk import Desk, working
from support.faulty import FaultyStore

LIMITS = Limits(queue=3)


@pytest.fixture
async def desk(store: FaultyStore) -> AsyncIterator[Desk]:
    """A committer at work, with room for three."""
    async with working(Desk(store, limits=LIMITS)) as desk:
        yield desk


async def _is_full(desk: Desk, *, but_for: int = 0) -> None:
    """Assert that just so many orders have room: one more has not, so many have.

    What would not fit in an empty queue either is refused for good.
    """
    with pytest.raises(QueueFull if but_for < LIMITS.queue else InvalidOrder):
        await desk.place(*[new()] * (but_for + 1))
    if but_for:
        await desk.place(*[new()] * but_for)


async def test_the_limit_is_exact(desk: Desk) -> None:
    await _is_full(desk, but_for=3)
    await _is_full(desk)


async def test_asked_all_at_once_just_as_many_are_accepted(desk: Desk) -> None:
    answers = await asyncio.gather(*[desk.place(new()) for _ in range(10)], return_exceptions=True)
    assert [isinstance(answer, QueueFull) for answer in answers] == [False] * 3 + [True] * 7


async def test_what_started_makes_room_and_what_ended_no_more(desk: Desk) -> None:
    await desk.place(new(), new(), new())
    lease = await desk.start()
    await _is_full(desk, but_for=1)
    desk.committer.settle(lease, DONE)
    await _is_full(desk)


async def test_what_comes_back_takes_its_room_again(desk: Desk) -> None:
    await desk.place(new(), new(), new())
    lease = await desk.start()
    desk.committer.release(lease)
    await desk.place()  # now it is back
    await _is_full(desk)
    await desk.start()
    await _is_full(desk, but_for=1)


async def test_an_order_may_come_back_to_a_full_queue(desk: Desk) -> None:
    await desk.place(new(), new(), new())
    lease = await desk.start()
    await desk.place(new())
    desk.committer.release(lease)
    await desk.place()
    assert len(desk.ready) == 4
    await _is_full(desk)
    await desk.start()
    await _is_full(desk)
    await desk.start()
    await _is_full(desk, but_for=1)


async def test_a_claim_of_nothing_makes_no_room(store: FaultyStore, desk: Desk) -> None:
    await desk.place(new(), new(), new())
    store.hold()
    desk.committer.accept(())
    while not (await store.begun.get()).accepts:
        pass
    cancels = [desk.committer.cancel(number) for number in (1, 2)]
    claim = desk.committer.next_order()  # of the first, which is cancelled by the same commit
    store.let_go()
    await asyncio.gather(*cancels)
    assert (await claim).order.accept_sequence == 3
    await _is_full(desk, but_for=3)


async def test_replays_need_no_room_and_take_none(desk: Desk) -> None:
    tea = new(request_id="r")
    await desk.place(tea, tea)
    await _is_full(desk, but_for=2)
    (again,) = await desk.place(tea)
    assert again.replayed
    await desk.start()
    await _is_full(desk, but_for=1)


async def test_what_was_found_waiting_counts(store: FaultyStore) -> None:
    await place(store, new(), new())
    async with working(Desk(store, limits=LIMITS, waiting=2)) as desk:
        await _is_full(desk, but_for=1)


async def test_a_limit_lowered_below_what_waits_refuses_until_enough_started(
    store: FaultyStore,
) -> None:
    await place(store, *[new()] * 5)
    async with working(Desk(store, limits=LIMITS, waiting=5)) as desk:
        for _ in range(2):
            await _is_full(desk)
            await desk.start()
        await _is_full(desk)
        await desk.start()
        await _is_full(desk, but_for=1)


async def test_the_refusal_tells_when_there_will_be_room(desk: Desk) -> None:
    receipts: list[Receipt] = []
    for _ in range(20):  # ten a second start
        desk.clock.turn(0.1)
        receipts += await desk.place(new())
        desk.committer.settle(await desk.start(), DONE)
    await desk.place(new(), new(), new())
    with pytest.raises(QueueFull) as one:
        await desk.place(new())
    with pytest.raises(QueueFull) as many:
        await desk.place(*[new()] * 3)
    assert one.value.retry_after == pytest.approx(0.1, rel=0.2)
    assert many.value.retry_after == pytest.approx(0.3, rel=0.2)
    assert len(receipts) == 20
