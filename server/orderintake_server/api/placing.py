"""One PlaceOrders call: its orders are accepted as they come, and each gets its one result."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing
from typing import TYPE_CHECKING

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake_server.api import requests
from orderintake_server.api.encoding import embedded
from orderintake_server.dispatch.requests.pending import OneOf
from orderintake_server.errors import Draining, InvalidOrder, Refusal
from orderintake_server.stream.ring import MESSAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orderintake_server.api.access import Call
    from orderintake_server.api.decoding import ReadOrder
    from orderintake_server.api.refusals import OrderRefusals
    from orderintake_server.api.responses import Responses
    from orderintake_server.domain import NewOrder
    from orderintake_server.intake import Intake

MAX_UNACKNOWLEDGED = 1_000
MAX_BYTES = requests.BATCH_BYTES
"""While so many orders of a call have no result, or so much of them, nothing more is read."""
LEAVE_SECONDS = 0.25
"""How long a caller that is told to go may take to close its side. A client of grpcio that writes
to a call that has ended is told INTERNAL in place of the reason (grpc#36066)."""
RECEIPT_BYTES = 1_024
"""More than a receipt has beside the order's content; for a refusal see `refusals.DETAIL_BYTES`."""
REFUSAL_BYTES = 8 * 1_024


_RESULTS = api.PlaceOrdersResponse.RESULTS_FIELD_NUMBER
_RECEIPT = api.PlaceOrdersResult.RECEIPT_FIELD_NUMBER
_REFUSAL = api.PlaceOrdersResult.REFUSAL_FIELD_NUMBER


class Placing:
    """The orders of one call: read ahead of their results, but no further than it may."""

    def __init__(
        self, intake: Intake, call: Call, responses: Responses, refusals: OrderRefusals
    ) -> None:
        """Place the orders of `call` with `intake`."""
        self._intake = intake
        self._call = call
        self._responses = responses
        self._refusals = refusals
        self._waiting: deque[OneOf | Exception] = deque()
        """The orders without a result; or why one was refused at once."""
        self._orders = self._index = self._refused = 0
        self._untold = self._untold_bytes = self._in_response = self._in_response_bytes = 0
        self._changed, self._told = asyncio.Event(), asyncio.Event()
        self._is_asking = self._is_over = self._is_stopped = False

    async def answers(self, messages: AsyncIterator[list[ReadOrder]]) -> AsyncIterator[bytes]:
        """Yield the responses to the call that sends these messages, each encoded.

        Raises what ends the call, after all results.
        """
        with self._intake.placing(self._stop):
            reading = asyncio.create_task(self._read(messages), name="placing-reads")
            try:
                yield _signal(api.SIGNAL_STARTED, max_unacknowledged=MAX_UNACKNOWLEDGED)
                while (response := await self._response()) is not None:
                    yield response
                if self._is_stopped and not reading.done():
                    yield _signal(api.SIGNAL_GOING_AWAY)
                    await asyncio.wait({reading}, timeout=LEAVE_SECONDS)
                    raise Draining("the server is stopping; repeat what has no receipt")
                await reading
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
                self._leave()

    def _stop(self) -> None:
        """Read no more: the service is stopping."""
        self._is_stopped = True
        self._changed.set()

    async def _read(self, messages: AsyncIterator[list[ReadOrder]]) -> None:
        """Request that the orders be accepted, in their order, until the caller closes its side."""
        try:
            async with aclosing(messages):  # type: ignore[type-var]
                async for orders in messages:
                    await self._ask(orders)
        finally:
            self._is_over, self._is_asking = True, False
            self._changed.set()

    async def _ask(self, orders: list[ReadOrder]) -> None:
        """Request that the orders of a message be accepted, once there is room for results.

        What comes after the call was told to end has no result.
        """
        if self._is_stopped:
            return
        self._is_asking = True
        while self._untold >= MAX_UNACKNOWLEDGED or self._untold_bytes >= MAX_BYTES:
            self._told.clear()
            await self._told.wait()
        self._untold += len(orders)
        asked = await self._intake.request_each([self._checked(order) for order in orders])
        self._orders += len(orders)
        self._untold_bytes += sum(map(_size, asked))
        self._waiting += asked
        self._is_asking = False
        self._changed.set()

    def _checked(self, order: ReadOrder) -> NewOrder | Exception:
        try:
            if isinstance(order, InvalidOrder):
                return order
            self._call.check_orders((order,))
            return requests.new_order(order, self._call.trace)
        except Refusal as refusal:
            return refusal

    async def _response(self) -> bytes | None:
        """Wait for results, and encode those that are there; None at the end.

        The caller has taken all responses before.
        """
        self._untold -= self._in_response
        self._untold_bytes -= self._in_response_bytes
        self._told.set()
        while not self._waiting:
            if self._is_over or (self._is_stopped and not self._is_asking):
                return None
            self._changed.clear()
            await self._changed.wait()
        first = self._waiting[0]
        if isinstance(first, OneOf) and not first.answer:
            await first.several.answered
        return self._encoded()

    def _encoded(self) -> bytes:
        """Encode the results that are there, in the order of their orders, up to a message full."""
        results: list[bytes] = []
        size = self._in_response = self._in_response_bytes = 0
        while self._waiting and _is_answered(asked := self._waiting[0]):
            own = _size(asked)
            size += own + RECEIPT_BYTES if own else REFUSAL_BYTES
            if size > MESSAGE_BYTES:
                break
            self._waiting.popleft()
            results.append(embedded(_RESULTS, self._result(asked)))
            self._in_response += 1
            self._in_response_bytes += own
        return b"".join(results)

    def _result(self, asked: OneOf | Exception) -> bytes:
        """Return an order's result, encoded: its receipt, or why it was refused."""
        told = self._intake.receipt(asked) if isinstance(asked, OneOf) else asked
        index = api.PlaceOrdersResult(index=self._index).SerializeToString()
        self._index += 1
        if not isinstance(told, Exception):
            return index + embedded(_RECEIPT, self._responses.receipt(told))
        self._refused += 1
        return index + embedded(_REFUSAL, self._refusals.of(told).SerializeToString())

    def _leave(self) -> None:
        """Await no answer any more: what was requested is accepted all the same."""
        self._call.about.update(orders=self._orders, refused=self._refused)


def _is_answered(asked: OneOf | Exception) -> bool:
    return isinstance(asked, Exception) or asked.answer is not None


def _size(asked: OneOf | Exception) -> int:
    """Return how large an order is that has no result; 0: it was refused at once."""
    return len(asked.item[0].content) if isinstance(asked, OneOf) else 0


def _signal(signal: api.Signal.ValueType, *, max_unacknowledged: int = 0) -> bytes:
    response = api.PlaceOrdersResponse(signal=signal, max_unacknowledged=max_unacknowledged)
    return response.SerializeToString()
