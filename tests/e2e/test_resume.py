"""P14 with real processes: both clients go on across every end that a server can come to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals

import pytest

from orderintake import AsyncClient, AsyncCompletions, Client, CursorExpired
from support.coming_back import Shop, place
from support.proxy import proxy

ORDERS = 500
LEAD = 60
"""Orders placed ahead of the subscriber, at the most: so every restart is under load."""


async def read(completions: AsyncCompletions, count: int) -> list[int]:
    return [(await anext(completions)).sequence for _ in range(count)]


async def follow(address: str, seen: asyncio.Queue[int], capacity: asyncio.Semaphore) -> list[int]:
    """Read all there will be; tell of each as it comes, and make room for another."""
    found: list[int] = []
    async with AsyncClient(address) as client, client.completions() as completions:
        while len(found) < ORDERS:
            found += await read(completions, 1)
            seen.put_nowait(found[-1])
            capacity.release()
    return found


@asynccontextmanager
async def follower_on_a_thread(address: str) -> AsyncIterator[Callable[[], list[int]]]:
    """Give a function that reads all there will be; it ends with the block, whatever it read."""
    block = ExitStack()
    client = block.enter_context(Client(address))
    completions = client.completions()
    try:
        await asyncio.to_thread(block.enter_context, completions)
        yield lambda: [next(completions).sequence for _ in range(ORDERS)]
    finally:
        await asyncio.to_thread(block.close)


@pytest.mark.always
@pytest.mark.parametrize(
    "number",
    [pytest.param(SIGTERM, marks=pytest.mark.seconds), SIGKILL],
    ids=lambda number: number.name,
)
async def test_p14_both_clients_go_on_across_restarts_under_load(
    tmp_path: Path, number: Signals
) -> None:
    shop = Shop(tmp_path)
    await shop.start()
    seen: asyncio.Queue[int] = asyncio.Queue()
    try:
        async with (
            follower_on_a_thread(shop.address) as follow_on_a_thread,
            asyncio.TaskGroup() as tasks,
        ):
            capacity = asyncio.Semaphore(LEAD)
            placing = tasks.create_task(place(shop.address, ORDERS, capacity))
            first = tasks.create_task(follow(shop.address, seen, capacity))
            second = tasks.create_task(asyncio.to_thread(follow_on_a_thread))
            for mark in (50, 150, 300):
                while await seen.get() < mark:
                    pass
                assert not placing.done()
                await shop.end(number)
                await shop.start()
        assert first.result() == second.result() == list(range(1, ORDERS + 1))
    finally:
        shop.kill()


@pytest.mark.seconds
async def test_p17_a_log_that_was_pruned_meanwhile_is_raised_and_never_skipped(
    tmp_path: Path,
) -> None:
    shop = Shop(tmp_path)
    await shop.start()
    try:
        async with (
            proxy(shop.address) as way,
            AsyncClient(way.address) as client,
            client.completions() as completions,
        ):
            await place(shop.address, 5)
            assert await read(completions, 2) == [1, 2]
            await read(completions, 3)
            way.target = "127.0.0.1:1"
            way.cut()
            await place_more(shop.address)
            await shop.end(SIGTERM)
            await shop.start("--retention", "0.001")
            await pruned(shop.address)
            way.target = shop.address
            with pytest.raises(CursorExpired) as expired:
                await read(completions, 1)
            after = expired.value.earliest_cursor
        async with AsyncClient(shop.address) as client, client.completions(after=after) as rest:
            await client.place(customer_id="ada", lines={"tea": 1})
            assert await read(rest, 1) == [11]
    finally:
        shop.kill()


async def place_more(address: str) -> None:
    """Let five more orders complete."""
    async with AsyncClient(address) as client, client.completions(from_latest=True) as latest:
        for _ in range(5):
            await client.place(customer_id="ada", lines={"tea": 1})
        await read(latest, 5)


async def pruned(address: str) -> None:
    """Wait until the server has forgotten every completion."""
    async with AsyncClient(address) as client:
        while True:
            try:
                if not [each async for each in client.list_completions(page_size=1)]:
                    return
            except CursorExpired:
                pass  # what the next page goes on behind was forgotten meanwhile
