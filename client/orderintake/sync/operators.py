# Generated from orderintake/aio/operators.py. Do not edit: `make sync` makes it anew.

"""The calls of the synchronous client that are for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake import selections
from orderintake.fields import message
from orderintake.pages import Pages
from orderintake.sync.calls import Calls
from orderintake.v1.order_admin_service_pb2 import (
    GetQueueStatsRequest,
    ListOperatorActionsRequest,
    ListServersRequest,
    ListSubscribersRequest,
    ListWorkersRequest,
    PauseTierRequest,
    RedriveOrderRequest,
    ResumeTierRequest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Unpack

    from orderintake.selections import FailureFilters, WaitingFilters
    from orderintake.v1.order_admin_service_pb2 import (
        CancelOrdersResponse,
        FailedOrder,
        GetQueueStatsResponse,
        ListFailuresRequest,
        ListFailuresResponse,
        ListServersResponse,
        ListSubscribersResponse,
        ListWorkersResponse,
        OperatorAction,
        RedriveOrderResponse,
        RedriveOrdersResponse,
    )
    from orderintake.v1.order_admin_service_pb2_grpc import OrderAdminServiceStub
    from orderintake.v1.order_pb2 import Tier


class Operators(Calls):
    """A part of Client, which opens the connection."""

    def queue_stats(self) -> GetQueueStatsResponse:
        """Return the state of the queue, tier by tier. For operators."""
        return self._ask(self._admin().GetQueueStats, GetQueueStatsRequest())

    def pause_tier(self, tier: Tier.ValueType) -> None:
        """Let no order of a tier start, across restarts too, until it is resumed. For operators."""
        self._ask(self._admin().PauseTier, message(PauseTierRequest, tier=tier))

    def resume_tier(self, tier: Tier.ValueType) -> None:
        """Let a paused tier start again. For operators."""
        self._ask(self._admin().ResumeTier, message(ResumeTierRequest, tier=tier))

    def redrive(self, order_id: str) -> RedriveOrderResponse:
        """Place a copy of an order that failed, was cancelled or expired. For operators.

        The original and its completion stay as they are. A repeat gives the same copy.

        Raises:
            OrderNotFound: there is no such order.
            OrderNotRedrivable: it has not ended, or has succeeded.
        """
        request = message(RedriveOrderRequest, order_id=order_id)
        return self._ask(self._admin().RedriveOrder, request)

    def failures(
        self,
        *,
        include_redriven: bool = False,
        page_size: int = 0,
        **filters: Unpack[FailureFilters],
    ) -> Iterator[FailedOrder]:
        """Iterate over orders that failed and were not redriven, the newest first. For operators.

        All, or those that match; see FailureFilters. With `include_redriven` those too that were
        redriven, each with the order_id of its copy. A page of up to `page_size` (0: the server's
        100; at most 1000) is fetched when it is needed; what fails meanwhile does not come.

        Raises:
            ValueError: a value does not fit its field.
        """
        request = selections.list_failures(
            include_redriven=include_redriven, page_size=page_size, **filters
        )
        return self._failures(self._admin(), request)

    def _failures(
        self, stub: OrderAdminServiceStub, request: ListFailuresRequest
    ) -> Iterator[FailedOrder]:
        pages = Pages(request)
        while not pages.ended:
            page = self._ask(stub.ListFailures, pages.request)
            pages.received(page)
            yield from page.failures

    def first_failures(
        self,
        *,
        include_redriven: bool = False,
        page_size: int = 0,
        **filters: Unpack[FailureFilters],
    ) -> ListFailuresResponse:
        """Return the first page of `failures`, with `counts`: how many match, by code.

        They are counted among the newest 10,000; `counts_are_partial` says if there are more.
        For operators.
        """
        request = selections.list_failures(
            include_redriven=include_redriven, page_size=page_size, **filters
        )
        return self._ask(self._admin().ListFailures, request)

    def redrive_orders(
        self,
        *,
        all_failures: bool = False,
        max_orders: int = 0,
        request_id: str | None = None,
        page_token: str | None = None,
        **filters: Unpack[FailureFilters],
    ) -> RedriveOrdersResponse:
        """Place a copy of each failure that matches, the oldest first. For operators.

        At most 1000 in one call, all or none; see FailureFilters. `all_failures` says that no
        filter is meant. Go on with `next_page_token` as `page_token` until it is empty. A repeat
        with the same `request_id` (generated when absent) tells what the first call did.

        Raises:
            InvalidOrder: there is no filter, or a bad one; nothing was changed.
            OrderIntakeError: as `place_batch`; no copy was placed, or after Unavailable all may be.
        """
        request = selections.redrive_orders(
            all_failures=all_failures,
            max_orders=max_orders,
            request_id=request_id,
            page_token=page_token,
            **filters,
        )
        return self._ask(self._admin().RedriveOrders, request)

    def cancel_orders(
        self,
        *,
        all_waiting: bool = False,
        max_orders: int = 0,
        request_id: str | None = None,
        page_token: str | None = None,
        **filters: Unpack[WaitingFilters],
    ) -> CancelOrdersResponse:
        """Cancel each waiting order that matches, in the order of acceptance. For operators.

        At most 1000 in one call, all or none; see WaitingFilters. What starts meanwhile goes on.
        `all_waiting` says that no filter is meant. The rest is as with `redrive_orders`.

        Raises:
            InvalidOrder: there is no filter, or a bad one; nothing was changed.
        """
        request = selections.cancel_orders(
            all_waiting=all_waiting,
            max_orders=max_orders,
            request_id=request_id,
            page_token=page_token,
            **filters,
        )
        return self._ask(self._admin().CancelOrders, request)

    def servers(self) -> ListServersResponse:
        """Return the servers that use the store, and how it is doing. For operators."""
        return self._ask(self._admin().ListServers, ListServersRequest())

    def subscribers(self) -> ListSubscribersResponse:
        """Return the completion streams of the server that answers. For operators."""
        return self._ask(self._admin().ListSubscribers, ListSubscribersRequest())

    def workers(self) -> ListWorkersResponse:
        """Return who processes the orders, and which orders each has. For operators."""
        return self._ask(self._admin().ListWorkers, ListWorkersRequest())

    def operator_actions(
        self, *, order_id: str | None = None, page_size: int = 0
    ) -> Iterator[OperatorAction]:
        """Iterate over what operators did, the newest first: all, or to an order. For operators.

        Each pause, resume, redrive and cancel of another's order that changed something is there
        exactly once, and stays. A page of up to `page_size` (0: the server's 100; at most 1000) is
        fetched when it is needed; what is done meanwhile is not among what comes.

        Raises:
            OrderNotFound: raised by the iteration: no order of this server can have that order_id.
            ValueError: a value does not fit its field.
        """
        self._opened()
        request = message(ListOperatorActionsRequest, order_id=order_id or "", page_size=page_size)
        return self._operator_actions(self._admin_stub, request)

    def _operator_actions(
        self, stub: OrderAdminServiceStub, request: ListOperatorActionsRequest
    ) -> Iterator[OperatorAction]:
        pages = Pages(request)
        while not pages.ended:
            page = self._ask(stub.ListOperatorActions, pages.request)
            pages.received(page)
            yield from page.actions
