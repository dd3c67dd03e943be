"""Peers that are gone without a word: both sides notice within two heartbeats, nothing is lost."""

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import pytest

from orderintake import AsyncClient, AsyncCompletions, Client, Unavailable
from support import network, subscriber
from support.process import ServerProcess, server_process
from support.proxy import proxy
from support.watched import subscribers_become

TWO_HEARTBEATS = 10.0
MARGIN = 2.0
"""For what comes after the noticing, on a busy machine."""
NOBODY = "127.0.0.1:1"
"""Where nobody listens: who comes back finds nobody, until told where to."""


@contextmanager
def losses() -> Iterator[asyncio.Event]:
    """An event that is set when a client says that its stream is lost."""
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda _: loop.call_soon_threadsafe(event.set)  # type: ignore[method-assign, assignment]
    logging.getLogger("orderintake").addHandler(handler)
    try:
        yield event
    finally:
        logging.getLogger("orderintake").removeHandler(handler)


async def place(address: str, count: int) -> None:
    async with AsyncClient(address) as client:
        for _ in range(count):
            await client.place(customer_id="ada", lines={"tea": 1})


@asynccontextmanager
async def child(address: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A subscriber in a process of its own, whatever becomes of it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, subscriber.__file__, address), stdout=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def printed(process: asyncio.subprocess.Process, count: int) -> list[int]:
    assert process.stdout
    return [int(await process.stdout.readline()) for _ in range(count)]


async def a_frozen_client_is_noticed(server: ServerProcess) -> None:
    async with child(server.address) as process:
        await place(server.address, 5)
        assert await printed(process, 5) == [1, 2, 3, 4, 5]
        process.send_signal(SIGSTOP)
        gone = subscribers_become(server.address, 0, seconds=TWO_HEARTBEATS + MARGIN)
        await asyncio.gather(gone, place(server.address, 5))
        process.send_signal(SIGCONT)
        assert await printed(process, 5) == [6, 7, 8, 9, 10]


async def a_frozen_server_is_noticed(server: ServerProcess) -> None:
    async with (
        proxy(server.address) as way,
        AsyncClient(way.address) as client,
        client.completions() as completions,
    ):
        await client.place(customer_id="ada", lines={"tea": 1})
        assert await _read(completions, 1) == [1]
        reading = asyncio.create_task(_read(completions, 1))
        server.signal(SIGSTOP)
        placing = asyncio.create_task(client.place(customer_id="ada", lines={"tea": 1}))
        async with asyncio.timeout(TWO_HEARTBEATS + MARGIN):
            await way.connected(2)
        server.signal(SIGCONT)
        await _even_if_refused(placing, client)
        assert await reading == [2]


async def _even_if_refused(placing: "asyncio.Task[object]", client: AsyncClient) -> None:
    """Place once at least: while nobody answers, the client's own retries may be used up."""
    try:
        await placing
    except Unavailable:
        await client.place(customer_id="ada", lines={"tea": 1})


async def a_black_hole_is_noticed(server: ServerProcess) -> None:
    async with (
        proxy(server.address) as way,
        AsyncClient(way.address) as client,
        client.completions() as completions,
    ):
        await place(server.address, 3)
        found = await _read(completions, 3)
        reading = asyncio.create_task(_read(completions, 4))
        way.swallow()
        way.target = NOBODY
        async with asyncio.timeout(TWO_HEARTBEATS + MARGIN):
            await asyncio.gather(
                way.connected(2),
                subscribers_become(server.address, 0, seconds=TWO_HEARTBEATS + MARGIN),
                place(server.address, 4),
            )
        way.target = server.address
        assert found + await reading == list(range(1, 8))


async def _read(completions: AsyncCompletions, count: int) -> list[int]:
    return [(await anext(completions)).sequence for _ in range(count)]


async def a_black_hole_is_noticed_by_the_other_client_too(server: ServerProcess) -> None:
    loop, stands = asyncio.get_running_loop(), asyncio.Event()

    def follow(address: str) -> list[int]:
        with Client(address) as client, client.completions() as completions:
            loop.call_soon_threadsafe(stands.set)
            return [next(completions).sequence for _ in range(6)]

    async with proxy(server.address) as way:
        reading = asyncio.create_task(asyncio.to_thread(follow, way.address))
        await stands.wait()
        await place(server.address, 3)
        way.swallow()
        began = time.monotonic()
        await place(server.address, 3)
        assert await reading == [1, 2, 3, 4, 5, 6]
        assert time.monotonic() - began < TWO_HEARTBEATS + MARGIN


@pytest.mark.seconds
async def test_peers_that_are_gone_without_a_word_are_noticed_within_two_heartbeats(
    tmp_path: Path,
) -> None:
    cases = (
        a_frozen_client_is_noticed,
        a_frozen_server_is_noticed,
        a_black_hole_is_noticed,
        a_black_hole_is_noticed_by_the_other_client_too,
    )
    async with asyncio.TaskGroup() as tasks:
        for case in cases:
            tasks.create_task(_on_a_server(tmp_path / case.__name__, case))


async def _on_a_server(data: Path, case: Callable[[ServerProcess], Awaitable[None]]) -> None:
    with server_process(data) as process:
        await case(process)


@pytest.mark.seconds
@pytest.mark.timeout(90)
async def test_a_pulled_cable_is_noticed_and_nothing_is_lost_when_it_is_plugged_in(
    tmp_path: Path,
) -> None:
    if reason := await asyncio.to_thread(network.obstacle):
        pytest.skip(reason)
    with (
        network.cable() as cable,
        server_process(
            tmp_path,
            *("--listen", f"{network.SERVER_IP}:0", "--insecure"),
            prefix=cable.prefix,
        ) as server,
    ):
        address = str(server.wait_for("listening")["address"])  # the second: it is told of both
        async with AsyncClient(address) as client, client.completions() as completions:
            await client.place(customer_id="ada", lines={"tea": 1})
            found = await _read(completions, 1)
            reading = asyncio.create_task(_read(completions, 1))
            with losses() as lost:
                cable.pull()
                async with asyncio.timeout(TWO_HEARTBEATS + MARGIN):
                    await lost.wait()
            cable.plug()
            await subscribers_become(address, 1, seconds=TWO_HEARTBEATS + MARGIN)
            await place(address, 1)
            assert found + await reading == [1, 2]
