"""Leases and outcomes, as the contract has them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from google.protobuf.duration_pb2 import Duration

from orderintake.v1 import order_work_service_pb2 as api
from orderintake.v1.order_pb2 import Failure
from orderintake.work.attempt import attempt_of, content_of
from orderintake.work.outcome import Kind
from orderintake.work.runner import Leased

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from orderintake.v1.order_pb2 import Order
    from orderintake.work.attempt import StopSignal
    from orderintake.work.outcome import Outcome


def leased(told: api.LeasedOrder, signal: StopSignal, resources: object) -> Leased:
    """Give an order as a handler takes it; its `resources` are those of the lifespan."""
    order = told.order
    attempt = attempt_of(
        partial(_rest, order, resources),
        order_id=order.order_id,
        customer_id=order.customer_id,
        attempt=order.attempt_count,
        traceparent=told.traceparent,
        deadline=None,
        ends=None,
        signal=signal,
    )
    limit = told.attempt_timeout
    seconds = limit.ToNanoseconds() / 1e9 if told.HasField("attempt_timeout") else None
    return Leased(told.lease, attempt, seconds)


def _rest(order: Order, resources: object) -> dict[str, Any]:
    return {
        **content_of(order),
        "resources": resources,
        "accept_time": _time(order.accept_time),
        "not_before": _time(order.not_before) if order.HasField("not_before") else None,
        "expire_time": _time(order.expire_time) if order.HasField("expire_time") else None,
        "redrive_of": order.redrive_of,
    }


def _time(moment: Timestamp) -> datetime:
    """Give a time that Python can hold: the last one it can stands for those after it."""
    try:
        return moment.ToDatetime(UTC)
    except (ValueError, OverflowError):
        return datetime.max.replace(tzinfo=UTC)


def returned(lease: str) -> api.Outcome:
    """Say that an attempt was not made."""
    return api.Outcome(lease=lease, returned=api.Returned())


def outcome(lease: str, outcome: Outcome) -> api.Outcome:
    """Say what came of an attempt."""
    told = api.Outcome(lease=lease)
    failure = Failure(code=outcome.code, message=outcome.message)
    if outcome.kind is Kind.SUCCEEDED:
        told.succeeded.SetInParent()
        if outcome.result is not None:
            told.succeeded.result.MergeFromString(outcome.result)
    elif outcome.kind is Kind.REJECTED:
        told.rejected.CopyFrom(failure)
    elif outcome.kind is Kind.RETRY:
        told.retry.failure.CopyFrom(failure)
        if outcome.after is not None:
            told.retry.after.CopyFrom(_duration(outcome.after))
    else:
        told.failed.CopyFrom(failure)
    return told


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMicroseconds(round(seconds * 1e6))
    return duration
