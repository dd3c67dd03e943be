"""The requests of the contract, made from what a caller has at hand."""

from collections.abc import Iterable, Mapping
from typing import NotRequired, TypedDict
from uuid import uuid4

from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from orderintake.v1.order_intake_service_pb2 import (
    START_AT_EARLIEST,
    START_AT_LATEST,
    BatchPlaceOrdersRequest,
    PlaceOrderRequest,
    StreamCompletionsRequest,
)
from orderintake.v1.order_pb2 import TIER_REGULAR, TIER_VIP, OrderLine, Tier

REGULAR = TIER_REGULAR
"""The tier of an order that starts when no VIP order waits."""

VIP = TIER_VIP
"""The tier of an order that starts before every waiting regular one."""


class NewOrder(TypedDict):
    """An order to be placed, as keywords.

    `customer_id` and `lines` (quantities by sku, or OrderLines) are required. `tier` is REGULAR
    unless given. `payload` is the caller's own message, packed unless it is an Any already.
    `request_id` is made up when absent, None or ""; give one to repeat an order safely.
    """

    customer_id: str
    lines: Mapping[str, int] | Iterable[OrderLine]
    tier: NotRequired["Tier.ValueType"]
    labels: NotRequired[Mapping[str, str] | None]
    payload: NotRequired[Message | None]
    request_id: NotRequired[str | None]


def place_order(  # noqa: PLR0913 - the six parts of an order, all named
    *,
    customer_id: str,
    lines: Mapping[str, int] | Iterable[OrderLine],
    tier: "Tier.ValueType" = REGULAR,
    labels: Mapping[str, str] | None = None,
    payload: Message | None = None,
    request_id: str | None = None,
) -> PlaceOrderRequest:
    """Make the request that places one order; see NewOrder.

    Raises:
        TypeError: a value is of the wrong type.
        ValueError: a number does not fit its field, or a text is not Unicode.
    """
    return PlaceOrderRequest(
        request_id=request_id or uuid4().hex,
        customer_id=customer_id,
        tier=tier,
        lines=_order_lines(lines),
        labels=labels,
        payload=_packed(payload),
    )


def _packed(payload: Message | None) -> Any | None:
    if payload is None or isinstance(payload, Any):
        return payload
    packed = Any()
    packed.Pack(payload)
    return packed


def _order_lines(lines: Mapping[str, int] | Iterable[OrderLine]) -> Iterable[OrderLine]:
    if isinstance(lines, Mapping):
        return [OrderLine(sku=sku, quantity=quantity) for sku, quantity in lines.items()]
    return lines


def batch_place_orders(
    orders: Iterable[NewOrder | PlaceOrderRequest],
) -> BatchPlaceOrdersRequest:
    """Make the request that places these orders together; requests among them are copied.

    Raises:
        TypeError: a value is of the wrong type.
        ValueError: a number does not fit its field, or a text is not Unicode.
    """
    batch = BatchPlaceOrdersRequest(
        requests=[
            order if isinstance(order, PlaceOrderRequest) else place_order(**order)
            for order in orders
        ]
    )
    for request in batch.requests:
        request.request_id = request.request_id or uuid4().hex
    return batch


def stream_completions(
    *,
    after: str | None = None,
    from_latest: bool = False,
    max_batch_size: int = 0,
    heartbeat_interval: float | None = None,
) -> StreamCompletionsRequest:
    """Make the request that begins a completion stream; `heartbeat_interval` is in seconds.

    Raises:
        ValueError: both `after` and `from_latest` are given, or a number does not fit its field.
    """
    if after is not None and from_latest:
        raise ValueError("a stream begins after a cursor or at the latest, not both")
    request = StreamCompletionsRequest(max_batch_size=max_batch_size)
    if after is not None:
        request.after_cursor = after
    else:
        request.start_at = START_AT_LATEST if from_latest else START_AT_EARLIEST
    if heartbeat_interval is not None:
        request.heartbeat_interval.FromNanoseconds(round(heartbeat_interval * 1e9))
    return request
