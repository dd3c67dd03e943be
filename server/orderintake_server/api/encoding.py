"""Orders and completions as the contract's bytes, joined from what is encoded already."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from orderintake.v1 import order_pb2
from orderintake_server.domain import LONG_PAST
from orderintake_server.telemetry import traces

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp

    from orderintake_server.domain import Order
    from orderintake_server.ids import Ids
    from orderintake_server.store.rows import CompletionRow

_BYTES = 2
"""The wire type of fields that have a length: bytes, texts and messages."""
_SEVEN_BITS, _MORE = 0x7F, 0x80


class Encoder:
    """Encodes orders and completions, with the order ids and cursors of one store.

    Encoded fields that follow one another are one message, and an order's content is encoded
    already: so it is never opened. Any thread may call this, several at the same time.
    """

    def __init__(self, ids: Ids) -> None:
        """Write ids and cursors with `ids`."""
        self._ids = ids

    def order(self, order: Order | CompletionRow) -> bytes:
        """Return an Order: the fields that the caller set, and those that the service adds."""
        own = order_pb2.Order(
            order_id=self._ids.order_id(order.accept_sequence),
            state=order_pb2.State.ValueType(order.state),
            accept_sequence=order.accept_sequence,
            start_sequence=order.start_sequence,
            attempt_count=order.attempt_count,
        )
        set_time(own.accept_time, order.accept_time)
        if order.start_time:
            set_time(own.start_time, order.start_time)
        if order.complete_time:
            set_time(own.complete_time, order.complete_time)
        if order.not_before > LONG_PAST:  # else it is in the content
            set_time(own.not_before, order.not_before)
        if order.expire_time > LONG_PAST:
            set_time(own.expire_time, order.expire_time)
        if not order.redrive_of:
            return order.content + own.SerializeToString()
        own.redrive_of = self._ids.order_id(order.redrive_of)
        return _without_times(order) + own.SerializeToString()

    def completion(self, row: CompletionRow) -> bytes:
        """Return a Completion."""
        own = order_pb2.Completion(sequence=row.sequence, cursor=self._ids.cursor(row.sequence))
        if row.failure_code is not None and (failure := row.failure):
            own.failure.code, own.failure.message = failure.code, failure.message
        if row.trace is not None:
            own.traceparent = traces.written(row.trace)
        encoded = part(_ORDER, self.order(row)) + own.SerializeToString()
        return encoded if row.result is None else encoded + part(_RESULT, row.result)


def _without_times(copy: Order | CompletionRow) -> bytes:
    """Return the content of a redriven order without times that only the original had."""
    content = order_pb2.Order.FromString(copy.content)
    if copy.not_before != LONG_PAST:
        content.ClearField("not_before")
    if copy.expire_time != LONG_PAST:
        content.ClearField("expire_time")
    return content.SerializeToString(deterministic=True)


def set_time(timestamp: Timestamp, microseconds: int) -> None:
    """Set a timestamp; protobuf's own method for this is slower."""
    timestamp.seconds, rest = divmod(microseconds, 1_000_000)
    timestamp.nanos = rest * 1000


def part_tag(message: type[Message], field: str) -> bytes:
    """Return the tag with which this field of a message begins, which is a message itself."""
    return _varint(message.DESCRIPTOR.fields_by_name[field].number << 3 | _BYTES)


def part(tag: bytes, encoded: bytes) -> bytes:
    """Return an encoded message as the field of another that begins with this tag."""
    return tag + _varint(len(encoded)) + encoded


@lru_cache(maxsize=4096)
def _varint(number: int) -> bytes:
    """Encode a number as protobuf does: seven bits in a byte, the lowest first."""
    encoded = bytearray()
    while number > _SEVEN_BITS:
        encoded.append(number & _SEVEN_BITS | _MORE)
        number >>= 7
    return bytes((*encoded, number))


_ORDER = part_tag(order_pb2.Completion, "order")
_RESULT = part_tag(order_pb2.Completion, "result")
