"""orderintake: PlaceOrder by grpc.aio; its server takes and processes orders in one process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc
from orderintake.v1 import order_pb2
from orderintake_server.handlers import OrderAttempt
from rivals.child import Place, handle, main


async def process(order: OrderAttempt) -> None:
    """Process an order, as the server's handler."""
    await handle(int(order.labels["number"]), order.tier == order_pb2.TIER_VIP)


@asynccontextmanager
async def placing(address: str) -> AsyncIterator[Place]:
    """Give what places an order."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = api_grpc.OrderIntakeServiceStub(channel)

        async def place(number: int, vip: bool) -> None:  # noqa: FBT001
            request = api.PlaceOrderRequest(
                customer_id="customer-0001",
                lines=[order_pb2.OrderLine(sku="article-0001", quantity=2)],
                labels={"channel": "web", "number": str(number)},
                tier=order_pb2.TIER_VIP if vip else order_pb2.TIER_REGULAR,
            )
            await stub.PlaceOrder(request)

        yield place


async def work(_: str) -> None:
    """Nothing: the server does."""


if __name__ == "__main__":
    main(placing, work)
