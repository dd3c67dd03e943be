"""From a refusal to the status a caller receives over gRPC, read with Google's own types."""

from typing import TypeVar

import pytest
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from orderintake_server import errors
from orderintake_server.api.refusals import CODES, ErrorReply, Refusals, internal
from orderintake_server.errors import FieldViolation, InvalidOrder, Reason, RequestIdReused
from orderintake_server.ids import Ids
from orderintake_server.rpc.status import Metadata, trailers

IDS = Ids("0123abcd")
REFUSED = Refusals(IDS)
DETAIL_BYTES = 4 * 1024
METADATA_BYTES = 8 * 1024

T = TypeVar("T", bound=Message)


def sent(told: ErrorReply, seconds_left: float | None = None) -> tuple[int, str, Metadata]:
    """Tell the code, text and trailing metadata that a caller is sent."""
    return told.status.code, told.status.message, trailers(told, seconds_left)


def test_every_reason_has_the_contracts_code() -> None:
    assert {reason.name: code_pb2.Code.Name(code) for reason, code in CODES.items()} == {
        "INVALID_ORDER": "INVALID_ARGUMENT",
        "REQUEST_ID_REUSED": "ALREADY_EXISTS",
        "QUEUE_FULL": "UNAVAILABLE",
        "DRAINING": "UNAVAILABLE",
        "STORAGE_UNAVAILABLE": "UNAVAILABLE",
        "ORDER_NOT_FOUND": "NOT_FOUND",
        "CURSOR_AHEAD": "FAILED_PRECONDITION",
        "CURSOR_OTHER_LOG": "FAILED_PRECONDITION",
        "CUSTOMER_QUOTA": "RESOURCE_EXHAUSTED",
        "ORDER_NOT_REDRIVABLE": "FAILED_PRECONDITION",
        "CURSOR_EXPIRED": "OUT_OF_RANGE",
        "CURSOR_INVALID": "INVALID_ARGUMENT",
        "SUBSCRIBER_TOO_SLOW": "ABORTED",
        "TOO_MANY_STREAMS": "RESOURCE_EXHAUSTED",
        "REQUEST_TOO_SLOW": "UNAVAILABLE",
        "UNAUTHENTICATED": "UNAUTHENTICATED",
        "NOT_ALLOWED": "PERMISSION_DENIED",
        "METHOD_UNKNOWN": "UNIMPLEMENTED",
        "LEASE_INVALID": "INVALID_ARGUMENT",
        "WORKER_LIMIT": "RESOURCE_EXHAUSTED",
        "INTERNAL": "INTERNAL",
    }
    assert set(CODES) == set(Reason)


REFUSALS = [
    InvalidOrder((FieldViolation(field="lines", description="has 0 lines"),)),
    RequestIdReused(request_id="r", accept_sequence=7),
    errors.QueueFull("full"),
    errors.Draining("stopping"),
    errors.StorageUnavailable("no disk"),
    errors.CustomerQuota("too many", subject="ada", retry_after=2.0),
    errors.OrderNotFound("none"),
    errors.OrderNotRedrivable("not ended"),
    errors.Unauthenticated(errors.Problem.MISSING),
    errors.NotAllowed("not his", needs="vip"),
    errors.CursorExpired(earliest=7),
    errors.CursorAhead("ahead"),
    errors.CursorOtherLog("other"),
    errors.CursorInvalid("no cursor"),
    errors.TooManyStreams("full"),
    errors.RequestTooSlow("late"),
    errors.MethodUnknown("none"),
    errors.LeaseInvalid("no lease"),
    errors.WorkerLimit("too many"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.reason.name)
def test_each_refusal_is_sent_with_its_code_text_and_reason(refusal: errors.Refusal) -> None:
    code, text, trailing = sent(REFUSED.of(refusal))
    status = _status(trailing)
    info = _detail(status, error_details_pb2.ErrorInfo)
    assert code == CODES[refusal.reason]
    assert text == status.message == refusal.text
    assert status.code == code
    assert info.reason == refusal.reason.value
    assert info.domain == "orderintake"


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.reason.name)
def test_only_what_passes_says_when_to_come_back(refusal: errors.Refusal) -> None:
    trailing = dict(sent(REFUSED.of(refusal))[2])
    passing = errors.Unavailable | errors.CustomerQuota | errors.TooManyStreams | errors.WorkerLimit
    is_passing = isinstance(refusal, passing)
    kinds = [detail.TypeName() for detail in _status(tuple(trailing.items())).details]
    assert ("grpc-retry-pushback-ms" in trailing) == is_passing
    assert ("google.rpc.RetryInfo" in kinds) == is_passing


@pytest.mark.parametrize(
    ("seconds", "milliseconds"),
    [
        (0.0, 1),
        (0.0001, 1),
        (0.1, 100),
        (1.5, 1500),
        (10, 10_000),
        (1e300, 2**31 - 1),
        (float("inf"), 2**31 - 1),
    ],
)
def test_p5_the_pushback_and_the_retry_info_say_the_same(seconds: float, milliseconds: int) -> None:
    _, _, trailing = sent(REFUSED.of(errors.QueueFull("full", retry_after=seconds)))
    retry = _detail(_status(trailing), error_details_pb2.RetryInfo)
    assert dict(trailing)["grpc-retry-pushback-ms"] == str(milliseconds)
    assert retry.retry_delay.ToMilliseconds() == milliseconds


