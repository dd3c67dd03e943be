# Generated from orderintake/aio/calls.py. Do not edit: `make sync` makes it anew.

"""Further calls of the synchronous client: cancel and list; and how a call is made."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from orderintake import requests
from orderintake.access.headers import headers
from orderintake.errors import Unauthenticated, translated
from orderintake.fields import message
from orderintake.pages import Pages
from orderintake.v1.order_intake_service_pb2 import CancelOrderRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc

    from orderintake.sync.bearer import Bearer
    from orderintake.v1.order_admin_service_pb2_grpc import OrderAdminServiceStub
    from orderintake.v1.order_intake_service_pb2 import (
        CancelOrderResponse,
        ListCompletionsRequest,
        ListOrdersRequest,
    )
    from orderintake.v1.order_intake_service_pb2_grpc import OrderIntakeServiceStub
    from orderintake.v1.order_pb2 import Completion, Order, State, Tier

_Request = TypeVar("_Request")
_Answer = TypeVar("_Answer")


class Calls:
    """A part of Client, which opens the connection."""

    _timeout: float
    _bearer: Bearer
    _stub: OrderIntakeServiceStub | None
    _admin_stub: OrderAdminServiceStub

    def cancel(self, order_id: str) -> CancelOrderResponse:
        """Cancel an order; its completion will match the outcome that is returned.

        CANCEL_OUTCOME_CANCELLED: it never starts. CANCEL_REQUESTED: it is being processed, and its
        handler is told. TOO_LATE: it had ended already, as its completion says.

        Raises:
            OrderNotFound: there is no such order.
        """
        request = message(CancelOrderRequest, order_id=order_id)
        return self._ask(self._opened().CancelOrder, request)

    def orders(
        self,
        *,
        customer_id: str | None = None,
        tier: Tier.ValueType | None = None,
        state: State.ValueType | None = None,
        newest_first: bool = False,
        page_size: int = 0,
    ) -> Iterator[Order]:
        """Iterate over orders, oldest first unless told otherwise: all, or those that match.

        A page of up to `page_size` (0: the server's 100; at most 1000) is fetched when it is
        needed. An order that exists when the first page is fetched comes exactly once, if it still
        matches.

        Raises:
            ValueError: a value does not fit its field.
        """
        request = requests.list_orders(
            customer_id=customer_id,
            tier=tier,
            state=state,
            newest_first=newest_first,
            page_size=page_size,
        )
        return self._orders(self._opened(), request)

    def _orders(self, stub: OrderIntakeServiceStub, request: ListOrdersRequest) -> Iterator[Order]:
        pages = Pages(request)
        while not pages.ended:
            page = self._ask(stub.ListOrders, pages.request)
            pages.received(page)
            yield from page.orders

    def list_completions(
        self,
        *,
        after: str | None = None,
        customer_id: str | None = None,
        tier: Tier.ValueType | None = None,
        page_size: int = 0,
    ) -> Iterator[Completion]:
        """Iterate over the completions so far, after a cursor or from the first; then end.

        All of them, or those that match; each has its own `cursor`. A page of up to `page_size`
        (0: the server's 100; at most 1000) is fetched when it is needed.

        Raises:
            CursorRejected: raised by the iteration: the server cannot go on from the cursor.
            ValueError: a value does not fit its field.
        """
        request = requests.list_completions(
            after=after, customer_id=customer_id, tier=tier, page_size=page_size
        )
        return self._list_completions(self._opened(), request)

    def _list_completions(
        self, stub: OrderIntakeServiceStub, request: ListCompletionsRequest
    ) -> Iterator[Completion]:
        pages = Pages(request)
        while not pages.ended:
            page = self._ask(stub.ListCompletions, pages.request)
            pages.received(page)
            yield from page.completions

    def _ask(
        self, method: grpc.UnaryUnaryMultiCallable[_Request, _Answer], request: _Request
    ) -> _Answer:
        """Make a call that has one answer; once more, if the token that it showed has expired."""
        until = time.monotonic() + self._timeout
        shown = self._bearer.token()
        try:
            return self._answer(method, request, shown, until)
        except Unauthenticated as error:
            if not self._bearer.may_renew(shown, error):
                raise
        shown = self._bearer.renewed(shown)
        return self._answer(method, request, shown, until)

    def _answer(
        self,
        method: grpc.UnaryUnaryMultiCallable[_Request, _Answer],
        request: _Request,
        shown: str | None,
        until: float,
    ) -> _Answer:
        left = max(0.0, until - time.monotonic())
        self._opened()
        with translated():
            return method(request, timeout=left, metadata=headers(shown))

    def _admin(self) -> OrderAdminServiceStub:
        self._opened()
        return self._admin_stub

    def _opened(self) -> OrderIntakeServiceStub:
        if self._stub is None:
            raise RuntimeError("a client is open inside its `with`, or after `open()`, only")
        return self._stub
