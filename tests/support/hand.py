"""A worker by hand, in a test: its calls, its leases and what it says of them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.duration_pb2 import Duration

from orderintake.v1 import order_work_service_pb2 as work
from orderintake.v1 import order_work_service_pb2_grpc as work_grpc

if TYPE_CHECKING:
    from orderintake.v1.order_work_service_pb2_grpc import OrderWorkServiceAsyncStub as WorkStub
else:  # the generated stub is one class at run time, whatever the channel
    WorkStub = work_grpc.OrderWorkServiceStub

SECONDS = 30.0
"""For how long a call is waited for."""


@dataclass
class Hand:
    """One life of a worker."""

    channel: grpc.aio.Channel
    name: str = "me-7f3a"
    calls: int = 0
    held: list[str] = field(default_factory=list)

    @property
    def stub(self) -> WorkStub:
        """What calls the server."""
        return WorkStub(self.channel)

    def asks(self, *outcomes: work.Outcome, slots: int = 1, wait: float = 10.0) -> Any:  # noqa: ANN401
        """Make the request of its next call."""
        self.calls += 1
        return work.LeaseOrdersRequest(
            worker_id=self.name,
            call=self.calls,
            slots=slots,
            outcomes=outcomes,
            wait=Duration(nanos=round(wait * 1e9) % 10**9, seconds=int(wait)),
        )

    def sends(self, request: Any) -> Any:  # noqa: ANN401 - a call that is under way
        """Send a request of it, for the first time or again."""
        return self.stub.LeaseOrders(request, timeout=SECONDS)

    async def leases(self, *outcomes: work.Outcome, slots: int = 1, wait: float = 10.0) -> Any:  # noqa: ANN401
        """Say what came of attempts, and lease orders."""
        answer = await self.sends(self.asks(*outcomes, slots=slots, wait=wait))
        told = {outcome.lease for outcome in outcomes}
        self.held = [lease for lease in self.held if lease not in told]
        self.held += [order.lease for order in answer.orders]
        return answer

    async def keeps(self, *open_calls: int, heard: tuple[str, ...] = (), **said: Any) -> Any:  # noqa: ANN401
        """Keep what it holds."""
        inventory = work.Inventory(held=self.held, last_call=self.calls, open_calls=open_calls)
        request = work.KeepLeasesRequest(
            worker_id=self.name, inventory=inventory, stops_heard=heard, **said
        )
        return await self.stub.KeepLeases(request, timeout=SECONDS)

    async def ends(self) -> int:
        """End it; give how many orders wait again."""
        request = work.EndWorkerRequest(worker_id=self.name)
        return (await self.stub.EndWorker(request, timeout=SECONDS)).returned


def done(lease: str) -> work.Outcome:
    """Say that an order was processed."""
    return work.Outcome(lease=lease, succeeded=work.Succeeded())


def given_back(lease: str) -> work.Outcome:
    """Say that an attempt was not made."""
    return work.Outcome(lease=lease, returned=work.Returned())
