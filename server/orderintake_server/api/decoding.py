"""The bytes of a request as its message, or the refusal of what is none; in bounded time."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake.v1 import order_work_service_pb2 as work
from orderintake_server.api.order_checks import ORDER_BYTES
from orderintake_server.api.requests import BATCH_BYTES, BATCH_ORDERS
from orderintake_server.api.violations import Violations, invalid
from orderintake_server.errors import FieldViolation, InvalidOrder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from google.protobuf.message import Message

    Decode = Callable[[bytes], Any]
    ReadOrder = api.PlaceOrderRequest | InvalidOrder
    """One order of a message of PlaceOrders, or why it is refused unread."""

_ORDERS = api.PlaceOrdersRequest.ORDERS_FIELD_NUMBER << 3 | 2
"""The tag of each order in a message of PlaceOrders."""
_FIXED_BYTES = {1: 8, 5: 4}
"""The sizes of fields by their wire types, of those that have always the same."""


def reader(kind: type[Message]) -> Decode:
    """Give what reads the requests of one kind; it raises InvalidOrder for what is too large.

    What is larger than any order may be is not decoded: four megabytes of labels take a second of
    the event loop's time.
    What PlaceOrders is sent is read as a list of orders, each refused for itself: see ReadOrder.
    """
    if kind is api.PlaceOrdersRequest:
        return _each_order
    check = _LARGE.get(kind, _check_single)

    def read(message: bytes) -> Any:  # noqa: ANN401
        if len(message) > ORDER_BYTES:
            check(message)
        return kind.FromString(message)

    return read


def decoded(message: bytes, decode: Decode) -> Any:  # noqa: ANN401
    """Read a request's message. Raises InvalidOrder when its bytes are none."""
    try:
        return decode(message)
    except (DecodeError, ValueError, IndexError):  # ValueError: some parsers say so of bad UTF-8
        raise unreadable("the request cannot be read as the method's message") from None


def unreadable(description: str) -> InvalidOrder:
    """Give the refusal of a request as a whole."""
    whole = FieldViolation(field="", description=description)
    return InvalidOrder((whole,), is_malformed=True)


def may_be_large(kind: type[Message]) -> bool:
    """Tell whether a request may be larger than one order."""
    return kind is api.PlaceOrdersRequest or kind in _LARGE


def check_single(size: int) -> None:
    """Refuse a request of so many bytes if it is larger than any order may be."""
    if size > ORDER_BYTES:
        raise unreadable(f"the order has {size} bytes; at most {ORDER_BYTES} are allowed")


def _check_single(message: bytes) -> None:
    check_single(len(message))


def _check_size(message: bytes) -> None:
    """Refuse what takes too long to decode: so much takes a twentieth of a second at worst."""
    if len(message) > BATCH_BYTES:
        raise unreadable(f"the request has more than {BATCH_BYTES} bytes")


def _each_order(message: bytes) -> list[ReadOrder]:
    """Read the orders of a message of PlaceOrders."""
    orders: list[ReadOrder]
    if len(message) <= ORDER_BYTES:  # as is each of its orders
        orders = list(api.PlaceOrdersRequest.FromString(message).orders)
    elif len(message) > BATCH_BYTES:
        raise invalid("orders", f"are larger than {BATCH_BYTES} bytes in all")
    else:
        fields = islice(_fields(message), BATCH_ORDERS + 1)
        orders = [_order(message[start:end]) for tag, start, end in fields if tag == _ORDERS]
    if not 1 <= len(orders) <= BATCH_ORDERS:
        raise invalid("orders", f"has {len(orders)} orders; 1 to {BATCH_ORDERS} are allowed")
    return orders


def _order(message: bytes) -> ReadOrder:
    try:
        check_single(len(message))
        return api.PlaceOrderRequest.FromString(message)
    except InvalidOrder as refusal:
        return refusal


def _check_batch(message: bytes) -> None:
    """Refuse too many orders, and too large ones."""
    if len(message) > BATCH_BYTES:
        raise invalid("requests", f"are larger than {BATCH_BYTES} bytes in all")
    violations = Violations()
    sizes = [end - start for _, start, end in islice(_fields(message), BATCH_ORDERS + 1)]
    if len(sizes) > BATCH_ORDERS:
        violations.add("requests", f"has more than {BATCH_ORDERS} orders")
    for index, size in enumerate(sizes):
        if size > ORDER_BYTES:
            violations.add(
                f"requests[{index}]",
                f"the order has {size} bytes; at most {ORDER_BYTES} are allowed",
            )
    violations.refuse()


def _fields(message: bytes) -> Iterator[tuple[int, int, int]]:
    """Give each field of a message, nothing of which is decoded: its tag, where it begins and ends.

    Raises IndexError or ValueError where the bytes are no message.
    """
    at = 0
    while at < len(message):
        tag, at = _number(message, at)
        size = _FIXED_BYTES.get(tag & 7, 0)
        if tag & 7 in {0, 2}:
            number, at = _number(message, at)
            size = number if tag & 7 == 2 else 0  # noqa: PLR2004 - a field with its length
        elif not size:
            raise ValueError("groups are in no request")
        yield tag, at, at + size
        at += size


def _number(message: bytes, at: int) -> tuple[int, int]:
    """Read a number of variable length, of ten bytes at most; give where the next field begins."""
    number = 0
    for index in range(10):
        byte = message[at + index]
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # noqa: PLR2004 - the last one
            return number, at + index + 1
    raise ValueError("a number has more than ten bytes")


_LARGE: Mapping[type[Message], Callable[[bytes], None]] = {
    api.BatchPlaceOrdersRequest: _check_batch,
    work.LeaseOrdersRequest: _check_size,
    work.KeepLeasesRequest: _check_size,
}
"""What may be larger than one order, with what refuses it before it is decoded."""
