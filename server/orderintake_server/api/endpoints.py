"""The endpoint of each RPC: it reads the request, calls the intake, and builds the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake_server.api import requests
from orderintake_server.errors import Draining
from orderintake_server.views import Signal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orderintake_server.api.access import Caller
    from orderintake_server.api.responses import Responses
    from orderintake_server.ids import Ids
    from orderintake_server.intake import Intake


class Endpoints:
    """The endpoints: each gets a message and its caller, and returns a message or a stream of them.

    They raise refusals as exceptions, which a transport turns into a status with `Refusals`.
    """

    def __init__(self, intake: Intake, *, responses: Responses, ids: Ids) -> None:
        """Call `intake`."""
        self._intake = intake
        self._responses = responses
        self._ids = ids

    # OrderIntakeService

    async def place_order(
        self, request: api.PlaceOrderRequest, _: Caller
    ) -> api.PlaceOrderResponse:
        """Accept one order."""
        (receipt,) = await self._intake.place((requests.new_order(request),))
        return self._responses.receipt(receipt)

    async def batch_place_orders(
        self, request: api.BatchPlaceOrdersRequest, _: Caller
    ) -> api.BatchPlaceOrdersResponse:
        """Accept several orders, all or none."""
        receipts = await self._intake.place(requests.new_orders(request))
        return api.BatchPlaceOrdersResponse(receipts=map(self._responses.receipt, receipts))

    async def get_order(self, request: api.GetOrderRequest, _: Caller) -> api.GetOrderResponse:
        """Return one order in its present state."""
        status = await self._intake.get(requests.accept_sequence(request, self._ids))
        return self._responses.order_status(status)

    async def list_orders(
        self, request: api.ListOrdersRequest, _: Caller
    ) -> api.ListOrdersResponse:
        """List a page of orders."""
        wanted, limit = requests.order_filter(request), requests.page_size(request)
        after = self._ids.listed(request.page_token)
        orders, next_after = await self._intake.list_orders(wanted, after=after, limit=limit)
        return self._responses.orders(orders, next_after)

    async def cancel_order(
        self, request: api.CancelOrderRequest, _: Caller
    ) -> api.CancelOrderResponse:
        """Cancel one order."""
        cancelled = await self._intake.cancel(requests.accept_sequence(request, self._ids))
        return self._responses.cancelled(cancelled)

    async def list_completions(
        self, request: api.ListCompletionsRequest, _: Caller
    ) -> api.ListCompletionsResponse:
        """Read a page of the completion log."""
        wanted, limit = requests.completion_filter(request), requests.page_size(request)
        start = requests.read_from(request.page_token, self._ids)
        return self._responses.page(await self._intake.page(wanted, start=start, limit=limit))

    async def stream_completions(
        self, request: api.StreamCompletionsRequest, _: Caller
    ) -> AsyncIterator[bytes]:
        """Yield completions, each message encoded, until the caller leaves or the service stops."""
        async with self._intake.subscribe(requests.subscribe(request, self._ids)) as subscription:
            while True:
                delivery = await subscription.next()
                yield self._responses.delivery(delivery)
                if delivery.signal is Signal.GOING_AWAY:
                    raise Draining("the server is stopping; resume from the last cursor")

    # OrderAdminService

    async def get_queue_stats(
        self, _: admin.GetQueueStatsRequest, __: Caller
    ) -> admin.GetQueueStatsResponse:
        """Return the state of the queue."""
        stats, oldest = await self._intake.stats()
        return admin.GetQueueStatsResponse(
            tiers=[
                self._responses.tier(tier, stats[tier], oldest=oldest.get(tier))
                for tier in sorted(stats, reverse=True)
            ],
            workers=self._intake.workers,
            head_sequence=self._intake.head,
            subscribers=self._intake.subscribers,
            stuck_attempts=self._intake.figures.stuck_attempts,
            loop_stalls=self._intake.figures.loop_stalls,
        )

    async def pause_tier(
        self, request: admin.PauseTierRequest, _: Caller
    ) -> admin.PauseTierResponse:
        """Pause a tier."""
        await self._intake.pause(requests.tier(request), is_paused=True)
        return admin.PauseTierResponse()

    async def resume_tier(
        self, request: admin.ResumeTierRequest, _: Caller
    ) -> admin.ResumeTierResponse:
        """Resume a tier."""
        await self._intake.pause(requests.tier(request), is_paused=False)
        return admin.ResumeTierResponse()

    async def redrive_order(
        self, request: admin.RedriveOrderRequest, _: Caller
    ) -> admin.RedriveOrderResponse:
        """Place a copy of an order that failed, was cancelled or expired."""
        receipt = await self._intake.redrive(requests.accept_sequence(request, self._ids))
        return admin.RedriveOrderResponse(
            order=self._responses.order(receipt.order), replayed=receipt.replayed
        )
