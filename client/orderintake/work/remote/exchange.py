"""Where a worker's orders come from: calls merged, numbered, and repeated until answered."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from orderintake.errors import OrderIntakeError
from orderintake.v1.order_work_service_pb2 import OUTCOME_RESULT_LEASE_LOST, WORK_SIGNAL_GOING_AWAY
from orderintake.work.attempt import StopSignal
from orderintake.work.remote import messages
from orderintake.work.remote.repeats import NoToken, Repeats, is_bad

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orderintake.v1 import order_work_service_pb2 as api
    from orderintake.work.outcome import Outcome
    from orderintake.work.remote.book import Book, Call
    from orderintake.work.runner import Leased

    Ask = Callable[[api.LeaseOrdersRequest, float], Awaitable[api.LeaseOrdersResponse]]
    Slot = asyncio.Future[Leased]

ANSWER_SECONDS = 10.0
"""How long an answer may take, beside the wait for an order; then the call is repeated."""

_log = logging.getLogger(__name__)


class RemoteExchange:
    """The Exchange of a runner over LeaseOrders; it belongs to the event loop that runs."""

    def __init__(self, book: Book[Slot], ask: Ask, resources: Any = None) -> None:  # noqa: ANN401 - the shop's own
        """Keep what there is in `book`; `ask` makes a call once. Orders get these `resources`."""
        self._book = book
        self._ask = ask
        self._resources = resources
        self._loop = asyncio.get_running_loop()
        self._carried: dict[asyncio.Task[None], Call[Slot]] = {}
        self._signals: dict[str, StopSignal] = {}
        """How each attempt under way is told to stop, by its lease."""
        self._repeats = Repeats("the way to orders")
        self._is_due = self._is_closed = False

    async def next(self) -> Leased:
        """Offer a slot, and wait for its order; see Exchange."""
        slot: Slot = self._loop.create_future()
        self._book.offer(slot)
        self._soon()
        try:
            return await slot
        except asyncio.CancelledError:
            if slot.cancelled():
                self._book.withdraw(slot)
            else:
                self.give_back(slot.result())
            raise

    def end(self, leased: Leased, outcome: Outcome) -> None:
        """Tell what came of an attempt, with the next call."""
        self._tell(messages.outcome(leased.lease, outcome))

    def give_back(self, leased: Leased) -> None:
        """Return an order, with the next call."""
        self._tell(messages.returned(leased.lease))

    def _tell(self, outcome: api.Outcome) -> None:
        self._signals.pop(outcome.lease, None)
        if self._book.end(outcome):
            self._soon()
        else:
            _log.warning(
                "an outcome is not told: its lease was lost meanwhile",
                extra={"lease": outcome.lease},
            )

    def hear(self, news: api.KeepLeasesResponse) -> None:
        """Stop the attempts whose orders were cancelled, or whose leases are lost."""
        lost = self._book.lost(news.lost)
        if lost:
            _log.warning("leases were lost: their attempts are stopped", extra={"count": len(lost)})
        for each in (*news.stops, *lost):
            if signal := self._signals.get(each):
                signal.request()

    def stop_waiting(self) -> None:
        """Wait for no more orders: the server gives this worker none."""
        for task, call in self._carried.items():
            if not call.request.outcomes:
                task.cancel()

    async def told(self) -> None:
        """Wait until every outcome has been answered."""
        while self._book.untold:
            self._pump()
            await asyncio.wait(self._carried, return_when=asyncio.FIRST_COMPLETED)

    async def close(self) -> None:
        """Give up every call, and make no more."""
        self._is_closed = True
        for task in self._carried:
            task.cancel()
        if self._carried:
            await asyncio.wait(self._carried)

    # Calls

    def _soon(self) -> None:
        """Make the calls that are due, together with what else happens at this moment."""
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._is_due = False
        while not self._is_closed and (call := self._book.next_call()):
            name = f"lease orders {call.request.call}"
            task = self._loop.create_task(self._carry(call), name=name)
            self._carried[task] = call
            task.add_done_callback(self._carried.pop)

    async def _carry(self, call: Call[Slot]) -> None:
        """Repeat a call until it is answered, or refused for what is in it."""
        failures = 0
        try:
            while not await self._answers(call, failures):
                failures += 1
        except asyncio.CancelledError:
            self._book.gave_up(call)
            raise
        finally:
            self._soon()

    async def _answers(self, call: Call[Slot], failures: int) -> bool:
        """Make a call once, after a pause if it failed before; tell whether that was its end."""
        try:
            response = await self._ask(call.request, call.wait + ANSWER_SECONDS)
        except (OrderIntakeError, NoToken) as error:
            if call.request.outcomes and is_bad(error):
                self._refused(call, error)
                return True
            await asyncio.sleep(self._repeats.pause(failures + 1, error))
            return False
        self._repeats.succeeded()
        self._accept(call, response)
        return True

    def _refused(self, call: Call[Slot], error: Exception) -> None:
        if dropped := self._book.refused(call):
            _log.error("an outcome is refused: %s", error, extra={"lease": dropped[0]})

    def _accept(self, call: Call[Slot], response: api.LeaseOrdersResponse) -> None:
        lost = sum(each.result == OUTCOME_RESULT_LEASE_LOST for each in response.outcomes)
        if lost:
            _log.warning("outcomes came too late: their leases were lost", extra={"count": lost})
        if response.signal == WORK_SIGNAL_GOING_AWAY:
            self._repeats.announced()
        self._give(call, response)

    def _give(self, call: Call[Slot], response: api.LeaseOrdersResponse) -> None:
        """Give each order that came to the slot that waits for it."""
        for slot, told in self._book.answered(call, response):
            signal = self._signals[told.lease] = StopSignal()
            leased = messages.leased(told, signal, self._resources)
            if slot.done():  # it was cancelled at this very moment
                self.give_back(leased)
            else:
                slot.set_result(leased)
