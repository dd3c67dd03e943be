"""P22: what is larger than a request may be is refused before it is decoded."""

from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_work_service_pb2 as work
from orderintake_server.api import decoding
from orderintake_server.api.methods import SERVICES
from orderintake_server.api.order_checks import ORDER_BYTES
from orderintake_server.api.requests import BATCH_BYTES, BATCH_ORDERS
from orderintake_server.errors import InvalidOrder
from support.orders import order

Place, Batch, Orders = api.PlaceOrderRequest, api.BatchPlaceOrdersRequest, api.PlaceOrdersRequest
KINDS = [GetMessageClass(method.input_type) for service in SERVICES for method in service.methods]


def refused(kind: type[Message], message: bytes) -> list[str]:
    """Tell which fields are refused."""
    with pytest.raises(InvalidOrder) as error:
        decoding.decoded(message, decoding.reader(kind))
    return [violation.field for violation in error.value.violations]


def padded(size: int) -> bytes:
    """Give an order of this size, encoded."""
    made = order()
    made.payload.type_url = "t"
    made.payload.value = b"x" * size
    made.payload.value = b"x" * (2 * size - made.ByteSize())
    assert made.ByteSize() == size
    return made.SerializeToString()


def batch(*orders: bytes) -> bytes:
    return b"".join(b"\x0a" + _varint(len(one)) + one for one in orders)


def _varint(number: int) -> bytes:
    encoded = b""
    while number > 0x7F:
        encoded += bytes([number & 0x7F | 0x80])
        number >>= 7
    return encoded + bytes([number])


def read(kind: Any, message: bytes) -> Any:  # noqa: ANN401 - a message of the kind
    return decoding.decoded(message, decoding.reader(kind))


def test_an_order_at_its_limit_is_read_and_a_byte_more_refused() -> None:
    assert read(Place, padded(ORDER_BYTES)).ByteSize() == ORDER_BYTES
    assert refused(Place, padded(ORDER_BYTES + 1)) == [""]


def test_a_batch_at_its_limits_is_read() -> None:
    large = padded(ORDER_BYTES)
    assert len(read(Batch, batch(*[large] * 40)).requests) == 40
    small = order().SerializeToString()
    many = batch(*[small + b"\x32\x60" + b"\x0a\x5e" + b"t" * 94] * BATCH_ORDERS)
    assert len(many) > ORDER_BYTES
    assert len(read(Batch, many).requests) == BATCH_ORDERS


def test_of_a_batch_each_order_that_is_too_large_is_named() -> None:
    good, bad = padded(ORDER_BYTES), padded(ORDER_BYTES + 1)
    assert refused(Batch, batch(good, bad, good, bad)) == ["requests[1]", "requests[3]"]


def test_a_batch_too_large_or_with_too_many_orders_is_refused() -> None:
    assert refused(Batch, b"\x0a\x00" * (ORDER_BYTES // 2 + 1)) == ["requests"]
    assert refused(Batch, b"\x0a\x00" * (BATCH_BYTES // 2 + 1)) == ["requests"]


@pytest.mark.parametrize(
    "end",
    [b"\x0b", b"\x0c", b"\x0f", b"\x0a", b"\x0a\xff", b"\xff" * 11, b"\x08" + b"\xff" * 11],
    ids=["a group", "its end", "no type", "no length", "a cut one", "an endless tag", "number"],
)
def test_a_large_batch_that_is_no_message_is_refused(end: bytes) -> None:
    assert refused(Batch, batch(padded(ORDER_BYTES), padded(100)) + end) == [""]


def test_what_workers_say_may_be_as_large_as_a_batch() -> None:
    result = Packed(type_url="x", value=b"x" * ORDER_BYTES)
    told = work.Outcome(lease="l", succeeded=work.Succeeded(result=result))
    request = work.LeaseOrdersRequest(outcomes=[told] * 32).SerializeToString()
    assert len(read(work.LeaseOrdersRequest, request).outcomes) == 32
    held = work.Inventory(held=["l" * 46] * 10_000)
    keeping = work.KeepLeasesRequest(inventory=held).SerializeToString()
    assert len(read(work.KeepLeasesRequest, keeping).inventory.held) == 10_000


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.DESCRIPTOR.name)
def test_no_kind_of_request_is_decoded_whatever_its_size(kind: type[Message]) -> None:
    assert refused(kind, b"\x0a\x00" * BATCH_BYTES) in (["requests"], ["orders"], [""])


def test_of_orders_for_themselves_only_the_one_that_is_too_large_is_refused() -> None:
    good, bad = padded(ORDER_BYTES), padded(ORDER_BYTES + 1)
    found = read(Orders, batch(good, bad, good) + b"\x10\x07")
    assert [isinstance(each, InvalidOrder) for each in found] == [False, True, False]
    assert [violation.field for violation in found[1].violations] == [""]
    assert found[0].SerializeToString() == good


@pytest.mark.parametrize("count", [0, BATCH_ORDERS + 1])
@pytest.mark.parametrize("size", [2, 100])
def test_orders_for_themselves_are_one_to_a_thousand(count: int, size: int) -> None:
    order = b"\x0a" + bytes([size - 2]) + b"t" * (size - 2)
    assert refused(Orders, batch(*[order] * count)) == ["orders"]


def test_orders_for_themselves_one_of_which_is_no_order_are_no_message() -> None:
    for size in (100, ORDER_BYTES):
        assert refused(Orders, batch(padded(size), b"\xff")) == [""]
