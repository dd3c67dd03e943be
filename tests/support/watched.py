"""What a server counts: asked once, or awaited."""

import asyncio
from typing import TYPE_CHECKING

import grpc

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_admin_service_pb2_grpc as admin_grpc

if TYPE_CHECKING:
    from orderintake.v1.order_admin_service_pb2_grpc import (
        OrderAdminServiceAsyncStub as AdminStub,
    )

LOOK_SECONDS = 0.02


async def subscribers_become(address: str, count: int, *, seconds: float = 10) -> float:
    """Ask the server until it counts so many subscribers; tell how many seconds that took.

    Raises TimeoutError when it never does.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with grpc.aio.insecure_channel(address) as channel, asyncio.timeout(seconds):
        stub = admin_grpc.OrderAdminServiceStub(channel)
        while await _count(stub) != count:  # noqa: ASYNC110 - the server tells only who asks
            await asyncio.sleep(LOOK_SECONDS)
    return loop.time() - began


async def _count(stub: "AdminStub") -> int:
    return (await stub.GetQueueStats(admin.GetQueueStatsRequest())).subscribers


async def queue_stats(address: str) -> admin.GetQueueStatsResponse:
    """Ask the server how it stands."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub: AdminStub = admin_grpc.OrderAdminServiceStub(channel)
        return await stub.GetQueueStats(admin.GetQueueStatsRequest())
