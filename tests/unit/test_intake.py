"""What a caller can ask of the service, whoever asks."""

from collections.abc import AsyncIterator

import pytest

from orderintake_server.domain import (
    CancelOutcome,
    Completion,
    Order,
    State,
    Tier,
)
from orderintake_server.errors import (
    CursorAhead,
    CursorExpired,
    CustomerQuota,
    Draining,
    OrderNotFound,
    StorageUnavailable,
    StoreBroken,
)
from orderintake_server.intake import Intake
from orderintake_server.store.changes import Changes
from orderintake_server.views import (
    OrderFilter,
    OrderStatus,
    ReadFrom,
    StartAt,
    Subscribe,
    TierCounts,
    WaitReason,
)
from support.changes import BOSS, again, complete, new, prune, strictly
from support.desk import Desk, working
from support.faulty import FaultyStore

ANY = OrderFilter()
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


async def test_what_is_placed_is_found_at_once(intake: Intake) -> None:
    first, second = await intake.place((new(b"tea"), new(b"cake")))
    assert (await intake.get(first.order.accept_sequence, owner=None)).found == first.order
    assert (await intake.get(second.order.accept_sequence, owner=None)).found == second.order


async def test_an_order_that_starts_while_it_is_read_is_told_as_it_stands_at_one_moment(
    store: FaultyStore, intake: Intake
) -> None:
    (receipt,) = await intake.place((new(),))
    number, find = receipt.order.accept_sequence, store.find

    async def find_as_it_starts(number: int) -> Order | Completion | None:
        found = await find(number)
        await store.commit(Changes(claims=[strictly(number)]))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "find", find_as_it_starts)
        status = await intake.get(number, owner=None)
    assert isinstance(status.found, Order)
    told = (status.found.state, status.position, status.reason)
    assert told == (State.PROCESSING, 0, None)


async def test_what_is_not_there_is_not_found(intake: Intake) -> None:
    with pytest.raises(OrderNotFound):
        await intake.get(4, owner=None)
    with pytest.raises(OrderNotFound):
        await intake.cancel(4, owner=None, by=None)
    with pytest.raises(OrderNotFound):
        await intake.rework.redrive(4, by=BOSS)


async def test_p19_a_draining_service_takes_no_order_and_still_does_the_rest(
    intake: Intake,
) -> None:
    await intake.place((new(),))
    intake.refuse_orders()
    with pytest.raises(Draining):
        await intake.place((new(),))
    with pytest.raises(Draining):
        await intake.rework.redrive(1, by=BOSS)
    assert isinstance((await intake.get(1, owner=None)).found, Completion)
    assert len((await intake.page(ANY, start=0, limit=10, owner=None)).completions) == 3
    assert (await intake.cancel(4, owner=None, by=None)).outcome is CancelOutcome.CANCELLED
    await intake.pause(Tier.VIP, is_paused=True, by=BOSS)
    with pytest.raises(OrderNotFound):
        await intake.get(5, owner=None)


async def test_a_broken_service_that_stops_says_that_it_is_broken(store: FaultyStore) -> None:
    desk = Desk(store)
    store.break_down()
    with pytest.raises(StoreBroken):
        await desk.committer.run()
    desk.intake.refuse_orders()
    with pytest.raises(StorageUnavailable):
        await desk.intake.place((new(),))
    with pytest.raises(StorageUnavailable):
        await desk.intake.cancel(1, owner=None, by=None)
    with pytest.raises(StorageUnavailable):
        await desk.intake.pause(Tier.VIP, is_paused=True, by=BOSS)


@pytest.mark.parametrize(
    ("start", "limit", "sequences", "goes_on"),
    [
        (0, 2, [1, 2], True),
        (0, 3, [1, 2, 3], False),
        (1, 1, [2], True),
        (2, 10, [3], False),
        (3, 10, [], False),
        (StartAt.EARLIEST, 10, [1, 2, 3], False),
        (StartAt.LATEST, 10, [], False),
    ],
)
async def test_a_page_tells_whether_the_log_goes_on(
    intake: Intake, start: ReadFrom, limit: int, sequences: list[int], *, goes_on: bool
) -> None:
    page = await intake.page(ANY, start=start, limit=limit, owner=None)
    assert [completion.sequence for completion in page.completions] == sequences
    assert page.goes_on == goes_on
    assert page.end == (sequences[-1] if sequences else 3)


async def began(intake: Intake, start: ReadFrom) -> int:
    """Subscribe; tell where the stream began."""
    async with intake.subscribe(asked(start), owner=None) as subscription:
        assert intake.subscribers == 1
        return (await subscription.next()).position


