"""P22: a connection to PostgreSQL that brings garbage is one that failed, and ends nothing."""

import asyncio
import os
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import pytest

from orderintake.v1 import order_pb2
from support.garbage import garbler
from support.in_process import Stub, completions
from support.orders import order
from support.process import ServerProcess, server_process
from support.replicas import replicas, until

SEEDS = int(os.environ.get("GARBAGE_SEEDS", "40"))


@pytest.mark.seconds
@pytest.mark.timeout(600)
async def test_p22_garbage_on_a_connection_to_postgresql_ends_nothing(tmp_path: Path) -> None:
    async with replicas() as here:
        at = urlsplit(here.url)
        async with garbler(at.port or 0) as line:
            url = here.url.replace(f":{at.port}/", f":{line.port}/")
            with server_process(tmp_path, "--store", url, waits=False) as process:
                stub = Stub(channel := await _channel(process))
                placing = asyncio.create_task(_place_for_ever(stub))
                for seed in range(SEEDS):
                    await line.garble(seed)
                assert not placing.done()
                placing.cancel()
                last: list[str] = []
                await until(lambda: _placed(stub, last), seconds=120)
                assert process.is_running()
                ended = await completions(stub, 1)
                assert ended[0].order.state == order_pb2.STATE_SUCCEEDED
                assert await process.stops() == 0
                await channel.close()
            assert line.garbled == SEEDS


async def _channel(process: ServerProcess) -> grpc.aio.Channel:
    """Connect once it listens, while this loop serves the line to the database."""
    return grpc.aio.insecure_channel(await asyncio.to_thread(lambda: process.address))


async def _place_for_ever(stub: Stub) -> None:
    while True:
        await _placed(stub, [])


async def _placed(stub: Stub, receipts: list[str]) -> bool:
    """Tell whether an order was accepted; if not, the server was there and refused it for now."""
    try:
        receipts.append((await stub.PlaceOrder(order(), timeout=60)).order.order_id)
    except grpc.aio.AioRpcError as error:
        if error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
            return False
        raise
    return True
