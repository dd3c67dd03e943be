"""P23: whatever ends servers and connections, no order of a placing block is lost or doubled."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals

import pytest

from orderintake import AsyncClient, AsyncPlacing, Client, PlaceOrderResponse
from support.metrics import scrape
from support.orders import order
from support.placing import PlacingCall, numbers
from support.process import ServerProcess, server_process, serving_process
from support.program import free_port
from support.proxy import proxy
from support.replicas import replicas
from support.watched import queue_stats

TWO_HEARTBEATS = 10.0
MARGIN = 2.0
"""For what comes after the noticing, on a busy machine."""
WITHOUT_WORKERS = ("--workers", "0")
LIVES = 4
EACH = 400
"""Orders whose results come before a server ends."""
WINDOW = 1_000
METHOD = "orderintake.v1.OrderIntakeService/PlaceOrders"


class Placer:
    """Places orders without a pause, and keeps each one's future, in their order."""

    def __init__(self, placing: AsyncPlacing) -> None:
        self._placing = placing
        self.placed: list[asyncio.Future[PlaceOrderResponse]] = []
        self._answered = 0
        self._changed = asyncio.Event()

    async def place(self, count: int) -> None:
        for _ in range(count):
            placed = await self._placing.place(
                customer_id="ada", lines={"tea": 1}, request_id=f"r-{len(self.placed)}"
            )
            self.placed.append(placed)
            placed.add_done_callback(self._count)
            await asyncio.sleep(0)  # so that there are many messages

    def _count(self, _: object) -> None:
        self._answered += 1
        self._changed.set()

    async def answered(self, count: int) -> None:
        """Wait until so many have their results."""
        while self._answered < count:
            self._changed.clear()
            await self._changed.wait()


@asynccontextmanager
async def placing_at(address: str) -> AsyncIterator[Placer]:
    async with AsyncClient(address) as client, client.placing() as placing:
        yield Placer(placing)


def check(placed: list[asyncio.Future[PlaceOrderResponse]]) -> None:
    """Each order has the number of its place: none is missing, doubled, or out of order."""
    found = [each.result().order.accept_sequence for each in placed]
    assert found == list(range(1, len(placed) + 1))


@pytest.mark.seconds
@pytest.mark.timeout(120)
@pytest.mark.parametrize("ending", [SIGKILL, SIGTERM], ids=["killed", "stopped"])
async def test_p23_servers_that_end_in_the_middle_lose_and_double_no_order(
    tmp_path: Path, ending: Signals
) -> None:
    address = f"127.0.0.1:{free_port()}"
    server = ServerProcess(tmp_path, "--listen", address, *WITHOUT_WORKERS)
    try:
        await asyncio.to_thread(server.wait_for, "listening")
        async with placing_at(address) as placer, asyncio.TaskGroup() as tasks:
            tasks.create_task(placer.place(LIVES * EACH + WINDOW))
            for life in range(1, LIVES):
                await placer.answered(life * EACH)
                await server.stops(ending)
                server = ServerProcess(tmp_path, "--listen", address, *WITHOUT_WORKERS)
    finally:
        server.kill()
    check(placer.placed)


