"""What a caller can ask of the service, whoever asks."""

from collections.abc import AsyncIterator

import pytest

from orderintake_server.domain import Completion, Order, State
from orderintake_server.errors import (
    CursorAhead,
    Draining,
    OrderNotFound,
    StorageUnavailable,
    StoreBroken,
)
from orderintake_server.intake import Intake
from support.changes import complete, new
from support.desk import Desk, working
from support.faulty import FaultyStore


@pytest.fixture
async def desk(store: FaultyStore) -> AsyncIterator[Desk]:
    """A ledger at work, on a log of three completions."""
    desk = Desk(store)
    desk.completions.publish(await complete(store, new(), new(), new()))
    async with working(desk):
        yield desk


@pytest.fixture
def intake(store: FaultyStore, desk: Desk) -> Intake:
    """An intake over it."""
    return Intake(store=store, ledger=desk.ledger, completions=desk.completions)


async def test_what_is_placed_is_found_at_once(intake: Intake) -> None:
    first, second = await intake.place((new(b"tea"), new(b"cake")))
    assert await intake.get(first.order.accept_sequence) == first.order
    assert await intake.get(second.order.accept_sequence) == second.order


async def test_what_is_not_there_is_not_found(intake: Intake) -> None:
    with pytest.raises(OrderNotFound):
        await intake.get(4)


async def test_p19_a_draining_service_takes_no_order_and_still_tells(intake: Intake) -> None:
    intake.refuse_orders()
    with pytest.raises(Draining):
        await intake.place((new(),))
    assert isinstance(await intake.get(1), Completion)
    assert len((await intake.page(after=0, limit=10))[0]) == 3
    with pytest.raises(OrderNotFound):
        await intake.get(4)


async def test_a_broken_service_that_stops_says_that_it_is_broken(store: FaultyStore) -> None:
    desk = Desk(store)
    intake = Intake(store=store, ledger=desk.ledger, completions=desk.completions)
    store.break_down()
    with pytest.raises(StoreBroken):
        await desk.ledger.run()
    intake.refuse_orders()
    with pytest.raises(StorageUnavailable):
        await intake.place((new(),))


@pytest.mark.parametrize(
    ("after", "limit", "sequences", "goes_on"),
    [
        (0, 2, [1, 2], True),
        (0, 3, [1, 2, 3], False),
        (1, 1, [2], True),
        (2, 10, [3], False),
        (3, 10, [], False),
    ],
)
async def test_a_page_tells_whether_the_log_goes_on(
    intake: Intake, after: int, limit: int, sequences: list[int], *, goes_on: bool
) -> None:
    page, more = await intake.page(after=after, limit=limit)
    assert [completion.sequence for completion in page] == sequences
    assert more == goes_on


async def test_p17_a_place_ahead_of_the_log_is_refused(intake: Intake) -> None:
    with pytest.raises(CursorAhead):
        await intake.page(after=4, limit=10)
    with pytest.raises(CursorAhead):
        intake.subscribe(after=2**63, limit=10, heartbeat_seconds=1)


async def test_a_subscription_begins_where_it_is_asked_or_at_the_head(intake: Intake) -> None:
    for after, position in ((0, 0), (2, 2), (3, 3), (None, 3)):
        subscription = intake.subscribe(after=after, limit=10, heartbeat_seconds=1)
        assert (await subscription.next()).position == position


async def test_the_cursor_of_a_completion_just_told_is_good(
    store: FaultyStore, intake: Intake
) -> None:
    await complete(store, new())  # durable, not yet published
    with pytest.raises(CursorAhead):
        intake.subscribe(after=4, limit=10, heartbeat_seconds=1)
    found = await intake.get(4)
    assert isinstance(found, Completion)
    intake.subscribe(after=found.sequence, limit=10, heartbeat_seconds=1)


async def test_an_order_in_process_is_told_as_such(desk: Desk, intake: Intake) -> None:
    await intake.place((new(),))
    lease = await desk.start()
    found = await intake.get(4)
    assert found == lease.order
    assert isinstance(found, Order)
    assert found.state is State.PROCESSING
