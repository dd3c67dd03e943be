"""Workers that lie, forge, repeat and forget take no order away for good, and end nothing."""

import asyncio
import random
from pathlib import Path

import grpc
import pytest

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake_server.store.sqlite.audit import audit
from support.hostile_workers import ATTACKS, attack
from support.in_process import Stub, completions
from support.orders import order
from support.played_worker import PlayedWorker, WorkStub
from support.process import serving_process

SERVER = ("--workers", "0", "--lease", "0.5", "--worker-lease", "1", "--worker-limit", "300")
ATTACK_SECONDS = 2.0
SETTLE_SECONDS = 20
PAUSE_SECONDS = 0.02
GROWN_BYTES = 150 * 1024 * 1024


async def _place_on(stub: Stub, placed: list[api.PlaceOrderResponse], over: asyncio.Event) -> None:
    """Place an order now and then, until it is over."""
    while not over.is_set():
        placed.append(await stub.PlaceOrder(order(), timeout=30))
        await asyncio.sleep(PAUSE_SECONDS)


@pytest.mark.seconds
@pytest.mark.timeout(100)
@pytest.mark.parametrize("name", ATTACKS)
async def test_w2_w6_hostile_workers_leave_each_order_to_end_once(
    tmp_path: Path, name: str
) -> None:
    placed: list[api.PlaceOrderResponse] = []
    async with serving_process(tmp_path, *SERVER) as (server, stub):
        async with grpc.aio.insecure_channel(server.address) as channel:
            honest = PlayedWorker(WorkStub(channel))
            working = asyncio.create_task(honest.work_on())
            over = asyncio.Event()
            placing = asyncio.create_task(_place_on(stub, placed, over))
            await completions(stub, 5)
            before = server.peak_memory()
            seed = random.randrange(1_000_000)
            assert await attack(server.address, name, seconds=ATTACK_SECONDS, seed=seed)
            over.set()
            await placing
            async with asyncio.timeout(SETTLE_SECONDS):
                ended = await completions(stub, len(placed))
            working.cancel()
            await asyncio.wait({working})
        assert server.peak_memory() - before < GROWN_BYTES
        assert await server.stops() == 0
    ids = [completion.order.order_id for completion in ended]
    assert sorted(ids) == sorted(receipt.order.order_id for receipt in placed)
    assert not [entry for entry in server.log if entry.get("level") in {"error", "critical"}]
    assert [entry for entry in server.log if "level" not in entry] == []
    assert await asyncio.to_thread(audit, tmp_path) == []
