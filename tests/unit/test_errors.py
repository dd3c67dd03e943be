"""The failures the domain can name: all of the contract's, each by one class."""

import inspect

import pytest

from orderintake.v1 import errors_pb2
from orderintake_server import errors
from orderintake_server.errors import FieldViolation, InvalidOrder, Reason, Refusal, RequestIdReused

NAMED = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, Refusal) and kind not in (Refusal, errors.Unavailable)
]


def test_the_reasons_are_the_contracts() -> None:
    contract = {
        name.removeprefix("ERROR_REASON_")
        for name, number in errors_pb2.ErrorReason.items()
        if number
    }
    assert {reason.value for reason in Reason} == contract
    assert {reason.name for reason in Reason} == contract


def test_each_reason_but_a_bugs_is_that_of_one_class() -> None:
    reasons = [kind.reason for kind in NAMED]
    assert sorted(reasons, key=str) == sorted(set(Reason) - {Reason.INTERNAL}, key=str)


def test_an_invalid_order_tells_what_is_wrong_first_and_how_much_more() -> None:
    violations = tuple(FieldViolation(field=f"f{n}", description=f"is {n}") for n in range(5))
    refusal = InvalidOrder(violations)
    assert refusal.violations == violations
    assert refusal.text == str(refusal) == "f0: is 0 (and 4 more)"
    assert InvalidOrder(violations[:1]).text == "f0: is 0"


def test_a_reused_request_id_is_named_with_the_order_that_has_it() -> None:
    refusal = RequestIdReused(request_id="r-1", accept_sequence=7)
    assert "'r-1'" in refusal.text
    assert refusal.accept_sequence == 7


@pytest.mark.parametrize("kind", [errors.QueueFull, errors.Draining, errors.StorageUnavailable])
def test_what_passes_says_when_to_come_back(kind: type[errors.Unavailable]) -> None:
    assert kind("not now").retry_after == 1.0
    assert kind("not now", retry_after=0.25).retry_after == 0.25
