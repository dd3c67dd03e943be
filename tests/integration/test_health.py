"""The standard health service beside the contract's own: asked, listed, watched over a channel."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.callers import bearing, entry, key_of, write_access
from support.in_process import listening
from support.orders import order

SERVICES = {
    *("", "orderintake.v1.OrderIntakeService", "orderintake.v1.OrderAdminService"),
    "orderintake.v1.OrderWorkService",
}
SERVING = health_pb2.HealthCheckResponse.SERVING


async def test_every_service_is_serving_when_asked_listed_and_watched(tmp_path: Path) -> None:
    messages: Any = health_pb2  # whose stubs do not know List yet
    async with (
        listening(tmp_path) as (address, _),
        grpc.aio.insecure_channel(address) as channel,
    ):
        health: Any = health_pb2_grpc.HealthStub(channel)
        listed = await health.List(messages.HealthListRequest())
        assert {name: told.status for name, told in listed.statuses.items()} == dict.fromkeys(
            SERVICES, SERVING
        )
        for service in SERVICES:
            request = health_pb2.HealthCheckRequest(service=service)
            assert (await health.Check(request)).status == SERVING
            watch = health.Watch(request)
            assert (await watch.read()).status == SERVING
            watch.cancel()


async def test_who_watches_needs_no_credentials_and_is_told_of_the_end(tmp_path: Path) -> None:
    """gRPC's round robin watches without those of any call, and takes an end for no service."""
    access = write_access(tmp_path / "access.toml", [entry("shop", "customer", customer="*")])
    async with AsyncExitStack() as outer:
        async with listening(tmp_path / "data", access=access) as (address, stub):
            channel = await outer.enter_async_context(grpc.aio.insecure_channel(address))
            health: Any = health_pb2_grpc.HealthStub(channel)
            watch = health.Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == SERVING
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.PlaceOrder(order())
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
            await stub.PlaceOrder(order(), metadata=bearing(key_of("shop")))
            told = asyncio.ensure_future(watch.read())
            await health.Check(health_pb2.HealthCheckRequest())
            assert not told.done()
        assert (await told).status == health_pb2.HealthCheckResponse.NOT_SERVING
