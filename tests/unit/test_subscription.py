"""P14 to P16: what a subscriber is told, and when, over a real log."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from orderintake_server.domain import Tier
from orderintake_server.errors import CursorExpired
from orderintake_server.store.sqlite.store import SqliteStore
from orderintake_server.stream import subscription
from orderintake_server.stream.log import CompletionLog
from orderintake_server.stream.ring import Ring
from orderintake_server.stream.subscription import Subscription
from orderintake_server.views import (
    EVERY_ORDER,
    Delivery,
    OrderFilter,
    ReadFrom,
    StartAt,
    Subscribe,
)
from support.changes import complete, new, prune
from support.completed import encode, sequences

FOREVER = 3600.0
"""A heartbeat that no test lives to see."""
AT_ONCE = 0.0
BOBS = OrderFilter(customer_id="bob")
VIPS = OrderFilter(tier=Tier.VIP)


class Told(NamedTuple):
    """A delivery, but for its head."""

    signal: str
    sequences: list[int]
    position: int


def told(delivery: Delivery) -> Told:
    return Told(delivery.signal.name, sequences(delivery.completions), delivery.position)


async def next_of(subscription: Subscription, count: int = 1) -> list[Told]:
    return [told(await subscription.next()) for _ in range(count)]


async def next_but(subscription: Subscription, *signals: str) -> Told:
    """The next delivery without one of these signals."""
    while (found := told(await subscription.next())).signal in signals:
        pass
    return found


@asynccontextmanager
async def kept_up(
    store: SqliteStore, head: int = 0, *, ring: Ring | None = None
) -> AsyncIterator[CompletionLog]:
    """A log whose end is read as it grows, as long as somebody subscribes."""
    completions = CompletionLog(store, encode, head=head, earliest=0, ring=ring)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(completions.run())
        with completions.subscriber():
            yield completions
        completions.close()


@pytest.fixture
async def completions(
    store: SqliteStore, request: pytest.FixtureRequest
) -> AsyncIterator[CompletionLog]:
    """A log of five completions, none of them in the ring, which is as small as a test says."""
    head = await complete(store, *[new()] * 5)
    small = Ring(head, **getattr(request, "param", {}))
    async with kept_up(store, head, ring=small) as completions:
        yield completions


def subscribe(
    completions: CompletionLog,
    wanted: OrderFilter = EVERY_ORDER,
    *,
    after: ReadFrom = 0,
    limit: int = 2,
    heartbeat: float = FOREVER,
) -> Subscription:
    return Subscription(
        completions,
        Subscribe(wanted=wanted, start=after, limit=limit, heartbeat_seconds=heartbeat),
        after=0 if isinstance(after, StartAt) else after,
    )


async def more(store: SqliteStore, completions: CompletionLog, count: int = 1) -> None:
    """Let `count` more orders complete, and publish them."""
    completions.publish(await complete(store, *[new()] * count))


async def waiting_for(*subscriptions: Subscription) -> list[asyncio.Task[Delivery]]:
    """Let subscribers wait for what comes next."""
    tasks = [asyncio.create_task(subscription.next()) for subscription in subscriptions]
    for _ in range(3):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)
    return tasks


async def test_p16_first_it_is_told_that_it_stands(completions: CompletionLog) -> None:
    first = await subscribe(completions, after=3).next()
    assert told(first) == Told("STARTED", [], 3)
    assert first.head == 5


async def test_then_what_the_log_holds_page_by_page_and_that_it_caught_up(
    completions: CompletionLog,
) -> None:
    assert await next_of(subscribe(completions), 5) == [
        Told("STARTED", [], 0),
        Told("UNSPECIFIED", [1, 2], 2),
        Told("UNSPECIFIED", [3, 4], 4),
        Told("UNSPECIFIED", [5], 5),
        Told("CAUGHT_UP", [], 5),
    ]


async def test_at_the_head_it_is_caught_up_at_once(completions: CompletionLog) -> None:
    subscription = subscribe(completions, after=5)
    assert await next_of(subscription, 2) == [Told("STARTED", [], 5), Told("CAUGHT_UP", [], 5)]


async def test_what_completes_is_told_as_it_happens(
    store: SqliteStore, completions: CompletionLog
) -> None:
    subscription = subscribe(completions, after=5)
    await next_of(subscription, 2)
    (task,) = await waiting_for(subscription)
    await more(store, completions)
    assert told(await task) == Told("UNSPECIFIED", [6], 6)


async def test_every_one_of_many_is_woken(store: SqliteStore, completions: CompletionLog) -> None:
    subscriptions = [subscribe(completions, after=5) for _ in range(100)]
    for each in subscriptions:
        await next_of(each, 2)
    tasks = await waiting_for(*subscriptions)
    await more(store, completions)
    found = await asyncio.gather(*tasks)
    assert [told(delivery) for delivery in found] == [Told("UNSPECIFIED", [6], 6)] * 100


async def test_a_head_once_published_never_goes_back(completions: CompletionLog) -> None:
    subscription = subscribe(completions, after=5)
    await next_of(subscription, 2)
    (task,) = await waiting_for(subscription)
    for head in (5, 4, 0):
        completions.publish(head)
        await asyncio.sleep(0)
    assert completions.head == 5
    assert not task.done()
    completions.close()
    await task


async def test_p19_who_waits_is_told_of_the_end_at_once(completions: CompletionLog) -> None:
    subscriptions = [subscribe(completions, after=5) for _ in range(10)]
    for each in subscriptions:
        await next_of(each, 2)
    tasks = await waiting_for(*subscriptions)
    completions.close()
    found = await asyncio.gather(*tasks)
    assert [told(delivery) for delivery in found] == [Told("GOING_AWAY", [], 5)] * 10


async def test_p19_who_is_behind_gets_one_more_page_and_is_told_of_the_end(
    completions: CompletionLog,
) -> None:
    subscription = subscribe(completions)
    await next_of(subscription)
    completions.close()
    assert await next_of(subscription, 2) == [
        Told("UNSPECIFIED", [1, 2], 2),
        Told("GOING_AWAY", [], 2),
    ]
    again = subscribe(completions, after=2, limit=10)
    assert (await next_of(again, 2))[1] == Told("UNSPECIFIED", [3, 4, 5], 5)


async def test_p19_what_completed_last_is_told_before_the_end(
    store: SqliteStore, completions: CompletionLog
) -> None:
    subscription = subscribe(completions, after=5)
    await next_of(subscription, 2)
    (task,) = await waiting_for(subscription)
    await more(store, completions)
    completions.close()
    assert told(await task) == Told("UNSPECIFIED", [6], 6)
    assert await next_of(subscription) == [Told("GOING_AWAY", [], 6)]


async def test_what_came_meanwhile_is_told_with_the_rest(
    store: SqliteStore, completions: CompletionLog
) -> None:
    subscription = subscribe(completions, after=4)
    await next_of(subscription)
    await more(store, completions)
    assert await next_of(subscription, 2) == [
        Told("UNSPECIFIED", [5, 6], 6),
        Told("CAUGHT_UP", [], 6),
    ]


async def test_it_catches_up_once(store: SqliteStore, completions: CompletionLog) -> None:
    subscription = subscribe(completions, after=5, heartbeat=AT_ONCE)
    await next_of(subscription, 2)
    await more(store, completions, 3)
    assert await next_but(subscription, "HEARTBEAT") == Told("UNSPECIFIED", [6, 7], 7)
    assert await next_of(subscription, 3) == [
        Told("UNSPECIFIED", [8], 8),
        Told("HEARTBEAT", [], 8),
        Told("HEARTBEAT", [], 8),
    ]


async def test_p16_a_heartbeat_never_leads_what_was_told(
    store: SqliteStore, completions: CompletionLog
) -> None:
    subscription = subscribe(completions, after=5, heartbeat=AT_ONCE)
    await next_of(subscription, 2)
    await complete(store, new())  # durable, not yet published
    assert await next_of(subscription) == [Told("HEARTBEAT", [], 5)]
    completions.publish(6)
    while (found := told(await subscription.next())).signal == "HEARTBEAT":
        assert found.position == 5
    assert found == Told("UNSPECIFIED", [6], 6)


async def test_p19_who_comes_at_the_end_is_told_that_too(completions: CompletionLog) -> None:
    completions.close()
    found = await next_of(subscribe(completions, after=5), 3)
    assert found[0] == Told("STARTED", [], 5)
    assert Told("GOING_AWAY", [], 5) in found[1:]


@pytest.mark.parametrize("cut", range(6))
@pytest.mark.parametrize("limit", [1, 2, 5, 1000])
async def test_p14_from_any_place_on_each_completion_is_told_once(
    completions: CompletionLog, cut: int, limit: int
) -> None:
    subscription = subscribe(completions, after=cut, limit=limit)
    found: list[int] = []
    while (delivery := told(await subscription.next())).signal != "CAUGHT_UP":
        found += delivery.sequences
        assert len(delivery.sequences) <= limit
        assert delivery.position == (found[-1] if found else cut)
    assert found == list(range(cut + 1, 6))


@pytest.mark.parametrize("is_live", [False, True])
async def test_p15_a_page_of_large_completions_is_short_and_leaves_no_hole(
    store: SqliteStore, *, is_live: bool
) -> None:
    async with kept_up(store) as completions:
        subscription = subscribe(completions, limit=1000)
        assert await next_of(subscription, 2) == [Told("STARTED", [], 0), Told("CAUGHT_UP", [], 0)]
        late = [] if is_live else [subscribe(completions, limit=1000)]
        waiting = await waiting_for(subscription)
        completions.publish(await complete(store, *[new(b"x" * 60_000)] * 10))
        pages = [told(await waiting[0]), *await next_of(subscription, 2)]
        for other in late:
            pages = [page for page in await next_of(other, 5) if page.sequences]
    assert [page.sequences for page in pages] == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]


async def test_p14_all_who_listen_while_orders_complete_see_all_of_them(
    store: SqliteStore,
) -> None:
    async def listen(completions: CompletionLog, limit: int) -> list[int]:
        subscription = subscribe(completions, limit=limit)
        found: list[int] = []
        while len(found) < 60:
            found += (await next_of(subscription))[0].sequences
        return found

    async with kept_up(store) as completions, asyncio.TaskGroup() as tasks:
        listeners = [tasks.create_task(listen(completions, limit)) for limit in (1, 2, 3, 7, 100)]
        for count in (1, 2, 3) * 10:
            await more(store, completions, count)
    assert [listener.result() for listener in listeners] == [list(range(1, 61))] * 5


# Who reads slowly


@pytest.mark.parametrize("completions", [{"most_entries": 4}], indirect=True)
async def test_p15_who_leaves_the_ring_is_told_and_reads_the_log_until_it_caught_up_again(
    store: SqliteStore, completions: CompletionLog
) -> None:
    slow, fast = subscribe(completions, after=5, limit=4), subscribe(completions, after=5)
    for each in (slow, fast):
        await next_of(each, 2)
    for head in range(6, 26):
        await more(store, completions)
        assert told(await fast.next()) == Told("UNSPECIFIED", [head], head)
    found = await next_of(slow, 7)
    assert found[0] == Told("FELL_BEHIND", [], 5)
    assert [n for each in found[1:6] for n in each.sequences] == list(range(6, 26))
    assert found[6] == Told("CAUGHT_UP", [], 25)
    (task,) = await waiting_for(slow)
    await more(store, completions)
    assert told(await task) == Told("UNSPECIFIED", [26], 26)


async def test_who_begins_at_the_earliest_is_never_refused_for_what_was_pruned_meanwhile(
    store: SqliteStore, completions: CompletionLog
) -> None:
    subscription = subscribe(completions, after=StartAt.EARLIEST)
    assert told(await subscription.next()).signal == "STARTED"
    await prune(store, 2**60)
    await more(store, completions)
    assert told(await subscription.next()) == Told("UNSPECIFIED", [6], 6)


async def test_what_is_pruned_after_the_first_delivery_is_missed_and_told_so(
    store: SqliteStore, completions: CompletionLog
) -> None:
    subscription = subscribe(completions, after=StartAt.EARLIEST)
    assert [each.sequences for each in await next_of(subscription, 2)] == [[], [1, 2]]
    await prune(store, 2**60)
    with pytest.raises(CursorExpired) as expired:
        await subscription.next()
    assert (expired.value.earliest, completions.earliest) == (5, 5)


async def test_who_is_behind_a_log_that_was_pruned_meanwhile_is_told_so(
    store: SqliteStore, completions: CompletionLog
) -> None:
    subscription = subscribe(completions, after=1)
    await next_of(subscription)
    await prune(store, 2**60, limit=3)
    with pytest.raises(CursorExpired):
        await subscription.next()


# Filters


async def test_who_wants_one_customers_is_told_of_no_other(
    store: SqliteStore, completions: CompletionLog
) -> None:
    bobs, vips = (subscribe(completions, wanted, limit=9) for wanted in (BOBS, VIPS))
    for each in (bobs, vips):
        assert await next_of(each, 2) == [Told("STARTED", [], 0), Told("CAUGHT_UP", [], 5)]
    waiting = await waiting_for(bobs, vips)
    head = await complete(store, new(), new(customer_id="bob"), new())
    completions.publish(head)
    assert told(await waiting[0]) == Told("UNSPECIFIED", [7], 8)
    assert not waiting[1].done()
    completions.publish(await complete(store, new(customer_id="bob", vip=True)))
    assert told(await waiting[1]) == Told("UNSPECIFIED", [9], 9)
    assert told(await bobs.next()) == Told("UNSPECIFIED", [9], 9)


async def test_p16_the_cursor_of_who_wants_nothing_of_all_this_moves_on(
    store: SqliteStore, completions: CompletionLog
) -> None:
    every = subscribe(completions, after=5)
    await next_of(every, 2)
    quiet = subscribe(completions, BOBS, after=5, heartbeat=AT_ONCE)
    await next_of(quiet, 2)
    await more(store, completions, 2)
    assert told(await every.next()) == Told("UNSPECIFIED", [6, 7], 7)
    assert await next_of(quiet) == [Told("HEARTBEAT", [], 7)]


async def test_p16_a_search_that_takes_long_is_not_silent(
    store: SqliteStore, completions: CompletionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription.Subscription, "_seconds_to_heartbeat", lambda _: 0.0)
    found = await next_of(subscribe(completions, BOBS), 3)
    assert found == [
        Told("STARTED", [], 0),
        Told("HEARTBEAT", [], 5),
        Told("CAUGHT_UP", [], 5),
    ]


async def test_a_quiet_customers_subscriber_is_caught_up_however_much_others_do(
    store: SqliteStore, completions: CompletionLog
) -> None:
    quiet = subscribe(completions, BOBS, after=5)
    completions.head = 6  # what is newest is known, not yet read
    assert await next_of(quiet, 2) == [Told("STARTED", [], 5), Told("CAUGHT_UP", [], 5)]
    completions.head = 5
    await more(store, completions)
    late = subscribe(completions, BOBS, after=5)
    assert [each.signal for each in await next_of(late, 2)] == ["STARTED", "CAUGHT_UP"]
