"""Each RPC of OrderIntakeService: read the request, ask the intake, write the answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc
from orderintake_server.errors import Draining, SubscriberTooSlow
from orderintake_server.rpc import requests
from orderintake_server.views import Signal

if TYPE_CHECKING:
    from typing import Any

    from grpc.aio import ServicerContext

    from orderintake_server.domain import Receipt
    from orderintake_server.ids import Ids
    from orderintake_server.intake import Intake
    from orderintake_server.rpc.codec import Codec


class OrderIntakeServicer(api_grpc.OrderIntakeServiceServicer):
    """The contract's service; refusals leave as exceptions, of which Guard makes statuses."""

    def __init__(
        self, intake: Intake, *, codec: Codec, names: Ids, subscriber_seconds: float
    ) -> None:
        """Serve what `intake` can do; a subscriber has so long to take a message."""
        self._intake = intake
        self._codec = codec
        self._names = names
        self._subscriber_seconds = subscriber_seconds

    async def PlaceOrder(
        self, request: api.PlaceOrderRequest, context: ServicerContext[Any, Any]
    ) -> api.PlaceOrderResponse:
        """Accept one order."""
        order = requests.new_order(request)
        (receipt,) = await self._intake.place((order,))
        return self._receipt(receipt)

    async def BatchPlaceOrders(
        self, request: api.BatchPlaceOrdersRequest, context: ServicerContext[Any, Any]
    ) -> api.BatchPlaceOrdersResponse:
        """Accept several orders, all or none."""
        orders = requests.new_orders(request)
        receipts = await self._intake.place(orders)
        return api.BatchPlaceOrdersResponse(receipts=map(self._receipt, receipts))

    def _receipt(self, receipt: Receipt) -> api.PlaceOrderResponse:
        return self._codec.receipt(receipt, self._intake.wait(receipt.position))

    async def GetOrder(
        self, request: api.GetOrderRequest, context: ServicerContext[Any, Any]
    ) -> api.GetOrderResponse:
        """Tell how one order stands."""
        sequence = self._names.accept_sequence(requests.order_id(request))
        return self._codec.standing(await self._intake.get(sequence))

    async def ListOrders(
        self, request: api.ListOrdersRequest, context: ServicerContext[Any, Any]
    ) -> api.ListOrdersResponse:
        """List a page of orders."""
        wanted, limit = requests.order_filter(request), requests.page_size(request)
        after = self._names.listed(request.page_token)
        orders, goes_on = await self._intake.list_orders(wanted, after=after, limit=limit)
        return self._codec.orders(orders, goes_on)

    async def CancelOrder(
        self, request: api.CancelOrderRequest, context: ServicerContext[Any, Any]
    ) -> api.CancelOrderResponse:
        """Cancel one order."""
        sequence = self._names.accept_sequence(requests.order_id(request))
        return self._codec.cancelled(await self._intake.cancel(sequence))

    async def ListCompletions(
        self, request: api.ListCompletionsRequest, context: ServicerContext[Any, Any]
    ) -> api.ListCompletionsResponse:
        """Read a page of the completion log."""
        wanted, limit = requests.completion_filter(request), requests.page_size(request)
        start = requests.place(request.page_token, self._names)
        page = await self._intake.page(wanted, start=start, limit=limit)
        return self._codec.page(page)

    async def StreamCompletions(  # type: ignore[override] # a coroutine that writes is faster
        self, request: api.StreamCompletionsRequest, context: ServicerContext[Any, Any]
    ) -> None:
        """Push completions until the client leaves or the service stops.

        A write waits for the client, so a slow one holds up nobody but itself.
        """
        ask = requests.subscribe(request, self._names)
        async with self._intake.subscribe(
            ask.wanted,
            start=ask.start,
            limit=ask.limit,
            heartbeat_seconds=ask.heartbeat_seconds,
        ) as subscription:
            while True:
                delivery = await subscription.next()
                await self._send(self._codec.delivery(delivery), context)
                if delivery.signal is Signal.GOING_AWAY:
                    raise Draining("the server is stopping; go on from the last cursor")

    async def _send(self, message: bytes, context: ServicerContext[Any, Any]) -> None:
        """Write one message of a stream, waiting for its reader as long as one may."""
        try:
            async with asyncio.timeout(self._subscriber_seconds):
                await context.write(message)
        except TimeoutError:
            raise SubscriberTooSlow(
                f"nothing was taken of this stream for {self._subscriber_seconds:g} s; "
                "go on from the last cursor"
            ) from None
