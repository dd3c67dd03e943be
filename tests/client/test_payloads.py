"""A payload or a result of any type has a JSON form, and what people see can be placed again."""

import base64
import json
from typing import Any

import pytest
from google.protobuf import (
    any_pb2,
    duration_pb2,
    field_mask_pb2,
    json_format,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from orderintake import Completion, Order
from orderintake.cli.json_output import json_line
from orderintake.cli.jsonl import BadLine, orders
from orderintake.payloads import KNOWN, any_from_json, to_json

NAMES = [
    message.full_name
    for file in KNOWN
    for message in file.DESCRIPTOR.message_types_by_name.values()
]
UNKNOWN = "type.googleapis.com/shop.Cake"


def packed(message: Message) -> any_pb2.Any:
    found = any_pb2.Any()
    found.Pack(message)
    return found


def struct(**fields: Any) -> struct_pb2.Struct:  # noqa: ANN401 - JSON
    found = struct_pb2.Struct()
    found.update(fields)
    return found


@given(
    url=st.sampled_from([*NAMES, "google.protobuf.Any", "shop.Cake"]).map(lambda n: f"x/{n}")
    | st.text(max_size=8),
    content=st.binary(max_size=40),
)
def test_content_of_any_type_has_a_line_of_json(url: str, content: bytes) -> None:
    order = Order(order_id="o1", payload=any_pb2.Any(type_url=url, value=content))
    line = json_line(Completion(sequence=1, order=order, result=order.payload, cursor="c"))
    assert "\n" not in line
    found = json.loads(line)
    assert (found["order"]["order_id"], found["sequence"], found["cursor"]) == ("o1", "1", "c")


@pytest.mark.parametrize(
    "message",
    [
        timestamp_pb2.Timestamp(seconds=2**60),
        duration_pb2.Duration(seconds=2**60),
        field_mask_pb2.FieldMask(paths=["Not A Path"]),
        struct_pb2.Value(number_value=float("nan")),
        any_pb2.Any(type_url="x/y.Z", value=b"z"),
    ],
    ids=["timestamp", "duration", "mask", "nan", "any"],
)
def test_a_known_type_whose_content_has_no_json_form_is_shown_as_bytes(message: Message) -> None:
    shown = to_json(packed(message))
    content = base64.b64encode(message.SerializeToString()).decode()
    assert shown == {"@type": packed(message).type_url, "value": content}


@pytest.mark.parametrize(
    "message",
    [
        struct(cake="lemon", layers=3, toppings=["sugar", None]),
        wrappers_pb2.StringValue(value="no sugar"),
        wrappers_pb2.BytesValue(value=b"\x00\xff"),
        timestamp_pb2.Timestamp(seconds=5),
        duration_pb2.Duration(seconds=5, nanos=1),
        struct_pb2.Value(null_value=struct_pb2.NULL_VALUE),
        Order(order_id="o1"),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_is_shown_opened_can_be_given_again(message: Message) -> None:
    shown = json.loads(json.dumps(to_json(packed(message))))
    assert "value" not in shown or "@type" in shown
    again = type(message)()
    assert any_from_json(shown).Unpack(again)
    assert again == message


@given(content=st.binary(max_size=40))
def test_what_is_shown_as_bytes_can_be_given_again(content: bytes) -> None:
    closed = any_pb2.Any(type_url=UNKNOWN, value=content)
    assert any_from_json(to_json(closed)) == closed


@pytest.mark.parametrize("value", ["_-8", "/+8=", "_-8="])
def test_base64_is_read_in_either_alphabet_with_or_without_padding(value: str) -> None:
    standard = value.replace("_", "/").replace("-", "+")
    expected = base64.b64decode(standard.rstrip("=") + "=")
    assert any_from_json({"@type": UNKNOWN, "value": value}).value == expected


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        ("tea", "a payload is"),
        ({"cake": 1}, "a payload is"),
        ({"@type": 5}, "a payload is"),
        ({"@type": "shop.Cake", "value": ""}, "a payload is"),
        ({"@type": UNKNOWN, "layers": 3}, "shop.Cake is not known here: give"),
        ({"@type": UNKNOWN, "value": 3}, "shop.Cake is not known here: give"),
        ({"@type": UNKNOWN, "value": "!"}, "is not base64"),
        ({"@type": "x/google.protobuf.StringValue", "value": 3}, "."),
        ({"@type": "x/google.protobuf.Timestamp", "value": "noon"}, "."),
        ({"@type": "x/google.protobuf.Struct", "value": [1]}, "."),
        ({"@type": "x/google.protobuf.Any", "value": {"@type": UNKNOWN}}, "."),
        ({"@type": "x/google.protobuf.FieldMask", "value": 1}, "."),
        ({"@type": "x/google.protobuf.Empty", "value": 1}, "."),
    ],
    ids=str,
)
def test_a_payload_that_is_none_is_told_with_its_line(payload: object, told: str) -> None:
    line = json.dumps({"customer_id": "ada", "payload": payload}).encode()
    with pytest.raises(BadLine, match=f"^line 1: .*{told}"):
        list(orders([line]))


def test_a_line_takes_a_payload_of_any_type_and_a_tier_as_people_write_it() -> None:
    cake = {"@type": UNKNOWN, "value": "AQI="}
    lines = [
        json.dumps({"tier": tier, "payload": payload}).encode()
        for tier, payload in (
            ("vip", to_json(packed(struct(cake="lemon")))),
            ("VIP", cake),
            ("regular", None),
            ("TIER_VIP", {"@type": "x/google.protobuf.StringValue", "value": "no sugar"}),
        )
    ]
    found = [order for _, order in orders(lines)]
    assert [request.tier for request in found] == [2, 2, 1, 2]
    assert to_json(found[0].payload) == to_json(packed(struct(cake="lemon")))
    assert found[1].payload.value == b"\x01\x02"
    assert not found[2].HasField("payload")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(["customer_id", "tier", "lines", "labels", "payload", "not_before"]), JSON
    )
)
def test_a_line_is_an_order_or_is_told_whatever_json_it_is(content: dict[str, Any]) -> None:
    try:
        list(orders([json.dumps(content).encode()]))
    except BadLine as bad:
        told = str(bad)  # for either is right
    else:
        return
    assert told.startswith("line 1: ")
    assert "\n" not in told


@pytest.mark.parametrize(
    "line",
    [
        b'{"labels": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"not_before": ' + b"9" * 5_000 + b"}",
        b'{"customer_id": "\\ud800"}',
        b'{"lines": [{"quantity": 1e400}]}',
        b'{"lines": [{"quantity": NaN}]}',
        b'{"labels": null, "labels": {}}',
    ],
    ids=["deep", "long", "surrogate", "infinite", "nan", "twice"],
)
def test_a_line_that_breaks_a_parser_is_told_as_any_other(line: bytes) -> None:
    with pytest.raises(BadLine, match=r"^line 1: ."):
        list(orders([line]))


def test_a_field_that_is_mistyped_is_told_with_the_nearest_one() -> None:
    with pytest.raises(BadLine, match=r"^line 1: there is no field 'customer': 'customer_id'\?"):
        list(orders([b'{"customer": "ada"}']))


def test_json_forms_are_protobufs_own() -> None:
    assert to_json(packed(struct(a=1))) == json_format.MessageToDict(packed(struct(a=1)))
