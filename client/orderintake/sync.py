"""The client for threads: the service's calls as plain methods, its completions as an iterator."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

import grpc

from orderintake import requests
from orderintake.channel import OPTIONS, TIMEOUT_SECONDS
from orderintake.errors import from_rpc, translated
from orderintake.subscription import Subscription
from orderintake.sync_calls import Calls
from orderintake.v1.order_admin_service_pb2_grpc import OrderAdminServiceStub
from orderintake.v1.order_intake_service_pb2 import GetOrderRequest
from orderintake.v1.order_intake_service_pb2_grpc import OrderIntakeServiceStub

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import Unpack

    from grpc import _CallIterator

    from orderintake.requests import NewOrder
    from orderintake.v1.order_intake_service_pb2 import (
        GetOrderResponse,
        PlaceOrderRequest,
        PlaceOrderResponse,
        StreamCompletionsResponse,
    )
    from orderintake.v1.order_pb2 import Completion


class Client(Calls):
    """A connection to the service, open inside its `with` block; threads may share it.

    Every method raises OrderIntakeError. A call that meets UNAVAILABLE is repeated by itself, five
    attempts over about three seconds or as the server asks, before it raises Unavailable.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout: float = TIMEOUT_SECONDS,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        """Name the server, as "host:port" or any other target of grpc; nothing is opened yet.

        `timeout` is in seconds, for a whole call with its retries. Without `credentials` the
        connection is plain text.
        """
        self._target = target
        self._timeout = timeout
        self._credentials = credentials
        self._stub: OrderIntakeServiceStub | None = None
        self._streams: set[Completions] = set()

    def __enter__(self) -> Self:
        """Open the connection; the server is first spoken to by the first call."""
        if self._credentials is None:
            self._channel = grpc.insecure_channel(self._target, OPTIONS)
        else:
            self._channel = grpc.secure_channel(self._target, self._credentials, OPTIONS)
        self._stub = OrderIntakeServiceStub(self._channel)
        self._admin_stub = OrderAdminServiceStub(self._channel)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every stream and call that is still open, and close the connection."""
        for stream in tuple(self._streams):
            stream.close()
        self._stub = None
        self._channel.close()

    def place(self, **order: Unpack[NewOrder]) -> PlaceOrderResponse:
        """Place one order and return its receipt: the order is stored, as `durability` says.

        Example: `client.place(customer_id="ada", lines={"tea": 2}, tier=VIP)`. See NewOrder.

        Raises:
            InvalidOrder: fields are bad, all named; nothing was stored.
            RequestIdReused: the request_id names an order with other content.
            CustomerQuota: the customer has placed as many as it may, for now; nothing was stored.
            Unavailable: not now; see there whether it may be stored nevertheless.
            DeadlineExceeded: no answer in time; it may be stored nevertheless.
            TypeError, ValueError: a value does not fit its field; nothing was sent.
        """
        request = requests.place_order(**order)
        with translated():
            return self._opened().PlaceOrder(request, timeout=self._timeout)

    def place_batch(
        self, orders: Iterable[NewOrder | PlaceOrderRequest]
    ) -> list[PlaceOrderResponse]:
        """Place 1 to 1000 orders, 3 MiB at the most, all or none; return receipts in their order.

        An order is a dict of `place`'s keywords or a PlaceOrderRequest, which stays as it is.

        Raises:
            OrderIntakeError: as `place`; a violation's field begins with the order's place, as in
                `requests[3].lines`.
        """
        request = requests.batch_place_orders(orders)
        with translated():
            batch = self._opened().BatchPlaceOrders(request, timeout=self._timeout)
        return list(batch.receipts)

    def get(self, order_id: str) -> GetOrderResponse:
        """Tell how an order stands, with its completion once it ended.

        Raises:
            OrderNotFound: there is no such order.
        """
        with translated():
            return self._opened().GetOrder(
                GetOrderRequest(order_id=order_id), timeout=self._timeout
            )

    def completions(
        self,
        *,
        after: str | None = None,
        from_latest: bool = False,
        max_batch_size: int = 0,
        heartbeat_interval: float | None = None,
    ) -> Completions:
        """Subscribe to completions: behind a cursor, from now on, or (neither) from the first.

        `max_batch_size` bounds what one message carries (0: the server's 100; at most 1000).
        `heartbeat_interval` is in seconds, from 1 to 60 (None: 5); after three of silence the
        stream is opened anew. Enter what is returned by `with`.

        Raises:
            ValueError: both `after` and `from_latest` are given, or a number does not fit.
        """
        request = requests.stream_completions(
            after=after,
            from_latest=from_latest,
            max_batch_size=max_batch_size,
            heartbeat_interval=heartbeat_interval,
        )
        subscription = Subscription(request, timeout=self._timeout)
        return Completions(self._opened(), subscription, self._streams)


class Completions:
    """Completions in the order of their sequence, without end: an iterator inside its block.

    A lost connection or a server that restarts goes unseen: the stream is resumed from its cursor,
    for as long as it takes, and each completion comes once; the logger "orderintake" tells of it.
    One thread iterates; any may close.
    """

    def __init__(
        self,
        stub: OrderIntakeServiceStub,
        subscription: Subscription,
        open_streams: set[Completions],
    ) -> None:
        """See Client.completions."""
        self._stub = stub
        self._subscription = subscription
        self._open_streams = open_streams
        self._call: _CallIterator[StreamCompletionsResponse] | None = None
        self._opening = threading.Lock()
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        """Wait until the subscription stands: from here on no completion can be missed.

        Raises:
            CursorRejected: the server cannot go on from the cursor.
            Unavailable: five attempts found no server.
            DeadlineExceeded: the server did not answer within the client's `timeout`.
            RuntimeError: it was entered before.
        """
        self._subscription.begin()
        self._open_streams.add(self)
        try:
            while not (self._subscription.stands or self._subscription.ended):
                self._advance()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the server's stream at once."""
        self.close()

    @property
    def cursor(self) -> str:
        """The place behind what was handed out: `after` it, nothing is repeated and nothing missed.

        It also moves when the server says that there was nothing to hand out.
        """
        return self._subscription.cursor

    def __iter__(self) -> Iterator[Completion]:
        """Return itself."""
        return self

    def __next__(self) -> Completion:
        """Wait for the next completion; the iteration ends only when the stream was closed.

        Raises:
            CompletionGap: the sequence has a hole or a repeat.
            CursorRejected: the server came back with another log, or an older one.
            OrderIntakeError: coming back is no use for another reason.
        """
        while not self._subscription.ended:
            completion = self._subscription.take()
            if completion is not None:
                return completion
            self._advance()
        raise StopIteration

    def close(self) -> None:
        """End the stream, from any thread; an iterator that waits ends too."""
        with self._opening:
            self._subscription.end()
            self._closed.set()
            if self._call is not None:
                self._call.cancel()
        self._open_streams.discard(self)

    def _advance(self) -> None:
        """Wait for one message of the stream, opened first if need be, or for its loss."""
        call = self._call or self._open()
        if call is None:
            return
        try:
            response = self._read(call)
        except grpc.RpcError as error:
            self._call = None
            self._subscription.lost(from_rpc(error))
        else:
            self._call = call if response else None
            self._subscription.received(response)

    def _open(self) -> _CallIterator[StreamCompletionsResponse] | None:
        """Open a stream when it is time; None if the subscription was closed meanwhile."""
        self._closed.wait(self._subscription.pause)
        with self._opening:
            if not self._subscription.ended:
                self._call = self._stub.StreamCompletions(self._subscription.request())
        return self._call

    def _read(
        self, call: _CallIterator[StreamCompletionsResponse]
    ) -> StreamCompletionsResponse | None:
        """Read one message; silence for too long cancels the call, which makes grpc raise.

        A read that is interrupted, as by Ctrl-C, takes its call with it; the next one resumes.
        """
        alarm = threading.Timer(self._subscription.patience(), call.cancel)
        alarm.daemon = True  # if Ctrl-C comes while it starts, nobody is to wait for it
        try:
            alarm.start()
            return next(call, None)
        except BaseException:
            call.cancel()
            raise
        finally:
            alarm.cancel()
