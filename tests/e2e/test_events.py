"""Server-sent events of real processes: who comes back misses nothing; who freezes costs nobody."""

import asyncio
import socket
import struct
import time
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from termios import TIOCOUTQ

import aiohttp
import pytest
import structlog

from orderintake import AsyncClient
from support import network
from support.coming_back import Shop, place
from support.events import events, frozen
from support.http_port import http_port
from support.process import server_process
from support.proxy import proxy
from support.watched import queue_stats, subscribers_become

log = structlog.get_logger()

ORDERS = 300
LEAD = 60
"""Orders placed ahead of the reader, at the most: so every restart is under load."""
CUTS = (1, 200, 700, 1_500, 3_000, 5_000)
"""Bytes after which the way to the server is cut: in the head, in an event, behind one."""
BULK = {str(key): "x" * 256 for key in range(16)}
"""Labels that make an order of 4 KiB."""
BULK_ORDERS = 2_500
MOST_GROWN = 16 * 2**20
"""Bytes of memory; what a frozen reader does not take here is 35 MB."""
MOST_QUEUED = 512 * 1024
"""Bytes that the system may hold for it. By itself it would hold 4 MB."""
STOP_SECONDS = 3.0
GONE_SECONDS = 1.0 + 30.0 + 10.0
"""The subscriber timeout of that test, what the system waits beyond it, and some more."""


async def follow(port: int, count: int, seen: "asyncio.Queue[int]") -> list[int]:
    """Read as a program should: whatever ends a stream, come back with the last id."""
    found: list[int] = []
    last_id = ""
    while len(found) < count:
        with suppress(aiohttp.ClientError, EOFError):
            async with events(port, last_id=last_id) as stream:
                while len(found) < count:
                    event = await stream.named("message")
                    last_id = event.last_id
                    found.append(int(event.json["sequence"]))
                    seen.put_nowait(found[-1])
    return found


@pytest.mark.seconds
@pytest.mark.parametrize("number", [SIGTERM, SIGKILL], ids=lambda number: number.name)
async def test_p14_a_reader_goes_on_across_restarts_under_load(
    tmp_path: Path, number: Signals
) -> None:
    shop = Shop(tmp_path)
    await shop.start()
    seen: asyncio.Queue[int] = asyncio.Queue()
    capacity = asyncio.Semaphore(LEAD)
    try:
        async with asyncio.TaskGroup() as tasks:
            placing = tasks.create_task(place(shop.address, ORDERS, capacity))
            reading = tasks.create_task(follow(shop.http_port, ORDERS, seen))
            for at in range(1, ORDERS + 1):
                assert await seen.get() == at
                capacity.release()
                if at in {50, 150}:
                    assert not placing.done()
                    await shop.end(number)
                    await shop.start()
        assert reading.result() == list(range(1, ORDERS + 1))
    finally:
        shop.kill()


@pytest.mark.seconds
async def test_p14_a_way_that_is_cut_anywhere_costs_no_completion(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    await shop.start()
    try:
        await place(shop.address, 20)
        async with proxy(f"127.0.0.1:{shop.http_port}") as way:
            port = int(way.address.rpartition(":")[2])
            seen: asyncio.Queue[int] = asyncio.Queue()
            for cut in CUTS:
                way.cut_after = cut
                assert await follow(port, 20, seen) == list(range(1, 21))
            assert way.connections == 2 * len(CUTS)
    finally:
        shop.kill()


def queued_for(peer: socket.socket) -> int:
    """Tell how many bytes the system holds for a reader, on the server's side and on its own."""
    (waits,) = struct.unpack("i", ioctl(peer, TIOCOUTQ, bytes(4)))
    assert waits == 0  # of its own request
    port = f":{peer.getsockname()[1]:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    found = [
        line[4].split(":") for line in lines if line[1].endswith(port) or line[2].endswith(port)
    ]
    return sum(int(number, 16) for queues in found for number in queues)


@pytest.mark.seconds
async def test_p15_and_p19_a_frozen_reader_costs_little_and_holds_up_no_stop(
    tmp_path: Path,
) -> None:
    shop = Shop(tmp_path)
    await shop.start("--workers", "8")
    try:
        for _ in range(3):
            await read_bulk(shop)  # its memory grows at first, with or without a frozen reader
        before = shop.server.memory()
        async with frozen(shop.http_port) as peer:
            await subscribers_become(shop.address, 1)
            for _ in range(3):
                await read_bulk(shop)
            grown, queued = shop.server.memory() - before, queued_for(peer)
            log.info("a reader is frozen", grown_kib=grown // 1024, queued_kib=queued // 1024)
            assert (await queue_stats(shop.address)).subscribers == 1
            assert grown < MOST_GROWN
            assert queued < MOST_QUEUED
            began = time.monotonic()
            await shop.end(SIGTERM)
            seconds = time.monotonic() - began
            log.info("stopped beside a frozen reader", seconds=round(seconds, 2))
            assert seconds < STOP_SECONDS
    finally:
        shop.kill()


async def read_bulk(shop: Shop) -> None:
    """Let large orders complete, and one reader be told of each."""
    async with events(shop.http_port, startAt="START_AT_LATEST") as reading:
        await reading.named("started")
        async with AsyncClient(shop.address) as client, client.placing() as placing:
            for _ in range(BULK_ORDERS):
                await placing.place(customer_id="ada", lines={"tea": 1}, labels=BULK)
        for _ in range(BULK_ORDERS):
            await reading.named("message")


@pytest.mark.slow
@pytest.mark.timeout(90)
async def test_a_reader_that_is_gone_without_a_word_is_noticed(tmp_path: Path) -> None:
    if reason := await asyncio.to_thread(network.obstacle):
        pytest.skip(reason)
    listen = ("--listen", "127.0.0.1:0", "--http", f"{network.SERVER_IP}:0", "--insecure")
    options = ("--subscriber-timeout", "1", "--log-level", "debug")
    with (
        network.cable() as cable,
        server_process(tmp_path, *listen, *options, prefix=cable.prefix) as server,
    ):
        at = (http_port(server), network.SERVER_IP)
        async with events(*at, heartbeatInterval="1s") as stream:
            await stream.heartbeat()
            cable.pull()
            ended = await asyncio.to_thread(server.wait_for, "call", seconds=GONE_SECONDS)
    assert ended["code"] == "CANCELLED"
