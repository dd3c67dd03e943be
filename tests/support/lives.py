"""A server under test and stubs that talk to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from orderintake.v1 import order_admin_service_pb2_grpc as admin_grpc
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc
from orderintake.v1 import order_pb2
from orderintake_server.testing import ServerUnderTest, server

if TYPE_CHECKING:
    from orderintake.v1.order_admin_service_pb2_grpc import OrderAdminServiceAsyncStub
    from orderintake.v1.order_intake_service_pb2_grpc import OrderIntakeServiceAsyncStub


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A server under test, with a stub for its callers and one for its operators."""

    server: ServerUnderTest
    stub: "OrderIntakeServiceAsyncStub"
    admin: "OrderAdminServiceAsyncStub"

    async def get(self, order_id: str) -> api.GetOrderResponse:
        """Ask how an order stands."""
        return await self.stub.GetOrder(api.GetOrderRequest(order_id=order_id))

    async def cancel(self, order_id: str) -> api.CancelOrderResponse:
        """Cancel an order."""
        return await self.stub.CancelOrder(api.CancelOrderRequest(order_id=order_id))

    async def completion(self, receipt: api.PlaceOrderResponse) -> order_pb2.Completion:
        """Wait for the completion of an order."""
        stream = self.stub.StreamCompletions(
            api.StreamCompletionsRequest(after_cursor=receipt.cursor)
        )
        async for message in stream:
            for completion in message.completions:
                if completion.order.order_id == receipt.order.order_id:
                    stream.cancel()
                    return completion
        raise AssertionError("the stream ended")


@asynccontextmanager
async def shop(data: Path, *, workers: int = 1, **settings: Any) -> AsyncIterator[Shop]:  # noqa: ANN401
    """Run a server on this data; give it with its stubs. Its rules must have been obeyed."""
    async with (
        server(data=data, workers=workers, **settings) as under_test,
        grpc.aio.insecure_channel(under_test.address) as channel,
    ):
        yield Shop(
            server=under_test,
            stub=api_grpc.OrderIntakeServiceStub(channel),
            admin=admin_grpc.OrderAdminServiceStub(channel),
        )
        await under_test.assert_rules_obeyed()
