"""Further calls of the asynchronous client: cancel and list; and how a call is made."""

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
    from collections.abc import AsyncIterator

    import grpc

    from orderintake.aio.bearer import AsyncBearer
    from orderintake.v1.order_admin_service_pb2_grpc import OrderAdminServiceAsyncStub
    from orderintake.v1.order_intake_service_pb2 import (
        CancelOrderResponse,
        ListCompletionsRequest,
        ListOrdersRequest,
    )
    from orderintake.v1.order_intake_service_pb2_grpc import OrderIntakeServiceAsyncStub
    from orderintake.v1.order_pb2 import Completion, Order, State, Tier

_Request = TypeVar("_Request")
_Answer = TypeVar("_Answer")


class AsyncCalls:
    """A part of AsyncClient, which opens the connection."""

    _timeout: float
    _bearer: AsyncBearer
    _stub: OrderIntakeServiceAsyncStub | None
    _admin_stub: OrderAdminServiceAsyncStub

    async def cancel(self, order_id: str) -> CancelOrderResponse:
        """Cancel an order; its completion will match the outcome that is returned.

        CANCEL_OUTCOME_CANCELLED: it never starts. CANCEL_REQUESTED: it is being processed, and its
        handler is told. TOO_LATE: it had ended already, as its completion says.

        Raises:
            OrderNotFound: there is no such order.
        """
        request = message(CancelOrderRequest, order_id=order_id)
        return await self._ask(self._opened().CancelOrder, request)

    def orders(
        self,
        *,
        customer_id: str | None = None,
        tier: Tier.ValueType | None = None,
        state: State.ValueType | None = None,
        newest_first: bool = False,
        page_size: int = 0,
    ) -> AsyncIterator[Order]:
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

    async def _orders(
        self, stub: OrderIntakeServiceAsyncStub, request: ListOrdersRequest
    ) -> AsyncIterator[Order]:
        pages = Pages(request)
        while not pages.ended:
            page = await self._ask(stub.ListOrders, pages.request)
            pages.received(page)
            for order in page.orders:
                yield order

    def list_completions(
        self,
        *,
        after: str | None = None,
        customer_id: str | None = None,
        tier: Tier.ValueType | None = None,
        page_size: int = 0,
    ) -> AsyncIterator[Completion]:
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

    async def _list_completions(
        self, stub: OrderIntakeServiceAsyncStub, request: ListCompletionsRequest
    ) -> AsyncIterator[Completion]:
        pages = Pages(request)
        while not pages.ended:
            page = await self._ask(stub.ListCompletions, pages.request)
            pages.received(page)
            for completion in page.completions:
                yield completion

    async def _ask(
        self, method: grpc.aio.UnaryUnaryMultiCallable[_Request, _Answer], request: _Request
    ) -> _Answer:
        """Make a call that has one answer; once more, if the token that it showed has expired."""
        until = time.monotonic() + self._timeout
        shown = await self._bearer.token()
        try:
            return await self._answer(method, request, shown, until)
        except Unauthenticated as error:
            if not self._bearer.may_renew(shown, error):
                raise
        shown = await self._bearer.renewed(shown)
        return await self._answer(method, request, shown, until)

    async def _answer(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[_Request, _Answer],
        request: _Request,
        shown: str | None,
        until: float,
    ) -> _Answer:
        left = max(0.0, until - time.monotonic())
        self._opened()
        with translated():
            return await method(request, timeout=left, metadata=headers(shown))

    def _admin(self) -> OrderAdminServiceAsyncStub:
        self._opened()
        return self._admin_stub

    def _opened(self) -> OrderIntakeServiceAsyncStub:
        if self._stub is None:
            raise RuntimeError("a client is open inside its `async with`, or after `open()`, only")
        return self._stub
