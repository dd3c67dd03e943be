"""One class for each thing that can be done about an error."""

import pickle

import grpc
import pytest
from grpc.aio import Metadata

from orderintake import (
    CompletionGap,
    DeadlineExceeded,
    InvalidOrder,
    OrderIntakeError,
    Unavailable,
)
from orderintake.errors import BY_REASON, FieldViolation, from_rpc
from orderintake.status import Status
from orderintake.v1.errors_pb2 import ErrorReason


def test_every_reason_of_the_contract_has_its_class_and_no_other_has() -> None:
    names = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()}  # noqa: SIM118
    assert BY_REASON.keys() == names - {"UNSPECIFIED"}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded),
        (grpc.StatusCode.INTERNAL, OrderIntakeError),
    ],
)
def test_an_error_that_is_not_the_services_own_goes_by_its_code(
    code: grpc.StatusCode, kind: type[OrderIntakeError]
) -> None:
    error = from_rpc(grpc.aio.AioRpcError(code, Metadata(), Metadata(), details="text"))
    assert type(error) is kind
    assert (error.reason, str(error)) == ("", f"{code.name}: text")


@pytest.mark.parametrize(
    "error",
    [
        InvalidOrder(
            Status(
                code=grpc.StatusCode.INVALID_ARGUMENT,
                message="no",
                reason="INVALID_ORDER",
                violations=(FieldViolation(field="lines", description="are required"),),
            )
        ),
        CompletionGap(3, 5),
    ],
)
def test_an_error_survives_pickling(error: OrderIntakeError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - made here
    assert type(copy) is type(error)
    assert copy.args == error.args
    assert str(copy) == str(error)


def test_a_gap_says_what_came_in_which_place() -> None:
    assert str(CompletionGap(3, 5)) == "DATA_LOSS: completion 5 came where 3 had to"
