"""Makes the contract's requests for many orders at once: failures, and orders that wait."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypedDict, Unpack
from uuid import uuid4

from orderintake.fields import message, texts
from orderintake.times import timestamp
from orderintake.v1.order_admin_service_pb2 import (
    CancelOrdersRequest,
    FailureFilter,
    ListFailuresRequest,
    RedriveOrdersRequest,
    WaitingFilter,
)
from orderintake.v1.order_pb2 import Tier  # noqa: TC001 - who reads the types looks for it


class FailureFilters(TypedDict, total=False):
    """Which failed orders are meant, as keywords: those that match every one that is given.

    `codes`: the failure has one of these. `labels`: the order has all of these, with these values.
    `ended_after` and `ended_before`: when it ended, a datetime with a time zone, or a timedelta
    from now, which is negative for a time in the past; calls that go on with a `page_token` need a
    datetime, for a timedelta is another time in each. `order_ids`: it is one of these, of which
    there is one at least.
    """

    codes: Iterable[str]
    tier: "Tier.ValueType | None"
    customer_id: str | None
    labels: Mapping[str, str] | None
    ended_after: datetime | timedelta | None
    ended_before: datetime | timedelta | None
    order_ids: Iterable[str]


class WaitingFilters(TypedDict, total=False):
    """Which waiting orders are meant, as keywords: those that match every one that is given.

    `labels`: the order has all of these, with these values. `accepted_after`, `accepted_before`:
    when it was accepted, a datetime with a time zone, or a timedelta from now, as for failures.
    """

    tier: "Tier.ValueType | None"
    customer_id: str | None
    labels: Mapping[str, str] | None
    accepted_after: datetime | timedelta | None
    accepted_before: datetime | timedelta | None


def list_failures(
    *, include_redriven: bool = False, page_size: int = 0, **filters: Unpack[FailureFilters]
) -> ListFailuresRequest:
    """Make the request for the first page of the failures that match.

    Raises:
        TypeError: a value is of the wrong type.
        ValueError: a value does not fit its field, or a time has no time zone.
    """
    return message(
        ListFailuresRequest,
        filter=_failures(**filters),
        include_redriven=include_redriven,
        page_size=page_size,
    )


def redrive_orders(
    *,
    all_failures: bool = False,
    max_orders: int = 0,
    request_id: str | None = None,
    page_token: str | None = None,
    **filters: Unpack[FailureFilters],
) -> RedriveOrdersRequest:
    """Make the request that redrives those that match; it has a request_id in any case.

    Raises:
        TypeError, ValueError: as `list_failures`.
    """
    return message(
        RedriveOrdersRequest,
        request_id=request_id or uuid4().hex,
        filter=_failures(**filters),
        all=all_failures,
        max_orders=max_orders,
        page_token=page_token,
    )


def cancel_orders(
    *,
    all_waiting: bool = False,
    max_orders: int = 0,
    request_id: str | None = None,
    page_token: str | None = None,
    **filters: Unpack[WaitingFilters],
) -> CancelOrdersRequest:
    """Make the request that cancels those that match; it has a request_id in any case.

    Raises:
        TypeError, ValueError: as `list_failures`.
    """
    return message(
        CancelOrdersRequest,
        request_id=request_id or uuid4().hex,
        filter=_waiting(**filters),
        all=all_waiting,
        max_orders=max_orders,
        page_token=page_token,
    )


def _failures(**filters: Unpack[FailureFilters]) -> FailureFilter:
    now, order_ids = datetime.now(UTC), texts("order_ids", filters.get("order_ids", ()))
    if "order_ids" in filters and not order_ids:  # to the server, none means any
        raise ValueError("order_ids: names no order; leave it out to mean any")
    return message(
        FailureFilter,
        codes=texts("codes", filters.get("codes", ())),
        tier=filters.get("tier"),
        customer_id=filters.get("customer_id"),
        labels=filters.get("labels"),
        ended_after=timestamp("ended_after", filters.get("ended_after"), now=now),
        ended_before=timestamp("ended_before", filters.get("ended_before"), now=now),
        order_ids=order_ids,
    )


def _waiting(**filters: Unpack[WaitingFilters]) -> WaitingFilter:
    now = datetime.now(UTC)
    return message(
        WaitingFilter,
        tier=filters.get("tier"),
        customer_id=filters.get("customer_id"),
        labels=filters.get("labels"),
        accepted_after=timestamp("accepted_after", filters.get("accepted_after"), now=now),
        accepted_before=timestamp("accepted_before", filters.get("accepted_before"), now=now),
    )
