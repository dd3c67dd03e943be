"""What the domain knows, told in the contract's messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import any_pb2

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server import domain

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.timestamp_pb2 import Timestamp

    from orderintake_server.ids import Ids
    from orderintake_server.views import Delivery, LogPage, OrderStatus, TierStats


SAME_MOMENT = 1_000
"""Microseconds for which one send_time serves."""


class Responses:
    """Builds the contract's answers, with the ids and cursors of one log."""

    def __init__(self, ids: Ids, clock: Callable[[], int]) -> None:
        """Name orders and places by `ids`; `clock` tells microseconds since 1970."""
        self._ids = ids
        self._clock = clock
        self._told: Delivery | None = None
        self._told_at = 0
        self._telling = b""

    def receipt(self, receipt: domain.Receipt) -> api.PlaceOrderResponse:
        """Tell a caller that its order is stored, and how long it will wait, if one can say."""
        response = api.PlaceOrderResponse(
            replayed=receipt.replayed,
            durability=api.Durability.ValueType(receipt.durability),
            cursor=self._ids.cursor(receipt.after),
            position=receipt.position,
        )
        self._fill(response.order, receipt.order)
        if receipt.wait is not None:
            _set(response.estimated_start_time, self._from_now(receipt.wait.mean))
        return response

    def order_status(self, status: OrderStatus) -> api.GetOrderResponse:
        """Tell how an order stands."""
        response = api.GetOrderResponse(position=status.position)
        self._fill_stands(response, status.found)
        if status.reason is not None:
            response.wait_reason = api.WaitReason.ValueType(status.reason)
        if status.wait is not None:
            _set(response.estimated_start_time, self._from_now(status.wait.mean))
            _set(response.earliest_start_time, self._from_now(status.wait.least))
            _set(response.latest_start_time, self._from_now(status.wait.most))
        return response

    def cancelled(self, cancelled: domain.Cancelled) -> api.CancelOrderResponse:
        """Tell what became of a request to cancel."""
        response = api.CancelOrderResponse(outcome=api.CancelOutcome.ValueType(cancelled.outcome))
        self._fill_stands(response, cancelled.stands)
        return response

    def orders(self, orders: list[domain.Order], next_after: int | None) -> api.ListOrdersResponse:
        """Tell a page of orders."""
        return api.ListOrdersResponse(
            orders=map(self.order, orders),
            next_page_token="" if next_after is None else self._ids.page_token(next_after),
        )

    def page(self, page: LogPage) -> api.ListCompletionsResponse:
        """Tell a page of the log."""
        cursor = self._ids.cursor(page.end)
        return api.ListCompletionsResponse(
            completions=map(self.completion, page.completions),
            next_page_token=cursor if page.goes_on else "",
            cursor=cursor,
        )

    def tier(self, tier: domain.Tier, flow: TierStats, *, oldest: int | None) -> admin.TierStats:
        """Tell how a tier stands; `oldest` is when its oldest queued order was accepted."""
        stats = admin.TierStats(
            tier=order_pb2.Tier.ValueType(tier),
            queued=flow.counts.queued,
            scheduled=flow.counts.scheduled,
            processing=flow.counts.processing,
            accept_rate=flow.accept_rate,
            completion_rate=flow.completion_rate,
            paused=flow.is_paused,
        )
        if oldest is not None:
            stats.oldest_waiting_age.FromMicroseconds(max(self._clock() - oldest, 0))
        return stats

    def delivery(self, delivery: Delivery) -> bytes:
        """Encode what a subscriber is told, a StreamCompletionsResponse: its parts are joined.

        Many subscribers are told the same at the same moment: it is made once for them.
        """
        now = self._clock()
        if delivery != self._told or not 0 <= now - self._told_at <= SAME_MOMENT:
            rest = api.StreamCompletionsResponse(
                cursor=self._ids.cursor(delivery.position),
                signal=api.Signal.ValueType(delivery.signal.value),
                head_sequence=delivery.head,
            )
            _set(rest.send_time, now)
            self._told, self._told_at = delivery, now
            self._telling = delivery.completions + rest.SerializeToString()
        return self._telling

    def delivered(self, completion: domain.Completion) -> bytes:
        """Encode one completion as a part of a StreamCompletionsResponse."""
        part = api.StreamCompletionsResponse(completions=[self.completion(completion)])
        return part.SerializeToString()

    def completion(self, completion: domain.Completion) -> order_pb2.Completion:
        """Tell how an order ended."""
        message = order_pb2.Completion(
            sequence=completion.sequence, cursor=self._ids.cursor(completion.sequence)
        )
        self._fill(message.order, completion.order)
        failure, result = completion.failure, completion.result
        if failure is not None:
            message.failure.code = failure.code
            message.failure.message = failure.message
        if result is not None:
            message.result.CopyFrom(any_pb2.Any.FromString(result))
        return message

    def order(self, order: domain.Order) -> order_pb2.Order:
        """Tell an order as it stands."""
        message = order_pb2.Order()
        self._fill(message, order)
        return message

    def _fill_stands(
        self,
        response: api.GetOrderResponse | api.CancelOrderResponse,
        stands: domain.Order | domain.Completion,
    ) -> None:
        """Tell an order as it stands, and its completion if it ended."""
        if isinstance(stands, domain.Completion):
            response.completion.CopyFrom(self.completion(stands))
            stands = stands.order
        self._fill(response.order, stands)

    def _fill(self, message: order_pb2.Order, order: domain.Order) -> None:
        """Add what the service knows to what the caller said."""
        message.MergeFromString(order.content)
        message.order_id = self._ids.order_id(order.accept_sequence)
        message.state = order_pb2.State.ValueType(order.state)
        message.accept_sequence = order.accept_sequence
        message.start_sequence = order.start_sequence
        message.attempt_count = order.attempt_count
        _set(message.accept_time, order.accept_time)
        if order.start_time:
            _set(message.start_time, order.start_time)
        for field in ("complete_time", "not_before", "expire_time"):
            if microseconds := getattr(order, field):
                _set(getattr(message, field), microseconds)
        if order.redrive_of:
            message.redrive_of = self._ids.order_id(order.redrive_of)

    def _from_now(self, seconds: float) -> int:
        """Tell the time that is so many seconds from now, in microseconds since 1970."""
        return self._clock() + round(seconds * 1e6)


def _set(timestamp: Timestamp, microseconds: int) -> None:
    """Set a timestamp; its own method for this is slower."""
    timestamp.seconds, rest = divmod(microseconds, 1_000_000)
    timestamp.nanos = rest * 1000
