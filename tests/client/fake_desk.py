"""The fake server's lists, cancellations and operators; see fake_server."""
# ruff: noqa: N802 - the contract gives the methods their names

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_admin_service_pb2_grpc as admin_grpc
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc
from orderintake.v1 import order_pb2

Context = grpc.ServicerContext

ORDERS = 5
"""How many orders are listed."""


def page(token: str, asked: int, end: int) -> tuple[range, str]:
    """Tell which numbers up to `end` are on a page, two unless asked, and the next one's token."""
    first = int(token.removeprefix("c") or 0)
    last = min(first + (asked or 2), end)
    return range(first + 1, last + 1), f"c{last}" if last < end else ""


def order(number: int) -> order_pb2.Order:
    return order_pb2.Order(
        order_id=f"order-{number}",
        customer_id="ada",
        tier=order_pb2.TIER_VIP,
        state=order_pb2.STATE_QUEUED,
        lines=[order_pb2.OrderLine(sku="tea", quantity=number)],
    )


def failed(number: int) -> admin.FailedOrder:
    ended = order(number)
    ended.state = order_pb2.STATE_FAILED
    ended.complete_time.seconds = number
    failure = order_pb2.Failure(code="SOLD_OUT", message="no more tea")
    completion = order_pb2.Completion(sequence=number, order=ended, failure=failure)
    return admin.FailedOrder(completion=completion, copy_order_id="copy-5" if number == 5 else "")