@pytest.mark.seconds
async def test_p23_cut_after_any_byte_a_connection_is_come_back_from(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    cuts = 200 if pytestconfig.getoption("--slow") else 20
    with server_process(tmp_path, *WITHOUT_WORKERS) as server:
        async with proxy(server.address) as way, placing_at(way.address) as placer:
            await placer.place(20)
            await placer.answered(20)
            for number in range(cuts):
                way.cut()
                way.cut_after = 1 + 97 * number % 1_500
                await placer.place(20)
                await placer.answered(20 * (number + 2))
    check(placer.placed)


@pytest.mark.seconds
async def test_p23_a_replica_that_is_killed_is_left_for_another() -> None:
    async with replicas(*WITHOUT_WORKERS) as here:
        a, b = await here.start("a"), await here.start("b")
        async with (
            proxy(a.address) as way,
            placing_at(way.address) as placer,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(placer.place(2 * EACH))
            await placer.answered(EACH)
            way.target = b.address
            a.process.kill()
    check(placer.placed)


async def in_flight(port: int, count: int) -> None:
    """Ask a server until so many PlaceOrders calls are open."""
    while (await scrape(port)).value("rpc_in_flight", method=METHOD) != count:
        pass


def http_port(server: ServerProcess) -> int:
    """Tell where a server is scraped."""
    url = next(str(entry["url"]) for entry in server.log if "url" in entry)
    found = re.search(r":(\d+)", url)
    assert found
    return int(found[1])


async def a_caller_that_is_gone_without_a_word_is_noticed(server: ServerProcess) -> None:
    async with proxy(server.address) as way, placing_at(way.address) as placer:
        await placer.place(5)
        await placer.answered(5)
        await in_flight(http_port(server), 1)
        way.swallow()
        async with asyncio.timeout(TWO_HEARTBEATS + MARGIN):
            await in_flight(http_port(server), 0)
        await placer.place(5)
        async with asyncio.timeout(TWO_HEARTBEATS + MARGIN):
            await placer.answered(10)
        check(placer.placed)


async def a_frozen_server_is_noticed(server: ServerProcess) -> None:
    async with proxy(server.address) as way, placing_at(way.address) as placer:
        await placer.place(5)
        await placer.answered(5)
        server.signal(SIGSTOP)
        await placer.place(5)
        async with asyncio.timeout(TWO_HEARTBEATS + MARGIN):
            await way.connected(2)
        server.signal(SIGCONT)
        await placer.answered(10)
        check(placer.placed)


async def an_idle_call_stays_open(server: ServerProcess) -> None:
    async with proxy(server.address) as way, placing_at(way.address) as placer:
        await placer.place(1)
        await placer.answered(1)
        await asyncio.wait({asyncio.create_task(way.connected(2))}, timeout=TWO_HEARTBEATS)
        await placer.place(1)
        await placer.answered(2)
        assert way.connections == 1
        assert (await scrape(http_port(server))).value("rpc_in_flight", method=METHOD) == 1
        check(placer.placed)


@pytest.mark.seconds
async def test_peers_that_are_gone_are_noticed_and_those_that_are_idle_stay(tmp_path: Path) -> None:
    cases = (
        a_caller_that_is_gone_without_a_word_is_noticed,
        a_frozen_server_is_noticed,
        an_idle_call_stays_open,
    )
    async with asyncio.TaskGroup() as tasks:
        for case in cases:
            tasks.create_task(_on_a_server(tmp_path / case.__name__, case))


async def _on_a_server(data: Path, case: Callable[[ServerProcess], Awaitable[None]]) -> None:
    with server_process(data, *WITHOUT_WORKERS, "--http", "127.0.0.1:0") as server:
        await case(server)


@pytest.mark.seconds
async def test_p1_what_has_a_receipt_survives_a_kill(tmp_path: Path) -> None:
    async with serving_process(tmp_path, *WITHOUT_WORKERS) as (server, stub):
        call = await PlacingCall.begin(stub)
        for _ in range(20):
            await call.send(*[order()] * 25)
        results = await call.until(250)
        server.kill()
    async with serving_process(tmp_path, *WITHOUT_WORKERS) as (_, stub):
        receipt = await stub.PlaceOrder(order())
    assert numbers(results) == list(range(1, len(results) + 1))
    assert receipt.order.accept_sequence > len(results)


@pytest.mark.seconds
async def test_a_file_is_placed_across_a_restart_and_no_line_is_in_doubt(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    data = tmp_path / "data"
    server = ServerProcess(data, "--listen", address, *WITHOUT_WORKERS)
    try:
        await asyncio.to_thread(server.wait_for, "listening")
        placing = await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).parent / "orderintake"), "--server", address),
            *("place", "--file", "-", "--json"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert placing.stdin
        line = b'{"customer_id": "ada", "lines": [{"sku": "tea", "quantity": 1}]}\n'
        placing.stdin.write(line * 200)
        while not sum(tier.queued for tier in (await queue_stats(address)).tiers):
            pass
        await server.stops(SIGKILL)
        placing.stdin.write(line * 200)
        server = ServerProcess(data, "--listen", address, *WITHOUT_WORKERS)
        told, _ = await placing.communicate(b"\n")
    finally:
        server.kill()
    assert placing.returncode == 0
    numbers = re.findall(rb'"accept_sequence": "(\d+)"', told)
    assert [int(number) for number in numbers] == list(range(1, 401))


@pytest.mark.seconds
async def test_the_client_of_threads_goes_on_across_a_restart(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    server = ServerProcess(tmp_path, "--listen", address, *WITHOUT_WORKERS)
    try:
        await asyncio.to_thread(server.wait_for, "listening")
        loop, some = asyncio.get_running_loop(), asyncio.Event()
        begun = partial(loop.call_soon_threadsafe, some.set)
        task = asyncio.create_task(asyncio.to_thread(_place_by_thread, address, begun))
        await some.wait()
        await server.stops(SIGKILL)
        server = ServerProcess(tmp_path, "--listen", address, *WITHOUT_WORKERS)
        assert await task == list(range(1, 3_001))
    finally:
        server.kill()


def _place_by_thread(address: str, has_begun: Callable[[], object]) -> list[int]:
    with Client(address) as client, client.placing() as placing:
        placed = [placing.place(customer_id="ada", lines={"tea": 1}) for _ in range(500)]
        placed[0].result()
        has_begun()
        placed += [placing.place(customer_id="ada", lines={"tea": 1}) for _ in range(2_500)]
    return [each.result().order.accept_sequence for each in placed]
