"""Between messages and the domain: requests are checked once, here, and answers are built."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from google.protobuf import any_pb2

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server import domain

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from orderintake_server.dispatch.completions import Delivery
    from orderintake_server.names import Names


class Codec:
    """Builds the contract's answers, with the names of one log."""

    def __init__(self, names: Names) -> None:
        """Name orders and places by `names`."""
        self._names = names

    def receipt(self, receipt: domain.Receipt) -> api.PlaceOrderResponse:
        """Tell a caller that its order is stored."""
        response = api.PlaceOrderResponse(
            replayed=receipt.replayed,
            durability=api.DURABILITY_FSYNC,
            cursor=self._names.cursor(receipt.behind),
        )
        self._fill(response.order, receipt.order)
        return response

    def standing(self, found: domain.Order | domain.Completion) -> api.GetOrderResponse:
        """Tell how an order stands."""
        response = api.GetOrderResponse()
        if isinstance(found, domain.Completion):
            response.completion.CopyFrom(self.completion(found))
            found = found.order
        self._fill(response.order, found)
        return response

    def page(
        self, page: list[domain.Completion], *, after: int, goes_on: bool
    ) -> api.ListCompletionsResponse:
        """Tell a page of the log that was read behind place `after`."""
        cursor = self._names.cursor(page[-1].sequence if page else after)
        return api.ListCompletionsResponse(
            completions=map(self.completion, page),
            next_page_token=cursor if goes_on else "",
            cursor=cursor,
        )

    def delivery(self, delivery: Delivery) -> api.StreamCompletionsResponse:
        """Tell a subscriber what there is to tell."""
        response = api.StreamCompletionsResponse(
            completions=map(self.completion, delivery.completions),
            cursor=self._names.cursor(delivery.position),
            signal=api.Signal.ValueType(delivery.signal.value),
            head_sequence=delivery.head,
        )
        _set(response.send_time, time.time_ns() // 1000)
        return response

    def completion(self, completion: domain.Completion) -> order_pb2.Completion:
        """Tell how an order ended."""
        message = order_pb2.Completion(
            sequence=completion.sequence, cursor=self._names.cursor(completion.sequence)
        )
        self._fill(message.order, completion.order)
        failure, result = completion.ending.failure, completion.ending.result
        if failure is not None:
            message.failure.code = failure.code
            message.failure.message = failure.message
        if result is not None:
            message.result.CopyFrom(any_pb2.Any.FromString(result))
        return message

    def _fill(self, message: order_pb2.Order, order: domain.Order) -> None:
        """Add what the service knows to what the caller said."""
        message.MergeFromString(order.content)
        message.order_id = self._names.order_id(order.accept_sequence)
        message.state = order_pb2.State.ValueType(order.state)
        message.accept_sequence = order.accept_sequence
        message.start_sequence = order.start_sequence
        message.attempt_count = order.attempt_count
        _set(message.accept_time, order.accept_time)
        if order.start_time:
            _set(message.start_time, order.start_time)
        if order.complete_time:
            _set(message.complete_time, order.complete_time)


def _set(timestamp: Timestamp, microseconds: int) -> None:
    """Set a timestamp; its own method for this is slower."""
    timestamp.seconds, rest = divmod(microseconds, 1_000_000)
    timestamp.nanos = rest * 1000
