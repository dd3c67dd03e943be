"""JSON as answers: how each kind of value is written, and that no content breaks its reader."""

import json
from typing import Any

import pytest
from google.protobuf import duration_pb2, field_mask_pb2, timestamp_pb2
from google.protobuf.any_pb2 import Any as Content
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value
from hypothesis import given
from hypothesis import strategies as st

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.http.json import detail_json, read_json, write_json

PREFIX = "type.googleapis.com/"


def written(message: Message) -> Any:  # noqa: ANN401 - JSON
    return json.loads(write_json(message))


def packed(message: Message) -> Content:
    content = Content()
    content.Pack(message)
    return content


def test_values_are_written_as_protobuf_says() -> None:
    order = order_pb2.Order(
        order_id="x",
        tier=order_pb2.TIER_VIP,
        accept_sequence=42,
        labels={"ä": "\u2028"},
        state=order_pb2.State.ValueType(77),
        accept_time=timestamp_pb2.Timestamp(seconds=1, nanos=5),
        lines=[order_pb2.OrderLine(sku="tea", quantity=2)],
    )
    assert written(order) == {
        "orderId": "x",
        "tier": "TIER_VIP",
        "acceptSequence": "42",
        "labels": {"ä": "\u2028"},
        "state": 77,
        "acceptTime": "1970-01-01T00:00:01.000000005Z",
        "lines": [{"sku": "tea", "quantity": 2}],
    }
    assert "ä".encode() in write_json(order)


def test_content_of_a_known_type_is_opened() -> None:
    content = Struct()
    content.update({"gift": True})
    assert written(order_pb2.Order(payload=packed(content)))["payload"] == {
        "@type": f"{PREFIX}google.protobuf.Struct",
        "value": {"gift": True},
    }


def nested(levels: int) -> Struct:
    outer = inner = Struct()
    for _ in range(levels):
        inner = inner.fields["a"].struct_value
    return outer


def wrapped(levels: int) -> Content:
    content = Content()
    for _ in range(levels):
        content = packed(content)
    return content


BAD = {
    "unknown type": Content(type_url=PREFIX + "shop.Order", value=b"\1\2\3"),
    "no type": Content(value=b"\1"),
    "odd type": Content(type_url="\n/", value=b"\1"),
    "damaged": Content(type_url=PREFIX + "google.protobuf.Struct", value=b"\xff"),
    "nan": packed(Struct(fields={"a": Value(number_value=float("nan"))})),
    "infinite": packed(Struct(fields={"a": Value(number_value=float("inf"))})),
    "too late": packed(timestamp_pb2.Timestamp(seconds=2**60)),
    "too long": packed(duration_pb2.Duration(seconds=2**60)),
    "bad mask": packed(field_mask_pb2.FieldMask(paths=["A__b"])),
    "too deep": Content(
        type_url=PREFIX + "google.protobuf.Struct", value=nested(60).SerializeToString()
    ),
    "any in any": wrapped(500),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_content_that_has_no_json_is_there_as_bytes(content: Content) -> None:
    good = order_pb2.Completion(order=order_pb2.Order(order_id="good", payload=packed(Struct())))
    bad = order_pb2.Completion(order=order_pb2.Order(order_id="bad", payload=content))
    page = api.ListCompletionsResponse(completions=[good, bad], cursor="c")
    found = written(page)
    assert [each["order"]["orderId"] for each in found["completions"]] == ["good", "bad"]
    assert found["completions"][0]["order"]["payload"]["value"] == {}
    shown = found["completions"][1]["order"]["payload"]
    assert shown["@type"] == content.type_url
    again = read_json(api.PlaceOrderRequest, json.dumps({"payload": shown}).encode())
    assert again.payload == content


def test_an_unknown_result_is_there_as_bytes() -> None:
    completion = order_pb2.Completion(result=BAD["unknown type"])
    assert written(completion)["result"]["@base64"] == "AQID"


def test_the_message_itself_is_not_changed() -> None:
    order = order_pb2.Order(payload=BAD["nan"])
    before = order.SerializeToString()
    write_json(order)
    assert order.SerializeToString() == before


TYPES = st.sampled_from(
    ["google.protobuf.Struct", "google.protobuf.Any", "orderintake.v1.Order", "shop.Order", ""]
)
CONTENTS = st.builds(
    Content, type_url=TYPES.map(PREFIX.__add__) | st.text(max_size=8), value=st.binary(max_size=64)
)


@given(st.lists(CONTENTS, max_size=4))
def test_whatever_content_orders_have_there_is_json(contents: list[Content]) -> None:
    completions = [
        order_pb2.Completion(order=order_pb2.Order(payload=content)) for content in contents
    ]
    found = written(api.ListCompletionsResponse(completions=completions, cursor="c"))
    assert len(found.get("completions", [])) == len(contents)


@given(st.lists(st.binary(max_size=64), min_size=1, max_size=4))
def test_what_is_not_opened_comes_back_byte_by_byte(values: list[bytes]) -> None:
    batch = api.BatchPlaceOrdersRequest(
        requests=[
            api.PlaceOrderRequest(payload=Content(type_url="x/shop.Order", value=value))
            for value in values
        ]
    )
    assert read_json(api.BatchPlaceOrdersRequest, write_json(batch)) == batch


def test_the_detail_of_an_error_is_shown_without_its_type() -> None:
    assert detail_json(packed(duration_pb2.Duration(seconds=3))) == {"value": "3s"}
    assert detail_json(BAD["unknown type"]) == {}
