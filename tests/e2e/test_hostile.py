"""A peer that does what it can against a server takes little from the others, and ends nothing."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import pytest

from support.hostile_attacks import ATTACKS
from support.hostile_peer import peer
from support.in_process import Stub
from support.orders import order
from support.process import TESTS, server_process, serving_process

ATTACK_SECONDS = "2"
GROWN_BYTES = 150 * 1024 * 1024
"""More than the server may need at the most for any attack, on top of what it had before. Without
bounds on a connection's calls the resets alone make it grow by 350 to 560 MiB."""
PAUSE_SECONDS = 0.05
FEW_FILES = 128
CONNECTIONS = 64


async def _attacked(address: str, name: str) -> None:
    attacking = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "support.hostile_attacks", address, name, ATTACK_SECONDS),
        cwd=TESTS,
    )
    assert await attacking.wait() == 0


@asynccontextmanager
async def _polite(address: str) -> AsyncIterator[list[str]]:
    """Place an order now and then while inside; each is answered, or this fails; count them."""
    placed: list[str] = []

    async def place_on() -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            while True:
                receipt = await Stub(channel).PlaceOrder(order(), timeout=60)
                placed.append(receipt.order.order_id)
                await asyncio.sleep(PAUSE_SECONDS)

    placing = asyncio.create_task(place_on())
    yield placed
    assert not placing.done()
    placing.cancel()


@pytest.mark.seconds
@pytest.mark.parametrize("name", ATTACKS)
async def test_a_polite_caller_is_served_during_every_attack(tmp_path: Path, name: str) -> None:
    async with serving_process(tmp_path, "--workers", "0") as (server, stub):
        await stub.PlaceOrder(order())
        before = server.peak_memory()
        async with _polite(server.address) as placed:
            await _attacked(server.address, name)
        await stub.PlaceOrder(order())
        assert placed
        assert server.peak_memory() - before < GROWN_BYTES
        assert await server.stops() == 0
    assert not [entry for entry in server.log if entry.get("level") in {"error", "critical"}]
    assert [entry for entry in server.log if "level" not in entry] == []


def _few_files(count: int) -> tuple[str, ...]:
    return ("sh", "-c", f'ulimit -n {count}; exec "$0" "$@"')


@pytest.mark.seconds
async def test_connections_leave_the_server_the_files_that_it_needs(tmp_path: Path) -> None:
    with server_process(tmp_path, prefix=_few_files(FEW_FILES)) as server:
        async with (
            grpc.aio.insecure_channel(server.address) as early,
            AsyncExitStack() as crowd,
        ):
            await Stub(early).PlaceOrder(order())
            peers = [await crowd.enter_async_context(peer(server.address)) for _ in range(100)]
            refused = [each for each in peers if await _is_closed(each.is_closed)]
            assert len(refused) >= len(peers) - CONNECTIONS
            await Stub(early).PlaceOrder(order())
        async with grpc.aio.insecure_channel(server.address) as late:
            await Stub(late).PlaceOrder(order(), wait_for_ready=True, timeout=20)
        assert await server.stops() == 0


async def _is_closed(closed: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(0.1):
            await closed.wait()
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("files", [100, 9])
async def test_too_few_files_end_the_start_with_what_to_do(tmp_path: Path, files: int) -> None:
    with server_process(tmp_path, prefix=_few_files(files), waits=False) as server:
        assert await asyncio.to_thread(server.exit_code) == 1
    assert any("ulimit -n" in str(event) for event in server.events())
