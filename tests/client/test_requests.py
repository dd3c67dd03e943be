"""Requests are made from what a caller has at hand."""

from typing import Any

import pytest
from google.protobuf import any_pb2, wrappers_pb2

from orderintake import REGULAR, NewOrder, OrderLine, PlaceOrderRequest
from orderintake.requests import batch_place_orders, place_order, stream_completions


def test_an_order_is_regular_and_has_a_new_request_id_unless_told_otherwise() -> None:
    first, second = (place_order(customer_id="ada", lines={"tea": 1}) for _ in range(2))
    assert first.tier == REGULAR
    assert first.request_id != second.request_id
    assert not first.HasField("payload")


@pytest.mark.parametrize("request_id", [None, ""])
def test_no_request_id_is_as_good_as_none_given(request_id: str | None) -> None:
    request = place_order(customer_id="ada", lines={"tea": 1}, request_id=request_id)
    assert len(request.request_id) == 32


def test_lines_may_be_order_lines_of_any_iterable() -> None:
    lines = (OrderLine(sku=sku, quantity=1) for sku in ("tea", "tea"))
    request = place_order(customer_id="ada", lines=lines)
    assert [line.sku for line in request.lines] == ["tea", "tea"]


def test_a_payload_that_is_packed_stays_as_it_is() -> None:
    packed = any_pb2.Any()
    packed.Pack(wrappers_pb2.StringValue(value="x"))
    bare = place_order(customer_id="a", lines={}, payload=wrappers_pb2.StringValue(value="x"))
    assert place_order(customer_id="a", lines={}, payload=packed).payload == bare.payload == packed


@pytest.mark.parametrize("quantity", [2**31, -(2**31) - 1])
def test_a_number_that_fits_no_field_is_a_value_error(quantity: int) -> None:
    with pytest.raises(ValueError, match="range"):
        place_order(customer_id="ada", lines={"tea": quantity})


def test_an_unknown_or_missing_keyword_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="colour"):
        place_order(customer_id="ada", lines={}, colour="red")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="customer_id"):
        batch_place_orders([NewOrder(lines={})])  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"customer_id": 5}, "customer_id must be text, not int"),
        ({"request_id": 5}, "request_id must be text, not int"),
        ({"labels": {"a": 1}}, r"labels\['a'\] must be text, not int"),
        ({"labels": {1: "a"}}, "labels: key 1 must be text, not int"),
        ({"labels": ["a"]}, "labels must be a mapping of text to text, not list"),
        ({"lines": {"tea": "2"}}, r"lines\['tea'\]: quantity must be a whole number, not str"),
        ({"lines": {"tea": 1.5}}, r"lines\['tea'\]: quantity must be a whole number, not float"),
        ({"lines": {5: 1}}, r"lines\[5\]: sku must be text, not int"),
        ({"lines": "tea"}, "lines must be quantities by sku, or OrderLines, not str"),
        ({"lines": 5}, "lines must be quantities by sku, or OrderLines, not int"),
        ({"tier": 1.5}, "tier must be a value of its enum, not float"),
        ({"payload": {"a": 1}}, "payload must be a protobuf message, not dict"),
    ],
    ids=str,
)
def test_a_value_of_the_wrong_type_is_told_with_its_field(change: Any, named: str) -> None:  # noqa: ANN401
    keywords: Any = {"customer_id": "ada", "lines": {"tea": 1}} | change
    with pytest.raises(TypeError, match=f"^{named}"):
        place_order(**keywords)
    with pytest.raises(TypeError, match=rf"^orders\[1\]: {named}"):
        batch_place_orders([PlaceOrderRequest(), keywords])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"customer_id": "\ud800"}, "customer_id is not Unicode text"),
        ({"labels": {"a": "\ud800"}}, r"labels\['a'\] is not Unicode text"),
        ({"lines": {"\ud800": 1}}, r"lines\['\\ud800'\]: sku is not Unicode text"),
        ({"lines": {"tea": 2**31}}, r"lines\['tea'\]: quantity: .*range"),
        ({"tier": "gold"}, "tier: unknown enum label"),
        ({"tier": 2**40}, "tier: .*range"),
    ],
    ids=str,
)
def test_a_value_that_does_not_fit_is_told_with_its_field(change: Any, named: str) -> None:  # noqa: ANN401
    keywords: Any = {"customer_id": "ada", "lines": {"tea": 1}} | change
    with pytest.raises(ValueError, match=f"^{named}"):
        place_order(**keywords)
    with pytest.raises(ValueError, match=rf"^orders\[0\]: {named}"):
        batch_place_orders([keywords])


def test_a_subscription_names_what_does_not_fit_too() -> None:
    with pytest.raises(TypeError, match=r"^after_cursor must be text"):
        stream_completions(after=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^max_batch_size must be a whole number"):
        stream_completions(max_batch_size="5")  # type: ignore[arg-type]


def test_new_order_knows_which_of_its_keys_are_required() -> None:
    assert NewOrder.__required_keys__ == {"customer_id", "lines"}


def test_a_batch_keeps_the_request_ids_it_is_given() -> None:
    batch = batch_place_orders([PlaceOrderRequest(request_id="r1"), PlaceOrderRequest()])
    assert batch.requests[0].request_id == "r1"
    assert len(batch.requests[1].request_id) == 32


def test_an_empty_cursor_is_a_cursor() -> None:
    assert stream_completions(after="").WhichOneof("start") == "after_cursor"
    assert stream_completions().WhichOneof("start") == "start_at"
