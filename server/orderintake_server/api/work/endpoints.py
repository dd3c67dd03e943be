"""The endpoint of each call of workers, and of what operators ask about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake.v1 import order_work_service_pb2 as work
from orderintake_server.api.work import requests

if TYPE_CHECKING:
    from orderintake.v1 import order_admin_service_pb2 as admin
    from orderintake_server.api.access import Call
    from orderintake_server.api.work.responses import WorkResponses
    from orderintake_server.ids import Ids
    from orderintake_server.work.room import WorkRoom
    from orderintake_server.work.seen import Workforce


class WorkEndpoints:
    """The endpoints, in the manner of `Endpoints`."""

    def __init__(
        self, room: WorkRoom, workforce: Workforce, *, responses: WorkResponses, ids: Ids
    ) -> None:
        """Ask `room` what workers ask, and `workforce` who they are."""
        self._room = room
        self._workforce = workforce
        self._responses = responses
        self._ids = ids

    async def lease_orders(self, request: work.LeaseOrdersRequest, call: Call) -> bytes:
        """Record outcomes, and lease orders; return the answer, encoded."""
        asked = requests.lease(request, self._ids, call.seconds_left())
        call.about["worker_id"] = request.worker_id
        leased = await self._room.lease(asked)
        call.about["orders"] = len(leased.leases)
        return self._responses.leased(leased, self._room.running.seconds)

    async def keep_leases(
        self, request: work.KeepLeasesRequest, call: Call
    ) -> work.KeepLeasesResponse:
        """Keep the leases of a worker."""
        third = self._room.life.lease_seconds / 3
        asked = requests.keep(request, self._ids, call.seconds_left(), wait=third)
        call.about["worker_id"] = request.worker_id
        return self._responses.news(await self._room.keep(asked))

    async def end_worker(
        self, request: work.EndWorkerRequest, call: Call
    ) -> work.EndWorkerResponse:
        """End a worker."""
        worker_id = requests.worker_id(request)
        call.about["worker_id"] = worker_id
        return work.EndWorkerResponse(returned=await self._room.end(worker_id))

    async def list_workers(
        self, _: admin.ListWorkersRequest, __: Call
    ) -> admin.ListWorkersResponse:
        """List who processes the orders."""
        return self._responses.workers(await self._workforce.look())
