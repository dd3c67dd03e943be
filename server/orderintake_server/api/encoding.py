"""Orders and completions as the contract's bytes, joined from what is encoded already."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from orderintake.v1 import order_pb2
from orderintake_server.domain import LONG_PAST
from orderintake_server.telemetry import traces

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from orderintake_server.domain import Order
    from orderintake_server.ids import Ids
    from orderintake_server.store.rows import CompletionRow

_ORDER = order_pb2.Completion.ORDER_FIELD_NUMBER
_RESULT = order_pb2.Completion.RESULT_FIELD_NUMBER
_SIZED = 2
"""The wire type of a field that begins with its length."""


class Encoder:
    """Encodes orders and completions, with the order ids and cursors of one store.

    In protobuf, to join bytes is to merge messages, and an order's content is encoded already: so
    it is not opened. Any thread may call this, several at the same time.
    """

    def __init__(self, ids: Ids) -> None:
        """Write ids and cursors with `ids`."""
        self._ids = ids
        self._last_standing: tuple[tuple[int, ...], bytes] = (), b""

    def order(self, order: Order | CompletionRow) -> bytes:
        """Return an Order: the fields that the caller set, and those that the service adds."""
        own = order_pb2.Order()
        own.accept_sequence = order.accept_sequence
        own.order_id = self._ids.order_id(order.accept_sequence)
        if order.start_sequence:
            own.start_sequence = order.start_sequence
        if not order.redrive_of:
            return order.content + self._standing(order) + own.SerializeToString()
        own.redrive_of = self._ids.order_id(order.redrive_of)
        return _without_times(order) + self._standing(order) + own.SerializeToString()

    def _standing(self, order: Order | CompletionRow) -> bytes:
        """Return how an order stands: the same for most orders that one commit accepts or ends."""
        standing = (
            *(order.state, order.attempt_count, order.accept_time, order.start_time),
            *(order.complete_time, order.not_before, order.expire_time),
        )
        known, encoded = self._last_standing
        if standing != known:
            encoded = _encoded_standing(order)
            self._last_standing = standing, encoded  # at once, for other threads read it
        return encoded

    def completion(self, row: CompletionRow) -> bytes:
        """Return a Completion."""
        own = order_pb2.Completion(sequence=row.sequence, cursor=self._ids.cursor(row.sequence))
        if row.failure_code is not None and (failure := row.failure):
            own.failure.code, own.failure.message = failure.code, failure.message
        if row.trace is not None:
            own.traceparent = traces.written(row.trace)
        encoded = embedded(_ORDER, self.order(row)) + own.SerializeToString()
        return encoded if row.result is None else encoded + embedded(_RESULT, row.result)


def _encoded_standing(order: Order | CompletionRow) -> bytes:
    standing = order_pb2.Order(
        state=order_pb2.State.ValueType(order.state), attempt_count=order.attempt_count
    )
    set_time(standing.accept_time, order.accept_time)
    if order.start_time:
        set_time(standing.start_time, order.start_time)
    if order.complete_time:
        set_time(standing.complete_time, order.complete_time)
    if order.not_before > LONG_PAST:  # else it is in the content
        set_time(standing.not_before, order.not_before)
    if order.expire_time > LONG_PAST:
        set_time(standing.expire_time, order.expire_time)
    return standing.SerializeToString()


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


def embedded(number: int, message: bytes) -> bytes:
    """Return a field that holds one message; the `number` of the field is 15 at the most."""
    return _head(number, len(message)) + message


@lru_cache(maxsize=4096)
def _head(number: int, size: int) -> bytes:
    """Return what stands before a field's message."""
    return bytes((number << 3 | _SIZED,)) + _length(size)


def _length(size: int) -> bytes:
    """Return a length as protobuf writes it: seven bits in a byte, the lowest first."""
    if size < 0x80:  # noqa: PLR2004 - it fits
        return bytes((size,))
    return bytes((size & 0x7F | 0x80,)) + _length(size >> 7)
