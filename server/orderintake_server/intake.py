"""The intake: place, get, list, cancel and subscribe, for every transport; and for operators."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from orderintake_server.dispatch.customer_rate import Tokens
from orderintake_server.dispatch.requests.pending import OneOf, Several
from orderintake_server.domain import Completion, Order, Receipt, Tier
from orderintake_server.errors import (
    Draining,
    OrderNotFound,
    Refusal,
    StoreError,
    TooManyStreams,
)
from orderintake_server.metrics import Promises
from orderintake_server.rework import Rework
from orderintake_server.stream.subscription import subscribed
from orderintake_server.views import OrderStatus, StartAt, wait_reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from orderintake.work.figures import HandlerFigures
    from orderintake_server.dispatch.committer import Committer
    from orderintake_server.dispatch.customer_rate import CustomerRate
    from orderintake_server.dispatch.estimate import ServiceTimes
    from orderintake_server.dispatch.stats import QueueStats
    from orderintake_server.domain import Cancelled, NewOrder, Operator
    from orderintake_server.store.base import Store
    from orderintake_server.stream.log import CompletionLog
    from orderintake_server.stream.subscription import Subscription
    from orderintake_server.views import (
        LogPage,
        OperatorAction,
        OrderFilter,
        ReadFrom,
        Subscribe,
        TierStats,
    )


class Intake:
    """The operations of the service, the same for every transport."""

    def __init__(  # noqa: PLR0913 - the parts it serves from
        self,
        *,
        store: Store,
        committer: Committer,
        completions: CompletionLog,
        stats: QueueStats,
        times: ServiceTimes,
        rate: CustomerRate,
        figures: HandlerFigures,
        promises: Promises | None = None,
        most_placing: int = 1_000,
    ) -> None:
        """Read from this store; change it through this committer only; note in `promises`."""
        self._store = store
        self._committer = committer
        self._completions = completions
        self._stats = stats
        self._times = times
        self._tokens = Tokens(rate, store)
        self._most_placing = most_placing
        self._stops: set[Callable[[], None]] = set()
        self.figures = figures
        """What handlers do to this process."""
        self._promises = Promises() if promises is None else promises
        self.is_draining = False
        self.rework = Rework(
            store, committer, completions, refuse_if_draining=self._refuse_if_draining
        )
        """What operators do about orders that failed, or wait."""

    async def place(self, group: tuple[NewOrder, ...]) -> tuple[Receipt, ...]:
        """Accept a group of orders, all or none; they are durable on return.

        A caller that is cancelled meanwhile loses the receipts, not the orders.

        Raises Draining, QueueFull, CustomerQuota, RequestIdReused or StorageUnavailable. Only after
        StorageUnavailable may the orders have been stored nevertheless.
        """
        self._refuse_if_draining()
        paid = await self._tokens.take(group) if self._tokens.are_needed else ()
        return self._receipts(group, paid, await self._committer.accept(group))

    async def request_each(
        self, orders: Sequence[NewOrder | Exception]
    ) -> Sequence[OneOf | Exception]:
        """Request that orders be accepted, each for itself, after all that was requested before.

        The answers are not awaited. An order that was refused before stays what it is, a refusal,
        and so becomes one that is refused at once.
        """
        several = Several(len(orders))
        if not self._tokens.are_needed:
            return [self._requested(order, several) for order in orders]
        return [await self._paid(order, several) for order in orders]

    async def _paid(self, order: NewOrder | Exception, several: Several) -> OneOf | Exception:
        """Take a token for an order that was not refused before, and request it."""
        try:
            paid = () if isinstance(order, Exception) else await self._tokens.take((order,))
        except (Refusal, StoreError) as error:
            return self._requested(error, several)
        return self._requested(order, several, paid)

    def _requested(
        self, order: NewOrder | Exception, several: Several, paid: Sequence[NewOrder] = ()
    ) -> OneOf | Exception:
        if isinstance(order, Exception):
            several.note()
            return order
        asked = OneOf(several, (order,), paid)
        try:
            self._refuse_if_draining()
            self._committer.ask(asked)
        except (Refusal, StoreError) as error:
            several.note()
            return error
        return asked

    def receipt(self, asked: OneOf) -> Receipt | Exception:
        """Return the receipt of an order that was requested, or its refusal; it is answered."""
        if isinstance(asked.answer, tuple):
            return self._receipts(asked.item, asked.paid, asked.answer)[0]
        assert asked.answer is not None  # noqa: S101 - it is answered; mypy cannot know
        return asked.answer

    def _receipts(
        self, group: tuple[NewOrder, ...], paid: Sequence[NewOrder], receipts: tuple[Receipt, ...]
    ) -> tuple[Receipt, ...]:
        """Give back what repeats have paid; estimate when the orders will start."""
        if paid:
            self._tokens.give_back(paid, group, receipts)
        for receipt in receipts:
            receipt.wait = self._mean_wait(receipt.order.accept_sequence, receipt.position)
        return receipts

    @contextmanager
    def placing(self, stop: Callable[[], None]) -> Iterator[None]:
        """Count a PlaceOrders call, which `stop` ends. Raises Draining or TooManyStreams."""
        self._refuse_if_draining()
        if len(self._stops) >= self._most_placing:
            raise TooManyStreams(f"there are {self._most_placing} PlaceOrders calls already")
        self._stops.add(stop)
        try:
            yield
        finally:
            self._stops.remove(stop)

    async def cancel(
        self, accept_sequence: int, *, owner: str | None, by: Operator | None
    ) -> Cancelled:
        """Cancel an order; the answer is durable on return. A running handler is asked to stop.

        What the operator `by` cancels is recorded, but for orders of its own customer.

        Raises OrderNotFound, also for another's than the `owner`'s, or StorageUnavailable.
        """
        own = by.own if by else owner
        if own is not None:  # an order's customer never changes
            order = self._known(await self._store.find(accept_sequence), owner)
            by = None if order.customer_id == own else by
        cancelled = await self._committer.cancel(accept_sequence, by)
        if cancelled is None:
            raise _not_found()
        return cancelled

    async def get(self, accept_sequence: int, *, owner: str | None) -> OrderStatus:
        """Return an order's status. Raises OrderNotFound, also for another's than the `owner`'s."""
        located = await self._store.locate(accept_sequence)
        found, position, is_paused = located or (None, 0, False)
        order = self._known(found, owner)
        if isinstance(order, Completion):
            return OrderStatus(found=order)
        is_estimated = not is_paused and self._mean_wait(accept_sequence, position) is not None
        return OrderStatus(
            found=order,
            position=position,
            wait=self._times.wait(position) if is_estimated else None,
            reason=wait_reason(order, is_paused=is_paused),
        )

    def _mean_wait(self, accept_sequence: int, position: int | None) -> float | None:
        """Estimate how long an order waits at this position, if known; note it, for it is told."""
        if not (position and self._times.is_known):
            return None
        self._promises.note(accept_sequence, partial(self._times.wait, position))
        return self._times.mean_wait(position)

    async def list_orders(
        self,
        wanted: OrderFilter,
        *,
        owner: str | None,
        after: int,
        limit: int,
        newest_first: bool = False,
    ) -> tuple[list[Order], int | None]:
        """Return a page as `Store.list_orders` does, and after which order the next one begins.

        Raises NotAllowed when another customer's than the `owner`'s are wanted.
        """
        return await self._store.list_orders(
            wanted.within(owner), after=after, limit=limit, newest_first=newest_first
        )

    async def page(
        self, wanted: OrderFilter, *, owner: str | None, start: ReadFrom, limit: int
    ) -> LogPage[Completion]:
        """Return the page of the log that begins at `start`.

        Raises CursorAhead when the log ends before `start`, CursorExpired when completions after it
        have been pruned, NotAllowed when another customer's than the `owner`'s are wanted.
        """
        return await self._completions.pages.read(
            wanted.within(owner),
            after=await self._completions.after(start),
            limit=limit,
            from_earliest=start is StartAt.EARLIEST,
        )

    @asynccontextmanager
    async def subscribe(
        self, request: Subscribe, *, owner: str | None
    ) -> AsyncIterator[Subscription]:
        """Subscribe to completions while inside. Raises what `page` does, and TooManyStreams."""
        request = replace(request, wanted=request.wanted.within(owner))
        after = await self._completions.after(request.start)
        with subscribed(self._completions, request, after=after) as subscription:
            yield subscription

    # For operators

    async def pause(self, tier: Tier, *, is_paused: bool, by: Operator) -> None:
        """Pause a tier, so that none of its orders start, or resume it; durable on return.

        Raises StorageUnavailable.
        """
        await self._committer.pause(tier, is_paused=is_paused, by=by)

    async def list_actions(
        self, accept_sequence: int | None, *, before: int, limit: int
    ) -> tuple[list[OperatorAction], bool]:
        """Return what operators did, the newest first, as `Store.list_actions` does."""
        return await self._store.list_actions(accept_sequence, before=before, limit=limit)

    async def stats(self) -> tuple[dict[Tier, TierStats], dict[Tier, int]]:
        """Return each tier's statistics, and the accept time of its oldest queued order, if any."""
        oldest = await self._store.oldest_waiting()
        return {tier: self._stats.of(tier) for tier in Tier}, oldest

    @property
    def head(self) -> int:
        """The sequence of the newest completion."""
        return self._completions.head

    @property
    def workers(self) -> int:
        """How many workers there are, of all processes that use the store."""
        return self._times.workers

    @property
    def subscribers(self) -> int:
        """How many completion streams are open."""
        return self._completions.subscribers

    def refuse_orders(self) -> None:
        """Refuse new orders from now on; the calls that place them end."""
        self.is_draining = True
        for stop in self._stops:
            stop()

    def _known(self, found: Order | Completion | None, owner: str | None) -> Order | Completion:
        """Return what was found. Raises OrderNotFound for None, and for another's order."""
        if found is None:
            raise _not_found()
        if owner not in (None, found.customer_id):
            raise _not_found()
        if isinstance(found, Completion):
            self._completions.publish(found.sequence)  # its cursor must be valid from now on
        return found

    def _refuse_if_draining(self) -> None:
        # A broken store is a better reason than the stop that it causes; `accept` raises it.
        if self.is_draining and not self._committer.is_broken:
            raise Draining("the server is stopping; it accepts no new orders")


def _not_found() -> OrderNotFound:
    return OrderNotFound("there is no such order")
