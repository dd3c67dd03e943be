"""Orders and completions are listed by pages, whoever moves meanwhile, with bounded work."""

from dataclasses import replace

import pytest

from orderintake_server.domain import Completion, Order, State, Tier
from orderintake_server.store import pages
from orderintake_server.store.base import COMPLETION_BYTES
from orderintake_server.views import OrderFilter
from support.changes import (
    FAILED,
    PLENTY,
    again,
    cancel,
    complete,
    new,
    place,
    settle,
    start,
    whole_log,
)
from support.clocks import SECOND
from support.stores import FoundStore, Home

ALL = OrderFilter()
ADAS = OrderFilter(customer_id="ada")
VIPS = OrderFilter(tier=Tier.VIP)


@pytest.fixture
async def shop(home: Home, store: FoundStore) -> list[Order]:
    """A store with orders in every state, of both tiers and two customers."""
    customers = ["ada", "bob"] * 6
    await place(
        store,
        *(new(b"%d" % n, vip=n % 3 == 0, customer_id=c) for n, c in enumerate(customers, 1)),
        new(not_before=home.clock.later(60)),
        new(customer_id="bob", vip=True, expire_time=home.clock.later(30)),
    )
    leases = await start(store, 6)
    await settle(store, *leases[:2])
    await settle(store, *leases[2:4], ending=FAILED)
    await settle(store, leases[4], ending=again(60 * SECOND))
    await cancel(store, 11)
    home.clock.turn(31)
    await cancel(store, 12)
    found = [await store.find(number) for number in range(1, 15)]
    return [
        stands.order if isinstance(stands, Completion) else stands for stands in found if stands
    ]


def _is_wanted(order: Order, wanted: OrderFilter) -> bool:
    return wanted.customer_id in (None, order.customer_id) and wanted.wants(order)


FILTERS = [
    OrderFilter(customer_id=customer_id, tier=tier, state=state)
    for customer_id in (None, "ada", "bob", "eve")
    for tier in (None, *Tier)
    for state in (None, *State)
]


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_every_filter_lists_just_what_it_wants_either_way(
    store: FoundStore, shop: list[Order], limit: int
) -> None:
    for wanted in FILTERS:
        expected = [o for o in shop if _is_wanted(o, wanted)]
        assert await _listed(store, wanted, limit) == expected
        assert await _listed(store, wanted, limit, newest_first=True) == expected[::-1]


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_every_filter_finds_its_completions(
    store: FoundStore, shop: list[Order], limit: int
) -> None:
    log = await whole_log(store)
    for wanted in FILTERS:
        expected = [end for end in log if _is_wanted(end.order, wanted)]
        assert await _searched(store, wanted, limit) == expected


async def test_pages_are_stable_while_orders_move(store: FoundStore) -> None:
    await place(store, *(new() for _ in range(6)))
    first, after = await store.list_orders(ALL, after=0, limit=3)
    assert after == 3
    await cancel(store, 2, 5)
    (lease,) = await start(store)
    await settle(store, lease)
    await place(store, new(vip=True))
    second, _ = await store.list_orders(ALL, after=after, limit=9)
    assert [order.accept_sequence for order in first + second] == [1, 2, 3, 4, 5, 6, 7]


async def test_pages_from_the_newest_on_are_stable_while_orders_come(store: FoundStore) -> None:
    await place(store, *(new() for _ in range(6)))
    first, after = await store.list_orders(ALL, after=0, limit=3, newest_first=True)
    assert after == 4
    await cancel(store, 2, 5)
    await place(store, new(vip=True))
    second, after = await store.list_orders(ALL, after=after, limit=3, newest_first=True)
    assert [order.accept_sequence for order in first + second] == [6, 5, 4, 3, 2, 1]
    assert after is None
    assert await store.list_orders(ALL, after=1, limit=3, newest_first=True) == ([], None)


async def test_a_page_shows_orders_as_they_stand_now(store: FoundStore, shop: list[Order]) -> None:
    await cancel(store, *range(1, 15))
    orders, _ = await store.list_orders(OrderFilter(state=State.QUEUED), after=0, limit=99)
    assert orders == []


async def test_of_an_empty_store_nothing_is_listed(store: FoundStore) -> None:
    assert await store.list_orders(ALL, after=0, limit=5) == ([], None)
    page = await store.read_log(ALL, after=0, limit=5, max_bytes=PLENTY)
    assert (page.completions, page.end, page.goes_on) == ([], 0, False)


async def test_behind_the_last_order_nothing_is_listed(store: FoundStore) -> None:
    await place(store, new())
    assert await store.list_orders(ALL, after=1, limit=5) == ([], None)
    assert await store.list_orders(VIPS, after=0, limit=5) == ([], None)


