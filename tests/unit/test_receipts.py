"""Receipts, which are joined from encoded parts: each reads as the message that it stands for."""

from google.protobuf import any_pb2
from hypothesis import given
from hypothesis import strategies as st

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_pb2
from orderintake_server.api import requests
from orderintake_server.api.encoding import embedded
from orderintake_server.api.responses import Responses
from orderintake_server.domain import Durability, Order, Receipt, State
from orderintake_server.ids import Ids

IDS = Ids("0123abcd")
NOW = 1_790_000_100_000_000
RESPONSES = Responses(IDS, lambda: NOW)

TEXTS = st.text("aé訂😀", min_size=1, max_size=5)
NUMBERS = st.sampled_from([0, 1, 2**48])
TIMES = st.sampled_from([1, NOW, 2**56])
"""Few of them, so that much of two orders is equal now and then."""
MAYBE = st.just(0) | TIMES
PAST = -5_000_000
MOMENTS = st.sampled_from(
    [
        *[(None, late) for late in (None, PAST, NOW)],
        *[(PAST, late) for late in (None, PAST + 1, NOW)],
        *[(NOW, late) for late in (None, NOW + 1)],
    ]
)
"""What a caller may say for not_before and expire_time: nothing, long ago, or to come."""
REQUESTS = st.builds(
    api.PlaceOrderRequest,
    request_id=TEXTS,
    customer_id=TEXTS,
    tier=st.sampled_from([0, 1, 2]),
    lines=st.lists(
        st.builds(order_pb2.OrderLine, sku=TEXTS, quantity=st.integers(1, 9)),
        min_size=1,
        max_size=20,
    ),
    labels=st.dictionaries(TEXTS, TEXTS, max_size=3),
    payload=st.none() | st.builds(any_pb2.Any, type_url=TEXTS, value=st.binary(max_size=20_000)),
)


@st.composite
def orders(draw: st.DrawFn) -> Order:
    """Draw an order in any state, of what a caller may place, with times long past or to come."""
    request = draw(REQUESTS)
    for field, moment in zip(("not_before", "expire_time"), draw(MOMENTS), strict=True):
        if moment is not None:
            getattr(request, field).FromMicroseconds(moment)
    new = requests.new_order(request)
    is_copy = draw(st.booleans())
    return Order(
        accept_sequence=draw(NUMBERS),
        customer_id=new.customer_id,
        tier=new.tier,
        content=new.content,
        accept_time=draw(TIMES),
        state=draw(st.sampled_from(State)),
        not_before=0 if is_copy else new.not_before,
        expire_time=0 if is_copy else new.expire_time,
        redrive_of=draw(st.integers(1, 2**48)) if is_copy else 0,
        attempt_count=draw(st.integers(0, 2**31 - 1)),
        start_sequence=draw(NUMBERS),
        start_time=draw(MAYBE),
        complete_time=draw(MAYBE),
    )


RECEIPTS = st.builds(
    Receipt,
    order=orders(),
    replayed=st.booleans(),
    after=st.integers(0, 3),
    position=st.none() | NUMBERS,
    durability=st.sampled_from(Durability),
    wait=st.none() | st.floats(0, 1e9),
)


def message_of(receipt: Receipt) -> api.PlaceOrderResponse:
    """Write the message that a receipt stands for, field by field."""
    message = api.PlaceOrderResponse(
        order=RESPONSES.order(receipt.order),
        replayed=receipt.replayed,
        position=receipt.position,
        durability=api.Durability.ValueType(receipt.durability),
        cursor=IDS.cursor(receipt.after),
    )
    if receipt.wait is not None:
        message.estimated_start_time.FromMicroseconds(NOW + round(receipt.wait * 1e6))
    return message


@given(RECEIPTS)
def test_a_receipt_reads_as_its_message(receipt: Receipt) -> None:
    assert api.PlaceOrderResponse.FromString(RESPONSES.receipt(receipt)) == message_of(receipt)


@given(st.lists(RECEIPTS, max_size=2))
def test_the_receipts_of_a_batch_are_told_in_order(receipts: list[Receipt]) -> None:
    told = api.BatchPlaceOrdersResponse.FromString(RESPONSES.receipts(receipts))
    assert list(told.receipts) == [message_of(receipt) for receipt in receipts]


@given(orders())
def test_an_order_reads_as_its_content_and_what_the_service_adds(order: Order) -> None:
    """What `RESPONSES.order` tells, on which the other cases rely."""
    told = RESPONSES.order(order)
    said = order_pb2.Order.FromString(order.content)
    for name in ("customer_id", "tier", "lines", "labels", "payload"):
        assert getattr(told, name) == getattr(said, name)
    assert told.accept_sequence == order.accept_sequence
    assert (told.attempt_count, told.start_sequence) == (order.attempt_count, order.start_sequence)


@given(st.integers(0, 300_000), st.integers(1, 15))
def test_a_field_of_any_size_reads_as_its_message(size: int, number: int) -> None:
    rest = embedded(number, b"x" * size)
    assert rest.endswith(b"x" * size)
    head = rest[: len(rest) - size]
    assert head[0] == number << 3 | 2
    assert sum((byte & 0x7F) << (7 * at) for at, byte in enumerate(head[1:])) == size
    assert all(byte & 0x80 for byte in head[1:-1])
    assert not head[-1] & 0x80
