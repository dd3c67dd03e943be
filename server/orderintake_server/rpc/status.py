"""From a refusal to the status a caller receives: one table, and the details behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2, status_pb2

from orderintake_server import errors
from orderintake_server.errors import Reason

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from orderintake_server.ids import Ids

DOMAIN = "orderintake"
DETAIL_BYTES = 4 * 1024
"""Past 8 KiB of metadata a client sees a transport error instead of ours; base64 adds a third."""

WRAPPING_BYTES = 64
"""What packing a detail adds: its type's URL, and three lengths."""

CODES: dict[Reason, grpc.StatusCode] = {
    Reason.INVALID_ORDER: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.REQUEST_ID_REUSED: grpc.StatusCode.ALREADY_EXISTS,
    Reason.QUEUE_FULL: grpc.StatusCode.UNAVAILABLE,
    Reason.DRAINING: grpc.StatusCode.UNAVAILABLE,
    Reason.STORAGE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.CUSTOMER_QUOTA: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.ORDER_NOT_REDRIVABLE: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.CURSOR_EXPIRED: grpc.StatusCode.OUT_OF_RANGE,
    Reason.ORDER_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.CURSOR_AHEAD: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.CURSOR_OTHER_LOG: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.CURSOR_INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.SUBSCRIBER_TOO_SLOW: grpc.StatusCode.ABORTED,
    Reason.INTERNAL: grpc.StatusCode.INTERNAL,
}

Metadata = tuple[tuple[str, str | bytes], ...]


class Statuses:
    """Builds statuses, with the order ids of one log."""

    def __init__(self, names: Ids) -> None:
        """Name orders by `names`."""
        self._names = names

    def of(
        self, refusal: errors.Refusal, *, seconds_left: float | None = None
    ) -> tuple[grpc.StatusCode, str, Metadata]:
        """Tell the code, text and trailing metadata that a refusal is sent as.

        `seconds_left` is what the caller's deadline leaves. Where it ends before a retry may begin,
        gRPC's own retries are told to give up, or the caller would see a deadline and no reason.
        """
        metadata = {}
        if isinstance(refusal, errors.RequestIdReused):
            metadata["order_id"] = self._names.order_id(refusal.accept_sequence)
        if isinstance(refusal, errors.CursorExpired):
            metadata["earliest_cursor"] = self._names.cursor(refusal.earliest)
        status = _status(refusal.reason, refusal.text, metadata)
        trailing: Metadata = ()
        if isinstance(refusal, errors.InvalidOrder):
            most_bytes = DETAIL_BYTES - status.ByteSize() - WRAPPING_BYTES
            _add(status, _bad_request(refusal, most_bytes))
        if isinstance(refusal, errors.CustomerQuota):
            _add(status, _quota_failure(refusal))
        if isinstance(refusal, errors.Unavailable | errors.CustomerQuota):
            milliseconds = max(round(refusal.retry_after * 1000), 1)  # on 0 a call hangs in gRPC
            _add(status, _retry_info(milliseconds))
            is_too_late = seconds_left is not None and seconds_left <= refusal.retry_after
            trailing = (("grpc-retry-pushback-ms", str(-1 if is_too_late else milliseconds)),)
        return _sent(refusal.reason, status, trailing)


def internal(incident_id: str) -> tuple[grpc.StatusCode, str, Metadata]:
    """Tell the status of a bug: always the same text, and the incident that the log names."""
    status = _status(Reason.INTERNAL, "internal error", {"incident_id": incident_id})
    return _sent(Reason.INTERNAL, status, ())


def _status(reason: Reason, text: str, metadata: dict[str, str]) -> status_pb2.Status:
    status = status_pb2.Status(code=CODES[reason].value[0], message=text)
    _add(
        status,
        error_details_pb2.ErrorInfo(reason=reason.value, domain=DOMAIN, metadata=metadata),
    )
    return status


def _add(status: status_pb2.Status, detail: Message) -> None:
    packed = Any()
    packed.Pack(detail)
    status.details.append(packed)


def _bad_request(refusal: errors.InvalidOrder, most_bytes: int) -> error_details_pb2.BadRequest:
    """Name the bad fields, as many as fit."""
    detail = error_details_pb2.BadRequest()
    for violation in refusal.violations:
        detail.field_violations.add(field=violation.field, description=violation.description)
        if detail.ByteSize() > most_bytes:
            detail.field_violations.pop()
            break
    return detail


def _quota_failure(refusal: errors.CustomerQuota) -> error_details_pb2.QuotaFailure:
    detail = error_details_pb2.QuotaFailure()
    detail.violations.add(subject=f"customer:{refusal.subject}", description=refusal.text)
    return detail


def _retry_info(milliseconds: int) -> error_details_pb2.RetryInfo:
    detail = error_details_pb2.RetryInfo()
    detail.retry_delay.FromMilliseconds(milliseconds)
    return detail


def _sent(
    reason: Reason, status: status_pb2.Status, trailing: Metadata
) -> tuple[grpc.StatusCode, str, Metadata]:
    details: Metadata = (("grpc-status-details-bin", status.SerializeToString()),)
    return CODES[reason], status.message, details + trailing