@pytest.fixture
def short_scans(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let a page read few rows, that bounds can be seen."""
    monkeypatch.setattr(pages, "SCAN_ROWS", 10)
    return 10


async def test_a_list_looks_at_so_many_rows_and_tells_where_to_go_on(
    store: FoundStore, short_scans: int
) -> None:
    await place(store, *(new() for _ in range(2 * short_scans)), new(vip=True), new())
    pages = []
    after: int | None = 0
    while after is not None:
        page, after = await store.list_orders(VIPS, after=after, limit=5)
        pages.append(([order.accept_sequence for order in page], after))
    assert pages == [([], 10), ([], 20), ([21], None)]


async def test_a_customers_list_looks_at_that_customers_rows_only(
    store: FoundStore, short_scans: int
) -> None:
    await place(store, *(new() for _ in range(3 * short_scans)), new(customer_id="bob"))
    wanted = OrderFilter(customer_id="bob", state=State.QUEUED)
    (order,), after = await store.list_orders(wanted, after=0, limit=5)
    assert (order.accept_sequence, after) == (31, None)


FAILURES = OrderFilter(state=State.FAILED)


@pytest.mark.parametrize("wanted", [FAILURES, replace(FAILURES, tier=Tier.REGULAR)])
async def test_a_search_looks_at_so_many_rows_and_tells_where_to_go_on(
    store: FoundStore, short_scans: int, wanted: OrderFilter
) -> None:
    await complete(store, *(new() for _ in range(2 * short_scans)))
    await place(store, new(), new())
    first, second = await start(store, 2)
    await settle(store, first, ending=FAILED)
    await settle(store, second)
    assert await _ends(store, wanted) == [([], 10), ([], 20), ([21], 22)]


@pytest.mark.parametrize(
    ("wanted", "others"),
    [
        (OrderFilter(customer_id="bob"), OrderFilter(customer_id="eve")),
        (VIPS, OrderFilter(customer_id="eve", tier=Tier.VIP)),
    ],
)
async def test_a_search_for_a_customer_or_a_tier_looks_at_no_others_rows(
    store: FoundStore, short_scans: int, wanted: OrderFilter, others: OrderFilter
) -> None:
    await complete(store, *(new() for _ in range(3 * short_scans)))
    await complete(store, new(customer_id="bob", vip=True), new())
    assert await _ends(store, wanted) == [([31], 32)]
    assert await _ends(store, others) == [([], 32)]


async def _ends(store: FoundStore, wanted: OrderFilter) -> list[tuple[list[int], int]]:
    """Read the log by pages of five; tell of each what it holds, and its end."""
    pages: list[tuple[list[int], int]] = []
    after, goes_on = 0, True
    while goes_on:
        page = await store.read_log(wanted, after=after, limit=5, max_bytes=PLENTY)
        after, goes_on = page.end, page.goes_on
        pages.append(([end.sequence for end in page.completions], page.end))
    return pages


async def test_a_search_that_found_enough_ends_at_what_it_found(store: FoundStore) -> None:
    await complete(store, *(new(vip=n in (2, 4), customer_id=str(n)) for n in range(1, 6)))
    page = await store.read_log(VIPS, after=0, limit=1, max_bytes=PLENTY)
    assert (page.end, page.goes_on) == (1, True)
    page = await store.read_log(VIPS, after=0, limit=2, max_bytes=PLENTY)
    assert (page.end, page.goes_on) == (2, True)
    page = await store.read_log(VIPS, after=2, limit=2, max_bytes=PLENTY)
    assert (page.completions, page.end, page.goes_on) == ([], 5, False)


async def test_a_search_holds_no_more_than_the_bytes_asked_for(store: FoundStore) -> None:
    await complete(store, *(new(b"x" * 1000) for _ in range(5)))
    page = await store.read_log(ADAS, after=0, limit=9, max_bytes=3 * (1000 + COMPLETION_BYTES) - 1)
    assert ([end.sequence for end in page.completions], page.end) == ([1, 2], 2)
    assert page.goes_on
    page = await store.read_log(ADAS, after=2, limit=9, max_bytes=1)
    assert ([end.sequence for end in page.completions], page.end) == ([3], 3)


async def _listed(
    store: FoundStore, wanted: OrderFilter, limit: int, *, newest_first: bool = False
) -> list[Order]:
    orders: list[Order] = []
    after: int | None = 0
    while after is not None:
        page, after = await store.list_orders(
            wanted, after=after, limit=limit, newest_first=newest_first
        )
        assert len(page) <= limit
        orders += page
    return orders


async def _searched(store: FoundStore, wanted: OrderFilter, limit: int) -> list[Completion]:
    found: list[Completion] = []
    after, goes_on = 0, True
    while goes_on:
        page = await store.read_log(wanted, after=after, limit=limit, max_bytes=PLENTY)
        assert len(page.completions) <= limit
        after, goes_on = page.end, page.goes_on
        found += page.completions
    return found


BULKY = 60_000


@pytest.mark.parametrize("wanted", [ALL, ADAS, OrderFilter(state=State.QUEUED)])
async def test_a_page_of_orders_is_bounded_by_bytes(store: FoundStore, wanted: OrderFilter) -> None:
    await place(store, *(new(b"%d" % n * BULKY) for n in range(9)), new())
    listed: list[int] = []
    after: int | None = 0
    while after is not None:
        page, after = await store.list_orders(wanted, after=after, limit=1000)
        assert page
        assert sum(len(order.content) + pages.ORDER_BYTES for order in page) <= pages.PAGE_BYTES
        listed += [order.accept_sequence for order in page]
    assert listed == list(range(1, 11))


async def test_a_scan_for_few_among_bulky_orders_ends_in_steps(
    store: FoundStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("store.pages", "store.postgres.reads"):
        monkeypatch.setattr(f"orderintake_server.{module}.SCAN_BYTES", 3 * BULKY)
    vip = new(vip=True)
    await place(store, vip, *(new(b"x" * BULKY) for _ in range(9)), vip)
    for newest_first in (False, True):
        listed: list[int] = []
        steps = 0
        after: int | None = 0
        while after is not None:
            page, after = await store.list_orders(
                VIPS, after=after, limit=1000, newest_first=newest_first
            )
            listed += [order.accept_sequence for order in page]
            steps += 1
        assert sorted(listed) == [1, 11]
        assert steps == 3
