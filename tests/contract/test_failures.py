"""Failed orders are work: they are listed until they are redriven, and each is redriven once."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from orderintake_server.domain import Action, Ending, Event, Failure, NewOrder, Tier
from orderintake_server.store import pages
from orderintake_server.store.base import COMPLETION_BYTES
from orderintake_server.store.changes import Changes
from orderintake_server.views import BulkDone, FailedOrder, Selection
from support.changes import (
    AMPLE,
    BOSS,
    DONE,
    PLENTY,
    again,
    cancel,
    complete,
    new,
    place,
    prune,
    settle,
    start,
)
from support.clocks import SECOND
from support.stores import FoundStore, Home

ALL = Selection()


def failing(code: str, message: str = "") -> Ending:
    """End an attempt with a failure of this code."""
    return Ending(event=Event.FAIL, failure=Failure(code=code, message=message))


def copy(number: int, request_id: str = "") -> NewOrder:
    """Make the copy that redrives an order, for a call with this request_id."""
    by = replace(BOSS, request_id=request_id, until=9)
    return new(request_id=f"redrive {number}", redrive_of=number, by=by)


async def listed(
    store: FoundStore, wanted: Selection = ALL, *, newest_first: bool = True, limit: int = PLENTY
) -> list[FailedOrder]:
    """Read all failures that match, page by page."""
    found: list[FailedOrder] = []
    after: int | None = 0
    while after is not None:
        page, after = await store.selections.list_failures(
            wanted, after=after, limit=limit, max_bytes=PLENTY, newest_first=newest_first
        )
        assert len(page) <= limit
        found += page
    return found


def numbers(failures: Sequence[FailedOrder]) -> list[int]:
    """Tell which orders they are."""
    return [failed.completion.order.accept_sequence for failed in failures]


async def fail(store: FoundStore, *orders: NewOrder, code: str = "SOLD_OUT") -> None:
    """Let orders fail, one after the other."""
    for order in orders:
        await complete(store, order, ending=failing(code))


async def test_what_failed_is_listed_and_nothing_else(store: FoundStore) -> None:
    await complete(store, new(), ending=DONE)
    await fail(store, new(b"cake", customer_id="bob", vip=True))
    await place(store, new(), new())
    await cancel(store, 3)
    await settle(store, *await start(store), ending=again(PLENTY))
    ((completion, copied),) = await listed(store)
    assert completion == await store.find(2)
    assert completion.failure == Failure(code="SOLD_OUT", message="")
    assert copied == 0


async def test_what_was_quarantined_is_listed(home: Home) -> None:
    store = await home.open()
    await place(store, new())
    for _ in range(home.policy.max_crashes):
        await start(store)
        store = await home.crash()
    (failed,) = await listed(store)
    assert failed.completion.failure is not None
    assert failed.completion.failure.code == "QUARANTINED"


@pytest.mark.parametrize("limit", [1, 2, 9])
async def test_pages_lead_either_way_and_have_each_once(store: FoundStore, limit: int) -> None:
    for _ in range(5):
        await fail(store, new())
        await complete(store, new())
    assert numbers(await listed(store, limit=limit)) == [9, 7, 5, 3, 1]
    assert numbers(await listed(store, limit=limit, newest_first=False)) == [1, 3, 5, 7, 9]


async def test_what_fails_meanwhile_is_on_no_later_page(store: FoundStore) -> None:
    await fail(store, new(), new(), new())
    first, after = await store.selections.list_failures(ALL, after=0, limit=1, max_bytes=PLENTY)
    await fail(store, new())
    assert after is not None
    rest, after = await store.selections.list_failures(ALL, after=after, limit=9, max_bytes=PLENTY)
    assert (numbers(first + rest), after) == ([3, 2, 1], None)


async def test_failures_are_found_by_all_that_can_be_asked(home: Home, store: FoundStore) -> None:
    await fail(store, new(b"red"), new(vip=True), code="SOLD_OUT")
    home.clock.turn(10)
    since = home.clock.now
    await fail(store, new(b"red", customer_id="bob"), code="NO_SUCH_ARTICLE")
    home.clock.turn(10)
    await fail(store, new(customer_id="bob", vip=True), code="ŽÁDNÝ ☃")
    for wanted, expected in (
        (Selection(codes=("SOLD_OUT",)), [2, 1]),
        (Selection(codes=("ŽÁDNÝ ☃", "SOLD_OUT", "?")), [4, 2, 1]),
        (Selection(codes=("?",)), []),
        (Selection(customer_id="bob"), [4, 3]),
        (Selection(customer_id="bob", codes=("SOLD_OUT",)), []),
        (Selection(tier=Tier.VIP), [4, 2]),
        (Selection(tier=Tier.VIP, customer_id="ada"), [2]),
        (Selection(since=since), [4, 3]),
        (Selection(until=since), [2, 1]),
        (Selection(since=since, until=since + SECOND), [3]),
        (Selection(numbers=(99, 4, 1, 1)), [4, 1]),
        (Selection(numbers=(4, 1), codes=("SOLD_OUT",)), [1]),
        (Selection(numbers=()), []),
        (Selection(has_labels=lambda content: content == b"red"), [3, 1]),
        (Selection(has_labels=lambda content: content == b"red", customer_id="ada"), [1]),
        (Selection(is_redriven_too=True, customer_id="bob"), [4, 3]),
    ):
        for limit in (1, PLENTY):
            assert numbers(await listed(store, wanted, limit=limit)) == expected, wanted


async def test_the_work_for_a_page_is_bounded(
    store: FoundStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SCAN_ROWS", 3)
    await fail(store, new(customer_id="bob", vip=True), *[new() for _ in range(5)])
    for wanted, limit in ((Selection(tier=Tier.VIP), 9), (replace(ALL, tier=Tier.VIP), 1)):
        page, after = await store.selections.list_failures(
            wanted, after=0, limit=limit, max_bytes=PLENTY
        )
        assert (page, after) == ([], 4)
        assert numbers(await listed(store, wanted, limit=limit)) == [1]


async def test_a_page_is_bounded_by_bytes_and_has_one_at_least(store: FoundStore) -> None:
    await fail(store, *[new(b"x" * 1000) for _ in range(4)], code="é" * 64)
    each = COMPLETION_BYTES + 1000 + 128
    for room, count in ((1, 1), (2 * each - 1, 1), (2 * each, 2), (PLENTY, 4)):
        page, _ = await store.selections.list_failures(ALL, after=0, limit=9, max_bytes=room)
        assert len(page) == count


async def test_no_more_content_is_read_than_a_page_may(
    store: FoundStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orderintake_server.store.selections.SCAN_BYTES", 1500)
    await fail(store, new(b"red"), *[new(b"x" * 1000) for _ in range(4)])
    wanted = Selection(has_labels=lambda content: content == b"red")
    page, after = await store.selections.list_failures(wanted, after=0, limit=9, max_bytes=PLENTY)
    assert (page, after) == ([], 4)
    assert numbers(await listed(store, wanted)) == [1]


async def test_what_was_redriven_leaves_the_list_and_tells_of_its_copy(store: FoundStore) -> None:
    await fail(store, new(), new(), new())
    await place(store, copy(2), copy(2))
    await place(store, copy(2), copy(3))
    assert numbers(await listed(store)) == [1]
    found = await listed(store, Selection(is_redriven_too=True))
    assert [(f.completion.order.accept_sequence, f.copy) for f in found] == [(3, 5), (2, 4), (1, 0)]
    assert numbers(await listed(store, Selection(numbers=(1, 2)))) == [1]
    found = await listed(store, Selection(numbers=(1, 2), is_redriven_too=True))
    assert numbers(found) == [2, 1]


async def test_a_refused_copy_leaves_its_original_in_the_list(store: FoundStore) -> None:
    await fail(store, new(), new())
    await place(store, new(b"cake", request_id="redrive 2"))
    await store.commit(Changes(accepts=[[copy(1), copy(2)]], capacity=AMPLE))
    assert numbers(await listed(store)) == [2, 1]


async def test_a_copy_that_fails_is_listed_in_its_turn(store: FoundStore) -> None:
    await fail(store, new())
    await fail(store, copy(1))
    assert numbers(await listed(store)) == [2]
    await place(store, copy(2))
    assert await listed(store) == []


async def test_what_ended_otherwise_is_redriven_and_listed_never(store: FoundStore) -> None:
    await place(store, new())
    await cancel(store, 1)
    await place(store, copy(1))
    assert await listed(store, Selection(is_redriven_too=True)) == []


async def test_failures_outlive_a_crash_and_go_with_their_orders(
    home: Home, store: FoundStore
) -> None:
    await fail(store, new(), new())
    await place(store, copy(1))
    store = await home.crash()
    assert numbers(await listed(store)) == [2]
    home.clock.turn(9)
    await prune(store, home.clock.now)
    assert await listed(store, Selection(is_redriven_too=True)) == []


async def test_failures_are_counted_by_code(store: FoundStore) -> None:
    await fail(store, new(), new(b"red"), code="A")
    await fail(store, new(), new(b"red", customer_id="bob"), new(), code="B")
    await place(store, copy(1))
    counts = await store.selections.count_failures(ALL)
    assert (list(counts.counts.items()), counts.is_partial) == ([("B", 3), ("A", 1)], False)
    for wanted, expected in (
        (Selection(is_redriven_too=True), {"B": 3, "A": 2}),
        (Selection(codes=("A",)), {"A": 1}),
        (Selection(customer_id="bob"), {"B": 1}),
        (Selection(has_labels=lambda content: content == b"red"), {"A": 1, "B": 1}),
        (Selection(tier=Tier.VIP), {}),
    ):
        assert (await store.selections.count_failures(wanted)).counts == expected


async def test_the_newest_are_counted_where_there_are_too_many(
    store: FoundStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SCAN_ROWS", 3)
    await fail(store, new(), code="OLD")
    await fail(store, new(), new(), code="NEW")
    assert not (await store.selections.count_failures(Selection(codes=("NEW",)))).is_partial
    await fail(store, new(), code="NEW")
    counts = await store.selections.count_failures(ALL)
    assert (counts.counts, counts.is_partial) == ({"NEW": 3}, True)


async def test_no_more_codes_are_counted_than_a_page_has_room_for(
    store: FoundStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orderintake_server.store.selections.MOST_CODES", 1)
    await fail(store, new(), new(), code="A")
    await fail(store, new(), code="B")
    counts = await store.selections.count_failures(ALL)
    assert (counts.counts, counts.is_partial) == ({"A": 2}, True)


async def test_it_is_found_what_one_call_did_to_many(home: Home, store: FoundStore) -> None:
    await fail(store, new(), new(), new())
    assert await store.selections.find_bulk("r-1") is None
    assert await store.selections.find_bulk("") is None
    await place(store, copy(3, "r-1"), copy(1, "r-1"))
    await place(store, copy(2, "r-2"), copy(1, "r-2"))
    await cancel(store, 4, by=BOSS)
    for crashes in (False, True):
        store = await home.crash() if crashes else store
        done = BulkDone(action=Action.REDRIVE_ORDER, count=2, last=1, until=9)
        assert await store.selections.find_bulk("r-1") == done
        assert await store.selections.find_bulk("r-2") == replace(done, count=1, last=2)
        assert await store.selections.find_bulk("") is None
