"""Workers that a test plays itself: a stub, and one that does everything right."""

import asyncio
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

from orderintake.v1 import order_pb2
from orderintake.v1 import order_work_service_pb2 as work_api
from orderintake.v1 import order_work_service_pb2_grpc as work_grpc

if TYPE_CHECKING:
    from orderintake.v1.order_work_service_pb2_grpc import OrderWorkServiceAsyncStub

    WorkStub = OrderWorkServiceAsyncStub
else:  # the generated stub is one class at run time, whatever the channel
    WorkStub = work_grpc.OrderWorkServiceStub

SECONDS = 30.0
"""No call takes longer."""


def succeeded(lease: str) -> work_api.Outcome:
    """Say that an attempt succeeded."""
    return work_api.Outcome(lease=lease, succeeded=work_api.Succeeded())


def failed(lease: str) -> work_api.Outcome:
    """Say that an attempt failed for good."""
    return work_api.Outcome(lease=lease, rejected=order_pb2.Failure(code="NO", message="no"))


def retried(lease: str) -> work_api.Outcome:
    """Ask for another attempt at once."""
    return work_api.Outcome(lease=lease, retry=work_api.Retry(after=Duration()))


def returned(lease: str) -> work_api.Outcome:
    """Give an order back."""
    return work_api.Outcome(lease=lease, returned=work_api.Returned())


class PlayedWorker:
    """One life of a worker; its calls are numbered as they must be."""

    def __init__(self, stub: WorkStub, *, worker_id: str = "") -> None:
        """Call by this stub, under a new id."""
        self.worker_id = worker_id or uuid.uuid4().hex
        self.last_call = 0
        self.done = 0
        """How many outcomes it said were recorded."""
        self._stub = stub

    def request(
        self, slots: int = 0, outcomes: Sequence[work_api.Outcome] = (), *, wait: float = 0.0
    ) -> work_api.LeaseOrdersRequest:
        """Write the next call."""
        self.last_call += 1
        request = work_api.LeaseOrdersRequest(
            worker_id=self.worker_id, call=self.last_call, slots=slots, outcomes=outcomes
        )
        request.wait.CopyFrom(Duration(nanos=int(wait % 1 * 1e9), seconds=int(wait)))
        return request

    async def lease(
        self, slots: int = 1, outcomes: Sequence[work_api.Outcome] = (), *, wait: float = 0.0
    ) -> work_api.LeaseOrdersResponse:
        """Make the next call."""
        return await self.ask(self.request(slots, outcomes, wait=wait))

    async def ask(self, request: work_api.LeaseOrdersRequest) -> work_api.LeaseOrdersResponse:
        """Make a call, perhaps again."""
        return await self._stub.LeaseOrders(request, timeout=SECONDS)

    async def keep(
        self, held: Sequence[str] = (), *, stopping: bool = False
    ) -> work_api.KeepLeasesResponse:
        """Tell that it lives, and what it has; nothing is open meanwhile."""
        inventory = work_api.Inventory(held=held, last_call=self.last_call)
        return await self._stub.KeepLeases(
            work_api.KeepLeasesRequest(
                worker_id=self.worker_id, capacity=8, inventory=inventory, stopping=stopping
            ),
            timeout=SECONDS,
        )

    async def end(self) -> int:
        """End; tell how many orders wait again."""
        request = work_api.EndWorkerRequest(worker_id=self.worker_id)
        return (await self._stub.EndWorker(request, timeout=SECONDS)).returned

    async def work_on(self, slots: int = 8) -> None:
        """Do every order at once, for ever."""
        outcomes: list[work_api.Outcome] = []
        while True:
            answer = await self.lease(slots, outcomes, wait=1.0)
            recorded = work_api.OUTCOME_RESULT_RECORDED
            self.done += sum(each.result == recorded for each in answer.outcomes)
            outcomes = [succeeded(each.lease) for each in answer.orders]
            await asyncio.sleep(0)
