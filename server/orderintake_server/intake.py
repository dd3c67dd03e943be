"""The service's verbs, whoever asks: place, cancel, get, list, subscribe; and an operator's."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from orderintake_server.domain import (
    REDRIVABLE,
    Completion,
    NewOrder,
    Order,
    State,
    Tier,
    WaitReason,
)
from orderintake_server.errors import (
    CursorAhead,
    CursorExpired,
    Draining,
    OrderNotFound,
    OrderNotRedrivable,
)
from orderintake_server.stream.subscription import Subscription
from orderintake_server.views import OrderStatus, StartAt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orderintake_server.dispatch.committer import Committer
    from orderintake_server.dispatch.customer_rate import CustomerRate
    from orderintake_server.dispatch.estimate import ServiceTimes
    from orderintake_server.dispatch.stats import QueueStats
    from orderintake_server.domain import Cancelled, Receipt
    from orderintake_server.store.base import Store
    from orderintake_server.stream.log import CompletionLog
    from orderintake_server.views import LogPage, OrderFilter, ReadFrom, TierStats, WaitEstimate


class Intake:
    """What can be asked of the service."""

    def __init__(  # noqa: PLR0913 - the parts it serves from
        self,
        *,
        store: Store,
        ledger: Committer,
        completions: CompletionLog,
        flow: QueueStats,
        times: ServiceTimes,
        rate: CustomerRate,
    ) -> None:
        """Serve from this store, changing it through this ledger only."""
        self._store = store
        self._ledger = ledger
        self._completions = completions
        self._flow = flow
        self._times = times
        self._rate = rate
        self._is_draining = False

    async def place(self, group: tuple[NewOrder, ...]) -> tuple[Receipt, ...]:
        """Accept a group of orders, all or none; they are durable on return.

        A caller cancelled meanwhile loses the receipts, not the orders.

        Raises Draining, QueueFull, CustomerQuota, RequestIdReused or StorageUnavailable; only
        after the last may the orders have been stored all the same.
        """
        self._refuse_if_draining()
        self._rate.take(Counter(order.customer_id for order in group).items())
        return await self._ledger.accept(group)

    async def cancel(self, accept_sequence: int) -> Cancelled:
        """Cancel an order; the answer is durable on return, and told to a handler under way.

        Raises OrderNotFound or StorageUnavailable.
        """
        cancelled = await self._ledger.cancel(accept_sequence)
        if cancelled is None:
            raise _not_found()
        return cancelled

    async def get(self, accept_sequence: int) -> OrderStatus:
        """Tell how an order stands. Raises OrderNotFound."""
        found = await self._find(accept_sequence)
        if isinstance(found, Completion):
            return OrderStatus(found=found)
        if found.state is State.SCHEDULED:
            reason = WaitReason.RETRY if found.attempt_count else WaitReason.SCHEDULED
            return OrderStatus(found=found, reason=reason)
        position = await self._store.position(accept_sequence) if found.state is State.QUEUED else 0
        if not position:  # it is processed, or started just now
            return OrderStatus(found=found)
        is_paused = self._flow.is_paused(found.tier)
        return OrderStatus(
            found=found,
            position=position,
            wait=None if is_paused else self.wait(position),
            reason=WaitReason.TIER_PAUSED if is_paused else WaitReason.ORDERS_AHEAD,
        )

    def wait(self, position: int) -> WaitEstimate | None:
        """Tell how long an order at this place of the queue will wait, as far as one can."""
        return self._times.wait(position) if position else None

    async def list_orders(
        self, wanted: OrderFilter, *, after: int, limit: int
    ) -> tuple[list[Order], int | None]:
        """List orders behind accept sequence `after`; also where to go on, None at the end."""
        return await self._store.list_orders(wanted, after=after, limit=limit)

    async def page(self, wanted: OrderFilter, *, start: ReadFrom, limit: int) -> LogPage:
        """Read a page of the log behind a place.

        Raises CursorAhead when the log does not reach so far, CursorExpired when what follows has
        been forgotten.
        """
        after = await self._place(start)
        while True:
            try:
                return await self._completions.read(wanted, after=after, limit=limit)
            except CursorExpired as expired:
                if start is not StartAt.EARLIEST:
                    raise
                after = expired.earliest  # some more has been forgotten just now

    @asynccontextmanager
    async def subscribe(
        self, wanted: OrderFilter, *, start: ReadFrom, limit: int, heartbeat_seconds: float
    ) -> AsyncIterator[Subscription]:
        """Subscribe to what is wanted behind a place in the log, while inside.

        Raises CursorAhead when the log does not reach so far, CursorExpired when what follows has
        been forgotten.
        """
        after = await self._place(start)
        with self._completions.subscriber():
            yield Subscription(
                self._completions,
                wanted,
                after=after,
                limit=limit,
                heartbeat_seconds=heartbeat_seconds,
            )

    # An operator's

    async def pause(self, tier: Tier, *, is_paused: bool) -> None:
        """Let no order of a tier start from now on, or let them start again; durable on return.

        Raises StorageUnavailable.
        """
        await self._ledger.pause(tier, is_paused=is_paused)

    async def redrive(self, accept_sequence: int) -> Receipt:
        """Place a copy of an order that ended badly, once: a repeat gives the same copy.

        Raises OrderNotFound, OrderNotRedrivable, and what `place` does but for CustomerQuota.
        """
        self._refuse_if_draining()
        found = await self._find(accept_sequence)
        if not isinstance(found, Completion) or found.order.state not in REDRIVABLE:
            raise OrderNotRedrivable("the order has not ended as FAILED, CANCELLED or EXPIRED")
        original = found.order
        copy = NewOrder(
            customer_id=original.customer_id,
            request_id=f"{_NO_CALLERS}redrive {accept_sequence}",
            tier=original.tier,
            content=original.content,
            redrive_of=accept_sequence,
        )
        (receipt,) = await self._ledger.accept((copy,))
        return receipt

    async def stats(self) -> tuple[dict[Tier, TierStats], dict[Tier, int]]:
        """Tell how each tier stands, and when its oldest queued order was accepted, if any is."""
        oldest = await self._store.oldest_waiting()
        return {tier: self._flow.of(tier) for tier in Tier}, oldest

    @property
    def head(self) -> int:
        """The sequence of the newest completion."""
        return self._completions.head

    @property
    def subscribers(self) -> int:
        """How many completion streams are open."""
        return self._completions.subscribers

    def refuse_orders(self) -> None:
        """Take no new order from now on."""
        self._is_draining = True

    async def _find(self, accept_sequence: int) -> Order | Completion:
        found = await self._store.find(accept_sequence)
        if found is None:
            raise _not_found()
        if isinstance(found, Completion):
            self._completions.publish(found.sequence)  # its cursor must be good from now on
        return found

    def _refuse_if_draining(self) -> None:
        if self._is_draining and not self._ledger.is_broken:  # which says more than the stop it is
            raise Draining("the server is stopping; it takes no new orders")

    async def _place(self, start: ReadFrom) -> int:
        """Tell which place in the log is meant, if it is there.

        Where others write the log too, and prune it, both its ends may be further than is known.
        """
        if self._store.is_shared and not self._is_known(start):
            self._completions.earliest, head = await self._store.bounds()
            self._completions.publish(head)
        head, earliest = self._completions.head, self._completions.earliest
        if isinstance(start, StartAt):
            return earliest if start is StartAt.EARLIEST else head
        self._refuse_ahead(start)
        if start < earliest:
            raise CursorExpired(earliest=earliest)
        return start

    def _is_known(self, start: ReadFrom) -> bool:
        return isinstance(start, int) and start <= self._completions.head

    def _refuse_ahead(self, after: int) -> None:
        if after > self._completions.head:
            raise CursorAhead(
                f"the cursor is at {after}, the log's head at {self._completions.head}: "
                "the log was restored from an older copy"
            )


_NO_CALLERS = "\x1f"
"""Begins the request_ids of the service itself: a caller's has printable characters only."""


def _not_found() -> OrderNotFound:
    return OrderNotFound("there is no order with this order_id")
