"""Requests are made from what a caller has at hand."""

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


def test_new_order_knows_which_of_its_keys_are_required() -> None:
    assert NewOrder.__required_keys__ == {"customer_id", "lines"}


def test_a_batch_keeps_the_request_ids_it_is_given() -> None:
    batch = batch_place_orders([PlaceOrderRequest(request_id="r1"), PlaceOrderRequest()])
    assert batch.requests[0].request_id == "r1"
    assert len(batch.requests[1].request_id) == 32


def test_an_empty_cursor_is_a_cursor() -> None:
    assert stream_completions(after="").WhichOneof("start") == "after_cursor"
    assert stream_completions().WhichOneof("start") == "start_at"
