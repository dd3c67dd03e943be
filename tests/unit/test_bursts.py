"""Requests that come together share a commit: it waits until no more of them arrive."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from orderintake_server.dispatch.requests import pending
from orderintake_server.dispatch.requests.pending import QUIET_TURNS, Bell
from support.changes import new
from support.desk import Desk, working
from support.faulty import FaultyStore


@pytest.fixture
async def desk(store: FaultyStore) -> AsyncIterator[Desk]:
    """A committer that waits for the next request."""
    async with working(Desk(store)) as desk:
        await store.begun.get()  # it read the first page of the queue
        yield desk


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock stand still: on a busy machine a burst may outlast its bound."""
    monkeypatch.setattr(pending, "monotonic", lambda: 0.0)


async def ring(bell: Bell, *, times: int, after: int) -> None:
    """Ring so many times, each after so many turns of the event loop."""
    for _ in range(times):
        for _ in range(after):
            await asyncio.sleep(0)
        bell.ring()


@pytest.mark.usefixtures("still")
async def test_a_burst_is_waited_for_until_it_is_over() -> None:
    bell = Bell()
    rings = asyncio.create_task(ring(bell, times=5, after=QUIET_TURNS // 2))
    await bell.whole_burst()
    assert rings.done()


async def test_what_comes_after_a_quiet_moment_is_not_waited_for() -> None:
    bell = Bell()
    rings = asyncio.create_task(ring(bell, times=1, after=QUIET_TURNS * 2))
    await bell.whole_burst()
    assert not rings.done()
    await rings


async def test_a_burst_without_end_is_not_waited_for_longer_than_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = 0.0

    def clock() -> float:
        nonlocal time
        time += pending.BURST_SECONDS / 100
        return time

    monkeypatch.setattr(pending, "monotonic", clock)
    bell = Bell()
    rings = asyncio.create_task(ring(bell, times=1_000_000, after=1))
    await bell.whole_burst()
    assert pending.BURST_SECONDS <= time <= pending.BURST_SECONDS * 1.1
    rings.cancel()


@pytest.mark.usefixtures("still")
async def test_orders_that_come_one_by_one_in_a_burst_share_a_commit(
    store: FaultyStore, desk: Desk
) -> None:
    await asyncio.gather(*(desk.place(new()) for _ in range(2)))
    await store.begun.get()

    async def place(after: int) -> None:
        for _ in range(after):
            await asyncio.sleep(0)
        await desk.place(new())

    await asyncio.gather(*(place(after * QUIET_TURNS // 2) for after in range(8)))
    assert len((await store.begun.get()).accepts) == 8


async def test_who_comes_alone_waits_for_nobody(
    store: FaultyStore, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: Bell) -> None:
        raise AssertionError("it waits for others")

    monkeypatch.setattr(Bell, "whole_burst", never)
    for _ in range(3):
        await desk.place(new())
        assert len((await store.begun.get()).accepts) == 1
