"""P14 to P16: what a subscriber is told, and when, over a real log."""

import asyncio
from typing import NamedTuple

import pytest

from orderintake_server.dispatch.completions import Completions, Delivery, Signal, Subscription
from orderintake_server.store.sqlite import SqliteStore
from support.changes import complete, new

FOREVER = 3600.0
"""A heartbeat that no test lives to see."""
AT_ONCE = 0.0


class Told(NamedTuple):
    """A delivery, but for its head."""

    signal: str
    sequences: list[int]
    position: int


def told(delivery: Delivery) -> Told:
    sequences = [completion.sequence for completion in delivery.completions]
    return Told(delivery.signal.name, sequences, delivery.position)


async def next_of(subscription: Subscription, count: int = 1) -> list[Told]:
    return [told(await subscription.next()) for _ in range(count)]


@pytest.fixture
async def completions(store: SqliteStore) -> Completions:
    """A log of five completions."""
    return Completions(store, head=await complete(store, *[new()] * 5), earliest=0)


def subscribe(
    completions: Completions, *, after: int = 0, limit: int = 2, heartbeat: float = FOREVER
) -> Subscription:
    return Subscription(completions, after=after, limit=limit, heartbeat_seconds=heartbeat)


async def more(store: SqliteStore, completions: Completions, count: int = 1) -> None:
    """Let `count` more orders complete, and publish them."""
    completions.publish(await complete(store, *[new()] * count))


async def waiting_for(*subscriptions: Subscription) -> list[asyncio.Task[Delivery]]:
    """Let subscribers wait for what comes next."""
    tasks = [asyncio.create_task(subscription.next()) for subscription in subscriptions]
    for _ in range(3):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)
    return tasks


async def test_p16_first_it_is_told_that_it_stands(completions: Completions) -> None:
    first = await subscribe(completions, after=3).next()
    assert told(first) == Told("STARTED", [], 3)
    assert first.head == 5


async def test_then_what_the_log_holds_page_by_page_and_that_it_caught_up(
    completions: Completions,
) -> None:
    assert await next_of(subscribe(completions), 5) == [
        Told("STARTED", [], 0),
        Told("UNSPECIFIED", [1, 2], 2),
        Told("UNSPECIFIED", [3, 4], 4),
        Told("UNSPECIFIED", [5], 5),
        Told("CAUGHT_UP", [], 5),
    ]


async def test_at_the_head_it_is_caught_up_at_once(completions: Completions) -> None:
    subscription = subscribe(completions, after=5)
    assert await next_of(subscription, 2) == [Told("STARTED", [], 5), Told("CAUGHT_UP", [], 5)]


async def test_before_it_is_caught_up_all_that_came_meanwhile_is_told(
    store: SqliteStore, completions: Completions
) -> None:
    subscription = subscribe(completions, after=4)
    await next_of(subscription, 2)
    await more(store, completions)
    assert await next_of(subscription, 2) == [
        Told("UNSPECIFIED", [6], 6),
        Told("CAUGHT_UP", [], 6),
    ]


async def test_it_catches_up_once(store: SqliteStore, completions: Completions) -> None:
    subscription = subscribe(completions, after=5, heartbeat=AT_ONCE)
    await next_of(subscription, 2)
    await more(store, completions, 3)
    assert await next_of(subscription, 4) == [
        Told("UNSPECIFIED", [6, 7], 7),
        Told("UNSPECIFIED", [8], 8),
        Told("HEARTBEAT", [], 8),
        Told("HEARTBEAT", [], 8),
    ]


async def test_p16_a_heartbeat_never_leads_what_was_told(
    store: SqliteStore, completions: Completions
) -> None:
    subscription = subscribe(completions, after=5, heartbeat=AT_ONCE)
    await next_of(subscription, 2)
    await complete(store, new())  # durable, not yet published
    assert await next_of(subscription) == [Told("HEARTBEAT", [], 5)]
    completions.publish(6)
    assert await next_of(subscription) == [Told("UNSPECIFIED", [6], 6)]


