"""Checks and reads requests: every bad field is named at once, and nothing bad gets any further."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.domain import LONG_PAST, NewOrder, State, Tier
from orderintake_server.errors import FieldViolation, InvalidOrder
from orderintake_server.texts import is_printable
from orderintake_server.views import OrderFilter, ReadFrom, StartAt, Subscribe

if TYPE_CHECKING:
    from typing import Literal

    from google.protobuf.timestamp_pb2 import Timestamp

    from orderintake_server.ids import Ids

    _Time = Literal["not_before", "expire_time"]

TEXT_CHARACTERS = 128
LINES = 100
LABELS = 16
LABEL_KEY_CHARACTERS = 63
LABEL_VALUE_CHARACTERS = 256
ORDER_BYTES = 64 * 1024
BATCH_ORDERS = 1_000
BATCH_BYTES = 3 * 1024 * 1024
VIOLATIONS = 50
"""All limits are the contract's; the messages' comments state them."""

PAGE_DEFAULT, PAGE_MOST = 100, 1_000
HEARTBEAT_DEFAULT, HEARTBEAT_LEAST, HEARTBEAT_MOST = 5.0, 1.0, 60.0
FIRST_SECOND, LAST_SECOND, NANOS = -62_135_596_800, 253_402_300_799, 1_000_000_000
"""The first second of the year 1 and the last of the year 9999: the bounds of a Timestamp."""
DURATION_SECONDS = 315_576_000_000
"""The longest Duration that protobuf allows: 10,000 years."""

_TIERS = {
    order_pb2.TIER_UNSPECIFIED: Tier.REGULAR,
    order_pb2.TIER_REGULAR: Tier.REGULAR,
    order_pb2.TIER_VIP: Tier.VIP,
}


class _Violations:
    """Collects the bad fields of one message, which is at one path in the request."""

    def __init__(self, path: str = "") -> None:
        self._path = path
        self.found: list[FieldViolation] = []

    def add(self, field: str, description: str) -> None:
        path = (self._path + field).removesuffix(".")  # the field "" means the whole message
        self.found.append(FieldViolation(field=path, description=description))

    def check_text(
        self, field: str, text: str, *, most: int = TEXT_CHARACTERS, may_be_empty: bool = False
    ) -> None:
        if not text:
            if not may_be_empty:
                self.add(field, f"is required: 1 to {most} printable characters")
        elif len(text) > most:
            self.add(field, f"has {len(text)} characters; at most {most} are allowed")
        elif not is_printable(text):
            self.add(field, "has a character that cannot be printed")


def new_order(request: api.PlaceOrderRequest) -> NewOrder:
    """Read an order to accept. Raises InvalidOrder."""
    order, violations = _read(request, "")
    if order is None:
        raise InvalidOrder(tuple(violations[:VIOLATIONS]))
    return order


def new_orders(request: api.BatchPlaceOrdersRequest) -> tuple[NewOrder, ...]:
    """Read a batch of orders, each as `new_order` does.

    Raises InvalidOrder, which names the bad fields of all of them, 50 at most.
    """
    count = len(request.requests)
    if not 1 <= count <= BATCH_ORDERS:
        raise _invalid("requests", f"has {count} orders; 1 to {BATCH_ORDERS} are allowed")
    if request.ByteSize() > BATCH_BYTES:
        raise _invalid("requests", f"are larger than {BATCH_BYTES} bytes in all")
    orders: list[NewOrder] = []
    bad_fields: list[FieldViolation] = []
    for index, item in enumerate(request.requests):
        order, violations = _read(item, f"requests[{index}].")
        if order is not None:
            orders.append(order)
        bad_fields += violations
        if len(bad_fields) >= VIOLATIONS:
            break
    if bad_fields:
        raise InvalidOrder(tuple(bad_fields[:VIOLATIONS]))
    return tuple(orders)


def _read(
    request: api.PlaceOrderRequest, path: str
) -> tuple[NewOrder | None, list[FieldViolation]]:
    """Return one order, or None and its bad fields."""
    violations = _Violations(path)
    violations.check_text("request_id", request.request_id, may_be_empty=True)
    violations.check_text("customer_id", request.customer_id)
    if request.tier not in _TIERS:
        violations.add("tier", f"{request.tier} is no tier of this version")
    _check_lines(request, violations)
    _check_labels(request, violations)
    if request.HasField("not_before") or request.HasField("expire_time"):
        _check_times(request, violations)
    if request.HasField("payload") and not request.payload.type_url:
        violations.add("payload.type_url", "is required in a payload")
    size = request.ByteSize()
    if size > ORDER_BYTES:
        violations.add("", f"the order has {size} bytes; at most {ORDER_BYTES} are allowed")
    if violations.found:
        return None, violations.found
    return _accepted(request), []


def _check_lines(request: api.PlaceOrderRequest, violations: _Violations) -> None:
    if not 1 <= len(request.lines) <= LINES:
        violations.add("lines", f"has {len(request.lines)} lines; 1 to {LINES} are allowed")
    for index, line in enumerate(request.lines):
        violations.check_text(f"lines[{index}].sku", line.sku)
        if line.quantity < 1:
            violations.add(f"lines[{index}].quantity", f"is {line.quantity}; it must be at least 1")


def _check_labels(request: api.PlaceOrderRequest, violations: _Violations) -> None:
    if len(request.labels) > LABELS:
        violations.add("labels", f"has {len(request.labels)} labels; at most {LABELS} are allowed")
    for key, value in request.labels.items():
        field = f"labels[{key[:LABEL_KEY_CHARACTERS]!r}]"
        violations.check_text(field, key, most=LABEL_KEY_CHARACTERS)
        if len(value) > LABEL_VALUE_CHARACTERS:
            violations.add(
                field,
                f"has {len(value)} characters; at most {LABEL_VALUE_CHARACTERS} are allowed",
            )


def _check_times(request: api.PlaceOrderRequest, violations: _Violations) -> None:
    for field in ("not_before", "expire_time"):
        if request.HasField(field) and not _is_time(getattr(request, field)):
            violations.add(field, "is no time from the year 1 to 9999")
            return
    if request.HasField("expire_time"):
        expire_time = _microseconds(request.expire_time)
        if request.HasField("not_before") and expire_time <= _microseconds(request.not_before):
            violations.add("expire_time", "is not after not_before")


def _is_time(timestamp: Timestamp) -> bool:
    return FIRST_SECOND <= timestamp.seconds <= LAST_SECOND and 0 <= timestamp.nanos < NANOS


def _microseconds(timestamp: Timestamp) -> int:
    return timestamp.seconds * 1_000_000 + timestamp.nanos // 1_000


def _accepted(request: api.PlaceOrderRequest) -> NewOrder:
    """Return the order of a checked request, whose fields have the same numbers in Order.

    Fields that this version does not know are dropped: their numbers may mean another field in
    Order.
    """
    request_id, tier = request.request_id, _TIERS[request.tier]
    not_before, expire_time = _taken(request, "not_before"), _taken(request, "expire_time")
    request.DiscardUnknownFields()
    request.ClearField("request_id")
    request.tier = order_pb2.TIER_VIP if tier is Tier.VIP else order_pb2.TIER_REGULAR
    return NewOrder(
        customer_id=request.customer_id,
        request_id=request_id or None,
        tier=tier,
        content=request.SerializeToString(deterministic=True),
        not_before=not_before,
        expire_time=expire_time,
    )


def _taken(request: api.PlaceOrderRequest, field: _Time) -> int:
    """Take a time out of the request, in microseconds since 1970; 0: there is none.

    A time at or before 1970 counts as LONG_PAST, for a store knows later ones only; the exact one
    stays in the content, for those who are shown the order.
    """
    if not request.HasField(field):
        return 0
    microseconds = _microseconds(getattr(request, field))
    if microseconds <= LONG_PAST:
        return LONG_PAST
    request.ClearField(field)
    return microseconds


def subscribe(request: api.StreamCompletionsRequest, ids: Ids) -> Subscribe:
    """Read a subscription. Raises InvalidOrder, CursorInvalid or CursorOtherLog."""
    violations = _Violations()
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
    if request.tier not in _TIERS:
        violations.add("tier", f"{request.tier} is no tier of this version")
    if violations.found:
        raise InvalidOrder(tuple(violations.found))
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
    request: api.ListCompletionsRequest | api.ListOrdersRequest | admin.ListOperatorActionsRequest,
) -> int:
    """Read the largest number of entries on a page. Raises InvalidOrder."""
    if request.page_size < 0:
        raise _invalid("page_size", f"is {request.page_size}; it must not be negative")
    return min(request.page_size or PAGE_DEFAULT, PAGE_MOST)


def accept_sequence(
    request: api.GetOrderRequest
    | api.CancelOrderRequest
    | admin.RedriveOrderRequest
    | admin.ListOperatorActionsRequest,
    ids: Ids,
) -> int:
    """Read which order is meant. Raises InvalidOrder, or OrderNotFound for an impossible id."""
    if not request.order_id:
        raise _invalid("order_id", "is required")
    return ids.accept_sequence(request.order_id)


def completion_filter(
    request: api.ListCompletionsRequest | api.StreamCompletionsRequest,
) -> OrderFilter:
    """Read which completions are wanted. Raises InvalidOrder."""
    return OrderFilter(customer_id=request.customer_id or None, tier=_wanted_tier(request.tier))


def order_filter(request: api.ListOrdersRequest) -> OrderFilter:
    """Read which orders are wanted. Raises InvalidOrder."""
    if request.state not in order_pb2.State.values():
        raise _invalid("state", f"{request.state} is no state of this version")
    return OrderFilter(
        customer_id=request.customer_id or None,
        tier=_wanted_tier(request.tier),
        state=State(request.state) if request.state else None,
    )


def _wanted_tier(number: int) -> Tier | None:
    if number not in _TIERS:
        raise _invalid("tier", f"{number} is no tier of this version")
    return Tier(number) if number else None


def tier(request: admin.PauseTierRequest | admin.ResumeTierRequest) -> Tier:
    """Read which tier is meant. Raises InvalidOrder."""
    wanted = _wanted_tier(request.tier)
    if wanted is None:
        raise _invalid("tier", "is required")
    return wanted


def _invalid(field: str, description: str) -> InvalidOrder:
    return InvalidOrder((FieldViolation(field=field, description=description),))
