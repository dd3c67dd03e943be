"""Checks and reads requests: every bad field is named at once, and nothing bad gets any further."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.api.order_checks import (
    TIERS,
    check_order,
    check_tier,
    is_good,
    microseconds,
    wanted_tier,
)
from orderintake_server.api.violations import Violations, invalid
from orderintake_server.domain import LONG_PAST, NewOrder, State, Tier
from orderintake_server.views import OrderFilter, ReadFrom, StartAt, Subscribe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orderintake_server.api.order_checks import TimeField
    from orderintake_server.ids import Ids

BATCH_ORDERS = 1_000
BATCH_BYTES = 3 * 1024 * 1024
"""Both limits are the contract's; the messages' comments state them."""

PAGE_DEFAULT, PAGE_MOST = 100, 1_000
HEARTBEAT_DEFAULT, HEARTBEAT_LEAST, HEARTBEAT_MOST = 5.0, 1.0, 60.0
DURATION_SECONDS = 315_576_000_000
"""The longest Duration that protobuf allows: 10,000 years."""


def new_order(request: api.PlaceOrderRequest, trace: bytes | None = None) -> NewOrder:
    """Read an order to accept, placed in this trace. Raises InvalidOrder."""
    size = request.ByteSize()
    if not is_good(request, size):
        violations = Violations()
        check_order(request, violations, size)
        violations.refuse()
    return _accepted(request, trace)


def new_orders(
    request: api.BatchPlaceOrdersRequest, trace: bytes | None = None
) -> tuple[NewOrder, ...]:
    """Read a batch of orders, each as `new_order` does.

    Raises InvalidOrder, which names the bad fields of all of them, 50 at most.
    """
    orders = list(request.requests)
    if not 1 <= len(orders) <= BATCH_ORDERS:
        raise invalid("requests", f"has {len(orders)} orders; 1 to {BATCH_ORDERS} are allowed")
    size = request.ByteSize()
    if size > BATCH_BYTES:
        raise invalid("requests", f"are larger than {BATCH_BYTES} bytes in all")
    if not all(is_good(order, size) for order in orders):
        _refuse_bad(orders, size)
    return tuple([_accepted(order, trace) for order in orders])


def _refuse_bad(orders: Sequence[api.PlaceOrderRequest], most: int) -> None:
    """Raise InvalidOrder, which names the bad fields of a batch."""
    violations = Violations()
    for index, order in enumerate(orders):
        check_order(order, violations.within(f"requests[{index}]."), most)
        if violations.is_full:
            break
    violations.refuse()


def _accepted(request: api.PlaceOrderRequest, trace: bytes | None) -> NewOrder:
    """Return the order of a checked request, whose fields have the same numbers in Order.

    Fields that this version does not know are dropped: their numbers may mean another field in
    Order.
    """
    request_id, tier = request.request_id, request.tier
    not_before = _taken(request, "not_before") if request.HasField("not_before") else 0
    expire_time = _taken(request, "expire_time") if request.HasField("expire_time") else 0
    request.DiscardUnknownFields()
    if request_id:
        request.ClearField("request_id")
    if not tier:
        request.tier = order_pb2.TIER_REGULAR
    return NewOrder(
        request.customer_id,
        request_id or None,
        TIERS[tier],
        request.SerializeToString(deterministic=True),
        not_before,
        expire_time,
        trace=trace,
    )


def _taken(request: api.PlaceOrderRequest, field: TimeField) -> int:
    """Take a time out of a request that has it, in microseconds since 1970.

    A time at or before 1970 counts as LONG_PAST, for a store knows later ones only; the exact one
    stays in the content, for those who are shown the order.
    """
    time = microseconds(getattr(request, field))
    if time <= LONG_PAST:
        return LONG_PAST
    request.ClearField(field)
    return time


def subscribe(request: api.StreamCompletionsRequest, ids: Ids) -> Subscribe:
    """Read a subscription. Raises InvalidOrder, CursorInvalid or CursorOtherLog."""
    violations = Violations()
    if not 0 <= request.max_batch_size <= PAGE_MOST:
        violations.add(
            "max_batch_size", f"is {request.max_batch_size}; 0 to {PAGE_MOST} is allowed"
        )
    interval = request.heartbeat_interval
    seconds = interval.seconds + interval.nanos / 1e9
    if not 0 <= seconds <= DURATION_SECONDS:
        violations.add("heartbeat_interval", "is negative, or no duration")
    if request.start_at not in api.StartAt.values():
        violations.add("start_at", f"{request.start_at} is no start of this version")
    _check_filter(request, violations)
    violations.refuse()
    return Subscribe(
        wanted=completion_filter(request),
        start=(
            StartAt.LATEST
            if request.start_at == api.START_AT_LATEST
            else read_from(request.after_cursor, ids)
        ),
        limit=request.max_batch_size or PAGE_DEFAULT,
        heartbeat_seconds=min(max(seconds or HEARTBEAT_DEFAULT, HEARTBEAT_LEAST), HEARTBEAT_MOST),
    )


def read_from(cursor: str, ids: Ids) -> ReadFrom:
    """Read where to begin in the log; an empty cursor is the earliest completion still there.

    Raises CursorInvalid or CursorOtherLog.
    """
    return ids.sequence(cursor) if cursor else StartAt.EARLIEST


def page_size(
    request: api.ListCompletionsRequest
    | api.ListOrdersRequest
    | admin.ListOperatorActionsRequest
    | admin.ListFailuresRequest,
) -> int:
    """Read the largest number of entries on a page. Raises InvalidOrder."""
    if request.page_size < 0:
        raise invalid("page_size", f"is {request.page_size}; it must not be negative")
    return min(request.page_size or PAGE_DEFAULT, PAGE_MOST)


def accept_sequence(
    request: api.GetOrderRequest
    | api.CancelOrderRequest
    | admin.RedriveOrderRequest
    | admin.ListOperatorActionsRequest,
    ids: Ids,
) -> int:
    """Read which order is meant. Raises InvalidOrder, or OrderNotFound for an impossible id."""
    if isinstance(request, api.GetOrderRequest) and request.accept_sequence:
        return _number(request)
    if not request.order_id:
        raise invalid("order_id", "is required")
    return ids.accept_sequence(request.order_id)


def _number(request: api.GetOrderRequest) -> int:
    if request.order_id or request.accept_sequence < 1:
        raise invalid("accept_sequence", "is at least 1, and beside no order_id")
    return request.accept_sequence


def completion_filter(
    request: api.ListCompletionsRequest | api.StreamCompletionsRequest,
) -> OrderFilter:
    """Read which completions are wanted. Raises InvalidOrder."""
    violations = Violations()
    _check_filter(request, violations)
    violations.refuse()
    return OrderFilter(customer_id=request.customer_id or None, tier=wanted_tier(request.tier))


def order_filter(request: api.ListOrdersRequest) -> OrderFilter:
    """Read which orders are wanted. Raises InvalidOrder."""
    violations = Violations()
    _check_filter(request, violations)
    if request.state not in order_pb2.State.values():
        violations.add("state", f"{request.state} is no state of this version")
    violations.refuse()
    return OrderFilter(
        customer_id=request.customer_id or None,
        tier=wanted_tier(request.tier),
        state=State(request.state) if request.state else None,
    )


def _check_filter(
    request: api.ListCompletionsRequest | api.ListOrdersRequest | api.StreamCompletionsRequest,
    violations: Violations,
) -> None:
    """Check whose orders are wanted: for what no order can have, none is looked for."""
    violations.check_text("customer_id", request.customer_id, may_be_empty=True)
    check_tier(request.tier, violations)


def tier(request: admin.PauseTierRequest | admin.ResumeTierRequest) -> Tier:
    """Read which tier is meant. Raises InvalidOrder."""
    violations = Violations()
    check_tier(request.tier, violations)
    violations.refuse()
    wanted = wanted_tier(request.tier)
    if wanted is None:
        raise invalid("tier", "is required")
    return wanted
