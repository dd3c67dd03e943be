"""The one owner of changes: all that is asked is made durable together, queued, told, in order."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from orderintake_server.dispatch.inbox import CommitPolicy
from orderintake_server.domain import CancelOutcome, Order, Receipt, State
from orderintake_server.errors import QueueFull, RequestIdReused
from orderintake_server.stream.log import CompletionLog
from support.changes import DONE, new, place, strictly, waiting
from support.completed import encode
from support.desk import Desk, working
from support.faulty import FaultyStore


@pytest.fixture
async def desk(store: FaultyStore, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    """A committer at work, by the policy that a test names."""
    async with working(Desk(store, commits=getattr(request, "param", None))) as desk:
        await store.begun.get()  # it read the first page of the queue
        yield desk
        store.let_go()


async def test_a_receipt_is_told_when_the_order_is_durable_and_queued(
    store: FaultyStore, desk: Desk
) -> None:
    store.hold()
    answer = desk.committer.accept((new(),))
    await store.begun.get()
    assert not answer.done()
    store.let_go()
    (receipt,) = await answer
    assert await store.find(receipt.order.accept_sequence) == receipt.order
    assert len(desk.ready) == 1


class Witness(CompletionLog):
    """Tells how things stood when the head was published."""

    desk: Desk
    answer: asyncio.Future[tuple[Receipt, ...]]
    seen: tuple[int, bool] | None = None

    def publish(self, head: int) -> None:
        super().publish(head)
        self.seen = len(self.desk.ready), self.answer.done()


async def test_first_queued_then_published_then_answered(store: FaultyStore) -> None:
    desk = Desk(store)
    witness = Witness(store, encode, head=0, earliest=0)
    desk.committer._completions = witness  # noqa: SLF001 - only a part of it can see the order
    witness.desk, witness.answer = desk, desk.committer.accept((new(),))
    async with working(desk):
        await witness.answer
    assert witness.seen == (1, False)


async def test_who_asked_first_is_first(desk: Desk) -> None:
    answers = [desk.committer.accept((new(), new())) for _ in range(20)]
    groups = await asyncio.gather(*answers)
    numbers = [receipt.order.accept_sequence for group in groups for receipt in group]
    assert numbers == list(range(1, 41))


async def test_starts_are_numbered_in_the_order_of_urgency_and_of_who_asked(desk: Desk) -> None:
    await desk.place(*[new(vip=number > 5) for number in range(1, 11)])
    leases = await asyncio.gather(*[desk.committer.next_order() for _ in range(10)])
    starts = [(lease.order.accept_sequence, lease.order.start_sequence) for lease in leases]
    assert starts == list(zip([6, 7, 8, 9, 10, 1, 2, 3, 4, 5], range(1, 11), strict=True))


async def test_what_is_asked_during_a_commit_is_committed_together(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(new(), new(), new())
    first, second = await desk.start(), await desk.start()
    while not store.begun.empty():
        await store.begun.get()
    store.hold()
    desk.committer.accept((new(),))
    await store.begun.get()
    desk.committer.settle(first, DONE)
    desk.committer.release(second)
    answers = [desk.committer.accept((new(),)) for _ in range(3)]
    claimed = desk.committer.next_order()
    store.let_go()
    together = await store.begun.get()
    assert [settle.lease for settle in together.settles] == [first]
    assert together.releases == [second]
    assert len(together.accepts) == 3
    assert together.claims == [strictly(3)]
    await asyncio.gather(*answers, claimed)


@pytest.mark.parametrize("desk", [CommitPolicy(commit_orders=3)], indirect=True)
async def test_a_commit_holds_no_more_orders_than_it_should(store: FaultyStore, desk: Desk) -> None:
    answers = [desk.committer.accept((new(),) * size) for size in (1, 1, 2, 5, 1)]
    receipts = await asyncio.gather(*answers)
    sizes = [[len(group) for group in (await store.begun.get()).accepts] for _ in range(3)]
    assert sizes == [[1, 1, 2], [5], [1]]
    assert receipts[-1][0].order.accept_sequence == 10


@pytest.mark.parametrize("is_begun", [True, False])
async def test_p3_the_order_of_a_caller_who_left_is_stored_and_queued(
    store: FaultyStore, desk: Desk, *, is_begun: bool
) -> None:
    store.hold()
    caller = asyncio.create_task(desk.place(new()))
    if is_begun:
        await store.begun.get()
    else:
        await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    store.let_go()
    lease = await desk.start()
    assert lease.order.accept_sequence == 1


async def test_the_start_of_a_worker_who_left_is_undone(store: FaultyStore, desk: Desk) -> None:
    await desk.place(new())
    store.hold()
    claimed = desk.committer.next_order()
    while not (await store.begun.get()).claims:
        pass
    claimed.cancel()
    store.let_go()
    again = await desk.start()
    assert again.order.attempt_count == 1
    assert again.order.start_sequence == 2


async def test_an_order_given_back_is_the_first_to_start_again(desk: Desk) -> None:
    await desk.place(new(), new(), new())
    lease = await desk.start()
    desk.committer.release(lease)
    await desk.place(new())
    assert (await desk.start()).order.accept_sequence == 1


async def test_who_left_before_the_commit_began_is_given_nothing(desk: Desk) -> None:
    desk.committer.next_order().cancel()
    stays = desk.committer.next_order()
    await desk.place(new())
    assert (await stays).order.start_sequence == 1


async def test_what_is_gone_cannot_start_and_its_worker_takes_the_next(
    store: FaultyStore, desk: Desk
) -> None:
    await desk.place(new(), new())
    store.hold()
    desk.committer.accept((new(),))
    await store.begun.get()
    gone, claimed = desk.committer.cancel(1), desk.committer.next_order()
    store.let_go()
    cancelled, lease = await gone, await claimed
    assert cancelled is not None
    assert cancelled.outcome is CancelOutcome.CANCELLED
    assert lease.order.accept_sequence == 2
    assert lease.order.start_sequence == 1


async def test_a_settle_moves_the_head(desk: Desk) -> None:
    await desk.place(new())
    desk.committer.settle(await desk.start(), DONE)
    await desk.completions.head_beyond(0)
    assert desk.completions.head == 1


async def test_a_settle_of_a_lost_lease_moves_nothing(store: FaultyStore, desk: Desk) -> None:
    await desk.place(new())
    lease = await desk.start()
    desk.committer.release(lease)
    desk.committer.settle(lease, DONE)  # effective first: it stands
    desk.committer.settle(lease, DONE)
    await desk.place(new())
    assert desk.completions.head == 1
    assert len(desk.ready) == 1


async def test_a_replay_is_answered_and_not_queued_again(desk: Desk) -> None:
    tea = new(request_id="r")
    (first,), (again,) = await asyncio.gather(desk.place(tea), desk.place(tea))
    (later,) = await desk.place(tea)
    assert [first.replayed, again.replayed, later.replayed] == [False, True, True]
    assert len(desk.ready) == 1


async def test_a_reused_request_id_is_told_to_its_caller_alone(desk: Desk) -> None:
    answers = await asyncio.gather(
        desk.place(new(b"tea", request_id="r")),
        desk.place(new(b"cake", request_id="r")),
        desk.place(new(b"cake")),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [tuple, RequestIdReused, tuple]
    assert len(desk.ready) == 2


async def test_closing_makes_durable_all_that_was_asked(store: FaultyStore) -> None:
    desk = Desk(store)
    async with working(desk):
        (receipt,) = await desk.place(new())
        desk.committer.settle(await desk.start(), DONE)
        answers = [desk.committer.accept((new(),)) for _ in range(10)]
    assert all(answer.done() for answer in answers)
    found = await store.find(receipt.order.accept_sequence)
    assert not isinstance(found, Order)
    assert len(await waiting(store)) == 10


async def test_closing_ends_what_has_nothing_to_do(store: FaultyStore) -> None:
    async with working(Desk(store)):
        await store.begun.get()
    assert store.begun.empty()


async def test_what_the_store_held_before_is_read_page_by_page(store: FaultyStore) -> None:
    await place(store, *[new(vip=number % 3 == 0) for number in range(1, 31)])
    async with working(Desk(store, window=4)) as desk:
        leases = [await desk.start() for _ in range(30)]
        assert len(desk.ready) == 0
    numbers = [lease.order.accept_sequence for lease in leases]
    assert numbers == sorted(range(1, 31), key=lambda number: (number % 3 != 0, number))
    assert all(lease.order.state is State.PROCESSING for lease in leases)


@pytest.mark.parametrize("desk", [CommitPolicy(pending_orders=5)], indirect=True)
async def test_an_order_too_many_waits_for_its_commit_nowhere(
    store: FaultyStore, desk: Desk
) -> None:
    store.hold()
    answers = [desk.committer.accept((new(),) * size) for size in (2, 3)]
    with pytest.raises(QueueFull) as full:
        desk.committer.accept((new(),))
    assert full.value.retry_after > 0
    store.let_go()
    await asyncio.gather(*answers)
    assert len(await desk.place(*[new()] * 5)) == 5
    with pytest.raises(QueueFull):
        desk.committer.accept((new(),) * 6)


@pytest.mark.parametrize("desk", [CommitPolicy(pending_orders=2)], indirect=True)
async def test_refused_orders_wait_for_no_commit_any_more(desk: Desk) -> None:
    await desk.place(new(b"tea", request_id="r"))
    for _ in range(5):
        with pytest.raises(RequestIdReused):
            await desk.place(new(), new(b"cake", request_id="r"))
    assert len(await desk.place(new(), new())) == 2
