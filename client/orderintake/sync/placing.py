"""Orders placed one after the other without waiting, on a call that survives its connection."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import grpc

from orderintake import requests
from orderintake.access.headers import headers
from orderintake.errors import Unauthenticated, Unavailable, from_rpc
from orderintake.status import Status
from orderintake.streams.outbox import GOODBYE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Unpack

    from grpc import _CallIterator

    from orderintake.connections import Connections
    from orderintake.errors import OrderIntakeError
    from orderintake.requests import NewOrder
    from orderintake.streams.outbox import Outbox
    from orderintake.streams.placed import Result
    from orderintake.sync.bearer import Bearer
    from orderintake.v1.order_intake_service_pb2 import (
        PlaceOrderRequest,
        PlaceOrderResponse,
        PlaceOrdersRequest,
        PlaceOrdersResponse,
    )
    from orderintake.v1.order_intake_service_pb2_grpc import OrderIntakeServiceStub

    _Call = _CallIterator[PlaceOrdersResponse]
    Placed = Future[PlaceOrderResponse]
    """The result of an order, once it is there: its receipt, or its error."""


class Placing:
    """A block in which orders are placed without waiting for each other; any thread may place.

    They are accepted in the order in which they were placed; one that the server refuses for now
    is repeated by itself, up to five attempts, and may come after later ones. When the connection
    is lost or the server restarts, what has no result is placed again with the same request_id, in
    the same order: each order is accepted once. The logger "orderintake" warns.

    Leaving the block waits for all results; leaving it by an exception does not. If for the
    client's `timeout` nothing comes of the orders that wait, all of them get Unavailable or
    DeadlineExceeded, and no further order is taken.

    A thread of its own receives the results; what is called when a future is done runs there, and
    must not place.
    """

    def __init__(
        self,
        connections: Connections[OrderIntakeServiceStub, Any],
        outbox: Outbox[Placed],
        bearer: Bearer,
    ) -> None:
        """See Client.placing."""
        self._connections = connections
        self._outbox = outbox
        self._bearer = bearer
        self._shown: str | None = None
        self._call: _Call | None = None
        self._alarm: threading.Timer | None = None
        self._is_silent = False
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
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
        self._running = threading.Thread(target=self._run, name="orderintake-placing", daemon=True)
        self._running.start()
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._outbox.established or self._outbox.ended)
        except BaseException:
            self._end()
            raise
        if self._outbox.error is not None:
            self._end()
            raise self._outbox.error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for all results, unless the block failed."""
        try:
            with self._changed:
                self._outbox.close()
                self._changed.notify_all()
                if kind is None:
                    self._changed.wait_for(lambda: self._outbox.is_over)
            if kind is None:
                self._running.join(GOODBYE_SECONDS)
        finally:
            self._end()

    @property
    def error(self) -> Exception | None:
        """Why no further order is taken: what every order got that had no result; None if not."""
        return self._outbox.error

    def place(self, **order: Unpack[NewOrder]) -> Placed:
        """Place an order and return the future of its receipt; wait only if too many have none.

        Example: `placed = placing.place(customer_id="ada", lines={"tea": 2})`, and later
        `receipt = placed.result()`. See NewOrder. The future raises what Client.place raises.

        Raises:
            TypeError, ValueError: a value does not fit its field; nothing was sent.
            OrderIntakeError: placing has ended with this error.
        """
        return self._add(requests.place_order(**order))

    def place_message(self, order: PlaceOrderRequest) -> Placed:
        """Place an order that is a message already, and is not changed, as `place` does."""
        return self._add(requests.with_request_id(order))

    def _add(self, request: PlaceOrderRequest) -> Placed:
        placed: Placed = Future()
        placed.set_running_or_notify_cancel()  # what was placed is not cancelled by its future
        with self._changed:
            self._changed.wait_for(lambda: not self._outbox.is_full)
            self._outbox.add(request, placed)
            self._changed.notify_all()
            self._watch()
        return placed

    def close(self) -> None:
        """Leave at once, from any thread: what has no result gets Unavailable."""
        closed = Status(code=grpc.StatusCode.CANCELLED, message="the block was left meanwhile")
        with self._changed:
            if self._call is not None:
                self._call.cancel()
        self._settle(partial(self._outbox.fail, Unavailable(closed)))
        self._connections.leave(self)

    def _end(self) -> None:
        """Leave, and wait for what goes on in the background."""
        self.close()
        self._running.join(GOODBYE_SECONDS)  # longer only if the function for tokens hangs
        with self._changed:
            if self._alarm is not None:
                self._alarm.cancel()

    def _run(self) -> None:
        """Keep a call open while there is something to place on it."""
        try:
            while self._has_work():
                self._talk(self._open())
        except Exception as error:  # noqa: BLE001 - of the function for tokens: who waits is told
            self._settle(partial(self._outbox.fail, error))

    def _has_work(self) -> bool:
        """Wait until a call is needed, and for the backoff; False once none will be."""
        with self._changed:
            self._changed.wait_for(lambda: self._outbox.has_work or self._outbox.is_over)
            self._changed.wait_for(lambda: self._outbox.ended, self._outbox.backoff)
            return self._outbox.has_work

    def _open(self) -> _Call | None:
        """Open a call; None if placing has ended meanwhile."""
        self._shown = self._bearer.token()
        with self._changed:
            if self._outbox.ended:
                return None
            self._outbox.opened()
            self._is_silent = False
            self._sending = _Sending(self._outbox, self._changed)
            self._call = self._stub.PlaceOrders(self._sending, metadata=headers(self._shown))
            self._watch()
            return self._call

    def _talk(self, call: _Call | None) -> None:
        """Receive on a call, if there is one, until it ends."""
        if call is None:
            return
        try:
            for response in call:
                self._settle(partial(self._outbox.received, response))
            self._settle(self._outbox.lost)
        except grpc.RpcError as error:
            self._come_back(None if self._is_silent else from_rpc(error))
        finally:
            with self._changed:
                self._call = None
                self._sending.end()
            call.cancel()

    def _come_back(self, error: OrderIntakeError | None) -> None:
        """Prepare to open the call again; with another token, if that is what it takes."""
        is_expired = isinstance(error, Unauthenticated) and self._bearer.may_renew(
            self._shown, error
        )
        if is_expired and self._outbox.goes_on_renewed():
            self._bearer.renewed(self._shown)
        else:
            self._settle(partial(self._outbox.lost, error))

    def _settle(self, change: Callable[[], list[Result[Placed]]]) -> None:
        """Change the outbox, and put the results that come of it."""
        with self._changed:
            results = change()
            self._changed.notify_all()
        for result in results:
            result.put()

    def _watch(self) -> None:
        """See to it that a server that is silent for too long is noticed."""
        if self._alarm is None:
            self._look()

    def _look(self) -> None:
        with self._changed:
            left = self._outbox.seconds_left()
            self._alarm = None
            if left and not self._outbox.ended:
                self._alarm = threading.Timer(left, self._look)
                self._alarm.daemon = True
                self._alarm.start()
            elif left is not None and self._call is not None:
                self._is_silent = True
                self._call.cancel()


class _Sending:
    """What is sent on one call: gRPC takes it, in a thread of its own."""

    def __init__(self, outbox: Outbox[Placed], changed: threading.Condition) -> None:
        """Send what `outbox` gives, whenever it is `changed`."""
        self._outbox = outbox
        self._changed = changed
        self._is_over = False

    def __iter__(self) -> Iterator[PlaceOrdersRequest]:
        """Return itself."""
        return self

    def __next__(self) -> PlaceOrdersRequest:
        """Wait for what to send; stop after the last of it, or when the call has ended."""
        with self._changed:
            while not (self._is_over or self._outbox.has_sent_all):
                message = self._outbox.message()
                if message is not None:
                    return message
                self._changed.wait(self._outbox.held_seconds() or None)
        raise StopIteration

    def end(self) -> None:
        """Send nothing more; the caller holds the lock of `changed`."""
        self._is_over = True
        self._changed.notify_all()
