"""One PlaceOrders call: its orders are accepted as they come, and each gets its one result."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orderintake.v1 import order_intake_service_pb2 as api
from orderintake_server.api import requests
from orderintake_server.errors import Draining, InvalidOrder, Refusal, StoreError
from orderintake_server.stream.ring import MESSAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from orderintake_server.api.access import Call
    from orderintake_server.api.decoding import ReadOrder
    from orderintake_server.api.refusals import OrderRefusals
    from orderintake_server.api.responses import Responses
    from orderintake_server.intake import Intake, Requested

MAX_UNACKNOWLEDGED = 1_000
MAX_BYTES = requests.BATCH_BYTES
"""While so many orders of a call have no result, or so much of them, nothing more is read."""
LEAVE_SECONDS = 0.25
"""How long a caller that is told to go may take to close its side. A client of grpcio that writes
to a call that has ended is told INTERNAL in place of the reason (grpc#36066)."""
RECEIPT_BYTES = 1_024
"""More than a receipt has beside the order's content; for a refusal see `refusals.DETAIL_BYTES`."""
REFUSAL_BYTES = 8 * 1_024


@dataclass(slots=True)
class _Waiting:
    """An order of the call without a result, in which it is number `index`, and its size."""

    index: int
    size: int
    requested: Requested | None
    error: Exception | None = None
    """With which it was refused at once."""

    @property
    def is_answered(self) -> bool:
        return self.requested is None or self.requested.answer.done()


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
        self._waiting: deque[_Waiting] = deque()
        self._index = self._untold = self._untold_bytes = self._refused = 0
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
                while answered := await self._next():
                    for response in self._responded(answered):
                        yield response
                    self._tell(answered)
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
                    if not self._is_stopped:
                        await self._ask(orders)
        finally:
            self._is_over, self._is_asking = True, False
            self._changed.set()

    async def _ask(self, orders: list[ReadOrder]) -> None:
        """Request that the orders of a message be accepted, once there is room for results."""
        self._is_asking = True
        while self._untold >= MAX_UNACKNOWLEDGED or self._untold_bytes >= MAX_BYTES:
            self._told.clear()
            await self._told.wait()
        self._untold += len(orders)
        for order in orders:
            waiting = await self._requested(order)
            self._waiting.append(waiting)
            self._index += 1
            self._untold_bytes += waiting.size
        self._is_asking = False
        self._changed.set()

    async def _requested(self, order: ReadOrder) -> _Waiting:
        try:
            if isinstance(order, InvalidOrder):
                raise order
            self._call.check_order(order)
            new = requests.new_order(order, self._call.trace)
            requested = await self._intake.request((new,))
        except (Refusal, StoreError) as error:
            return _Waiting(self._index, 0, None, error)
        return _Waiting(self._index, len(new.content), requested)

    async def _next(self) -> list[_Waiting]:
        """Wait for answers; return all there are, in the order of their orders; none at the end."""
        while not self._waiting:
            if self._is_over or (self._is_stopped and not self._is_asking):
                return []
            self._changed.clear()
            await self._changed.wait()
        first = self._waiting[0].requested
        if first is not None:
            await asyncio.wait({first.answer})
        answered = []
        while self._waiting and self._waiting[0].is_answered:
            answered.append(self._waiting.popleft())
        return answered

    def _responded(self, answered: Iterable[_Waiting]) -> Iterator[bytes]:
        """Encode the results of these orders, in as few messages as may hold them."""
        response, size = api.PlaceOrdersResponse(), 0
        for waiting in answered:
            most = waiting.size + RECEIPT_BYTES if waiting.requested else REFUSAL_BYTES
            if size + most > MESSAGE_BYTES:
                yield response.SerializeToString()
                response, size = api.PlaceOrdersResponse(), 0
            size += most
            self._fill(response.results.add(index=waiting.index), waiting)
        yield response.SerializeToString()

    def _fill(self, result: api.PlaceOrdersResult, waiting: _Waiting) -> None:
        """Write an order's receipt, or why it was refused."""
        requested = waiting.requested
        error = waiting.error if requested is None else requested.answer.exception()
        if requested is not None and error is None:
            (receipt,) = self._intake.receipts(requested)
            result.receipt.MergeFrom(self._responses.receipt(receipt))
        elif error is not None:
            self._refused += 1
            result.refusal.MergeFromString(self._refusals.of(error).SerializeToString())

    def _tell(self, answered: list[_Waiting]) -> None:
        """Note that the caller has these results."""
        self._untold -= len(answered)
        self._untold_bytes -= sum(waiting.size for waiting in answered)
        self._told.set()

    def _leave(self) -> None:
        """Await no answer any more: what was requested is accepted all the same."""
        for waiting in self._waiting:
            if waiting.requested:
                waiting.requested.answer.cancel()
        self._call.about(orders=self._index, refused=self._refused)


def _signal(signal: api.Signal.ValueType, *, max_unacknowledged: int = 0) -> bytes:
    response = api.PlaceOrdersResponse(signal=signal, max_unacknowledged=max_unacknowledged)
    return response.SerializeToString()
