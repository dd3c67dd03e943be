"""What passes is waited for, what is gone ends the server; nobody is told OK in between."""

import asyncio
import os
import resource
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake_server.store.sqlite.database import NAME
from support.in_process import Stub, completions
from support.orders import order
from support.process import ServerProcess, serving_process
from support.refusals import Refused, refused

_AGAIN = "the store can be written again; orders are accepted"


async def _refusal(stub: Stub) -> Refused:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.PlaceOrder(order())
    return refused(caught.value)


async def _health(server: ServerProcess) -> int:
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        return int((await stub.Check(health_pb2.HealthCheckRequest())).status)


@pytest.mark.seconds
async def test_a_lock_of_another_program_is_waited_for(tmp_path: Path) -> None:
    async with serving_process(tmp_path) as (server, stub):
        await stub.PlaceOrder(order())
        with closing(sqlite3.connect(tmp_path / NAME, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            refusals = [await _refusal(stub) for _ in range(2)]
            health = await _health(server)
        await asyncio.to_thread(server.wait_for, _AGAIN)
        await stub.PlaceOrder(order())
        assert len(await completions(stub, 2)) == 2
        assert await server.stops() == 0
    assert {each.reason for each in refusals} == {"STORAGE_UNAVAILABLE"}
    assert health == health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.mark.seconds
async def test_a_server_without_a_descriptor_left_goes_on(tmp_path: Path) -> None:
    async with serving_process(tmp_path) as (server, stub):
        await stub.PlaceOrder(order())
        held = len(os.listdir(f"/proc/{server.pid}/fd"))  # noqa: PTH208 - names only
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (held, held))
        receipts = [await stub.PlaceOrder(order()) for _ in range(20)]
        await stub.GetOrder(api.GetOrderRequest(order_id=receipts[0].order.order_id))
        await stub.ListOrders(api.ListOrdersRequest())
        assert len(await completions(stub, 21)) == 21
        assert await server.stops() == 0


@pytest.mark.seconds
@pytest.mark.parametrize("name", [NAME, f"{NAME}-wal"])
async def test_a_server_whose_files_were_removed_says_so_and_ends(
    tmp_path: Path, name: str
) -> None:
    async with serving_process(tmp_path) as (server, stub):
        await stub.PlaceOrder(order())
        (tmp_path / name).unlink()
        assert (await _refusal(stub)).reason == "STORAGE_UNAVAILABLE"
        assert await asyncio.to_thread(server.exit_code) == 1
    assert "the store's files were removed or replaced" in server.events()
    said = str(server.events()[-1])
    assert said.startswith(f"orderintake-server: {tmp_path / name} was removed or replaced")


@pytest.mark.seconds
async def test_an_idle_server_whose_directory_was_moved_ends(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with serving_process(data) as (server, stub):
        await stub.PlaceOrder(order())
        data.rename(tmp_path / "moved")
        assert await asyncio.to_thread(server.exit_code) == 1
    async with serving_process(tmp_path / "moved") as (_, stub):
        assert len(await completions(stub, 1)) == 1


@pytest.mark.seconds
async def test_damage_that_a_read_meets_ends_the_server(tmp_path: Path) -> None:
    labels = {str(key): "x" * 250 for key in range(16)}
    requests = [order(labels=labels)] * 500
    async with serving_process(tmp_path, "--workers", "0") as (server, stub):
        for _ in range(20):  # more than the caches hold
            await stub.BatchPlaceOrders(api.BatchPlaceOrdersRequest(requests=requests))
        assert await server.stops() == 0
    async with serving_process(tmp_path, "--workers", "0") as (server, stub):
        size = os.stat(tmp_path / NAME).st_size  # noqa: PTH116 - a test may wait
        os.truncate(tmp_path / NAME, size // 4096 // 4 * 4096)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _read_all(stub)
        assert refused(caught.value).reason == "STORAGE_UNAVAILABLE"
        assert await asyncio.to_thread(server.exit_code) == 1
    assert "the store is broken; acknowledged orders are safe" in server.events()


async def _read_all(stub: Stub) -> None:
    token = ""
    while True:
        page = await stub.ListOrders(api.ListOrdersRequest(page_size=1_000, page_token=token))
        token = page.next_page_token
        assert token
