"""Turns whatever an endpoint raises into the google.rpc.Status that its caller gets."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.any_pb2 import Any
from google.rpc import code_pb2, error_details_pb2, status_pb2

from orderintake_server import errors
from orderintake_server.errors import Reason
from orderintake_server.logger import get_logger
from orderintake_server.telemetry import Outage

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from orderintake_server.ids import Ids
    from orderintake_server.metrics import Calls

log = get_logger()

DOMAIN = "orderintake"
DETAIL_BYTES = 4 * 1024
"""Above 8 KiB of metadata a client sees a transport error instead of ours; base64 adds a third."""

MOST_MILLISECONDS = 2**31 - 1
"""25 days: no caller is told to come back later, and none sooner than after 1 ms, for with 0 gRPC's
retry hangs."""

WRAPPING_BYTES = 64
"""The most that packing adds to a detail: the URL of its type, and three lengths."""

CODES: dict[Reason, code_pb2.Code] = {
    Reason.INVALID_ORDER: code_pb2.INVALID_ARGUMENT,
    Reason.REQUEST_ID_REUSED: code_pb2.ALREADY_EXISTS,
    Reason.QUEUE_FULL: code_pb2.UNAVAILABLE,
    Reason.DRAINING: code_pb2.UNAVAILABLE,
    Reason.STORAGE_UNAVAILABLE: code_pb2.UNAVAILABLE,
    Reason.CUSTOMER_QUOTA: code_pb2.RESOURCE_EXHAUSTED,
    Reason.ORDER_NOT_REDRIVABLE: code_pb2.FAILED_PRECONDITION,
    Reason.CURSOR_EXPIRED: code_pb2.OUT_OF_RANGE,
    Reason.ORDER_NOT_FOUND: code_pb2.NOT_FOUND,
    Reason.CURSOR_AHEAD: code_pb2.FAILED_PRECONDITION,
    Reason.CURSOR_OTHER_LOG: code_pb2.FAILED_PRECONDITION,
    Reason.CURSOR_INVALID: code_pb2.INVALID_ARGUMENT,
    Reason.SUBSCRIBER_TOO_SLOW: code_pb2.ABORTED,
    Reason.TOO_MANY_STREAMS: code_pb2.RESOURCE_EXHAUSTED,
    Reason.REQUEST_TOO_SLOW: code_pb2.UNAVAILABLE,
    Reason.UNAUTHENTICATED: code_pb2.UNAUTHENTICATED,
    Reason.NOT_ALLOWED: code_pb2.PERMISSION_DENIED,
    Reason.METHOD_UNKNOWN: code_pb2.UNIMPLEMENTED,
    Reason.LEASE_INVALID: code_pb2.INVALID_ARGUMENT,
    Reason.WORKER_LIMIT: code_pb2.RESOURCE_EXHAUSTED,
    Reason.INTERNAL: code_pb2.INTERNAL,
}


_PASSING = (
    errors.Unavailable,
    errors.CustomerQuota,
    errors.TooManyStreams,
    errors.WorkerLimit,
)
"""The refusals that say when to try again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReply:
    """What a caller gets in place of an answer.

    `retry_after` is in milliseconds, at least 1; None: a repeat of the same call does not help.
    """

    status: status_pb2.Status
    reason: Reason
    retry_after: int | None = None
    incident_id: str = ""
    """By which the log's entry of a bug is found."""


class Refusals:
    """Builds statuses, with the order ids and cursors of one store."""

    def __init__(self, ids: Ids) -> None:
        """Write order ids and cursors with `ids`."""
        self._ids = ids
        self._unreadable = Outage("the store cannot be read")

    def reply(self, error: BaseException, *, method: str) -> ErrorReply:
        """Return what the caller of `method` gets for any error.

        A refusal gets its own reason; a store that cannot be reached or read, STORAGE_UNAVAILABLE.
        Anything else, what the store refuses included, gets INTERNAL with an incident id, which the
        log entry of the error has too.
        """
        if isinstance(error, errors.Refusal):
            return self.of(error)
        if isinstance(error, errors.StoreObstacle | errors.StoreBroken):
            self._unreadable.goes_on(error, method=method)
            return self.of(errors.StorageUnavailable("the store cannot be read"))
        incident_id = secrets.token_hex(8)
        log.error(
            "call failed: internal error", method=method, incident_id=incident_id, exc_info=error
        )
        return internal(incident_id)

    def of(self, refusal: errors.Refusal) -> ErrorReply:
        """Return the status of a refusal."""
        status = _status(refusal.reason, refusal.text, self._metadata(refusal))
        if isinstance(refusal, errors.InvalidOrder):
            most_bytes = DETAIL_BYTES - status.ByteSize() - WRAPPING_BYTES
            _add(status, _bad_request(refusal, most_bytes))
        if isinstance(refusal, errors.CustomerQuota):
            _add(status, _quota_failure(refusal))
        if not isinstance(refusal, _PASSING):
            return ErrorReply(status=status, reason=refusal.reason)
        milliseconds = round(min(max(refusal.retry_after * 1000, 1), MOST_MILLISECONDS))
        _add(status, _retry_info(milliseconds))
        return ErrorReply(status=status, reason=refusal.reason, retry_after=milliseconds)

    def _metadata(self, refusal: errors.Refusal) -> dict[str, str]:
        if isinstance(refusal, errors.RequestIdReused):
            return {"order_id": self._ids.order_id(refusal.accept_sequence)}
        if isinstance(refusal, errors.CursorExpired):
            return {"earliest_cursor": self._ids.cursor(refusal.earliest)}
        if isinstance(refusal, errors.Unauthenticated):
            return {"problem": refusal.problem.name}
        if isinstance(refusal, errors.NotAllowed):
            return {"needs": refusal.needs}
        return {}


class OrderRefusals:
    """Refuses single orders of a call, which goes on."""

    def __init__(self, refusals: Refusals, calls: Calls, *, method: str) -> None:
        """Tell errors by `refusals`; count them beside the refused `calls`; log this method."""
        self._refusals = refusals
        self._calls = calls
        self._method = method

    def of(self, error: BaseException) -> status_pb2.Status:
        """Return what the caller is told of an order that met this error."""
        reply = self._refusals.reply(error, method=self._method)
        self._calls.refused(reply.reason, error)
        return reply.status


def internal(incident_id: str) -> ErrorReply:
    """Return the status of a bug: always the same text, with the incident id that the log has."""
    return ErrorReply(
        status=_status(Reason.INTERNAL, "internal error", {"incident_id": incident_id}),
        reason=Reason.INTERNAL,
        incident_id=incident_id,
    )


def _status(reason: Reason, text: str, metadata: dict[str, str]) -> status_pb2.Status:
    status = status_pb2.Status(code=CODES[reason], message=text)
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
