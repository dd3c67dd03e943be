"""Each RPC of OrderAdminService: read the request, ask the intake, write the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake.v1 import order_admin_service_pb2 as api
from orderintake.v1 import order_admin_service_pb2_grpc as api_grpc
from orderintake_server.rpc import requests

if TYPE_CHECKING:
    from typing import Any

    from grpc.aio import ServicerContext

    from orderintake_server.ids import Ids
    from orderintake_server.intake import Intake
    from orderintake_server.rpc.codec import Codec


class OrderAdminServicer(api_grpc.OrderAdminServiceServicer):
    """The operators' service; refusals leave as exceptions, of which Guard makes statuses."""

    def __init__(self, intake: Intake, *, codec: Codec, names: Ids, workers: int) -> None:
        """Serve what `intake` can do, with so many workers behind it."""
        self._intake = intake
        self._codec = codec
        self._names = names
        self._workers = workers

    async def GetQueueStats(
        self, request: api.GetQueueStatsRequest, context: ServicerContext[Any, Any]
    ) -> api.GetQueueStatsResponse:
        """Tell how the queue stands."""
        flows, oldest = await self._intake.stats()
        return api.GetQueueStatsResponse(
            tiers=[
                self._codec.tier(tier, flows[tier], oldest=oldest.get(tier))
                for tier in sorted(flows, reverse=True)
            ],
            workers=self._workers,
            head_sequence=self._intake.head,
            subscribers=self._intake.subscribers,
        )

    async def PauseTier(
        self, request: api.PauseTierRequest, context: ServicerContext[Any, Any]
    ) -> api.PauseTierResponse:
        """Hold a tier."""
        await self._intake.pause(requests.tier(request), is_paused=True)
        return api.PauseTierResponse()

    async def ResumeTier(
        self, request: api.ResumeTierRequest, context: ServicerContext[Any, Any]
    ) -> api.ResumeTierResponse:
        """Let a tier start again."""
        await self._intake.pause(requests.tier(request), is_paused=False)
        return api.ResumeTierResponse()

    async def RedriveOrder(
        self, request: api.RedriveOrderRequest, context: ServicerContext[Any, Any]
    ) -> api.RedriveOrderResponse:
        """Place a copy of an order that ended badly."""
        sequence = self._names.accept_sequence(requests.order_id(request))
        receipt = await self._intake.redrive(sequence)
        return api.RedriveOrderResponse(
            order=self._codec.order(receipt.order), replayed=receipt.replayed
        )
