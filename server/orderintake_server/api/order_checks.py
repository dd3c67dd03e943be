"""Whether an order may be taken, and else which of its fields are bad: by one table of limits."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from orderintake.v1 import order_pb2
from orderintake_server.api.violations import is_text
from orderintake_server.domain import Tier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Literal

    from google.protobuf.timestamp_pb2 import Timestamp

    from orderintake.v1 import order_intake_service_pb2 as api
    from orderintake_server.api.violations import Violations

    TimeField = Literal["not_before", "expire_time"]

LINES = 100
LABELS = 16
LABEL_KEY_CHARACTERS = 63
LABEL_VALUE_CHARACTERS = 256
ORDER_BYTES = 64 * 1024
"""The limits are the contract's; the messages' comments state them."""

FIRST_SECOND, LAST_SECOND, NANOS = -62_135_596_800, 253_402_300_799, 1_000_000_000
"""The first second of the year 1 and the last of the year 9999: the bounds of a Timestamp."""
_TIMES: tuple[TimeField, ...] = ("not_before", "expire_time")

TIERS = {
    order_pb2.TIER_UNSPECIFIED: Tier.REGULAR,
    order_pb2.TIER_REGULAR: Tier.REGULAR,
    order_pb2.TIER_VIP: Tier.VIP,
}


def is_good(request: api.PlaceOrderRequest, most: int) -> bool:
    """Tell whether an order of `most` bytes at the most is good, as nearly all are.

    One that seems not to be is checked by `check_order`, which has the last word.
    """
    lines, labels, request_id = request.lines, request.labels, request.request_id
    if (
        not is_text(request.customer_id)
        or (request_id and not is_text(request_id))
        or request.tier not in TIERS
        or not (1 <= len(lines) <= LINES and len(labels) <= LABELS)
        or (
            (request.HasField("not_before") or request.HasField("expire_time"))
            and _bad_time(request)
        )
        or (request.HasField("payload") and not request.payload.type_url)
        or (most > ORDER_BYTES and request.ByteSize() > ORDER_BYTES)
    ):
        return False
    for line in lines:
        if line.quantity < 1 or not is_text(line.sku):
            return False
    for key in labels:
        if (
            not is_text(key)
            or len(key) > LABEL_KEY_CHARACTERS
            or len(labels[key]) > LABEL_VALUE_CHARACTERS
        ):
            return False
    return True


def check_order(request: api.PlaceOrderRequest, violations: Violations, most: int) -> None:
    """Name the bad fields of an order; what is beyond its limits is not looked at."""
    if request.request_id and not is_text(request.request_id):
        violations.check_text("request_id", request.request_id)
    if not is_text(request.customer_id):
        violations.check_text("customer_id", request.customer_id)
    check_tier(request.tier, violations)
    _check_lines(request.lines, violations)
    check_labels(request.labels, violations)
    if bad := _bad_time(request):
        violations.add(*bad)
    if request.HasField("payload") and not request.payload.type_url:
        violations.add("payload.type_url", "is required in a payload")
    if most > ORDER_BYTES and (size := request.ByteSize()) > ORDER_BYTES:
        violations.add("", f"the order has {size} bytes; at most {ORDER_BYTES} are allowed")


def check_tier(number: int, violations: Violations) -> None:
    """Name a tier that there is not."""
    if number not in TIERS:
        violations.add("tier", f"{number} is no tier of this version")


def wanted_tier(number: int) -> Tier | None:
    """Return the tier that a filter wants, None for any."""
    return Tier(number) if number else None


def _check_lines(lines: Sequence[order_pb2.OrderLine], violations: Violations) -> None:
    if not 1 <= len(lines) <= LINES:
        violations.add("lines", f"has {len(lines)} lines; 1 to {LINES} are allowed")
    for index, line in enumerate(lines[:LINES]):
        if not is_text(line.sku):
            violations.check_text(f"lines[{index}].sku", line.sku)
        if line.quantity < 1:
            violations.add(f"lines[{index}].quantity", f"is {line.quantity}; it must be at least 1")


def check_labels(labels: Mapping[str, str], violations: Violations) -> None:
    """Name labels that no order can have."""
    if len(labels) > LABELS:
        violations.add("labels", f"has {len(labels)} labels; at most {LABELS} are allowed")
    for key in islice(labels, LABELS):
        if not is_text(key) or len(key) > LABEL_KEY_CHARACTERS:
            violations.check_text(_label(key), key, most=LABEL_KEY_CHARACTERS)
        if len(labels[key]) > LABEL_VALUE_CHARACTERS:
            violations.add(
                _label(key),
                f"has {len(labels[key])} characters; at most {LABEL_VALUE_CHARACTERS} are allowed",
            )


def _label(key: str) -> str:
    return f"labels[{key[:LABEL_KEY_CHARACTERS]!r}]"


def _bad_time(request: api.PlaceOrderRequest) -> tuple[str, str] | None:
    """Return which of an order's times is bad, and why; None: neither is."""
    times = {name: getattr(request, name) for name in _TIMES if request.HasField(name)}
    for name, time in times.items():
        if not is_time(time):
            return name, "is no time from the year 1 to 9999"
    if len(times) > 1 and microseconds(times["expire_time"]) <= microseconds(times["not_before"]):
        return "expire_time", "is not after not_before"
    return None


def is_time(timestamp: Timestamp) -> bool:
    """Tell whether it is a time from the year 1 to 9999."""
    return FIRST_SECOND <= timestamp.seconds <= LAST_SECOND and 0 <= timestamp.nanos < NANOS


def microseconds(timestamp: Timestamp) -> int:
    """Return a time in microseconds since 1970."""
    return timestamp.seconds * 1_000_000 + timestamp.nanos // 1_000
