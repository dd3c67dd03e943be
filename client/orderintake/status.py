"""What a failed call carries: the google.rpc.Status of its metadata, read without trust."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import grpc

DOMAIN = "orderintake"
"""The ErrorInfo.domain of every error that is the service's own."""

DETAILS_KEY = "grpc-status-details-bin"
"""The trailing metadata that holds a serialized google.rpc.Status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldViolation:
    """One bad field of a request: its path, such as `lines[0].quantity`, and what is wrong."""

    field: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How a call failed; every field that the error did not carry has its default.

    `reason` and `metadata` are the service's own ErrorInfo; another domain's are left out.
    `retry_after` counts seconds, is never negative, and comes from the server's RetryInfo.
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
    return Status(code=error.code(), message=error.details() or "", **_details(wire))


def _details(wire: str | bytes) -> dict[str, Any]:
    """Return the fields of Status that the wire form of a google.rpc.Status gives."""
    found: dict[str, Any] = {}
    try:
        for detail in _Status.FromString(wire).details:
            name = detail.type_url.rpartition("/")[2]
            if name in _READERS:
                message_class, read = _READERS[name]
                found |= read(message_class.FromString(detail.value))
    except (DecodeError, TypeError):  # what was read before the damage is still true
        pass
    return found


def _error_info(info: Any) -> dict[str, Any]:  # noqa: ANN401 - a class made at run time
    if info.domain != DOMAIN:
        return {}
    return {"reason": info.reason, "metadata": dict(info.metadata)}


def _bad_request(bad: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    violations = (
        FieldViolation(field=each.field, description=each.description)
        for each in bad.field_violations
    )
    return {"violations": tuple(violations)}


def _quota_failure(failure: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    first = failure.violations[:1]
    return {"quota_subject": first[0].subject} if first else {}


def _retry_info(info: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    delay = info.retry_delay
    return {"retry_after": max(0.0, delay.seconds + delay.nanos / 1e9)}


# The same wire form as googleapis-common-protos, in a pool of its own: the library needs no
# further package, and where that package is installed the two do not clash.
_FILE = text_format.Parse(
    """
    name: "orderintake/status.proto"
    package: "google.rpc"
    syntax: "proto3"
    message_type {
      name: "Status"
      field { name: "code" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
      field { name: "message" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
      field { name: "details" number: 3 type: TYPE_MESSAGE type_name: "Any" label: LABEL_REPEATED }
    }
    message_type {
      name: "Any"
      field { name: "type_url" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
      field { name: "value" number: 2 type: TYPE_BYTES label: LABEL_OPTIONAL }
    }
    message_type {
      name: "ErrorInfo"
      field { name: "reason" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
      field { name: "domain" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
      field {
        name: "metadata" number: 3 type: TYPE_MESSAGE type_name: "MetadataEntry"
        label: LABEL_REPEATED
      }
      nested_type {
        name: "MetadataEntry"
        field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
        field { name: "value" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
        options { map_entry: true }
      }
    }
    message_type {
      name: "BadRequest"
      field {
        name: "field_violations" number: 1 type: TYPE_MESSAGE type_name: "FieldViolation"
        label: LABEL_REPEATED
      }
      nested_type {
        name: "FieldViolation"
        field { name: "field" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
        field { name: "description" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
      }
    }
    message_type {
      name: "QuotaFailure"
      field {
        name: "violations" number: 1 type: TYPE_MESSAGE type_name: "Violation"
        label: LABEL_REPEATED
      }
      nested_type {
        name: "Violation"
        field { name: "subject" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
      }
    }
    message_type {
      name: "RetryInfo"
      field { name: "retry_delay" number: 1 type: TYPE_MESSAGE type_name: "Duration" }
    }
    message_type {
      name: "Duration"
      field { name: "seconds" number: 1 type: TYPE_INT64 label: LABEL_OPTIONAL }
      field { name: "nanos" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL }
    }
    """,
    FileDescriptorProto(),
)
_POOL = DescriptorPool()
_POOL.AddSerializedFile(_FILE.SerializeToString())


def _message_class(name: str) -> Any:  # noqa: ANN401 - as above
    return GetMessageClass(_POOL.FindMessageTypeByName(name))


_Status = _message_class("google.rpc.Status")
_READERS = {
    name: (_message_class(name), read)
    for name, read in (
        ("google.rpc.ErrorInfo", _error_info),
        ("google.rpc.BadRequest", _bad_request),
        ("google.rpc.QuotaFailure", _quota_failure),
        ("google.rpc.RetryInfo", _retry_info),
    )
}
