"""What a refused call tells, read with Google's own types."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from orderintake.v1 import order_intake_service_pb2 as api

_Detail = TypeVar("_Detail", bound=Message)


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A status of the contract, taken apart."""

    code: grpc.StatusCode
    reason: str
    metadata: dict[str, str]
    fields: list[str]
    retry_seconds: float | None
    pushback_ms: str | None


def refused(error: grpc.aio.AioRpcError) -> Refused:
    """Take the status of a failed call apart."""
    trailing = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(bytes(trailing["grpc-status-details-bin"]))
    pushback = trailing.get("grpc-retry-pushback-ms")
    return _apart(error.code(), status, None if pushback is None else str(pushback))


def refused_order(refusal: api.PlaceOrdersRefusal) -> Refused:
    """Take the refusal of a single order apart, which can be read as a Status."""
    status = status_pb2.Status.FromString(refusal.SerializeToString())
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    return _apart(code, status, None)


def _apart(code: grpc.StatusCode, status: status_pb2.Status, pushback_ms: str | None) -> Refused:
    info = _detail(status, error_details_pb2.ErrorInfo)
    assert info is not None
    assert info.domain == "orderintake"
    bad = _detail(status, error_details_pb2.BadRequest)
    retry = _detail(status, error_details_pb2.RetryInfo)
    return Refused(
        code=code,
        reason=info.reason,
        metadata=dict(info.metadata),
        fields=[violation.field for violation in bad.field_violations] if bad else [],
        retry_seconds=retry.retry_delay.ToMilliseconds() / 1000 if retry else None,
        pushback_ms=pushback_ms,
    )


async def refusal_of(call: Awaitable[object]) -> Refused:
    """Await a call that must fail; tell how."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refused(caught.value)


def _detail(status: status_pb2.Status, kind: type[_Detail]) -> _Detail | None:
    for packed in status.details:
        detail = kind()
        if packed.Unpack(detail):
            return detail
    return None