@pytest.mark.parametrize(
    ("seconds_left", "pushback"),
    [(None, "1500"), (10.0, "1500"), (1.6, "1500"), (1.5, "-1"), (0.0, "-1"), (-1.0, "-1")],
)
def test_who_would_come_back_too_late_is_told_not_to(
    seconds_left: float | None, pushback: str
) -> None:
    refusal = errors.QueueFull("full", retry_after=1.5)
    trailing = sent(REFUSED.of(refusal), seconds_left)[2]
    retry = _detail(_status(trailing), error_details_pb2.RetryInfo)
    assert dict(trailing)["grpc-retry-pushback-ms"] == pushback
    assert retry.retry_delay.ToMilliseconds() == 1500


def test_a_reused_request_id_names_the_order_that_has_it() -> None:
    _, _, trailing = sent(REFUSED.of(RequestIdReused(request_id="r", accept_sequence=7)))
    info = _detail(_status(trailing), error_details_pb2.ErrorInfo)
    assert dict(info.metadata) == {"order_id": IDS.order_id(7)}


def test_an_expired_cursor_is_told_with_the_earliest_that_is_good() -> None:
    _, _, trailing = sent(REFUSED.of(errors.CursorExpired(earliest=7)))
    info = _detail(_status(trailing), error_details_pb2.ErrorInfo)
    assert dict(info.metadata) == {"earliest_cursor": IDS.cursor(7)}


@pytest.mark.parametrize("subject", ["ada", "é" * 128, "😀" * 128])
def test_a_quota_failure_names_its_customer_and_when_to_come_back(subject: str) -> None:
    refusal = errors.CustomerQuota("3 orders may wait", subject=subject, retry_after=1.5)
    status = _fits(refusal)
    (violation,) = _detail(status, error_details_pb2.QuotaFailure).violations
    retry = _detail(status, error_details_pb2.RetryInfo)
    assert violation.subject == f"customer:{subject}"
    assert violation.description == refusal.text
    assert retry.retry_delay.ToMilliseconds() == 1500
    assert dict(sent(REFUSED.of(refusal))[2])["grpc-retry-pushback-ms"] == "1500"


def test_p4_a_bad_request_names_every_bad_field() -> None:
    violations = tuple(
        FieldViolation(field=f"lines[{n}].sku", description="is required: 1 to 128 characters")
        for n in range(50)
    )
    _, _, trailing = sent(REFUSED.of(InvalidOrder(violations)))
    assert _named(_status(trailing)) == violations


@given(st.lists(st.text(max_size=63), min_size=1, max_size=50))
def test_details_fit_whatever_the_fields_are_named(keys: list[str]) -> None:
    violations = tuple(_violation(key) for key in keys)
    named = _named(_fits(InvalidOrder(violations)))
    assert named == violations[: len(named)]


@pytest.mark.parametrize("character", ["x", "é", "😀", "\x00", "\U000e0001"])
def test_fifty_long_violations_are_cut_where_they_no_longer_fit(character: str) -> None:
    for size in range(1, 64):
        violations = (_violation(character * size),) * 50
        status = _fits(InvalidOrder(violations))
        assert violations == _named(status) or status.ByteSize() > DETAIL_BYTES - 1000


def _violation(key: str) -> FieldViolation:
    return FieldViolation(
        field=f"requests[999].labels[{key!r}]",
        description="has 65000 characters; at most 256 are allowed",
    )


def _named(status: status_pb2.Status) -> tuple[FieldViolation, ...]:
    bad = _detail(status, error_details_pb2.BadRequest)
    return tuple(
        FieldViolation(field=violation.field, description=violation.description)
        for violation in bad.field_violations
    )


def test_a_long_text_of_another_refusal_fits_too() -> None:
    _fits(RequestIdReused(request_id="😀" * 128, accept_sequence=2**48 - 1))


def test_a_bug_is_told_by_a_fixed_text_and_its_incident() -> None:
    code, text, trailing = sent(internal("incident-7"))
    info = _detail(_status(trailing), error_details_pb2.ErrorInfo)
    assert code == code_pb2.INTERNAL
    assert text == "internal error"
    assert info.reason == "INTERNAL"
    assert dict(info.metadata) == {"incident_id": "incident-7"}


def _fits(refusal: errors.Refusal) -> status_pb2.Status:
    """Build the status; it must be below the limits of gRPC's metadata."""
    _, text, trailing = sent(REFUSED.of(refusal))
    details = dict(trailing)["grpc-status-details-bin"]
    assert len(details) <= DETAIL_BYTES
    percent_encoded = sum(1 if 32 <= byte < 127 else 3 for byte in text.encode())
    assert percent_encoded + len(details) * 4 / 3 + 500 <= METADATA_BYTES
    return _status(trailing)


def _status(trailing: Metadata) -> status_pb2.Status:
    details = dict(trailing)["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    return status_pb2.Status.FromString(details)


def _detail(status: status_pb2.Status, kind: type[T]) -> T:
    """Take the one detail of a kind out of a status."""
    details = [kind() for _ in status.details]
    (found,) = (d for d, packed in zip(details, status.details, strict=True) if packed.Unpack(d))
    return found
