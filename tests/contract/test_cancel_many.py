"""Many orders that wait are found and cancelled by one commit; what runs is not touched."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from orderintake_server.domain import Action, CancelOutcome, Ranking, State, Tier
from orderintake_server.errors import StoreFull
from orderintake_server.store import pages
from orderintake_server.store.base import Policy
from orderintake_server.store.changes import CancelWaiting, Changes, Committed
from orderintake_server.views import BulkDone, Selection
from support.changes import (
    AMPLE,
    BOSS,
    DONE,
    PLENTY,
    actions,
    again,
    cancel,
    complete,
    log_of,
    new,
    place,
    queue,
    settle,
    start,
    state,
)
from support.clocks import SECOND
from support.stores import FoundStore, Home

ALL = Selection()
CALL = replace(BOSS, request_id="r-1", until=9)
LATER = 2**60


async def waiting(store: FoundStore, wanted: Selection = ALL, *, limit: int = PLENTY) -> list[int]:
    """Read all that wait and match, page by page."""
    found: list[int] = []
    after: int | None = 0
    while after is not None:
        page, after = await store.selections.list_waiting(wanted, after=after, limit=limit)
        assert len(page) <= limit
        found += page
    return found


async def cancel_waiting(store: FoundStore, *numbers: int) -> Committed:
    """Cancel those of these orders that wait."""
    return await store.commit(Changes(cancels_waiting=[CancelWaiting(numbers, CALL)]))


@pytest.mark.parametrize("limit", [1, 2, 9])
@pytest.mark.parametrize("head_start", [None, 2 * SECOND])
async def test_all_that_wait_are_listed_once_in_the_order_of_acceptance(
    home: Home, limit: int, head_start: int | None
) -> None:
    store = await home.reopen(Policy(ranking=Ranking(vip_head_start=head_start)))
    await complete(store, new(), new())
    for _ in range(3):
        home.clock.turn(1)
        await place(store, new(), new(vip=True), new(not_before=LATER))
    (first,) = await start(store)
    await settle(store, first, ending=again(LATER))
    await start(store)
    assert first.order.accept_sequence == 4
    assert await state(store, 7) is State.PROCESSING
    assert await waiting(store, limit=limit) == [3, 4, 5, 6, 8, 9, 10, 11]


async def test_they_are_found_by_all_that_can_be_asked(home: Home, store: FoundStore) -> None:
    await place(store, new(b"red"), new(vip=True), new(customer_id="bob", not_before=LATER))
    home.clock.turn(10)
    since = home.clock.now
    await place(store, new(b"red", customer_id="bob", vip=True))
    for wanted, expected in (
        (Selection(tier=Tier.VIP), [2, 4]),
        (Selection(tier=Tier.REGULAR), [1, 3]),
        (Selection(customer_id="bob"), [3, 4]),
        (Selection(customer_id="eve"), []),
        (Selection(since=since), [4]),
        (Selection(until=since), [1, 2, 3]),
        (Selection(has_labels=lambda content: content == b"red"), [1, 4]),
        (Selection(has_labels=lambda content: content == b"red", customer_id="bob"), [4]),
    ):
        for limit in (1, PLENTY):
            assert await waiting(store, wanted, limit=limit) == expected, wanted


async def test_the_work_to_find_them_is_bounded(
    store: FoundStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SCAN_ROWS", 3)
    await place(store, *[new() for _ in range(5)], new(customer_id="bob"))
    wanted = Selection(customer_id="bob")
    assert await store.selections.list_waiting(wanted, after=0, limit=9) == ([], 3)
    assert await waiting(store, wanted) == [6]
    assert await waiting(store) == [1, 2, 3, 4, 5, 6]


async def test_no_more_content_is_read_than_a_page_may(
    store: FoundStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orderintake_server.store.selections.SCAN_BYTES", 1500)
    await place(store, *[new(b"x" * 1000) for _ in range(4)], new(b"red"))
    wanted = Selection(has_labels=lambda content: content == b"red")
    assert await store.selections.list_waiting(wanted, after=0, limit=9) == ([], 2)
    assert await waiting(store, wanted) == [5]


async def test_a_page_begins_after_an_order_that_is_gone(store: FoundStore) -> None:
    await place(store, *[new() for _ in range(4)])
    await cancel(store, 2, 3)
    assert await store.selections.list_waiting(ALL, after=2, limit=9) == ([4], None)
    assert await store.selections.list_waiting(ALL, after=99, limit=9) == ([], None)


async def test_one_commit_cancels_those_that_wait_and_no_other(store: FoundStore) -> None:
    await complete(store, new(), ending=DONE)
    await place(store, new(), new(vip=True), new(not_before=LATER), new())
    (lease,) = await start(store)
    committed = await cancel_waiting(store, 1, 4, 3, 2, 2, 99)
    assert committed.cancelled_waiting == [{Tier.REGULAR: 2}]
    assert committed.completion_counts[Tier.REGULAR] == 2
    assert await log_of(store) == [
        (1, State.SUCCEEDED),
        (2, State.CANCELLED),
        (4, State.CANCELLED),
    ]
    assert await queue(store) == [5]
    assert not committed.to_stop
    assert await settle(store, lease) == [State.SUCCEEDED]


async def test_each_is_recorded_and_the_call_is_found_by_its_request_id(
    home: Home, store: FoundStore
) -> None:
    await place(store, new(not_before=LATER), new(), new())
    await cancel_waiting(store, 3, 1)
    home.clock.turn(1)
    await cancel_waiting(store, 3, 1)
    found = await actions(store)
    assert [(each.action, each.accept_sequence, each.by) for each in found] == [
        (Action.CANCEL_ORDER, 1, CALL),
        (Action.CANCEL_ORDER, 3, CALL),
    ]
    assert {each.detail for each in found} == {'{"outcome": "CANCELLED"}'}
    done = BulkDone(action=Action.CANCEL_ORDER, count=2, last=3, until=9)
    assert await store.selections.find_bulk("r-1") == done


async def test_what_is_cancelled_twice_in_a_commit_is_cancelled_once(store: FoundStore) -> None:
    await place(store, new(), new(vip=True), new())
    eve = replace(BOSS, name="eve", request_id="r-2")
    committed = await store.commit(
        Changes(cancels_waiting=[CancelWaiting([1, 2], CALL), CancelWaiting([2, 3], eve)])
    )
    assert committed.cancelled_waiting == [{Tier.REGULAR: 1, Tier.VIP: 1}, {Tier.REGULAR: 1}]
    told: Sequence[tuple[str, int | None]] = [
        (each.by.name, each.accept_sequence) for each in await actions(store)
    ]
    assert told == [("boss", 1), ("boss", 2), ("eve", 3)]


async def test_an_answer_to_a_cancel_of_one_of_them_matches(store: FoundStore) -> None:
    await place(store, new())
    await cancel_waiting(store, 1)
    (cancelled,) = await cancel(store, 1)
    assert cancelled is not None
    assert cancelled.outcome is CancelOutcome.CANCELLED


async def test_a_commit_that_fails_cancels_none(home: Home, store: FoundStore) -> None:
    await place(store, new(), new())
    changes = Changes(
        cancels_waiting=[CancelWaiting([1, 2], CALL)],
        accepts=[[new(b"x" * 90_000)]],
        capacity=AMPLE,
    )
    with home.full(), pytest.raises(StoreFull):
        await store.commit(changes)
    assert (await queue(store), await actions(store)) == ([1, 2], [])
