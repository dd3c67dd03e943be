"""Reads which orders a request selects, of which many are listed or changed at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_pb2
from orderintake_server.api.order_checks import (
    check_labels,
    check_tier,
    is_time,
    microseconds,
    wanted_tier,
)
from orderintake_server.api.violations import Violations
from orderintake_server.errors import OrderNotFound
from orderintake_server.rework import Bulk, Section
from orderintake_server.views import NEVER, Selection

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.protobuf.timestamp_pb2 import Timestamp

    from orderintake_server.domain import Operator
    from orderintake_server.ids import Ids

    Filter = admin.FailureFilter | admin.WaitingFilter

CODES, CODE_CHARACTERS = 20, 64
ORDER_IDS = 1_000
BULK_ORDERS = 1_000
"""All limits are the contract's; the messages' comments state them."""
_TIMES: dict[type[Filter], tuple[str, str]] = {
    admin.FailureFilter: ("ended_after", "ended_before"),
    admin.WaitingFilter: ("accepted_after", "accepted_before"),
}


def failures(request: admin.ListFailuresRequest, ids: Ids) -> Selection:
    """Read which failures to list. Raises InvalidOrder."""
    violations = Violations().within("filter.")
    _check(request.filter, violations)
    violations.refuse()
    return _failed(request.filter, ids, is_redriven_too=request.include_redriven)


def redrives(request: admin.RedriveOrdersRequest, ids: Ids, by: Operator, section: Section) -> Bulk:
    """Read which failures to redrive, within a section of their list. Raises InvalidOrder."""
    _check_bulk(request)
    wanted = _failed(request.filter, ids)
    return Bulk(wanted=wanted, section=section, limit=_limit(request.max_orders), by=by)


def cancels(request: admin.CancelOrdersRequest, by: Operator, section: Section) -> Bulk:
    """Read which waiting orders to cancel, within a section of their list. Raises InvalidOrder."""
    _check_bulk(request)
    wanted = _selection(request.filter)
    return Bulk(wanted=wanted, section=section, limit=_limit(request.max_orders), by=by)


def _limit(max_orders: int) -> int:
    return min(max_orders or BULK_ORDERS, BULK_ORDERS)


def _check_bulk(request: admin.RedriveOrdersRequest | admin.CancelOrdersRequest) -> None:
    violations = Violations()
    violations.check_text("request_id", request.request_id, may_be_empty=True)
    if request.max_orders < 0:
        violations.add("max_orders", f"is {request.max_orders}; it must not be negative")
    if not request.all and not request.filter.ListFields():
        violations.add("filter", "is empty; set all to mean every order")
    _check(request.filter, violations.within("filter."))
    violations.refuse()


def _check(wanted: Filter, violations: Violations) -> None:
    """Check a filter: for what no order can have, none is looked for.

    A field of a later version is refused, for without it more orders would match.
    """
    violations.check_text("customer_id", wanted.customer_id, may_be_empty=True)
    check_tier(wanted.tier, violations)
    check_labels(wanted.labels, violations)
    for field, time in _times(wanted).items():
        if time is not None and not is_time(time):
            violations.add(field, "is no time from the year 1 to 9999")
    if isinstance(wanted, admin.FailureFilter):
        _check_codes(wanted.codes, violations)
        if len(wanted.order_ids) > ORDER_IDS:
            count = len(wanted.order_ids)
            violations.add("order_ids", f"has {count} orders; at most {ORDER_IDS} are allowed")
    size = wanted.ByteSize()
    wanted.DiscardUnknownFields()
    if wanted.ByteSize() != size:
        violations.add("", "has a field that this server does not know")


def _check_codes(codes: Iterable[str], violations: Violations) -> None:
    given = list(codes)
    if len(given) > CODES:
        violations.add("codes", f"has {len(given)} codes; at most {CODES} are allowed")
    for index, code in enumerate(given[:CODES]):
        violations.check_text(f"codes[{index}]", code, most=CODE_CHARACTERS)


def _failed(wanted: admin.FailureFilter, ids: Ids, *, is_redriven_too: bool = False) -> Selection:
    numbers = tuple(_numbers(wanted.order_ids, ids)) if wanted.order_ids else None
    codes = tuple(dict.fromkeys(wanted.codes))
    return _selection(wanted, codes=codes, numbers=numbers, is_redriven_too=is_redriven_too)


def _selection(
    wanted: Filter,
    *,
    codes: tuple[str, ...] = (),
    numbers: tuple[int, ...] | None = None,
    is_redriven_too: bool = False,
) -> Selection:
    since, until = _times(wanted).values()
    return Selection(
        customer_id=wanted.customer_id or None,
        tier=wanted_tier(wanted.tier),
        since=0 if since is None else microseconds(since),
        until=NEVER if until is None else microseconds(until),
        has_labels=Labelled(wanted.labels) if wanted.labels else None,
        codes=codes,
        numbers=numbers,
        is_redriven_too=is_redriven_too,
    )


def _times(wanted: Filter) -> dict[str, Timestamp | None]:
    """Return the times after and before which orders match, by their fields."""
    given = {field.name: value for field, value in wanted.ListFields()}
    return {field: given.get(field) for field in _TIMES[type(wanted)]}


def _numbers(order_ids: Iterable[str], ids: Ids) -> Iterable[int]:
    """Read which orders are named; what is the id of no order here matches none."""
    for order_id in order_ids:
        try:
            yield ids.accept_sequence(order_id)
        except OrderNotFound:
            continue


class Labelled:
    """Tells of an order's content whether it has some labels, with their values."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        """Look for all of these."""
        self._labels = dict(labels)
        self._encoded = [
            order_pb2.Order(labels={key: value}).SerializeToString(deterministic=True)
            for key, value in labels.items()
        ]

    def __call__(self, content: bytes) -> bool:
        """Tell; only content that has the very bytes of the labels somewhere is opened."""
        if not all(encoded in content for encoded in self._encoded):
            return False
        labels = order_pb2.Order.FromString(content).labels
        return all(labels.get(key) == value for key, value in self._labels.items())