class FakeDesk(api_grpc.OrderIntakeServiceServicer, admin_grpc.OrderAdminServiceServicer):
    """Lists five orders, cancels as the order_id says, and obeys operators."""

    listed: list[order_pb2.Order] | None = None

    actions: list[admin.OperatorAction] | None = None

    def _meet(self, request: Message, context: Context) -> None:
        raise NotImplementedError

    def ListOrders(
        self, request: api.ListOrdersRequest, context: Context
    ) -> api.ListOrdersResponse:
        self._meet(request, context)
        if self.listed is not None:
            return api.ListOrdersResponse(orders=self.listed)
        numbers, token = page(request.page_token, request.page_size, ORDERS)
        listed = [ORDERS + 1 - n if request.newest_first else n for n in numbers]
        return api.ListOrdersResponse(orders=map(order, listed), next_page_token=token)

    def CancelOrder(
        self, request: api.CancelOrderRequest, context: Context
    ) -> api.CancelOrderResponse:
        self._meet(request, context)
        outcome = api.CancelOutcome.Value(f"CANCEL_OUTCOME_{request.order_id}")
        return api.CancelOrderResponse(outcome=outcome, order=order(1))

    def GetQueueStats(
        self, request: admin.GetQueueStatsRequest, context: Context
    ) -> admin.GetQueueStatsResponse:
        self._meet(request, context)
        vip = admin.TierStats(
            tier=order_pb2.TIER_VIP,
            queued=3,
            scheduled=2,
            oldest_waiting_age=Duration(seconds=4, nanos=250_000_000),
            accept_rate=1.25,
            paused=True,
        )
        regular = admin.TierStats(tier=order_pb2.TIER_REGULAR, processing=1, completion_rate=0.5)
        return admin.GetQueueStatsResponse(
            tiers=[vip, regular],
            workers=8,
            head_sequence=7,
            subscribers=2,
            stuck_attempts=3,
        )

    def PauseTier(
        self, request: admin.PauseTierRequest, context: Context
    ) -> admin.PauseTierResponse:
        self._meet(request, context)
        return admin.PauseTierResponse()

    def ResumeTier(
        self, request: admin.ResumeTierRequest, context: Context
    ) -> admin.ResumeTierResponse:
        self._meet(request, context)
        return admin.ResumeTierResponse()

    def RedriveOrder(
        self, request: admin.RedriveOrderRequest, context: Context
    ) -> admin.RedriveOrderResponse:
        self._meet(request, context)
        copy = order(2)
        copy.redrive_of = request.order_id
        return admin.RedriveOrderResponse(order=copy, replayed=request.order_id == "known")

    def ListOperatorActions(
        self, request: admin.ListOperatorActionsRequest, context: Context
    ) -> admin.ListOperatorActionsResponse:
        self._meet(request, context)
        if self.actions is not None:
            return admin.ListOperatorActionsResponse(actions=self.actions)
        numbers, token = page(request.page_token, request.page_size, ORDERS)
        return admin.ListOperatorActionsResponse(
            actions=(admin.OperatorAction(sequence=ORDERS + 1 - number) for number in numbers),
            next_page_token=token,
        )

    def ListFailures(
        self, request: admin.ListFailuresRequest, context: Context
    ) -> admin.ListFailuresResponse:
        self._meet(request, context)
        numbers, token = page(request.page_token, request.page_size, ORDERS)
        counts = [] if request.page_token else [admin.FailureCount(code="SOLD_OUT", count=ORDERS)]
        return admin.ListFailuresResponse(
            failures=[failed(ORDERS + 1 - number) for number in numbers],
            next_page_token=token,
            counts=counts,
        )

    def RedriveOrders(
        self, request: admin.RedriveOrdersRequest, context: Context
    ) -> admin.RedriveOrdersResponse:
        self._meet(request, context)
        numbers, token = page(request.page_token, request.max_orders, ORDERS)
        return admin.RedriveOrdersResponse(
            redriven=len(numbers), replayed=request.request_id == "known", next_page_token=token
        )

    def CancelOrders(
        self, request: admin.CancelOrdersRequest, context: Context
    ) -> admin.CancelOrdersResponse:
        self._meet(request, context)
        numbers, token = page(request.page_token, request.max_orders, ORDERS)
        return admin.CancelOrdersResponse(
            cancelled=len(numbers), replayed=request.request_id == "known", next_page_token=token
        )

    def ListServers(
        self, request: admin.ListServersRequest, context: Context
    ) -> admin.ListServersResponse:
        self._meet(request, context)
        own = admin.Server(
            name="shop-1:7",
            workers=8,
            busy=3,
            subscribers=2,
            start_time=Timestamp(seconds=1),
            heartbeat_time=Timestamp(seconds=3),
            alive=True,
            answering=True,
        )
        other = admin.Server(name="shop-2:9", workers=4, heartbeat_time=Timestamp(seconds=2))
        store = admin.StoreHealth(
            engine="PostgreSQL 16.2",
            durability=api.DURABILITY_FSYNC,
            commit_time_p50=Duration(nanos=1_500_000),
            commit_time_p99=Duration(nanos=20_000_000),
            size_bytes=3_000_000,
            reachable=True,
        )
        return admin.ListServersResponse(servers=[own, other], store=store)

    def ListWorkers(
        self, request: admin.ListWorkersRequest, context: Context
    ) -> admin.ListWorkersResponse:
        self._meet(request, context)
        attempt = admin.WorkerAttempt(order_id="order-7", start_time=Timestamp(seconds=2))
        remote = admin.Worker(
            name="kitchen:9",
            kind=admin.WORKER_KIND_REMOTE,
            worker_id="me-7f3a",
            capacity=16,
            busy=1,
            attempts=[attempt],
            heartbeat_time=Timestamp(seconds=3),
            stopping=True,
        )
        own = admin.Worker(name="shop-1:7", kind=admin.WORKER_KIND_IN_PROCESS, capacity=1)
        return admin.ListWorkersResponse(workers=[own, remote], total=3)

    def ListSubscribers(
        self, request: admin.ListSubscribersRequest, context: Context
    ) -> admin.ListSubscribersResponse:
        self._meet(request, context)
        slow = admin.Subscriber(
            peer="ipv4:192.0.2.7:51234",
            caller="back-office",
            transport=admin.TRANSPORT_GRPC,
            customer_id="ada",
            tier=order_pb2.TIER_VIP,
            sequence=7,
            lag=5,
            start_time=Timestamp(seconds=1),
        )
        return admin.ListSubscribersResponse(subscribers=[slow], total=2)
