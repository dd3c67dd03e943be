"""What a failed call carries is read as far as it can be, and never hides the failure."""

import grpc
import pytest
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from client.fake_server import Refusal
from orderintake.status import FieldViolation, Status, status_of

WHOLE = Refusal(
    code=grpc.StatusCode.INVALID_ARGUMENT,
    reason="INVALID_ORDER",
    metadata={"a": "b"},
    violations={"lines": "are required"},
    retry_after=1.25,
).details()


def read(wire: bytes) -> Status:
    trailing = grpc.aio.Metadata(("other", "text"), ("grpc-status-details-bin", wire))
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.INVALID_ARGUMENT, grpc.aio.Metadata(), trailing, details="no"
    )
    return status_of(error)


def packed(detail: Message) -> bytes:
    status = status_pb2.Status()
    status.details.add().Pack(detail)
    return status.SerializeToString()


def test_details_made_by_googles_own_types_are_read() -> None:
    assert read(WHOLE) == Status(
        code=grpc.StatusCode.INVALID_ARGUMENT,
        message="no",
        reason="INVALID_ORDER",
        metadata={"a": "b"},
        violations=(FieldViolation(field="lines", description="are required"),),
        retry_after=1.25,
    )


def test_an_error_without_anything_has_its_code() -> None:
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNKNOWN)
    assert status_of(error) == Status(code=grpc.StatusCode.UNKNOWN, message="")


def test_the_reason_of_another_domain_is_not_taken() -> None:
    foreign = error_details_pb2.ErrorInfo(domain="proxy", reason="QUEUE_FULL")
    assert read(packed(foreign)).reason == ""


def test_a_delay_is_never_negative() -> None:
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromSeconds(-5)
    assert read(packed(retry)).retry_after == 0


def test_a_delay_that_no_timer_can_take_counts_as_a_day() -> None:
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.seconds = 2**62
    assert read(packed(retry)).retry_after == 86_400


def test_a_quota_is_its_first_violations() -> None:
    failure = error_details_pb2.QuotaFailure()
    assert read(packed(failure)).quota_subject == ""
    for name in ("ada", "bob"):
        failure.violations.add(subject=f"customer:{name}", description="too many")
    assert read(packed(failure)).quota_subject == "customer:ada"


def test_a_damaged_detail_leaves_what_came_before_it() -> None:
    status = status_pb2.Status.FromString(WHOLE)
    status.details.insert(
        1, any_pb2.Any(type_url="type.googleapis.com/google.rpc.BadRequest", value=b"\xff")
    )
    damaged = read(status.SerializeToString())
    assert (damaged.reason, damaged.violations) == ("INVALID_ORDER", ())


@pytest.mark.parametrize("kind", ["google.rpc.DebugInfo", "x/y/z", ""])
def test_an_unknown_detail_is_passed_over(kind: str) -> None:
    status = status_pb2.Status.FromString(WHOLE)
    status.details.insert(0, any_pb2.Any(type_url=kind, value=b"\xff"))
    assert read(status.SerializeToString()) == read(WHOLE)


@given(st.binary())
def test_no_bytes_hide_the_error(wire: bytes) -> None:
    assert read(wire).code is grpc.StatusCode.INVALID_ARGUMENT


@given(st.integers(0, len(WHOLE)), st.binary(min_size=1, max_size=3))
def test_no_damage_hides_the_error(at: int, damage: bytes) -> None:
    status = read(WHOLE[:at] + damage + WHOLE[at + len(damage) :])
    assert (status.code, status.message) == (grpc.StatusCode.INVALID_ARGUMENT, "no")
