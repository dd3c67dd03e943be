"""The HTTP listener of a real process: scraped under load, misused, and asked while it stops."""

import asyncio
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.http_port import http_port, until_reasons
from support.in_process import Stub, completions
from support.metrics import get, scrape
from support.orders import order
from support.process import run_to_end, server_process, serving_process
from support.remote_gate import remote_gate

HTTP = ("--http", "127.0.0.1:0")
ORDERS = 300
SCRAPES = 10
READERS = 50
GARBAGE = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 40,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)


async def place(stub: Stub, count: int) -> None:
    """Place so many orders, ten at a time."""
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            await stub.PlaceOrder(order())

    await asyncio.gather(*(caller() for _ in range(10)))


def slow_reader(port: int) -> socket.socket:
    """Ask for more than the system keeps for a reader, and read nothing of it."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.connect(("127.0.0.1", port))
    reader.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 300)
    return reader


@pytest.mark.always
async def test_it_is_scraped_under_load_and_its_numbers_are_the_loads(tmp_path: Path) -> None:
    async with serving_process(tmp_path, *HTTP) as (server, stub):
        port = http_port(server)
        loaded = asyncio.create_task(place(stub, ORDERS))
        seen = [(await scrape(port)).value("orders_accepted_total") for _ in range(SCRAPES)]
        await loaded
        await completions(stub, ORDERS)
        last = await scrape(port)
        assert await server.stops() == 0
    assert seen == sorted(seen)
    assert last.value("orders_accepted_total") == ORDERS
    assert last.value("rpc_calls_total", code="OK") == ORDERS
    assert last.value("wait_seconds_count") == ORDERS


@pytest.mark.seconds
async def test_slow_readers_and_garbage_cost_neither_callers_nor_the_stop(tmp_path: Path) -> None:
    async with serving_process(tmp_path, *HTTP) as (server, stub):
        port = http_port(server)
        with ExitStack() as opened:
            readers = [opened.enter_context(slow_reader(port)) for _ in range(READERS)]
            for garbage in GARBAGE * 10:
                peer = opened.enter_context(socket.create_connection(("127.0.0.1", port)))
                peer.sendall(garbage)
            await place(stub, ORDERS)
            assert (await scrape(port)).value("orders_accepted_total") == ORDERS
            for reader in readers[::2]:
                reader.close()
            assert (await get(port, "/healthz")).status == 200
            assert await server.stops() == 0
    assert not [entry for entry in server.log if entry.get("level") in {"error", "critical"}]


@pytest.mark.always
async def test_p19_a_server_that_drains_says_that_it_is_not_ready(tmp_path: Path) -> None:
    async with remote_gate() as gate:
        arguments = (*HTTP, "--workers", "1", *gate.arguments)
        async with serving_process(tmp_path, *arguments, env=gate.env) as (server, stub):
            port = http_port(server)
            assert (await get(port, "/readyz")).status == 200
            await stub.PlaceOrder(order())
            await gate.starts(1)
            stopping = asyncio.create_task(server.stops())
            found = await until_reasons(port, ["draining"])
            alive, metrics = await get(port, "/healthz"), await scrape(port)
            await gate.let_through(1)
            assert await stopping == 0
    assert (found.status, alive.status) == (503, 200)
    assert metrics.value("workers_busy") == 1


@pytest.mark.seconds
def test_a_port_that_is_taken_stops_the_start_and_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        where = ("--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
        end = run_to_end(*where, "--http", address)
    assert end.returncode == 1
    assert f"cannot listen on {address} (--http): address already in use" in end.stderr.lower()


@pytest.mark.seconds
@pytest.mark.parametrize("missing", ["aiohttp", "prometheus_client"])
def test_without_its_extra_the_start_says_what_to_install(tmp_path: Path, missing: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules[{missing!r}] = None\n")
    where = ("--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
    end = run_to_end(*where, *HTTP, env={"PYTHONPATH": str(tmp_path)})
    assert end.returncode == 1
    assert "pip install 'orderintake-server[http]'" in end.stderr


def test_without_the_setting_nothing_is_served_nor_needed(tmp_path: Path) -> None:
    hidden = "import sys\nsys.modules['aiohttp'] = sys.modules['prometheus_client'] = None\n"
    (tmp_path / "sitecustomize.py").write_text(hidden)
    env = {"PYTHONPATH": f"{tmp_path}"}
    with server_process(tmp_path / "data", env=env) as server:
        assert "serving HTTP" not in server.events()
