"""What a failed call carries: the google.rpc.Status of its metadata, whatever state it is in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, RetryInfo
from google.rpc.status_pb2 import Status as RpcStatus
from grpc import StatusCode

from orderintake.access.tls import explained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import grpc
    from google.protobuf.any_pb2 import Any as AnyMessage
    from google.protobuf.message import Message

DOMAIN = "orderintake"
"""The ErrorInfo.domain of every error that is the service's own."""

DETAILS_KEY = "grpc-status-details-bin"
"""The trailing metadata that holds a serialized google.rpc.Status."""

MOST_RETRY_SECONDS = 86_400.0
"""What the server says beyond that counts as a day: no timer takes the longest that can be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldViolation:
    """One bad field of a request: its path, such as `lines[0].quantity`, and what is wrong."""

    field: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How a call failed; every field that the error did not carry has its default.

    `reason` and `metadata` are the service's own ErrorInfo; another domain's are left out.
    `retry_after` counts seconds, from 0 to a day, and comes from the server's RetryInfo.
    `quota_subject` is whose quota is used up, by the first violation of a QuotaFailure.
    """

    code: grpc.StatusCode
    message: str
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[FieldViolation, ...] = ()
    retry_after: float | None = None
    quota_subject: str = ""


def status_of(error: grpc.RpcError) -> Status:
    """Read the status of a failed call, made by either of grpc's stacks.

    Details that are absent or malformed never hide the error: code and message remain.
    """
    pairs = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    wire = next((value for key, value in pairs if key == DETAILS_KEY), b"")
    try:
        details: Iterable[AnyMessage] = RpcStatus.FromString(cast("bytes", wire)).details
    except (DecodeError, TypeError):
        details = ()
    return _status(error.code(), explained(error.details() or ""), details)


def read_status(code: int, message: str, details: Iterable[AnyMessage]) -> Status:
    """Read what a message of the contract tells by the fields of a google.rpc.Status."""
    return _status(_CODES.get(code, StatusCode.UNKNOWN), message, details)


def _status(code: StatusCode, message: str, details: Iterable[AnyMessage]) -> Status:
    found: dict[str, Any] = {}
    try:
        for detail in details:
            found |= _fields(detail)
    except (DecodeError, TypeError):  # what was read before the damage is still true
        pass
    return Status(code=code, message=message, **found)


def _fields(detail: AnyMessage) -> dict[str, Any]:
    """Return the fields of Status that this detail gives; of an unknown kind, none."""
    name = detail.TypeName()
    if name not in _READERS:
        return {}
    kind, read = _READERS[name]
    return read(kind.FromString(detail.value))


def _error_info(info: ErrorInfo) -> dict[str, Any]:
    if info.domain != DOMAIN:
        return {}
    return {"reason": info.reason, "metadata": dict(info.metadata)}


def _bad_request(bad: BadRequest) -> dict[str, Any]:
    violations = (
        FieldViolation(field=each.field, description=each.description)
        for each in bad.field_violations
    )
    return {"violations": tuple(violations)}


def _quota_failure(failure: QuotaFailure) -> dict[str, Any]:
    first = failure.violations[:1]
    return {"quota_subject": first[0].subject} if first else {}


def _retry_info(info: RetryInfo) -> dict[str, Any]:
    delay = info.retry_delay
    seconds = delay.seconds + delay.nanos / 1e9
    return {"retry_after": min(max(0.0, seconds), MOST_RETRY_SECONDS)}


_CODES = {code.value[0]: code for code in StatusCode}
_READERS: dict[str, tuple[type[Message], Callable[[Any], dict[str, Any]]]] = {
    "google.rpc.ErrorInfo": (ErrorInfo, _error_info),
    "google.rpc.BadRequest": (BadRequest, _bad_request),
    "google.rpc.QuotaFailure": (QuotaFailure, _quota_failure),
    "google.rpc.RetryInfo": (RetryInfo, _retry_info),
}