def asked(start: ReadFrom) -> Subscribe:
    """Ask for everything from a place in the log on."""
    return Subscribe(wanted=ANY, start=start, limit=10, heartbeat_seconds=1)


async def begin(intake: Intake, start: ReadFrom) -> None:
    """Subscribe and leave."""
    async with intake.subscribe(asked(start), owner=None):
        pass
    assert intake.subscribers == 0


async def test_p17_a_place_ahead_of_the_log_is_refused(intake: Intake) -> None:
    with pytest.raises(CursorAhead):
        await intake.page(ANY, start=4, limit=10, owner=None)
    with pytest.raises(CursorAhead):
        await begin(intake, 2**63)


async def test_a_subscription_begins_where_it_is_asked(intake: Intake) -> None:
    for start, position in ((0, 0), (2, 2), (3, 3), (StartAt.EARLIEST, 0), (StartAt.LATEST, 3)):
        assert await began(intake, start) == position


async def test_the_cursor_of_a_completion_just_told_is_good(
    store: FaultyStore, intake: Intake
) -> None:
    await complete(store, new())  # durable, not yet published
    with pytest.raises(CursorAhead):
        await begin(intake, 4)
    found = (await intake.get(4, owner=None)).found
    assert isinstance(found, Completion)
    await begin(intake, found.sequence)


async def test_the_cursor_of_a_page_just_told_is_good(store: FaultyStore, intake: Intake) -> None:
    await complete(store, new())  # durable, not yet published
    page = await intake.page(ANY, start=StartAt.EARLIEST, limit=10, owner=None)
    assert page.end == 4
    await begin(intake, page.end)


async def test_p17_a_place_that_was_forgotten_is_refused_telling_the_earliest(
    desk: Desk, intake: Intake
) -> None:
    desk.completions.earliest = 2
    for refused in (0, 1):
        with pytest.raises(CursorExpired) as expired:
            await begin(intake, refused)
        assert expired.value.earliest == 2
        with pytest.raises(CursorExpired):
            await intake.page(ANY, start=refused, limit=10, owner=None)
    for start in (2, StartAt.EARLIEST):
        assert await began(intake, start) == 2


# How an order stands


async def test_an_order_in_process_is_told_as_such(desk: Desk, intake: Intake) -> None:
    await intake.place((new(),))
    lease = await desk.start()
    standing = await intake.get(4, owner=None)
    assert standing == OrderStatus(found=lease.order)
    assert isinstance(standing.found, Order)
    assert standing.found.state is State.PROCESSING


async def test_a_queued_order_is_told_its_place_and_that_orders_are_ahead(
    intake: Intake,
) -> None:
    await intake.place((new(), new(), new(vip=True)))
    places = [await intake.get(number, owner=None) for number in (4, 5, 6)]
    assert [place.position for place in places] == [2, 3, 1]
    assert {place.reason for place in places} == {WaitReason.ORDERS_AHEAD}


async def test_without_measured_times_no_wait_is_told_and_with_them_one_is(
    desk: Desk, intake: Intake
) -> None:
    await intake.place((new(), new()))
    assert (await intake.get(5, owner=None)).wait is None
    for _ in range(10):
        began = desk.clock()
        desk.clock.turn(2)
        desk.times.add(began)
    wait = (await intake.get(5, owner=None)).wait
    assert wait is not None
    assert wait.least <= wait.mean == pytest.approx(4.0)
    assert wait.mean <= wait.most
    (receipt,) = await intake.place((new(),))
    assert receipt.wait == pytest.approx(6.0)
    (later,) = await intake.place((new(not_before=desk.store.clock.later(HOUR)),))
    assert (later.position, later.wait) == (0, None)


async def test_a_scheduled_order_is_told_as_such(desk: Desk, intake: Intake) -> None:
    await intake.place((new(not_before=desk.store.clock.later(HOUR)),))
    standing = await intake.get(4, owner=None)
    assert (standing.position, standing.wait) == (0, None)
    assert standing.reason is WaitReason.SCHEDULED


async def test_an_order_between_two_attempts_is_told_as_such(desk: Desk, intake: Intake) -> None:
    await intake.place((new(),))
    desk.committer.settle(await desk.start(), again(after=3_600_000_000))
    await desk.place()
    assert (await intake.get(4, owner=None)).reason is WaitReason.RETRY


async def test_an_order_of_a_paused_tier_is_told_as_such(desk: Desk, intake: Intake) -> None:
    desk.times.add(desk.clock() - 1)
    await intake.place((new(), new(vip=True)))
    await intake.pause(Tier.REGULAR, is_paused=True, by=BOSS)
    held, free = await intake.get(4, owner=None), await intake.get(5, owner=None)
    assert (held.reason, held.position, held.wait) == (WaitReason.TIER_PAUSED, 2, None)
    assert free.reason is WaitReason.ORDERS_AHEAD
    await intake.pause(Tier.REGULAR, is_paused=False, by=BOSS)
    assert (await intake.get(4, owner=None)).reason is WaitReason.ORDERS_AHEAD


