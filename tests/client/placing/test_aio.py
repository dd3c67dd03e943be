"""What only tasks can do to a placing block."""

import asyncio
import threading
from typing import Any

import pytest

from client.fake_placing import Requests, Responses, started
from client.fake_server import Context, FakeServer
from orderintake import AsyncClient, Unavailable

TEA: Any = {"customer_id": "ada", "lines": {"tea": 1}}


@pytest.fixture
def let_go(server: FakeServer) -> threading.Event:
    """Set when the first call may answer; it takes two orders at once."""
    event = threading.Event()

    def answer_late(requests: Requests, context: Context) -> Responses:
        yield started(2)
        index = 0
        for message in requests:
            event.wait(10)
            yield server.servicer.response(message, index)
            index += len(message.orders)

    server.servicer.calls.append(answer_late)
    return event


async def test_a_task_that_waits_for_room_can_be_cancelled(
    server: FakeServer, let_go: threading.Event
) -> None:
    async with AsyncClient(server.target) as client, client.placing() as placing:
        placed = [await placing.place(**TEA) for _ in range(2)]
        waiting = asyncio.create_task(placing.place(**TEA))
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        let_go.set()
        await asyncio.gather(*placed)
    assert len(server.servicer.accepted) == 2


async def test_a_result_that_nobody_waits_for_any_more_disturbs_no_other(
    server: FakeServer, let_go: threading.Event
) -> None:
    async with AsyncClient(server.target) as client, client.placing() as placing:
        first, second = [await placing.place(**TEA) for _ in range(2)]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(first, 0.01)
        let_go.set()
        assert (await second).order.customer_id == "ada"
    assert len(server.servicer.accepted) == 2


async def test_cancelling_while_it_leaves_ends_the_call(
    server: FakeServer, let_go: threading.Event
) -> None:
    placed: asyncio.Queue[asyncio.Future[Any]] = asyncio.Queue()

    async def place() -> None:
        async with client.placing() as placing:
            placed.put_nowait(await placing.place(**TEA))

    async with AsyncClient(server.target) as client:
        leaving = asyncio.create_task(place())
        result = await placed.get()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        with pytest.raises(Unavailable, match="left meanwhile"):
            await result
    let_go.set()
    assert await asyncio.to_thread(server.servicer.placed.acquire, timeout=10)


async def test_closing_the_client_ends_a_block_that_waits(
    server: FakeServer, let_go: threading.Event
) -> None:
    client = await AsyncClient(server.target).open()
    async with client.placing() as placing:
        placed = await placing.place(**TEA)
        await client.close()
        with pytest.raises(Unavailable, match="left meanwhile"):
            await placed
    let_go.set()


async def test_many_tasks_may_place(server: FakeServer) -> None:
    async with AsyncClient(server.target) as client, client.placing() as placing:

        async def place() -> None:
            for _ in range(50):
                await (await placing.place(**TEA))

        await asyncio.gather(*(place() for _ in range(20)))
    assert len(server.servicer.accepted) == 1_000
