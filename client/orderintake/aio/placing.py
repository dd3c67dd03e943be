"""Orders placed one after the other without waiting, on a call that survives its connection."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import grpc

from orderintake import requests
from orderintake.access.headers import headers
from orderintake.errors import Unauthenticated, Unavailable, from_rpc
from orderintake.status import Status
from orderintake.streams.outbox import GOODBYE_SECONDS
from orderintake.v1.order_intake_service_pb2 import PlaceOrderResponse, PlaceOrdersResponse

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Unpack

    from grpc.aio import StreamStreamCall

    from orderintake.aio.bearer import AsyncBearer
    from orderintake.connections import Connections
    from orderintake.errors import OrderIntakeError
    from orderintake.requests import NewOrder
    from orderintake.streams.outbox import Outbox
    from orderintake.streams.placed import Result
    from orderintake.v1.order_intake_service_pb2 import PlaceOrderRequest, PlaceOrdersRequest
    from orderintake.v1.order_intake_service_pb2_grpc import OrderIntakeServiceAsyncStub

    _Call = StreamStreamCall[PlaceOrdersRequest, PlaceOrdersResponse]

Placed = asyncio.Future[PlaceOrderResponse]
"""The result of an order, once it is there: its receipt, or its error."""


class AsyncPlacing:
    """A block in which orders are placed without waiting for each other; any task may place.

    They are accepted in the order in which they were placed; one that the server refuses for now
    is repeated by itself, up to five attempts, and may come after later ones. When the connection
    is lost or the server restarts, what has no result is placed again with the same request_id, in
    the same order: each order is accepted once. The logger "orderintake" warns.

    Leaving the block waits for all results; leaving it by an exception does not. If for the
    client's `timeout` nothing comes of the orders that wait, all of them get Unavailable or
    DeadlineExceeded, and no further order is taken.
    """

    def __init__(
        self,
        connections: Connections[OrderIntakeServiceAsyncStub, Any],
        outbox: Outbox[Placed],
        bearer: AsyncBearer,
    ) -> None:
        """See AsyncClient.placing."""
        self._connections = connections
        self._outbox = outbox
        self._bearer = bearer
        self._shown: str | None = None
        self._call: _Call | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._more, self._fewer = asyncio.Event(), asyncio.Event()

    async def __aenter__(self) -> Self:
        """Wait until the server takes orders.

        Raises:
            TooManyStreams: the server has no room for another such call now.
            Unauthenticated, NotAllowed: the server does not know the caller, or does not let it.
            Unavailable: no server was reached in five attempts.
            DeadlineExceeded: the server did not answer within the client's `timeout`.
            RuntimeError: the block was entered before.
            Exception: the function that was given for tokens raised it.
        """
        self._outbox.begin()
        self._stub = self._connections.join(self)
        self._running = asyncio.create_task(self._run(), name="orderintake-placing")
        try:
            while not (self._outbox.established or self._outbox.ended):
                await self._wait(self._fewer)
        except BaseException:
            await self._end()
            raise
        if self._outbox.error is not None:
            await self._end()
            raise self._outbox.error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for all results, unless the block failed."""
        self._outbox.close()
        self._more.set()
        try:
            while kind is None and not self._outbox.is_over:
                await self._wait(self._fewer)
            if kind is None:
                await asyncio.wait({self._running}, timeout=GOODBYE_SECONDS)
        finally:
            await self._end()

    @property
    def error(self) -> Exception | None:
        """Why no further order is taken: what every order got that had no result; None if not."""
        return self._outbox.error

    async def place(self, **order: Unpack[NewOrder]) -> Placed:
        """Place an order and return the future of its receipt; wait only if too many have none.

        Example: `placed = await placing.place(customer_id="ada", lines={"tea": 2})`, and later
        `receipt = await placed`. See NewOrder. The future raises what AsyncClient.place raises.

        Raises:
            TypeError, ValueError: a value does not fit its field; nothing was sent.
            OrderIntakeError: placing has ended with this error.
        """
        return await self._add(requests.place_order(**order))

    async def place_message(self, order: PlaceOrderRequest) -> Placed:
        """Place an order that is a message already, and is not changed, as `place` does."""
        return await self._add(requests.with_request_id(order))

    async def _add(self, request: PlaceOrderRequest) -> Placed:
        while self._outbox.is_full:
            await self._wait(self._fewer)
        placed: Placed = asyncio.get_running_loop().create_future()
        self._outbox.add(request, placed)
        self._more.set()
        self._watch()
        return placed

    def close(self) -> None:
        """Leave at once, from any task: what has no result gets Unavailable."""
        closed = Status(code=grpc.StatusCode.CANCELLED, message="the block was left meanwhile")
        for result in self._outbox.fail(Unavailable(closed)):
            result.put()
            if not result.future.cancelled():
                result.future.exception()  # who has left need not look
        self._notify()
        if self._call is not None:
            self._call.cancel()
        self._connections.leave(self)

    async def _end(self) -> None:
        """Leave, and wait for what goes on in the background."""
        self.close()
        self._running.cancel()
        await asyncio.wait({self._running})
        if self._alarm is not None:
            self._alarm.cancel()

    async def _run(self) -> None:
        """Keep a call open while there is something to place on it."""
        try:
            while await self._has_work():
                await self._talk(await self._open())
        except Exception as error:  # noqa: BLE001 - of the function for tokens: who waits is told
            self._put(self._outbox.fail(error))

    async def _has_work(self) -> bool:
        """Wait until a call is needed; False once none will be."""
        while not (self._outbox.has_work or self._outbox.is_over):
            await self._wait(self._more)
        return self._outbox.has_work

    async def _open(self) -> _Call | None:
        """Open a call after the backoff; None if placing has ended meanwhile."""
        await asyncio.sleep(self._outbox.backoff)
        self._shown = await self._bearer.token()
        if self._outbox.ended:
            return None
        self._outbox.opened()
        self._call = self._stub.PlaceOrders(metadata=headers(self._shown))
        self._watch()
        return self._call

    async def _talk(self, call: _Call | None) -> None:
        """Send and receive on a call, if there is one, until it ends."""
        if call is None:
            return
        sending = asyncio.create_task(self._send(call), name="orderintake-placing-sends")
        try:
            while (response := await self._read(call)) is not None:
                self._put(self._outbox.received(response))
            self._put(self._outbox.lost())
        except grpc.RpcError as error:
            await self._come_back(from_rpc(error))
        finally:
            self._call = None
            call.cancel()
            sending.cancel()
            await asyncio.wait({sending})

    async def _read(self, call: _Call) -> PlaceOrdersResponse | None:
        """Read one response; None when the call ended, or was cancelled here."""
        try:
            response = await call.read()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return None
        return response if isinstance(response, PlaceOrdersResponse) else None  # else EOF

    async def _send(self, call: _Call) -> None:
        """Send what there is to send, and close this side of the call after the last of it."""
        with suppress(grpc.RpcError, asyncio.InvalidStateError):  # who reads is told of it too
            while not self._outbox.has_sent_all:
                self._more.clear()
                message = self._outbox.message()
                if message is not None:
                    await call.write(message)
                else:
                    await self._wait_to_send()
            await call.done_writing()

    async def _wait_to_send(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._outbox.held_seconds() or None):
                await self._more.wait()

    async def _come_back(self, error: OrderIntakeError) -> None:
        """Prepare to open the call again; with another token, if that is what it takes."""
        is_expired = isinstance(error, Unauthenticated) and self._bearer.may_renew(
            self._shown, error
        )
        if is_expired and self._outbox.goes_on_renewed():
            await self._bearer.renewed(self._shown)
        else:
            self._put(self._outbox.lost(error))

    def _put(self, results: Iterable[Result[Placed]]) -> None:
        for result in results:
            result.put()
        self._notify()

    def _notify(self) -> None:
        self._more.set()
        self._fewer.set()

    async def _wait(self, event: asyncio.Event) -> None:
        """Wait until something changes."""
        event.clear()
        await event.wait()

    def _watch(self) -> None:
        """See to it that a server that is silent for too long is noticed."""
        if self._alarm is None:
            self._look()

    def _look(self) -> None:
        left = self._outbox.seconds_left()
        self._alarm = None
        if left and not self._outbox.ended:
            self._alarm = asyncio.get_running_loop().call_later(left, self._look)
        elif left is not None and self._call is not None:
            self._call.cancel()
