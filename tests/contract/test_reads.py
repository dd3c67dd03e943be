"""Reading: the queue by pages, the log by pages, one order wherever it stands."""

import asyncio

import pytest

from orderintake_server.domain import Completion, Ending, Event, Failure, Order, State, Tier
from orderintake_server.store.base import COMPLETION_BYTES
from orderintake_server.views import EVERY_ORDER
from support.changes import (
    FAILED,
    PLENTY,
    claim,
    new,
    pause,
    place,
    settle,
    start,
    strictly,
    waiting,
    whole_log,
)
from support.stores import FoundStore

TIERS = [False, True, False, True, True, False]


async def test_the_queue_is_read_most_urgent_first(store: FoundStore) -> None:
    await place(store, *(new(vip=vip) for vip in TIERS))
    places = await waiting(store)
    assert [place.accept_sequence for place in places] == [2, 4, 5, 1, 3, 6]
    assert places == sorted(places)


async def test_a_page_of_the_queue_goes_on_behind_a_place(store: FoundStore) -> None:
    await place(store, *(new(vip=vip) for vip in TIERS))
    places = await waiting(store)
    for begin in range(len(places)):
        assert await waiting(store, after=places[begin], limit=2) == places[begin + 1 : begin + 3]


async def test_a_page_goes_on_behind_a_place_that_waits_no_longer(store: FoundStore) -> None:
    await place(store, *(new() for _ in TIERS))
    places = await waiting(store)
    await start(store, 3)
    assert await waiting(store, after=places[1]) == places[3:]


async def test_an_order_is_found_wherever_it_stands(store: FoundStore) -> None:
    await place(store, *(new(b"%d" % number) for number in range(4)))
    succeeded, failed, running = await start(store, 3)
    await settle(store, succeeded)
    await settle(store, failed, ending=FAILED)
    found = [await store.find(number) for number in range(6)]
    assert found[0] is None
    assert isinstance(found[1], Completion)
    assert found[1].order.state is State.SUCCEEDED
    assert isinstance(found[2], Completion)
    assert found[2].order.state is State.FAILED
    assert found[3] == running.order
    assert isinstance(found[4], Order)
    assert found[4].state is State.QUEUED
    assert found[4].content == b"3"
    assert found[5] is None


@pytest.fixture
async def log(store: FoundStore) -> list[Completion]:
    """A log of 300 completions."""
    await place(store, *(new(b"%04d" % number) for number in range(300)))
    await settle(store, *await start(store, 300))
    return await whole_log(store)


async def test_the_log_is_read_whole_and_in_order(store: FoundStore, log: list[Completion]) -> None:
    assert [completion.sequence for completion in log] == list(range(1, 301))


@pytest.mark.parametrize(("after", "limit"), [(0, 1), (0, 300), (7, 100), (299, 5), (250, 100)])
async def test_a_page_of_the_log_goes_on_without_a_hole(
    store: FoundStore, log: list[Completion], after: int, limit: int
) -> None:
    page = await store.read_log(EVERY_ORDER, after=after, limit=limit, max_bytes=PLENTY)
    assert page.completions == log[after : after + limit]
    assert page.goes_on == (after + limit < 300)
    assert page.end == min(after + limit, 300)


@pytest.mark.parametrize("after", [300, 301, PLENTY])
async def test_behind_the_head_of_the_log_there_is_nothing(
    store: FoundStore, log: list[Completion], after: int
) -> None:
    page = await store.read_log(EVERY_ORDER, after=after, limit=10, max_bytes=PLENTY)
    assert (page.completions, page.goes_on) == ([], False)


async def test_a_limit_of_none_reads_none(store: FoundStore, log: list[Completion]) -> None:
    page = await store.read_log(EVERY_ORDER, after=7, limit=0, max_bytes=PLENTY)
    assert (page.completions, page.end, page.goes_on) == ([], 7, True)


PARTS = {
    "the content": (b"x" * 1000, Ending()),
    "the result": (b"", Ending(result=b"x" * 1000)),
    "the failure": (
        b"",
        Ending(event=Event.FAIL, failure=Failure(code="é" * 64, message="é" * 436)),
    ),
}


@pytest.mark.parametrize(("content", "ending"), PARTS.values(), ids=PARTS.keys())
async def test_a_page_of_the_log_holds_no_more_than_the_bytes_asked_for(
    store: FoundStore, content: bytes, ending: Ending
) -> None:
    await place(store, *(new(content) for _ in range(10)))
    await settle(store, *await start(store, 10), ending=ending)

    async def count(max_bytes: int) -> int:
        page = await store.read_log(EVERY_ORDER, after=0, limit=10, max_bytes=max_bytes)
        assert page.end == len(page.completions)
        return page.end

    each = 1000 + COMPLETION_BYTES
    assert await count(3 * each) == 3
    assert await count(3 * each - 1) == 2
    assert await count(PLENTY) == 10


async def test_a_page_of_the_log_holds_at_least_one(store: FoundStore) -> None:
    await place(store, new(b"x" * 60_000), new(b"y"))
    await settle(store, *await start(store, 2))
    for max_bytes in (1, 0, -1):
        page = await store.read_log(EVERY_ORDER, after=0, limit=10, max_bytes=max_bytes)
        assert [end.sequence for end in page.completions] == [1]


async def test_an_order_is_located_as_it_stands_at_one_moment(store: FoundStore) -> None:
    for number in range(1, 41):
        await place(store, new())
        located, _ = await asyncio.gather(store.locate(number), claim(store, strictly(number)))
        assert located is not None
        assert isinstance(located.stands, Order)
        is_queued = located.stands.state is State.QUEUED
        assert located.position == is_queued


async def test_a_paused_tier_is_told_with_the_place(store: FoundStore) -> None:
    await place(store, new(vip=True), new())
    await pause(store, Tier.VIP)
    found = [await store.locate(number) for number in (1, 2, 3)]
    assert [place and (place.position, place.is_paused) for place in found] == [
        (1, True), (2, False), None,
    ]  # fmt: skip
