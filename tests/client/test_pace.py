"""Whether and when an order that was refused is placed again."""

import grpc
import pytest

from orderintake import OrderIntakeError
from orderintake.errors import BY_REASON
from orderintake.pace import MOST_WAITS, WAIT_SECONDS, Pace, is_definite
from orderintake.status import FieldViolation, Status

DEFINITE = {
    "INVALID_ORDER",
    "REQUEST_ID_REUSED",
    "QUEUE_FULL",
    "CUSTOMER_QUOTA",
    "ORDER_NOT_FOUND",
    "ORDER_NOT_REDRIVABLE",
    "CURSOR_EXPIRED",
    "CURSOR_AHEAD",
    "NOT_ALLOWED",
    "UNAUTHENTICATED",
    "CURSOR_OTHER_LOG",
    "CURSOR_INVALID",
    "METHOD_UNKNOWN",
    "TOO_MANY_STREAMS",
    "LEASE_INVALID",
    "WORKER_LIMIT",
}
CODES = {
    "QUEUE_FULL": grpc.StatusCode.UNAVAILABLE,
    "DRAINING": grpc.StatusCode.UNAVAILABLE,
    "STORAGE_UNAVAILABLE": grpc.StatusCode.UNAVAILABLE,
    "SUBSCRIBER_TOO_SLOW": grpc.StatusCode.ABORTED,
    "REQUEST_TOO_SLOW": grpc.StatusCode.UNAVAILABLE,
    "TOO_MANY_STREAMS": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "METHOD_UNKNOWN": grpc.StatusCode.UNIMPLEMENTED,
    "INTERNAL": grpc.StatusCode.INTERNAL,
    "CUSTOMER_QUOTA": grpc.StatusCode.RESOURCE_EXHAUSTED,
}


def refusal(
    reason: str,
    code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT,
    retry_after: float | None = None,
    field: str = "",
) -> OrderIntakeError:
    violations = (FieldViolation(field=field, description="bad"),) if field else ()
    status = Status(
        code=CODES.get(reason, code),
        message="no",
        reason=reason,
        retry_after=retry_after,
        violations=violations,
    )
    return BY_REASON.get(reason, OrderIntakeError)(status)


@pytest.mark.parametrize("reason", BY_REASON)
def test_every_reason_is_definite_or_not(reason: str) -> None:
    assert is_definite(refusal(reason)) == (reason in DEFINITE)


@pytest.mark.parametrize("code", grpc.StatusCode)
def test_without_a_reason_the_code_decides(code: grpc.StatusCode) -> None:
    lost = {"CANCELLED", "UNKNOWN", "DEADLINE_EXCEEDED", "ABORTED", "INTERNAL", "UNAVAILABLE"}
    assert is_definite(refusal("", code)) == (code.name not in lost | {"DATA_LOSS"})


@pytest.mark.parametrize(("told", "waits"), [(2.5, 2.5), (0.0, 0.0), (None, WAIT_SECONDS)])
@pytest.mark.parametrize("reason", ["QUEUE_FULL", "CUSTOMER_QUOTA"])
def test_it_waits_as_it_is_told_when_there_is_no_room(
    reason: str, told: float | None, waits: float
) -> None:
    pace, error = Pace(), refusal(reason, retry_after=told)
    assert [pace.wait(error, count) for count in range(MOST_WAITS + 1)] == [
        *[waits] * MOST_WAITS,
        None,
    ]


@pytest.mark.parametrize(
    "error",
    [
        refusal("INVALID_ORDER", field="lines"),
        refusal("REQUEST_ID_REUSED"),
        refusal("DRAINING"),
        refusal("", grpc.StatusCode.PERMISSION_DENIED),
        refusal("", grpc.StatusCode.RESOURCE_EXHAUSTED),
        refusal("", grpc.StatusCode.UNAVAILABLE),
    ],
    ids=str,
)
def test_it_does_not_wait_where_later_does_not_help(error: OrderIntakeError) -> None:
    assert Pace().wait(error, 0) is None


def test_a_wait_is_told_at_first_and_once_a_minute() -> None:
    now = iter([0.0, 1.0, 59.0, 60.0, 61.0])
    pace = Pace(clock=lambda: next(now))
    assert [pace.has_to_tell() for _ in range(5)] == [True, False, False, True, False]
