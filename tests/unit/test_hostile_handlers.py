"""P21: whatever a handler raises or returns, its outcome is clean text and plain numbers."""

import asyncio
import itertools
import math
import unicodedata
from enum import Enum
from random import Random
from typing import Any

import pytest
from google.protobuf import any_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from orderintake.v1 import order_pb2
from orderintake.work import OrderAttempt, Reject, Retry
from orderintake.work.outcome import Kind, Outcome, outcome_of
from support import hostile
from support.hands import attempt_of, called


def check(outcome: Outcome) -> None:
    """See that an outcome can be stored, sent and shown."""
    order_pb2.Failure(code=outcome.code, message=outcome.message).SerializeToString()
    assert {type(outcome.code), type(outcome.message), type(outcome.report)} == {str}
    assert len(outcome.message) <= 1_024
    assert len(outcome.report) <= 17_000
    outcome.report.encode()
    if outcome.kind is Kind.SUCCEEDED:
        assert outcome.code == ""
        any_pb2.Any.FromString(outcome.result or b"")
    else:
        assert 1 <= len(outcome.code) <= 64
        assert not {unicodedata.category(one) for one in outcome.code} & {"Cc", "Cs", "Zl", "Zp"}
        assert outcome.result is None
    assert outcome.after is None or (outcome.after >= 0 and math.isfinite(outcome.after))


@pytest.mark.seconds
@given(st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=400)
def test_p21_whatever_is_raised_has_an_outcome(chance: Random, tells_text: bool) -> None:  # noqa: FBT001
    error = hostile.an_exception(chance)
    outcome = outcome_of(None, error, tells_text=tells_text)
    check(outcome)
    rejects = issubclass(type(error), Reject)
    assert (outcome.kind is Kind.REJECTED) == rejects
    assert (outcome.kind is Kind.RETRY) == issubclass(type(error), Retry)


@pytest.mark.seconds
@pytest.mark.parametrize("handler", [hostile.sync, hostile.in_loop, hostile.decorated])
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
async def test_p21_whatever_a_handler_does_the_next_attempt_is_made(handler: Any) -> None:  # noqa: ANN401
    with called(handler) as calls:
        for seed in range(300):
            await calls.room()
            check(await calls._calls(attempt_of(labels={"seed": str(seed)})))  # noqa: SLF001


class Code(Enum):
    SOLD_OUT = "SOLD OUT"
    SEVEN = 7


@pytest.mark.parametrize(
    ("code", "stored"),
    [
        ("OUT_OF_STOCK", "OUT_OF_STOCK"),
        (" padded ", "padded"),
        ("", "HANDLER_ERROR"),
        ("  ", "HANDLER_ERROR"),
        (None, "HANDLER_ERROR"),
        (object(), "HANDLER_ERROR"),
        (7, "7"),
        (10**5_000, "HANDLER_ERROR"),
        (Code.SOLD_OUT, "SOLD OUT"),
        (Code.SEVEN, "SEVEN"),
        ("x" * 5_000_000, "x" * 64),
        ("a\x00b\nc", "a?b?c"),
        ("tea\udce9", "tea?"),
        ("\u202egnp", "?gnp"),
        ("ol\u00e9\u200d", "ol\u00e9\u200d"),
    ],
    ids=itertools.count(),
)
def test_a_code_is_1_to_64_printable_characters(code: Any, stored: str) -> None:  # noqa: ANN401
    for error in (Reject(code, "no"), Retry(after=1, code=code)):
        assert outcome_of(None, error, tells_text=False).code == stored


class MadeOtherwise(Reject):
    def __init__(self) -> None:
        pass


class Untold(Reject):
    def __str__(self) -> str:
        raise SystemExit


class Whenever(Retry):
    def __init__(self, after: object) -> None:
        self.after = after  # type: ignore[assignment]


@pytest.mark.parametrize("error", [MadeOtherwise(), Untold("X", "no")])
def test_a_reject_of_any_make_rejects(error: Reject) -> None:
    outcome = outcome_of(None, error, tells_text=False)
    assert outcome.kind is Kind.REJECTED
    check(outcome)


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        (3.5, 3.5),
        ("3", 3.0),
        (True, 1.0),
        (-1, None),
        (math.nan, None),
        ("soon", None),
        (None, None),
    ],
)
def test_a_retry_of_any_time_is_tried_again(after: object, seconds: float | None) -> None:
    outcome = outcome_of(None, Whenever(after), tells_text=False)
    assert (outcome.kind, outcome.after) == (Kind.RETRY, seconds)


def test_p20_an_unexpected_text_stays_in_the_log_and_the_incident_finds_it() -> None:
    outcome = outcome_of(None, LookupError("card 1234"), tells_text=False)
    assert outcome.message == f"LookupError (incident {outcome.incident_id})"
    assert "card 1234" in outcome.report
    assert "card 1234" in outcome_of(None, LookupError("card 1234"), tells_text=True).message


@pytest.mark.parametrize("error", [Reject("X", "no tea"), Retry(after=1, code="X", text="no tea")])
def test_p20_what_a_handler_says_on_purpose_is_told(error: Exception) -> None:
    outcome = outcome_of(None, error, tells_text=False)
    assert (outcome.code, outcome.message, outcome.report) == ("X", "no tea", "")


async def test_an_awaitable_in_an_awaitable_is_no_result() -> None:
    async def nested(order: OrderAttempt) -> object:
        return asyncio.sleep(0, asyncio.sleep(0))

    with called(nested) as calls:
        await calls.room()
        outcome = await calls._calls(attempt_of())  # noqa: SLF001
    assert outcome.code == "RESULT_INVALID"
