"""JSON as requests: what is read, what is refused and where; hostile texts take no time."""

import json
import time
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as Content
from google.protobuf.struct_pb2 import Struct
from hypothesis import example, given
from hypothesis import strategies as st

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.errors import InvalidOrder
from orderintake_server.http.json import read_json
from orderintake_server.http.json.reading import KEY_CHARACTERS, MOST_COMMAS, MOST_OBJECTS
from orderintake_server.texts import is_printable

UNKNOWN = "type.googleapis.com/shop.Order"
STRUCT = "type.googleapis.com/google.protobuf.Struct"


def read(value: object) -> api.PlaceOrderRequest:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    found = read_json(api.PlaceOrderRequest, text)
    assert isinstance(found, api.PlaceOrderRequest)
    return found


def refused(value: object) -> tuple[str, str]:
    """Give the field that is refused, and why."""
    with pytest.raises(InvalidOrder) as told:
        read(value)
    (violation,) = told.value.violations
    assert told.value.is_malformed
    return violation.field, violation.description


@pytest.mark.parametrize("key", ["customerId", "customer_id"])
def test_both_spellings_of_a_field_are_read(key: str) -> None:
    assert read({key: "ada"}).customer_id == "ada"


def test_everything_that_an_order_has_is_read() -> None:
    found = read(
        {
            "requestId": "r",
            "customerId": "ada",
            "tier": "TIER_VIP",
            "lines": [{"sku": "tea", "quantity": "2"}, {"sku": "milk", "quantity": 1.0}],
            "labels": {"a_b": "1", "aB": "2"},
            "notBefore": "2030-01-01T00:00:00.5+01:00",
            "expireTime": None,
            "payload": {"@type": STRUCT, "value": {"gift": True}},
        }
    )
    assert [line.quantity for line in found.lines] == [2, 1]
    assert (found.tier, dict(found.labels)) == (order_pb2.TIER_VIP, {"a_b": "1", "aB": "2"})
    assert (found.not_before.seconds, found.not_before.nanos) == (1893452400, 500_000_000)
    assert not found.HasField("expire_time")
    content = Struct()
    assert found.payload.Unpack(content)
    assert content["gift"] is True


@pytest.mark.parametrize(
    ("value", "field", "why"),
    [
        ({"colour": 1}, "colour", "no such field"),
        ({"lines": [{"sku": "tea"}, {"price": 1}]}, "lines[1].price", "no such field"),
        ({"tier": "VIP"}, "tier", "Invalid enum value VIP"),
        ({"lines": 5}, "lines", "must be in []"),
        ({"lines": [{"quantity": "many"}]}, "lines.quantity", "invalid literal"),
        ({"lines": [{"quantity": 2**40}]}, "lines.quantity", "out of range"),
        ({"lines": [{"quantity": True}]}, "lines[0].quantity", "Bool"),
        ({"lines": [None]}, "lines[0]", "null"),
        ({"notBefore": "tomorrow"}, "notBefore", "Failed to parse timestamp"),
        ({"customerId": "a", "customer_id": "b"}, "customer_id", "customerId too"),
        ({"customerId": 4}, "customerId", "string"),
        ({"payload": {"@type": UNKNOWN}}, "payload", "Can not find message descriptor"),
        ({"payload": {"@type": UNKNOWN, "value": "AQID"}}, "payload", "Can not find"),
        ({"payload": {"@type": UNKNOWN, "@base64": "?"}}, "", "cannot be read"),
        ({"payload": {"@type": 5}}, "", "cannot be read"),
        ({"payload": {"@type": UNKNOWN, "@base64": "AQ==", "more": 1}}, "", "stands beside @type"),
        ({"k" * (KEY_CHARACTERS + 1): 1}, "", "a key has more than"),
        (b'{"customerId": "a", "customerId": "b"}', "", "a key twice"),
        (b'{"labels": {"a": "b", "a": "c"}}', "", "a key twice"),
        (b'{"customer\\u005fid": "a", "customerId": "b"}', "customer_id", "customerId too"),
        (b"", "", "not JSON"),
        (b"[]", "", "no JSON object"),
        (b"null", "", "no JSON object"),
        (b"{} {}", "", "not JSON"),
        ('{"customerId": "ä"}'.encode("utf-16"), "", "not JSON"),
        ('{"customerId": "ä"}'.encode("latin-1"), "", "not JSON"),
        (b'{"customerId": "\\ud800"}', "customerId", "surrogate"),
        (b'{"lines": [{"quantity": NaN}]}', "", "NaN"),
        (b'{"lines": [{"quantity": ' + b"1" * 5_000 + b"}]}", "", "not JSON"),
        (b"[" * 100_000, "", "not JSON"),
        (b'{"a":' * 50_000, "", "not JSON"),
    ],
)
def test_what_is_no_order_is_refused_where_it_is(value: object, field: str, why: str) -> None:
    found, description = refused(value)
    assert found == field
    assert why in description


