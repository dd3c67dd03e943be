"""The endpoint of each RPC: it reads the request, calls the intake, and builds the answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from orderintake.v1 import order_admin_service_pb2 as admin
from orderintake.v1 import order_intake_service_pb2 as api
from orderintake_server.api import requests, selections
from orderintake_server.api.list_names import list_name
from orderintake_server.api.placing import Placing
from orderintake_server.domain import Action
from orderintake_server.errors import Draining
from orderintake_server.logger import get_logger
from orderintake_server.rework import Section
from orderintake_server.views import Signal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from google.protobuf.message import Message

    from orderintake_server.api.access import Call
    from orderintake_server.api.decoding import ReadOrder
    from orderintake_server.api.refusals import OrderRefusals
    from orderintake_server.api.responses import Responses
    from orderintake_server.domain import Operator
    from orderintake_server.ids import Ids
    from orderintake_server.intake import Intake
    from orderintake_server.overview import Overview

log = get_logger()

TOLD_CHARACTERS = 500
"""Of a filter, which may hold a thousand order_ids, so many are told the log."""


class Endpoints:
    """The endpoints: each gets a message and its caller, and returns a message or a stream of them.

    What is built of encoded parts is returned encoded. They raise refusals as exceptions, which a
    transport turns into a status with `Refusals`.
    """

    def __init__(
        self,
        intake: Intake,
        overview: Overview,
        *,
        responses: Responses,
        ids: Ids,
        refusals: OrderRefusals,
    ) -> None:
        """Call `intake`, and `overview`."""
        self._intake = intake
        self._overview = overview
        self._responses = responses
        self._ids = ids
        self._refusals = refusals

    # OrderIntakeService

    async def place_order(self, request: api.PlaceOrderRequest, call: Call) -> bytes:
        """Accept one order; return its receipt, encoded."""
        call.check_orders((request,))
        new = requests.new_order(request, call.trace)
        call.about["customer_id"] = new.customer_id
        (receipt,) = await self._intake.place((new,))
        call.about["accept_sequence"] = receipt.order.accept_sequence
        return self._responses.receipt(receipt)

    async def batch_place_orders(self, request: api.BatchPlaceOrdersRequest, call: Call) -> bytes:
        """Accept several orders, all or none; return their receipts, encoded."""
        call.check_orders(request.requests)
        group = requests.new_orders(request, call.trace)
        customers = {new.customer_id for new in group}
        call.about.update(
            orders=len(group), customer_id=customers.pop() if len(customers) == 1 else None
        )
        return self._responses.receipts(await self._intake.place(group))

    def place_orders(
        self, messages: AsyncIterator[list[ReadOrder]], call: Call
    ) -> AsyncIterator[bytes]:
        """Accept the orders of these messages, each for itself; yield encoded responses."""
        placing = Placing(self._intake, call, self._responses, self._refusals)
        return placing.answers(messages)

    async def get_order(self, request: api.GetOrderRequest, call: Call) -> api.GetOrderResponse:
        """Return one order in its present state."""
        number = requests.accept_sequence(request, self._ids)
        call.about["accept_sequence"] = number
        status = await self._intake.get(number, owner=call.owner)
        call.about["customer_id"] = status.found.customer_id
        return self._responses.order_status(status)

    async def list_orders(
        self, request: api.ListOrdersRequest, call: Call
    ) -> api.ListOrdersResponse:
        """List a page of orders."""
        wanted, limit = requests.order_filter(request), requests.page_size(request)
        call.about["customer_id"] = wanted.customer_id
        name = list_name(request)
        after = self._ids.listed(request.page_token, name)
        orders, next_after = await self._intake.list_orders(
            wanted,
            owner=call.owner,
            after=after,
            limit=limit,
            newest_first=request.newest_first,
        )
        return self._responses.orders(orders, self._next(next_after, name))

    async def cancel_order(
        self, request: api.CancelOrderRequest, call: Call
    ) -> api.CancelOrderResponse:
        """Cancel one order."""
        number = requests.accept_sequence(request, self._ids)
        call.about["accept_sequence"] = number
        by = call.canceller()
        if by:
            _log(Action.CANCEL_ORDER, by, order_id=request.order_id)
        cancelled = await self._intake.cancel(number, owner=call.owner, by=by)
        call.about["customer_id"] = cancelled.stands.customer_id
        return self._responses.cancelled(cancelled)

    async def list_completions(
        self, request: api.ListCompletionsRequest, call: Call
    ) -> api.ListCompletionsResponse:
        """Read a page of the completion log."""
        wanted, limit = requests.completion_filter(request), requests.page_size(request)
        call.about["customer_id"] = wanted.customer_id
        start = requests.read_from(request.page_token, self._ids)
        page = await self._intake.page(wanted, owner=call.owner, start=start, limit=limit)
        return self._responses.page(page)

    async def stream_completions(
        self, request: api.StreamCompletionsRequest, call: Call
    ) -> AsyncIterator[bytes]:
        """Yield completions, each message encoded, until the caller leaves or the service stops."""
        asked = requests.subscribe(request, self._ids)
        asked = replace(asked, reader=call.reader(self._responses.now()))
        call.about["customer_id"] = asked.wanted.customer_id
        async with self._intake.subscribe(asked, owner=call.owner) as subscription:
            while True:
                delivery = await subscription.next()
                yield self._responses.delivery(delivery)
                if delivery.signal is Signal.GOING_AWAY:
                    raise Draining("the server is stopping; resume from the last cursor")

    # OrderAdminService

    async def get_queue_stats(
        self, _: admin.GetQueueStatsRequest, __: Call
    ) -> admin.GetQueueStatsResponse:
        """Return the state of the queue."""
        stats, oldest = await self._intake.stats()
        return admin.GetQueueStatsResponse(
            tiers=[
                self._responses.tier(tier, stats[tier], oldest=oldest.get(tier))
                for tier in sorted(stats, reverse=True)
            ],
            workers=self._intake.workers,
            head_sequence=self._intake.head,
            subscribers=self._intake.subscribers,
            stuck_attempts=self._intake.figures.stuck_attempts,
            loop_stalls=self._intake.figures.loop_stalls,
        )

    async def pause_tier(
        self, request: admin.PauseTierRequest, call: Call
    ) -> admin.PauseTierResponse:
        """Pause a tier."""
        tier, by = requests.tier(request), call.operator()
        _log(Action.PAUSE_TIER, by, tier=tier.name)
        await self._intake.pause(tier, is_paused=True, by=by)
        return admin.PauseTierResponse()

    async def resume_tier(
        self, request: admin.ResumeTierRequest, call: Call
    ) -> admin.ResumeTierResponse:
        """Resume a tier."""
        tier, by = requests.tier(request), call.operator()
        _log(Action.RESUME_TIER, by, tier=tier.name)
        await self._intake.pause(tier, is_paused=False, by=by)
        return admin.ResumeTierResponse()

    async def redrive_order(
        self, request: admin.RedriveOrderRequest, call: Call
    ) -> admin.RedriveOrderResponse:
        """Place a copy of an order that failed, was cancelled or expired."""
        number, by = requests.accept_sequence(request, self._ids), call.operator()
        call.about["accept_sequence"] = number
        _log(Action.REDRIVE_ORDER, by, order_id=request.order_id)
        receipt = await self._intake.rework.redrive(number, by=by, trace=call.trace, span=call.span)
        call.about["customer_id"] = receipt.order.customer_id
        return admin.RedriveOrderResponse(
            order=self._responses.order(receipt.order), replayed=receipt.replayed
        )

    async def list_operator_actions(
        self, request: admin.ListOperatorActionsRequest, call: Call
    ) -> admin.ListOperatorActionsResponse:
        """List a page of what operators did."""
        limit, before = requests.page_size(request), self._ids.action_before(request.page_token)
        number = requests.accept_sequence(request, self._ids) if request.order_id else None
        call.about["accept_sequence"] = number
        actions, goes_on = await self._intake.list_actions(number, before=before, limit=limit)
        return self._responses.actions(actions, goes_on=goes_on)

    async def list_failures(
        self, request: admin.ListFailuresRequest, call: Call
    ) -> admin.ListFailuresResponse:
        """List a page of failures; with the first one, count them by code."""
        wanted = selections.failures(request, self._ids)
        limit, name = requests.page_size(request), list_name(request)
        call.about["customer_id"] = wanted.customer_id
        after = self._ids.listed(request.page_token, name)
        rework = self._intake.rework
        failures, next_after = await rework.failures(wanted, after=after, limit=limit)
        counts = None if request.page_token else await rework.count_failures(wanted)
        return self._responses.failures(failures, self._next(next_after, name), counts)

    async def redrive_orders(
        self, request: admin.RedriveOrdersRequest, call: Call
    ) -> admin.RedriveOrdersResponse:
        """Place copies of many orders that failed."""
        by, name = call.operator(request.request_id), list_name(request)
        section = Section(*self._ids.section(request.page_token, name))
        bulk = selections.redrives(request, self._ids, by, section)
        _log(Action.REDRIVE_ORDER, by, many=_told(request.filter))
        done = await self._intake.rework.redrive_many(bulk, trace=call.trace)
        call.about.update(orders=done.orders, customer_id=bulk.wanted.customer_id)
        return admin.RedriveOrdersResponse(
            redriven=done.orders,
            replayed=done.is_replayed,
            next_page_token=self._rest(done.rest, name),
        )

    async def cancel_orders(
        self, request: admin.CancelOrdersRequest, call: Call
    ) -> admin.CancelOrdersResponse:
        """Cancel many orders that wait."""
        by, name = call.operator(request.request_id), list_name(request)
        section = Section(*self._ids.section(request.page_token, name))
        bulk = selections.cancels(request, by, section)
        _log(Action.CANCEL_ORDER, by, many=_told(request.filter))
        done = await self._intake.rework.cancel_many(bulk)
        call.about.update(orders=done.orders, customer_id=bulk.wanted.customer_id)
        return admin.CancelOrdersResponse(
            cancelled=done.orders,
            replayed=done.is_replayed,
            next_page_token=self._rest(done.rest, name),
        )

    def _next(self, after: int | None, name: bytes) -> str:
        """Return the token of the page after this place of a list, "" if there is none."""
        return "" if after is None else self._ids.page_token(after, name)

    def _rest(self, rest: Section | None, name: bytes) -> str:
        """Return the token of the rest of a list, "" if there is none."""
        return "" if rest is None else self._ids.section_token(*rest, name)

    async def list_servers(
        self, _: admin.ListServersRequest, __: Call
    ) -> admin.ListServersResponse:
        """List the servers that use the store, and tell how it is doing."""
        return self._responses.servers(await self._overview.servers())

    async def list_subscribers(
        self, _: admin.ListSubscribersRequest, __: Call
    ) -> admin.ListSubscribersResponse:
        """List the completion streams of this server."""
        return self._responses.subscribers(*self._overview.subscribers())


def _log(action: Action, by: Operator, **subject: str) -> None:
    """Tell the log what an operator asks for; whether it changed anything, its record tells."""
    log.info(
        "an operator asks", action=action.name, **subject,
        caller=by.name, credential=by.credential, peer=by.peer,
    )  # fmt: skip


def _told(wanted: Message) -> str:
    """Return a filter as one line for the log, as far as that is short."""
    return " ".join(str(wanted).split())[:TOLD_CHARACTERS] or "all"
