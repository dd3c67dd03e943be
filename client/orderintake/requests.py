"""Makes the contract's requests from plain Python values."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NotRequired, TypedDict
from uuid import uuid4

from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from orderintake.fields import inside, message
from orderintake.times import seconds, timestamp
from orderintake.v1.order_intake_service_pb2 import (
    START_AT_EARLIEST,
    START_AT_LATEST,
    BatchPlaceOrdersRequest,
    ListCompletionsRequest,
    ListOrdersRequest,
    PlaceOrderRequest,
    StreamCompletionsRequest,
)
from orderintake.v1.order_pb2 import (
    STATE_UNSPECIFIED,
    TIER_REGULAR,
    TIER_UNSPECIFIED,
    TIER_VIP,
    OrderLine,
    State,
    Tier,
)

REGULAR = TIER_REGULAR
"""The tier of an order that starts only when no VIP order waits."""

VIP = TIER_VIP
"""The tier of an order that starts before every waiting regular one."""


class NewOrder(TypedDict):
    """An order to be placed, as keywords.

    `customer_id` and `lines` (quantities by sku, or OrderLines) are required. `tier` is REGULAR
    unless given. `payload` is the caller's own message, packed unless it is an Any already.
    `request_id` is generated when absent, None or ""; give one to repeat an order safely.
    `not_before` and `expire_time` limit when it may start: a datetime with a time zone, or a
    timedelta from now; a timedelta gives each repeat of a `request_id` another content.

    Placing it raises TypeError for a value of the wrong type, and ValueError for a number that does
    not fit its field, a text that is not Unicode, or a time without a time zone.
    """

    customer_id: str
    lines: Mapping[str, int] | Iterable[OrderLine]
    tier: NotRequired["Tier.ValueType"]
    labels: NotRequired[Mapping[str, str] | None]
    payload: NotRequired[Message | None]
    request_id: NotRequired[str | None]
    not_before: NotRequired[datetime | timedelta | None]
    expire_time: NotRequired[datetime | timedelta | None]


def place_order(  # noqa: PLR0913 - the parts of an order, all named
    *,
    customer_id: str,
    lines: Mapping[str, int] | Iterable[OrderLine],
    tier: "Tier.ValueType" = REGULAR,
    labels: Mapping[str, str] | None = None,
    payload: Message | None = None,
    request_id: str | None = None,
    not_before: datetime | timedelta | None = None,
    expire_time: datetime | timedelta | None = None,
) -> PlaceOrderRequest:
    """Make the request that places one order; see NewOrder for the values and the errors."""
    now = datetime.now(UTC)
    return message(
        PlaceOrderRequest,
        request_id=request_id or uuid4().hex,
        customer_id=customer_id,
        tier=tier,
        lines=_order_lines(lines),
        labels=labels,
        payload=_packed(payload),
        not_before=timestamp("not_before", not_before, now=now),
        expire_time=timestamp("expire_time", expire_time, now=now),
    )


def _packed(payload: Message | None) -> Any | None:
    if payload is None or isinstance(payload, Any):
        return payload
    if not isinstance(payload, Message):
        raise TypeError(f"payload must be a protobuf message, not {type(payload).__name__}")
    packed = Any()
    packed.Pack(payload)
    return packed


def _order_lines(lines: Mapping[str, int] | Iterable[OrderLine]) -> list[OrderLine]:
    if isinstance(lines, Mapping):
        return [_order_line(sku, quantity) for sku, quantity in lines.items()]
    try:
        return [_checked(line) for line in lines]
    except TypeError:
        kind = type(lines).__name__
        raise TypeError(f"lines must be quantities by sku, or OrderLines, not {kind}") from None


def _checked(line: object) -> OrderLine:
    if not isinstance(line, OrderLine):
        raise TypeError(line)
    return line


def _order_line(sku: str, quantity: int) -> OrderLine:
    with inside(f"lines[{sku!r}]"):
        return message(OrderLine, sku=sku, quantity=quantity)


def with_request_id(order: PlaceOrderRequest) -> PlaceOrderRequest:
    """Return a copy of the order, with a request_id in any case.

    Raises:
        TypeError: it is no order.
    """
    if not isinstance(order, PlaceOrderRequest):
        raise TypeError(f"an order must be a PlaceOrderRequest, not {type(order).__name__}")
    named = PlaceOrderRequest()
    named.CopyFrom(order)
    named.request_id = named.request_id or uuid4().hex
    return named


def batch_place_orders(
    orders: Iterable[NewOrder | PlaceOrderRequest],
) -> BatchPlaceOrdersRequest:
    """Make the request that places these orders together; requests among them are copied.

    Raises:
        TypeError: a value is of the wrong type.
        ValueError: a number does not fit its field, or a text is not Unicode.
    """
    batch = BatchPlaceOrdersRequest()
    for index, order in enumerate(orders):
        with inside(f"orders[{index}]"):
            batch.requests.append(
                order if isinstance(order, PlaceOrderRequest) else place_order(**order)
            )
    for request in batch.requests:
        request.request_id = request.request_id or uuid4().hex
    return batch


def stream_completions(  # noqa: PLR0913 - the parts of a request, all named
    *,
    after: str | None = None,
    from_latest: bool = False,
    customer_id: str | None = None,
    tier: "Tier.ValueType | None" = None,
    max_batch_size: int = 0,
    heartbeat_interval: float | None = None,
) -> StreamCompletionsRequest:
    """Make the request that begins a stream of the completions that match; None matches all.

    `heartbeat_interval` is in seconds.

    Raises:
        TypeError: a value is of the wrong type.
        ValueError: both `after` and `from_latest` are given, a number does not fit its field, or a
            text is not Unicode.
    """
    if after is not None and from_latest:
        raise ValueError("a stream begins after a cursor or at the latest, not both")
    request = message(
        StreamCompletionsRequest,
        customer_id=customer_id or "",
        tier=tier or TIER_UNSPECIFIED,
        max_batch_size=max_batch_size,
    )
    if after is not None:
        request.MergeFrom(message(StreamCompletionsRequest, after_cursor=after))
    else:
        request.start_at = START_AT_LATEST if from_latest else START_AT_EARLIEST
    if heartbeat_interval is not None:
        nanoseconds = round(seconds("heartbeat_interval", heartbeat_interval) * 1e9)
        request.heartbeat_interval.FromNanoseconds(nanoseconds)
    return request


def list_orders(
    *,
    customer_id: str | None = None,
    tier: "Tier.ValueType | None" = None,
    state: "State.ValueType | None" = None,
    newest_first: bool = False,
    page_size: int = 0,
) -> ListOrdersRequest:
    """Make the request for the first page of the orders that match; None matches all.

    Raises:
        TypeError: a value is of the wrong type.
        ValueError: a number does not fit its field, or a text is not Unicode.
    """
    return message(
        ListOrdersRequest,
        customer_id=customer_id or "",
        tier=tier or TIER_UNSPECIFIED,
        state=state or STATE_UNSPECIFIED,
        newest_first=newest_first,
        page_size=page_size,
    )


def list_completions(
    *,
    after: str | None = None,
    customer_id: str | None = None,
    tier: "Tier.ValueType | None" = None,
    page_size: int = 0,
) -> ListCompletionsRequest:
    """Make the request for a page of the completions that match; None matches all.

    Raises:
        TypeError: a value is of the wrong type.
        ValueError: a number does not fit its field, or a text is not Unicode.
    """
    return message(
        ListCompletionsRequest,
        page_token=after or "",
        customer_id=customer_id or "",
        tier=tier or TIER_UNSPECIFIED,
        page_size=page_size,
    )
