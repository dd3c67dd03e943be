"""Builds the contract's messages from what the domain returns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server import domain
from orderintake_server.api.encoding import Encoder, embedded, set_time
from orderintake_server.store.rows import row_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from orderintake_server.ids import Ids
    from orderintake_server.overview import Servers
    from orderintake_server.store.rows import CompletionRow
    from orderintake_server.stream.subscription import Subscription
    from orderintake_server.views import (
        Delivery,
        FailedOrder,
        FailureCounts,
        LogPage,
        OperatorAction,
        OrderStatus,
        ServerSeen,
        TierStats,
    )


SAME_MOMENT = 1_000
"""For so many microseconds, equal deliveries get the same send_time."""
_ORDER = api.PlaceOrderResponse.ORDER_FIELD_NUMBER
_RECEIPTS = api.BatchPlaceOrdersResponse.RECEIPTS_FIELD_NUMBER
_COMPLETIONS = api.StreamCompletionsResponse.COMPLETIONS_FIELD_NUMBER


class Responses:
    """Builds the contract's answers, with the order ids and cursors of one store."""

    def __init__(self, ids: Ids, clock: Callable[[], int]) -> None:
        """Write ids and cursors with `ids`; `clock` returns microseconds since 1970."""
        self._ids = ids
        self._clock = clock
        self._encoder = Encoder(ids)
        self._last_delivery: Delivery | None = None
        self._last_time = 0
        self._last_encoded = b""
        self._last_common: tuple[int, domain.Durability] | None = None
        self._last_head = b""

    def receipt(self, receipt: domain.Receipt) -> bytes:
        """Return a receipt encoded as a PlaceOrderResponse, joined from encoded parts.

        It has an estimated start time if there is an estimate.
        """
        own = api.PlaceOrderResponse()
        if receipt.replayed:
            own.replayed = True
        if receipt.position is not None:
            own.position = receipt.position
        if receipt.wait is not None:
            set_time(own.estimated_start_time, self._from_now(receipt.wait))
        order = embedded(_ORDER, self._encoder.order(receipt.order))
        return self._head(receipt) + own.SerializeToString() + order

    def receipts(self, receipts: Iterable[domain.Receipt]) -> bytes:
        """Return the receipts of a batch encoded as a BatchPlaceOrdersResponse."""
        return b"".join([embedded(_RECEIPTS, self.receipt(receipt)) for receipt in receipts])

    def _head(self, receipt: domain.Receipt) -> bytes:
        """Return what all receipts of a commit have in common."""
        common = receipt.after, receipt.durability
        if common != self._last_common:
            self._last_common = common
            self._last_head = api.PlaceOrderResponse(
                durability=api.Durability.ValueType(receipt.durability),
                cursor=self._ids.cursor(receipt.after),
            ).SerializeToString()
        return self._last_head

    def order_status(self, status: OrderStatus) -> api.GetOrderResponse:
        """Return the message of an order's status."""
        response = api.GetOrderResponse(position=status.position)
        self._fill_order(response, status.found)
        if status.reason is not None:
            response.wait_reason = api.WaitReason.ValueType(status.reason)
        if status.wait is not None:
            set_time(response.estimated_start_time, self._from_now(status.wait.mean))
            set_time(response.earliest_start_time, self._from_now(status.wait.least))
            set_time(response.latest_start_time, self._from_now(status.wait.most))
        return response

    def cancelled(self, cancelled: domain.Cancelled) -> api.CancelOrderResponse:
        """Return the answer to a request to cancel."""
        response = api.CancelOrderResponse(outcome=api.CancelOutcome.ValueType(cancelled.outcome))
        self._fill_order(response, cancelled.stands)
        return response

    def orders(self, orders: list[domain.Order], next_token: str) -> api.ListOrdersResponse:
        """Return a page of orders, and the token of the next one, "" if there is none."""
        return api.ListOrdersResponse(orders=map(self.order, orders), next_page_token=next_token)

    def page(self, page: LogPage[domain.Completion]) -> api.ListCompletionsResponse:
        """Return a page of the log."""
        cursor = self._ids.cursor(page.end)
        return api.ListCompletionsResponse(
            completions=map(self.completion, page.completions),
            next_page_token=cursor if page.goes_on else "",
            cursor=cursor,
        )

    def actions(
        self, actions: Sequence[OperatorAction], *, goes_on: bool
    ) -> admin.ListOperatorActionsResponse:
        """Return a page of what operators did, the newest first; whether older ones follow."""
        return admin.ListOperatorActionsResponse(
            actions=map(self._action, actions),
            next_page_token=self._ids.action_token(actions[-1].sequence) if goes_on else "",
        )

    def _action(self, action: OperatorAction) -> admin.OperatorAction:
        detail = json.loads(action.detail)
        copy, order, by = detail.pop("copy", 0), action.accept_sequence, action.by
        message = admin.OperatorAction(
            sequence=action.sequence,
            action=admin.Action.ValueType(action.action),
            tier=order_pb2.Tier.ValueType(action.tier or 0),
            order_id=self._ids.order_id(order) if order else "",
            copy_order_id=self._ids.order_id(copy) if copy else "",
            detail=json.dumps(detail),
            caller=by.name,
            credential=admin.Credential.Value(f"CREDENTIAL_{by.credential.upper()}"),
            peer=by.peer,
            request_id=by.request_id,
        )
        set_time(message.time, action.time)
        return message

    def failures(
        self, failures: Iterable[FailedOrder], next_token: str, counts: FailureCounts | None
    ) -> admin.ListFailuresResponse:
        """Return a page of failures; with how many there are, by code, if they were counted."""
        page = admin.ListFailuresResponse(
            failures=map(self._failed, failures), next_page_token=next_token
        )
        if counts is not None:
            page.counts_are_partial = counts.is_partial
            for code, count in counts.counts.items():
                page.counts.add(code=code, count=count)
        return page

    def _failed(self, failed: FailedOrder) -> admin.FailedOrder:
        return admin.FailedOrder(
            completion=self.completion(failed.completion),
            copy_order_id=self._ids.order_id(failed.copy) if failed.copy else "",
        )

    def now(self) -> int:
        """Return the time, in microseconds since 1970."""
        return self._clock()

    def servers(self, found: Servers) -> admin.ListServersResponse:
        """Return the servers that use the store, and how it is doing."""
        store = admin.StoreHealth(reachable=found.condition is not None)
        if found.condition is not None:
            store.engine, store.size_bytes = found.condition.engine, found.condition.size_bytes
            store.durability = api.Durability.ValueType(found.condition.durability)
        if found.commit_seconds is not None:
            half, nearly_all = (round(seconds * 1e6) for seconds in found.commit_seconds)
            store.commit_time_p50.FromMicroseconds(half)
            store.commit_time_p99.FromMicroseconds(nearly_all)
        servers = [_server(seen, found.subscribers) for seen in found.seen]
        return admin.ListServersResponse(servers=servers, store=store)

    def subscribers(
        self, subscribers: Iterable[Subscription], total: int
    ) -> admin.ListSubscribersResponse:
        """Return the completion streams of this server, of which there are `total`."""
        return admin.ListSubscribersResponse(subscribers=map(_subscriber, subscribers), total=total)

    def tier(self, tier: domain.Tier, stats: TierStats, *, oldest: int | None) -> admin.TierStats:
        """Return a tier's statistics; `oldest` is when its oldest queued order was accepted."""
        message = admin.TierStats(
            tier=order_pb2.Tier.ValueType(tier),
            queued=stats.counts.queued,
            scheduled=stats.counts.scheduled,
            processing=stats.counts.processing,
            accept_rate=stats.accept_rate,
            completion_rate=stats.completion_rate,
            paused=stats.is_paused,
        )
        if oldest is not None:
            message.oldest_waiting_age.FromMicroseconds(max(self._clock() - oldest, 0))
        return message

    def delivery(self, delivery: Delivery) -> bytes:
        """Return a delivery encoded as a StreamCompletionsResponse, joined from encoded parts.

        Many subscribers get the same delivery at about the same time: it is encoded once for them.
        """
        now = self._clock()
        if delivery != self._last_delivery or not 0 <= now - self._last_time <= SAME_MOMENT:
            rest = api.StreamCompletionsResponse(
                cursor=self._ids.cursor(delivery.position),
                signal=api.Signal.ValueType(delivery.signal.value),
                head_sequence=delivery.head,
            )
            set_time(rest.send_time, now)
            self._last_delivery, self._last_time = delivery, now
            self._last_encoded = delivery.completions + rest.SerializeToString()
        return self._last_encoded

    def delivered(self, row: CompletionRow) -> bytes:
        """Return one completion encoded as a part of a StreamCompletionsResponse, in any thread."""
        return embedded(_COMPLETIONS, self._encoder.completion(row))

    def completion(self, completion: domain.Completion) -> order_pb2.Completion:
        """Return the message of a completion."""
        return order_pb2.Completion.FromString(self._encoder.completion(row_of(completion)))

    def order(self, order: domain.Order) -> order_pb2.Order:
        """Return the message of an order."""
        return order_pb2.Order.FromString(self._encoder.order(order))

    def _fill_order(
        self,
        response: api.GetOrderResponse | api.CancelOrderResponse,
        order: domain.Order | domain.Completion,
    ) -> None:
        """Set the response's order, and its completion if it ended."""
        if isinstance(order, domain.Completion):
            response.completion.CopyFrom(self.completion(order))
            order = order.order
        response.order.MergeFromString(self._encoder.order(order))

    def _from_now(self, seconds: float) -> int:
        """Return the time in `seconds` from now, in microseconds since 1970."""
        return self._clock() + round(seconds * 1e6)


def _server(seen: ServerSeen, subscribers: int) -> admin.Server:
    message = admin.Server(
        name=seen.name,
        workers=seen.workers,
        busy=seen.busy,
        subscribers=subscribers if seen.is_own else None,
        alive=seen.is_alive,
        answering=seen.is_own,
    )
    set_time(message.start_time, seen.since)
    set_time(message.heartbeat_time, seen.heard)
    return message


def _subscriber(subscription: Subscription) -> admin.Subscriber:
    message = admin.Subscriber(
        customer_id=subscription.wanted.customer_id or "",
        tier=order_pb2.Tier.ValueType(subscription.wanted.tier or 0),
        sequence=subscription.position,
        lag=subscription.lag,
    )
    if subscription.reader is not None:
        caller, peer, transport, since = subscription.reader
        message.caller, message.peer = caller, peer
        message.transport = admin.Transport.ValueType(transport)
        set_time(message.start_time, since)
    return message
