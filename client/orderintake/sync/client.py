# Generated from orderintake/aio/client.py. Do not edit: `make sync` makes it anew.

"""The client for threads: the service's calls as plain methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import grpc

from orderintake import requests
from orderintake.access.identity import Identity
from orderintake.access.local import check_safe
from orderintake.access.tls import tls
from orderintake.channel import TIMEOUT_SECONDS, checked_target, further_options, options
from orderintake.connections import Connections
from orderintake.fields import message
from orderintake.streams.outbox import Outbox
from orderintake.streams.subscription import Subscription
from orderintake.sync.bearer import Bearer
from orderintake.sync.completions import Completions
from orderintake.sync.operators import Operators
from orderintake.sync.placing import Placing
from orderintake.times import seconds
from orderintake.v1.order_admin_service_pb2_grpc import OrderAdminServiceStub
from orderintake.v1.order_intake_service_pb2 import GetOrderRequest
from orderintake.v1.order_intake_service_pb2_grpc import OrderIntakeServiceStub

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Unpack

    from orderintake.access.identity import Token
    from orderintake.access.tls import Pem
    from orderintake.channel import Options
    from orderintake.checkpoint import Checkpoint
    from orderintake.requests import NewOrder
    from orderintake.v1.order_intake_service_pb2 import (
        GetOrderResponse,
        PlaceOrderRequest,
        PlaceOrderResponse,
    )
    from orderintake.v1.order_pb2 import Tier


class Client(Operators):
    """A connection to the service, open inside its `with` block; threads may share it.

    Where no block fits, `client.open()` and `client.close()` do the same.

    Every method raises OrderIntakeError. A call that meets UNAVAILABLE, or CANCELLED though nobody
    here cancelled it, is repeated by itself, five attempts over about three seconds or as the
    server asks, before it raises Unavailable.
    """

    def __init__(  # noqa: PLR0913 - each is given by name
        self,
        target: str,
        *,
        timeout: float = TIMEOUT_SECONDS,
        credentials: grpc.ChannelCredentials | None = None,
        api_key: str | None = None,
        token: Token | None = None,
        ca: Pem | None = None,
        cert: Pem | None = None,
        key: Pem | None = None,
    ) -> None:
        """Name the server, as "host:port" or any other target of grpc; nothing is opened yet.

        A target that begins with `dns:///` may stand for many servers, which share the calls.
        `timeout` is in seconds, for a whole call with its retries.

        The connection is encrypted with `ca`, whose servers are trusted; with `cert` and `key`, the
        client's own certificate; or with gRPC's own `credentials`. Each of the first three is a
        path, read by `open`, or PEM as bytes. Without any the connection is plain text.

        Each call shows `api_key`, or `token`. That may be a function that returns one: it is asked
        before the first call, and again when the server says that the token has expired. The call
        is then repeated once, a stream goes on after its cursor.
        It is called in the thread that makes the call.
        One at a time asks, for all; `timeout` does not end it. What it raises is raised by the
        call.

        Raises:
            TypeError, ValueError: the target is none, or has no port; the timeout is no length;
                options contradict each other; a key or token would go to another machine in plain
                text.
        """
        self._tls = tls(credentials, ca, cert, key)
        self._target = checked_target(target, needs_port=self._tls is None)
        self._timeout = seconds("timeout", timeout)
        self._identity = Identity(api_key=api_key, token=token)
        check_safe(target, is_encrypted=self.is_encrypted, has_secret=self._identity.is_given)
        self._credentials: grpc.ChannelCredentials | None = None
        self._stub = None
        self._channels: list[grpc.Channel] = []

    @property
    def target(self) -> str:
        """Where it connects, as it was told."""
        return self._target

    @property
    def is_encrypted(self) -> bool:
        """Whether it speaks TLS, or what else its credentials say."""
        return self._tls is not None

    def __enter__(self) -> Self:
        """Open the connection, as `open` does."""
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection, as `close` does."""
        self.close()

    def open(self) -> Self:
        """Open the connection and return the client; nothing is sent before the first call.

        A client that is open stays as it is; one that was closed is opened anew.

        Raises:
            OSError: a file cannot be read.
            ValueError: a file is no PEM, or certificate and key do not belong together.
        """
        if self._stub is not None:
            return self
        credentials = self._tls.read() if self._tls else None
        if self._stub is None:  # nobody else opened it meanwhile
            self._credentials = credentials
            self._begin()
        return self

    def _begin(self) -> None:
        self._bearer = Bearer(self._identity)
        channel = self._connect(options(self._target))
        self._stub = OrderIntakeServiceStub(channel)
        self._admin_stub = OrderAdminServiceStub(channel)
        self._connections: Connections[Any, Completions | Placing]
        self._connections = Connections(self._stub, self._further)

    def _connect(self, chosen: Options) -> grpc.Channel:
        if self._credentials is None:
            channel = grpc.insecure_channel(self._target, chosen)
        else:
            channel = grpc.secure_channel(self._target, self._credentials, chosen)
        self._channels.append(channel)
        return channel

    def _further(self) -> Any:  # noqa: ANN401 - the stub, whose type has another name here
        """Open one more connection, for more streams than one has."""
        return OrderIntakeServiceStub(self._connect(further_options(self._target)))

    def close(self) -> None:
        """End every stream and call that is still open, and close what connections are open."""
        if self._stub is None:
            return
        for stream in self._connections.streams():
            stream.close()
        self._stub = None
        while self._channels:
            self._channels.pop().close()

    def place(self, **order: Unpack[NewOrder]) -> PlaceOrderResponse:
        """Place one order and return its receipt: the order is stored, as `durability` says.

        Example: `client.place(customer_id="ada", lines={"tea": 2}, tier=VIP)`. See NewOrder.

        Raises:
            InvalidOrder: fields are bad, all named; nothing was stored.
            RequestIdReused: the request_id names an order with other content.
            CustomerQuota: the customer has placed as many as it may for now; nothing was stored.
            Unavailable: not now; see there whether the order may be stored all the same.
            DeadlineExceeded: no answer in time; the order may be stored all the same.
            TypeError, ValueError: a value does not fit its field; nothing was sent.
        """
        request = requests.place_order(**order)
        return self._ask(self._opened().PlaceOrder, request)

    def place_batch(
        self, orders: Iterable[NewOrder | PlaceOrderRequest]
    ) -> list[PlaceOrderResponse]:
        """Place 1 to 1000 orders, 3 MiB at the most, all or none; return receipts in their order.

        An order is a dict of `place`'s keywords, or a PlaceOrderRequest, which is not changed.

        Raises:
            OrderIntakeError: as `place`; a violation's field begins with the order's index, as in
                `requests[3].lines`.
        """
        request = requests.batch_place_orders(orders)
        batch = self._ask(self._opened().BatchPlaceOrders, request)
        return list(batch.receipts)

    def placing(self) -> Placing:
        """Give a block in which orders are placed one after the other, without waiting for each.

        For many orders: each costs the server a fraction of what `place` does. See Placing.
        Enter what is returned by `with`.
        """
        self._opened()
        return Placing(self._connections, Outbox(timeout=self._timeout), self._bearer)

    def get(
        self, order_id: str | None = None, *, accept_sequence: int | None = None
    ) -> GetOrderResponse:
        """Return an order as it is now, with its completion once it has ended.

        It is named by its order_id, or by its accept_sequence.

        Raises:
            OrderNotFound: there is no such order.
        """
        request = message(GetOrderRequest, order_id=order_id, accept_sequence=accept_sequence)
        return self._ask(self._opened().GetOrder, request)

    def completions(  # noqa: PLR0913 - each is given by name
        self,
        *,
        after: str | None = None,
        from_latest: bool = False,
        customer_id: str | None = None,
        tier: Tier.ValueType | None = None,
        checkpoint: Checkpoint | None = None,
        max_batch_size: int = 0,
        heartbeat_interval: float | None = None,
    ) -> Completions:
        """Subscribe to completions: after a cursor, from now on, or else from the first.

        All of them, or those of a customer or a tier. `max_batch_size` limits what one message
        carries (0: the server's 100; at most 1000). `heartbeat_interval` is in seconds, from 1 to
        60 (None: 5); after two intervals of silence the stream is opened again. A `checkpoint`
        keeps the cursor after what was handled; once it has one, that is used instead of `after`
        and `from_latest`. See Completions. Enter what is returned by `with`.

        Raises:
            ValueError: both `after` and `from_latest` are given, or a number does not fit.
        """
        request = requests.stream_completions(
            after=after,
            from_latest=from_latest,
            customer_id=customer_id,
            tier=tier,
            max_batch_size=max_batch_size,
            heartbeat_interval=heartbeat_interval,
        )
        self._opened()
        subscription = Subscription(request, timeout=self._timeout)
        return Completions(self._connections, subscription, checkpoint, self._bearer)