async def test_what_completes_is_told_as_it_happens(
    store: SqliteStore, completions: Completions
) -> None:
    subscription = subscribe(completions, after=5)
    await next_of(subscription, 2)
    (task,) = await waiting_for(subscription)
    await more(store, completions)
    assert told(await task) == Told("UNSPECIFIED", [6], 6)


async def test_every_one_of_many_is_woken(store: SqliteStore, completions: Completions) -> None:
    subscriptions = [subscribe(completions, after=5) for _ in range(100)]
    for subscription in subscriptions:
        await next_of(subscription, 2)
    tasks = await waiting_for(*subscriptions)
    await more(store, completions)
    found = await asyncio.gather(*tasks)
    assert [told(delivery) for delivery in found] == [Told("UNSPECIFIED", [6], 6)] * 100


async def test_a_head_once_published_never_goes_back(completions: Completions) -> None:
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


async def test_p19_who_waits_is_told_of_the_end_at_once(completions: Completions) -> None:
    subscriptions = [subscribe(completions, after=5) for _ in range(10)]
    for subscription in subscriptions:
        await next_of(subscription, 2)
    tasks = await waiting_for(*subscriptions)
    completions.close()
    found = await asyncio.gather(*tasks)
    assert [told(delivery) for delivery in found] == [Told("GOING_AWAY", [], 5)] * 10


async def test_p19_who_is_behind_gets_one_more_page_and_is_told_of_the_end(
    completions: Completions,
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
    store: SqliteStore, completions: Completions
) -> None:
    subscription = subscribe(completions, after=5)
    await next_of(subscription, 2)
    (task,) = await waiting_for(subscription)
    await more(store, completions)
    completions.close()
    assert told(await task) == Told("UNSPECIFIED", [6], 6)
    assert await next_of(subscription) == [Told("GOING_AWAY", [], 6)]


async def test_p19_who_comes_at_the_end_is_told_that_too(completions: Completions) -> None:
    completions.close()
    assert await next_of(subscribe(completions, after=5), 2) == [
        Told("STARTED", [], 5),
        Told("GOING_AWAY", [], 5),
    ]


@pytest.mark.parametrize("cut", range(6))
@pytest.mark.parametrize("limit", [1, 2, 5, 1000])
async def test_p14_from_any_place_on_each_completion_is_told_once(
    completions: Completions, cut: int, limit: int
) -> None:
    subscription = subscribe(completions, after=cut, limit=limit)
    found: list[int] = []
    while (delivery := await subscription.next()).signal is not Signal.CAUGHT_UP:
        found += [completion.sequence for completion in delivery.completions]
        assert len(delivery.completions) <= limit
        assert delivery.position == (found[-1] if found else cut)
    assert found == list(range(cut + 1, 6))


async def test_p15_a_page_of_large_completions_is_short_and_leaves_no_hole(
    store: SqliteStore,
) -> None:
    head = await complete(store, *[new(b"x" * 60_000)] * 10)
    subscription = subscribe(Completions(store, head=head, earliest=0), limit=1000)
    pages = await next_of(subscription, 5)
    assert [page.sequences for page in pages] == [[], [1, 2, 3, 4], [5, 6, 7, 8], [9, 10], []]


async def test_p14_all_who_listen_while_orders_complete_see_all_of_them(
    store: SqliteStore,
) -> None:
    completions = Completions(store, head=0, earliest=0)

    async def listen(limit: int) -> list[int]:
        subscription = subscribe(completions, limit=limit)
        found: list[int] = []
        while len(found) < 60:
            found += (await next_of(subscription))[0].sequences
        return found

    async with asyncio.TaskGroup() as tasks:
        listeners = [tasks.create_task(listen(limit)) for limit in (1, 2, 3, 7, 100)]
        for count in (1, 2, 3) * 10:
            await more(store, completions, count)
    assert [listener.result() for listener in listeners] == [list(range(1, 61))] * 5


async def test_a_page_holds_what_follows_up_to_the_head(
    store: SqliteStore, completions: Completions
) -> None:
    await complete(store, new())  # durable, not yet published
    page = await completions.read(after=3, limit=100)
    assert [completion.sequence for completion in page] == [4, 5]
    assert await completions.read(after=5, limit=100) == []
