"""The service's verbs, whoever asks: place, cancel, get, list, subscribe; and an operator's."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace
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
    from orderintake_server.domain import Cancelled, Receipt, WaitEstimate
    from orderintake_server.store.base import Store
    from orderintake_server.stream.log import CompletionLog
    from orderintake_server.views import LogPage, OrderFilter, ReadFrom, Subscribe, TierStats


class Intake:
    """What can be asked of the service."""

    def __init__(  # noqa: PLR0913 - the parts it serves from
        self,
        *,
        store: Store,
        committer: Committer,
        completions: CompletionLog,
        stats: QueueStats,
        times: ServiceTimes,
        rate: CustomerRate,
    ) -> None:
        """Serve from this store, changing it through this committer only."""
        self._store = store
        self._committer = committer
        self._completions = completions
        self._stats = stats
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
        self._rate.consume(Counter(order.customer_id for order in group).items())
        return tuple(map(self._estimated, await self._committer.accept(group)))

    def _estimated(self, receipt: Receipt) -> Receipt:
        wait = self._wait(receipt.position)
        return receipt if wait is None else replace(receipt, wait=wait)

    async def cancel(self, accept_sequence: int) -> Cancelled:
        """Cancel an order; the answer is durable on return, and told to a handler under way.

        Raises OrderNotFound or StorageUnavailable.
        """
        cancelled = await self._committer.cancel(accept_sequence)
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
        is_paused = self._stats.is_paused(found.tier)
        return OrderStatus(
            found=found,
            position=position,
            wait=None if is_paused else self._wait(position),
            reason=WaitReason.TIER_PAUSED if is_paused else WaitReason.ORDERS_AHEAD,
        )

    def _wait(self, position: int) -> WaitEstimate | None:
        """Tell how long an order at this position of the queue will wait, as far as one can."""
        return self._times.wait(position) if position else None

    async def list_orders(
        self, wanted: OrderFilter, *, after: int, limit: int
    ) -> tuple[list[Order], int | None]:
        """List orders after accept sequence `after`; also after which to go on, None at the end."""
        return await self._store.list_orders(wanted, after=after, limit=limit)

    async def page(self, wanted: OrderFilter, *, start: ReadFrom, limit: int) -> LogPage:
        """Read the page of the log that begins at `start`.

        Raises CursorAhead when the log does not reach so far, CursorExpired when what follows has
        been forgotten.
        """
        return await self._completions.read(
            wanted,
            after=await self._after(start),
            limit=limit,
            from_earliest=start is StartAt.EARLIEST,
        )

    @asynccontextmanager
    async def subscribe(self, asked: Subscribe) -> AsyncIterator[Subscription]:
        """Subscribe to what is asked of the log, while inside.

        Raises CursorAhead when the log does not reach so far, CursorExpired when what follows has
        been forgotten.
        """
        after = await self._after(asked.start)
        with self._completions.subscriber():
            yield Subscription(self._completions, asked, after=after)

    # An operator's

    async def pause(self, tier: Tier, *, is_paused: bool) -> None:
        """Let no order of a tier start from now on, or let them start again; durable on return.

        Raises StorageUnavailable.
        """
        await self._committer.pause(tier, is_paused=is_paused)

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
        (receipt,) = await self._committer.accept((copy,))
        return receipt

    async def stats(self) -> tuple[dict[Tier, TierStats], dict[Tier, int]]:
        """Tell how each tier stands, and when its oldest queued order was accepted, if any is."""
        oldest = await self._store.oldest_waiting()
        return {tier: self._stats.of(tier) for tier in Tier}, oldest

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
        if (
            self._is_draining and not self._committer.is_broken
        ):  # which says more than the stop it is
            raise Draining("the server is stopping; it takes no new orders")

    async def _after(self, start: ReadFrom) -> int:
        """Tell after which sequence to read, if the log has it.

        Where others write the log too, and prune it, both its ends may be further than is known.
        """
        if self._store.is_shared and not self._is_known(start):
            earliest, head = await self._store.bounds()
            self._completions.forget(earliest)
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
