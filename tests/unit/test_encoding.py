"""Completions straight from the store's columns: the same messages as field by field."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import any_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import example, given, reject
from hypothesis import strategies as st

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.api import order_checks, requests
from orderintake_server.api.encoding import Encoder
from orderintake_server.api.responses import Responses
from orderintake_server.domain import ENDED, LONG_PAST, Completion, Failure, NewOrder, State, Tier
from orderintake_server.errors import InvalidOrder
from orderintake_server.ids import Ids
from orderintake_server.store.rows import (
    COMPLETION_COLUMNS,
    CompletionRow,
    completion_of,
    row_of,
)
from orderintake_server.telemetry import traces

IDS = Ids("0123abcd")
RESPONSES = Responses(IDS, lambda: 0)


def told(completion: Completion) -> order_pb2.Completion:
    """Write down a completion field by field, as the contract says it."""
    order, failure = completion.order, completion.failure
    message = order_pb2.Completion(
        sequence=completion.sequence,
        cursor=IDS.cursor(completion.sequence),
        order=order_pb2.Order.FromString(order.content),
        failure=order_pb2.Failure(code=failure.code, message=failure.message) if failure else None,
        traceparent=traces.written(order.trace) if order.trace else "",
    )
    if completion.result is not None:
        message.result.ParseFromString(completion.result)
        message.result.SetInParent()
    own = message.order
    own.order_id = IDS.order_id(order.accept_sequence)
    own.state = order_pb2.State.ValueType(order.state)
    own.accept_sequence = order.accept_sequence
    own.start_sequence = order.start_sequence
    own.attempt_count = order.attempt_count
    own.redrive_of = IDS.order_id(order.redrive_of) if order.redrive_of else ""
    own.accept_time.FromMicroseconds(order.accept_time)
    for field in ("start_time", "complete_time"):
        if time := getattr(order, field):
            getattr(own, field).FromMicroseconds(time)
    if order.not_before != LONG_PAST:
        own.ClearField("not_before")
    if order.expire_time != LONG_PAST:
        own.ClearField("expire_time")
    for field in ("not_before", "expire_time"):
        if (time := getattr(order, field)) > LONG_PAST:
            getattr(own, field).FromMicroseconds(time)
    return message


# Whatever a caller may place, and whatever may become of it

TEXTS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=40)
NUMBERS = st.integers(1, 2**47)
TIMES = st.integers(1, 2**56)
STAMPS = st.builds(
    Timestamp,
    seconds=st.integers(order_checks.FIRST_SECOND, order_checks.LAST_SECOND),
    nanos=st.integers(0, order_checks.NANOS - 1),
)
PAYLOADS = st.builds(any_pb2.Any, type_url=TEXTS, value=st.binary(max_size=300))
REQUESTS = st.builds(
    api.PlaceOrderRequest,
    customer_id=TEXTS,
    tier=st.sampled_from(order_pb2.Tier.values()),
    lines=st.lists(
        st.builds(order_pb2.OrderLine, sku=TEXTS, quantity=st.integers(1, 2**31 - 1)),
        min_size=1,
        max_size=3,
    ),
    labels=st.dictionaries(TEXTS, TEXTS, max_size=3),
    payload=st.none() | PAYLOADS,
    not_before=st.none() | STAMPS,
    expire_time=st.none() | STAMPS,
)
UNKNOWN = st.sampled_from([b"", b"\xf8\x07\x01", b"\xfa\x07\x02hi"])
"""Fields of a later version."""


@st.composite
def _accepted(draw: st.DrawFn) -> dict[str, Any]:
    """Let a request in by the door, and maybe place a copy of its order."""
    try:
        new = requests.new_order(
            draw(REQUESTS), draw(st.none() | st.binary(min_size=25, max_size=25))
        )
    except InvalidOrder:
        reject()
    return _columns(new, draw(st.just(0) | NUMBERS)) | {"content": new.content + draw(UNKNOWN)}


def _columns(new: NewOrder, redrive_of: int) -> dict[str, Any]:
    """Tell what is stored of an order; a copy has no times of its own."""
    return {
        "customer_id": new.customer_id,
        "tier": int(new.tier),
        "not_before": 0 if redrive_of else new.not_before,
        "expire_time": 0 if redrive_of else new.expire_time,
        "redrive_of": redrive_of,
        "trace": new.trace,
    }


ATTEMPTS = st.tuples(st.integers(1, 2**31 - 1), NUMBERS, TIMES) | st.just((0, 0, 0))
ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
TOLD = st.tuples(TEXTS, ANY_TEXT)
FAILURES: st.SearchStrategy[Any] = (
    st.just((None, None)) | TOLD | TOLD.map(lambda told: tuple(map(str.encode, told)))
)
"""None, as SQLite keeps it, and as PostgreSQL does."""


@st.composite
def _rows(draw: st.DrawFn) -> CompletionRow:
    attempt_count, start_sequence, start_time = draw(ATTEMPTS)
    failure_code, failure_message = draw(FAILURES)
    return CompletionRow(
        **draw(_accepted()),
        accept_sequence=draw(NUMBERS),
        accept_time=draw(TIMES),
        sequence=draw(NUMBERS),
        state=draw(st.sampled_from(sorted(map(int, ENDED)))),
        attempt_count=attempt_count,
        start_sequence=start_sequence,
        start_time=start_time,
        complete_time=draw(TIMES),
        failure_code=failure_code,
        failure_message=failure_message,
        result=draw(st.none() | PAYLOADS.map(any_pb2.Any.SerializeToString)),
    )


WHOLE = CompletionRow(
    accept_sequence=7,
    customer_id="ada",
    tier=1,
    content=order_pb2.Order(
        customer_id="ada",
        tier=order_pb2.TIER_REGULAR,
        lines=[order_pb2.OrderLine(sku="tea", quantity=2)],
        labels={"table": "7"},
        payload=any_pb2.Any(type_url="a/b", value=b"\x00"),
    ).SerializeToString(),
    accept_time=1_790_000_000_000_001,
    not_before=1_790_000_000_000_002,
    expire_time=1_790_000_000_000_003,
    redrive_of=3,
    trace=bytes(range(25)),
    sequence=4,
    state=State.FAILED.value,
    attempt_count=2,
    start_sequence=9,
    start_time=1_790_000_001_999_999,
    complete_time=1_790_000_002_000_000,
    failure_code=b"HANDLER_ERROR",
    failure_message="\N{SNOWMAN} is out".encode(),
    result=any_pb2.Any(type_url="a/c", value=b"\x01").SerializeToString(),
)
"""A completion that has all there is, which no real one has."""
LEAST = WHOLE._replace(
    content=b"", not_before=0, expire_time=0, redrive_of=0, trace=None, attempt_count=0,
    start_sequence=0, start_time=0, failure_code=None, failure_message=None, result=b"",
)  # fmt: skip


@given(_rows())
@example(WHOLE)
@example(LEAST)
def test_encoded_from_its_columns_a_completion_is_the_same_message(row: CompletionRow) -> None:
    expected = told(completion_of(row))
    encoded = RESPONSES.delivered(row)
    assert api.StreamCompletionsResponse.FromString(encoded).completions == [expected]
    assert RESPONSES.completion(completion_of(row)) == expected
    assert RESPONSES.order(completion_of(row).order) == expected.order


@given(_rows())
@example(WHOLE)
def test_no_field_is_encoded_twice_for_some_readers_do_not_merge(row: CompletionRow) -> None:
    """protobuf.js, for one, takes the last of two messages instead of both."""
    assert len(Encoder(IDS).completion(row)) == told(completion_of(row)).ByteSize()


@given(_rows())
def test_a_completion_and_its_row_tell_the_same(row: CompletionRow) -> None:
    completion = completion_of(row)
    assert completion_of(row_of(completion)) == completion
    assert completion.order.tier is Tier(row.tier)


@pytest.mark.parametrize("kept", [str, str.encode])
def test_a_failure_is_read_from_texts_and_from_bytes(kept: Callable[[str], str | bytes]) -> None:
    row = WHOLE._replace(failure_code=kept("GONE"), failure_message=kept("\N{SNOWMAN}\0"))
    assert row.failure == Failure(code="GONE", message="\N{SNOWMAN}\0")


NUMBERED = [name for name, value in WHOLE._asdict().items() if isinstance(value, int)]


@pytest.mark.parametrize("column", NUMBERED)
def test_one_that_differs_from_the_one_before_in_one_number_is_told_so(column: str) -> None:
    """What the last one and this have in common is encoded once."""
    other = WHOLE._replace(**{column: WHOLE._asdict()[column] + 1})
    for row in (WHOLE, other):
        assert RESPONSES.completion(completion_of(row)) == told(completion_of(row))


def test_every_field_of_the_contract_is_encoded() -> None:
    message = RESPONSES.completion(completion_of(WHOLE))
    for told in (message, message.order):
        assert {field.name for field, _ in told.ListFields()} == set(told.DESCRIPTOR.fields_by_name)


def test_a_row_has_the_columns_that_are_read() -> None:
    names = ["outcome" if name == "state" else name for name in CompletionRow._fields]
    assert names == list(COMPLETION_COLUMNS)