async def test_an_ended_order_waits_for_nothing(intake: Intake) -> None:
    standing = await intake.get(1, owner=None)
    assert (standing.position, standing.wait, standing.reason) == (0, None, None)


async def test_orders_are_listed_as_they_are_wanted(intake: Intake) -> None:
    await intake.place((new(customer_id="bob"), new(vip=True)))
    orders, goes_on = await intake.list_orders(ANY, after=0, limit=4, owner=None)
    assert [order.accept_sequence for order in orders] == [1, 2, 3, 4]
    assert goes_on == 4
    bobs, _ = await intake.list_orders(
        OrderFilter(customer_id="bob"), after=0, limit=10, owner=None
    )
    assert [order.accept_sequence for order in bobs] == [4]


# What is asked of an order


async def test_p13_cancelling_tells_what_became_of_it(desk: Desk, intake: Intake) -> None:
    await intake.place((new(), new()))
    await desk.start()
    outcomes = [
        (await intake.cancel(number, owner=None, by=None)).outcome for number in (1, 4, 5, 5)
    ]
    assert outcomes == [
        CancelOutcome.TOO_LATE,
        CancelOutcome.CANCEL_REQUESTED,
        CancelOutcome.CANCELLED,
        CancelOutcome.CANCELLED,
    ]


async def test_a_customer_that_places_too_fast_is_refused_before_anything_is_stored(
    store: FaultyStore,
) -> None:
    desk = Desk(store, orders_per_second=1.0)
    async with working(desk):
        await desk.intake.place((new(), new()))
        with pytest.raises(CustomerQuota) as quota:
            await desk.intake.place((new(customer_id="bob"), new()))
        assert quota.value.subject == "ada"
        desk.clock.turn(1)
        await desk.intake.place((new(customer_id="bob"), new()))
    assert (await store.find(4)) is not None
    assert (await store.find(5)) is None


async def test_repeats_of_accepted_request_ids_take_no_token(store: FaultyStore) -> None:
    desk = Desk(store, orders_per_second=1.0)
    async with working(desk):
        one, two = new(request_id="one"), new(request_id="two")
        await desk.intake.place((one,))
        for _ in range(5):
            assert (await desk.intake.place((one,)))[0].replayed
        await desk.intake.place((two,))  # the last token
        for group in ((one,), (one, two), (two, one, two)):
            assert all(receipt.replayed for receipt in await desk.intake.place(group))
        for group in ((new(),), (one, new()), (one, new(request_id="three"))):
            with pytest.raises(CustomerQuota):
                await desk.intake.place(group)
        desk.clock.turn(1)
        _, fresh, again = await desk.intake.place((one, new(request_id="three"), two))
        assert (fresh.replayed, again.replayed) == (False, True)
        with pytest.raises(CustomerQuota):
            await desk.intake.place((new(),))


async def test_a_repeat_within_its_batch_takes_no_token(store: FaultyStore) -> None:
    desk = Desk(store, orders_per_second=1.0)
    async with working(desk):
        await desk.intake.place((new(request_id="one"), new(request_id="one")))
        await desk.intake.place((new(),))
        with pytest.raises(CustomerQuota):
            await desk.intake.place((new(),))


async def test_stats_tell_how_each_tier_stands(desk: Desk, intake: Intake) -> None:
    first, *_ = await intake.place((new(), new(), new(vip=True)))
    await desk.start()
    await intake.pause(Tier.VIP, is_paused=True, by=BOSS)
    flows, oldest = await intake.stats()
    assert flows[Tier.REGULAR].counts == TierCounts(queued=2)
    assert flows[Tier.VIP].counts == TierCounts(processing=1)
    assert flows[Tier.VIP].is_paused
    assert not flows[Tier.REGULAR].is_paused
    assert oldest == {Tier.REGULAR: first.order.accept_time}
    assert intake.head == 3


async def test_p17_the_earliest_there_is_is_never_refused_though_more_was_forgotten_just_now(
    store: FaultyStore, intake: Intake
) -> None:
    await prune(store, store.clock.later(1), limit=2)  # which is not known here yet
    page = await intake.page(ANY, start=StartAt.EARLIEST, limit=10, owner=None)
    assert [completion.sequence for completion in page.completions] == [3]
    with pytest.raises(CursorExpired):
        await intake.page(ANY, start=0, limit=10, owner=None)
