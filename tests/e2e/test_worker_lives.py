"""Worker processes and a server process: killed, frozen and restarted, with orders under way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals

import pytest

from orderintake import AsyncClient, Order
from orderintake.v1.order_pb2 import STATE_SUCCEEDED
from support.coming_back import Shop
from support.process import LoggedProcess, WorkerProcess, worker_process
from support.proxy import proxy

pytestmark = pytest.mark.seconds

LEASE_SECONDS = 2.0
SERVER = ("--workers", "0", "--lease", "1", "--worker-lease", str(LEASE_SECONDS))
DOES = ("--handler", "support.work_handlers:does")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """A server without workers of its own, whose workers are soon taken for dead."""
    shop = Shop(tmp_path / "data")
    await shop.start(*SERVER)
    yield shop
    shop.kill()


def worker(address: str, *arguments: str) -> AbstractContextManager[WorkerProcess]:
    """Run a worker; kill it at the end."""
    return worker_process(address, *DOES, *arguments)


async def said(process: LoggedProcess, event: str) -> None:
    """Wait for a line of its log."""
    await asyncio.to_thread(process.wait_for, event)


async def place(shop: Shop, do: str, seconds: float = 0.0, count: int = 1) -> None:
    """Place orders that do this for so long."""
    async with AsyncClient(shop.address) as client:
        for _ in range(count):
            labels = {"do": do, "seconds": str(seconds)}
            await client.place(customer_id="ada", lines={"tea": 1}, labels=labels)


async def completed(shop: Shop, count: int) -> list[Order]:
    """Wait until so many orders have ended."""
    found: list[Order] = []
    async with (
        asyncio.timeout(40),
        AsyncClient(shop.address, timeout=40) as client,
        client.completions() as completions,
    ):
        async for completion in completions:
            found.append(completion.order)
            if len(found) == count:
                break
    return found


def assert_done_once(orders: list[Order]) -> None:
    """Each has succeeded in its first attempt."""
    assert {each.state for each in orders} == {STATE_SUCCEEDED}
    assert {each.attempt_count for each in orders} == {1}
    assert len({each.order_id for each in orders}) == len(orders)


async def test_orders_of_a_worker_that_is_killed_run_elsewhere_with_one_crash(shop: Shop) -> None:
    with worker(shop.address, "--slots", "1") as first, worker(shop.address) as second:
        await place(shop, "wait", 0.5)
        running = {asyncio.create_task(said(each, "waiting")): each for each in (first, second)}
        (begun, *_), _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        running[begun].kill()
        (order,) = await completed(shop, 1)
        await asyncio.wait(running)
    assert (order.state, order.attempt_count) == (STATE_SUCCEEDED, 2)


@pytest.mark.parametrize("number", [SIGKILL, SIGTERM])
async def test_a_server_s_restart_repeats_nothing(shop: Shop, number: Signals) -> None:
    with worker(shop.address, "--slots", "4") as process:
        await place(shop, "wait", 2.0)
        await said(process, "waiting")
        await shop.end(number)
        await asyncio.sleep(1.0)
        await shop.start(*SERVER)
        await place(shop, "wait", 0.1, count=3)
        assert_done_once(await completed(shop, 4))


async def test_a_server_that_freezes_takes_nobody_for_dead(shop: Shop) -> None:
    with worker(shop.address, "--slots", "1") as process:
        await place(shop, "wait", 5.0)
        await said(process, "waiting")
        shop.server.signal(SIGSTOP)
        await asyncio.sleep(2 * LEASE_SECONDS)
        shop.server.signal(SIGCONT)
        assert_done_once(await completed(shop, 1))


async def test_a_worker_that_freezes_for_too_long_loses_its_orders_and_goes_on(shop: Shop) -> None:
    with worker(shop.address, "--slots", "1") as frozen:
        await place(shop, "wait", 3.0)
        await said(frozen, "waiting")
        frozen.signal(SIGSTOP)
        with worker(shop.address, "--slots", "1") as other:
            await said(other, "waiting")  # a call that waited counts as a sign for its time
            frozen.signal(SIGCONT)
            (order,) = await completed(shop, 1)
            await other.stops()
        await place(shop, "wait")
        await completed(shop, 2)
        assert await frozen.stops() == 0
    assert (order.state, order.attempt_count) == (STATE_SUCCEEDED, 2)


async def test_a_blocked_loop_loses_no_lease(shop: Shop) -> None:
    with worker(shop.address, "--slots", "1"):
        await place(shop, "block", 2 * LEASE_SECONDS)
        assert_done_once(await completed(shop, 1))


async def test_rolling_restarts_count_no_attempt(shop: Shop) -> None:
    await place(shop, "wait", 0.05, count=150)
    done = asyncio.create_task(completed(shop, 150))
    restarts = 0
    while not done.done():
        with worker(shop.address, "--slots", "4", "--drain-timeout", "0") as process:
            await said(process, "working")
            await asyncio.sleep(0.3)
            assert await process.stops() == 0
        restarts += 1
    assert restarts > 1
    assert_done_once(await done)


async def test_answers_that_nobody_gets_count_nothing(shop: Shop) -> None:
    async with proxy(shop.address) as between:
        with worker(between.address, "--slots", "2") as process:
            await said(process, "working")
            done = asyncio.create_task(completed(shop, 30))
            for number in range(6):
                await place(shop, "wait", 0.1, count=5)
                (between.swallow if number == 3 else between.cut)()
            assert_done_once(await done)


async def test_a_name_may_stand_for_many_servers(shop: Shop) -> None:
    with worker(f"dns:///{shop.address}") as process:
        await said(process, "working")
        await place(shop, "wait", 0.0, count=3)
        assert_done_once(await completed(shop, 3))
        assert await process.stops() == 0
