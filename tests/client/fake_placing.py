"""The fake server's PlaceOrders; see fake_server."""
# ruff: noqa: N802 - the contract gives the methods their names

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

import grpc
from google.rpc import status_pb2

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_intake_service_pb2_grpc as api_grpc

Context = grpc.ServicerContext
Requests = Iterator[api.PlaceOrdersRequest]
Responses = Iterator[api.PlaceOrdersResponse]


class Refused(Protocol):
    """Why an order is refused."""

    def status(self) -> status_pb2.Status: ...


def started(window: int = 1_000) -> api.PlaceOrdersResponse:
    """The first response of a call."""
    return api.PlaceOrdersResponse(signal=api.SIGNAL_STARTED, max_unacknowledged=window)


class FakePlacing(api_grpc.OrderIntakeServiceServicer):
    """Accepts each order once, by its request_id.

    What a test puts into `refused`, one an order (None: it is accepted), and into `calls`, one a
    call, comes first. `accepted` are the request_ids of the orders, in the order in which they were
    accepted; `placing` counts the calls that began, `placed` those that ended.
    """

    def __init__(self) -> None:
        self.refused: deque[Refused | None] = deque()
        self.calls: deque[Callable[[Requests, Context], Responses]] = deque()
        self.accepted: list[str] = []
        self.window = 1_000
        self.placing = threading.Semaphore(0)
        self.placed = threading.Semaphore(0)

    def PlaceOrders(self, request_iterator: Requests, context: Context) -> Responses:
        self._note_call(context)
        context.add_callback(self.placed.release)
        self.placing.release()
        call = self.calls.popleft() if self.calls else self.place_on
        yield from call(request_iterator, context)

    def place_on(self, requests: Requests, context: Context) -> Responses:
        """Answer each message as it comes."""
        yield started(self.window)
        index = 0
        for message in requests:
            self._keep(message)
            yield self.response(message, index)
            index += len(message.orders)

    def response(self, message: api.PlaceOrdersRequest, index: int) -> api.PlaceOrdersResponse:
        """Accept or refuse the orders of a message, the first of which has this index."""
        results = [self._result(index + at, order) for at, order in enumerate(message.orders)]
        return api.PlaceOrdersResponse(results=results)

    def _result(self, index: int, order: api.PlaceOrderRequest) -> api.PlaceOrdersResult:
        refused = self.refused.popleft() if self.refused else None
        result = api.PlaceOrdersResult(index=index)
        if refused is not None:
            result.refusal.MergeFromString(refused.status().SerializeToString())
            return result
        result.receipt.CopyFrom(self._receipt(order))
        if order.request_id in self.accepted:
            result.receipt.replayed = True
        else:
            self.accepted.append(order.request_id)
        result.receipt.order.accept_sequence = self.accepted.index(order.request_id) + 1
        return result

    def _keep(self, message: api.PlaceOrdersRequest) -> None:
        """Keep a message beside the requests of other methods."""
        getattr(self, "requests").append(message)  # noqa: B009 - of the servicer that this is

    def _note_call(self, context: Context) -> None:
        raise NotImplementedError

    def _receipt(self, request: api.PlaceOrderRequest) -> api.PlaceOrderResponse:
        raise NotImplementedError
