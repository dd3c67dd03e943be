"""What only tasks can do to the asynchronous client."""

import asyncio
import threading

import pytest
from grpc import StatusCode

from client.completions.opened import async_completions_of
from client.completions.subscribed import patient
from client.fake_server import UNAVAILABLE, Context, FakeServer, Messages, Silence, started
from orderintake import AsyncClient, AsyncCompletions, Completion, Unavailable


@pytest.fixture
def silent(server: FakeServer) -> FakeServer:
    """A server whose first stream starts and then says nothing."""

    def say_nothing(context: Context) -> Messages:
        yield started()
        Silence().end(context)

    server.servicer.scripts.append(say_nothing)
    return server


async def test_a_read_that_times_out_loses_nothing(server: FakeServer) -> None:
    async with AsyncClient(server.target) as client, client.completions() as completions:
        for sequence in (1, 2, 3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(completions), 0.05)
            server.servicer.complete(1)
            assert (await anext(completions)).sequence == sequence


async def test_cancelling_its_task_ends_the_servers_stream(server: FakeServer) -> None:
    server.servicer.complete(1)
    first = asyncio.Event()

    async def follow(client: AsyncClient) -> None:
        async with client.completions() as completions:
            async for _ in completions:
                first.set()

    async with AsyncClient(server.target) as client:
        task = asyncio.create_task(follow(client))
        await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.servicer.left.acquire, timeout=10)


async def test_another_task_ends_an_iterator_that_waits(silent: FakeServer) -> None:
    async with AsyncClient(silent.target) as client, client.completions() as completions:
        waiting = asyncio.create_task(_collected(completions))
        await asyncio.sleep(0)
        completions.close()
        assert await waiting == []
        assert await asyncio.to_thread(silent.servicer.left.acquire, timeout=10)


async def test_closing_the_client_ends_the_iterators_of_other_tasks(silent: FakeServer) -> None:
    async with AsyncClient(silent.target) as client:
        completions = await client.completions().__aenter__()
        waiting = asyncio.create_task(_collected(completions))
        await asyncio.sleep(0)
    assert await waiting == []


async def test_cancelling_wins_over_closing(silent: FakeServer) -> None:
    async with AsyncClient(silent.target) as client, client.completions() as completions:
        waiting = asyncio.create_task(_collected(completions))
        await asyncio.sleep(0)
        waiting.cancel()
        completions.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_closing_wakes_an_iterator_that_pauses_before_it_comes_back(
    server: FakeServer, lost: threading.Event
) -> None:
    def drop(context: Context) -> Messages:
        yield started()
        UNAVAILABLE.end(context)

    server.servicer.scripts.append(drop)
    async with async_completions_of(server.target, patient()) as completions:
        waiting = asyncio.create_task(_collected(completions))
        assert await asyncio.to_thread(lost.wait, 10)
        completions.close()
        assert await waiting == []
    assert len(server.servicer.requests) == 1


async def test_cancelling_while_it_enters_ends_the_servers_stream(server: FakeServer) -> None:
    asked = _say_nothing_at_all(server)
    async with AsyncClient(server.target) as client:
        entering = asyncio.create_task(client.completions().__aenter__())
        assert await asyncio.to_thread(asked.wait, 10)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        assert await asyncio.to_thread(server.servicer.left.acquire, timeout=10)


async def test_closing_while_it_enters_gives_an_iterator_without_anything(
    server: FakeServer,
) -> None:
    asked = _say_nothing_at_all(server)
    async with AsyncClient(server.target) as client:
        completions = client.completions()
        entering = asyncio.create_task(completions.__aenter__())
        assert await asyncio.to_thread(asked.wait, 10)
        completions.close()
        assert await _collected(await entering) == []


class Asked(Silence):
    """No answer; the event is set when there was a call."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def end(self, context: Context) -> None:
        self.event.set()
        super().end(context)


async def test_closing_the_client_tells_the_tasks_that_wait_for_an_answer(
    server: FakeServer,
) -> None:
    asked = Asked()
    server.servicer.endings.append(asked)
    client = await AsyncClient(server.target).open()
    waiting = asyncio.create_task(client.get("order-1"))
    assert await asyncio.to_thread(asked.event.wait, 10)
    await client.close()
    with pytest.raises(Unavailable, match="closed meanwhile") as caught:
        await waiting
    assert caught.value.code == StatusCode.CANCELLED


async def test_a_task_that_is_cancelled_stays_cancelled(server: FakeServer) -> None:
    asked = Asked()
    server.servicer.endings.append(asked)
    async with AsyncClient(server.target) as client:
        waiting = asyncio.create_task(client.get("order-1"))
        assert await asyncio.to_thread(asked.event.wait, 10)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def _collected(completions: AsyncCompletions) -> list[Completion]:
    return [completion async for completion in completions]


def _say_nothing_at_all(server: FakeServer) -> threading.Event:
    """Let the first stream not even start; the event is set when it was asked for."""
    asked = threading.Event()

    def say_nothing(context: Context) -> Messages:
        asked.set()
        Silence().end(context)
        yield started()

    server.servicer.scripts.append(say_nothing)
    return asked