def test_content_of_an_unknown_type_is_taken_as_bytes() -> None:
    unopened = {"@type": UNKNOWN, "@base64": "AQID"}
    assert read({"payload": unopened}).payload == Content(type_url=UNKNOWN, value=b"\1\2\3")
    batch = {"requests": [{}, {"payload": unopened}]}
    found = read_json(api.BatchPlaceOrdersRequest, json.dumps(batch).encode())
    assert found.requests[1].payload.value == b"\1\2\3"
    assert not found.requests[0].HasField("payload")


def test_content_that_nests_deeper_than_it_could_be_read_again_is_refused() -> None:
    def nested(levels: int) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for _ in range(levels):
            value = {"a": value}
        return {"payload": {"@type": STRUCT, "value": value}}

    content = Struct()
    assert read(nested(30)).payload.Unpack(content)
    assert "too deep" in refused(nested(31))[1]


@pytest.mark.parametrize(
    "text",
    [
        b'{"lines":[' + b"{}," * (MOST_OBJECTS + 1) + b"{}]}",
        b'{"payload":{"@type":"' + STRUCT.encode() + b'","value":{"a":[' + b"1," * MOST_COMMAS
        + b"1]}}}",
    ],
    ids=["objects", "values"],
)  # fmt: skip
def test_what_would_take_seconds_is_refused_unread(text: bytes) -> None:
    began = time.process_time()
    assert "send it as binary" in refused(text)[1]
    assert time.process_time() - began < 0.1


@pytest.mark.parametrize(
    "value",
    ["_" * 500_000, "_a" * 250_000, '_"' * 250_000, '_"' + " " * 500_000, "_ " * 250_000],
    ids=["underlines", "names", "ends", "spaces", "words"],
)
def test_a_text_takes_no_longer_for_what_is_in_it(value: str) -> None:
    began = time.process_time()
    assert read({"requestId": value}).request_id == value
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    "said",
    [' has no field named "x" at "' + "y" * 100, " at a.", "." * 100],
)
def test_a_refusal_takes_no_longer_for_what_it_tells(said: str) -> None:
    began = time.process_time()
    field, description = refused({"tier": said * (500_000 // len(said))})
    assert time.process_time() - began < 0.5
    assert field == "tier"
    assert description.startswith("Invalid enum value")


def test_a_full_batch_is_read() -> None:
    order = {"customerId": "ada", "lines": [{"sku": "tea", "quantity": 1}] * 10}
    batch = json.dumps({"requests": [order] * 1_000}).encode()
    assert batch.count(b"{") == 11_001
    found = read_json(api.BatchPlaceOrdersRequest, batch)
    assert len(found.requests) == 1_000


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=4)
            | st.sampled_from(["@type", "@base64", "value", "lines", "payload", "tier", "labels"]),
            inner | st.sampled_from([STRUCT, UNKNOWN, "AQID"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


FIELDS = st.sampled_from(list(api.PlaceOrderRequest.DESCRIPTOR.fields_by_name))


def told_of(text: bytes) -> str:
    """Give what the sender is told of what may be an order; nothing else may be raised."""
    try:
        read(text)
    except InvalidOrder as refusal:
        return refusal.text
    return "OK"


@given(st.dictionaries(FIELDS, VALUES))
@example({"payload": {"@type": STRUCT}})
@example({"payload": {"@type": "x/google.protobuf.Timestamp", "value": 5}})
def test_whatever_is_said_there_is_a_message_or_a_refusal(value: dict[str, Any]) -> None:
    assert is_printable(told_of(json.dumps(value).encode()))


@given(st.binary(max_size=64))
def test_whatever_bytes_come_there_is_a_message_or_a_refusal(text: bytes) -> None:
    assert is_printable(told_of(text))
