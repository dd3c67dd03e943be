"""The service's verbs, whoever asks: place, get, list, subscribe, stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.dispatch.completions import Subscription
from orderintake_server.domain import Completion
from orderintake_server.errors import CursorAhead, Draining, OrderNotFound

if TYPE_CHECKING:
    from orderintake_server.dispatch.completions import Completions
    from orderintake_server.dispatch.ledger import Ledger
    from orderintake_server.domain import NewOrder, Order, Receipt
    from orderintake_server.store.base import Store


class Intake:
    """What a caller can ask of the service."""

    def __init__(self, *, store: Store, ledger: Ledger, completions: Completions) -> None:
        """Serve from this store, changing it through this ledger only."""
        self._store = store
        self._ledger = ledger
        self._completions = completions
        self._is_draining = False

    async def place(self, group: tuple[NewOrder, ...]) -> tuple[Receipt, ...]:
        """Accept a group of orders, all or none; they are durable on return.

        A caller cancelled meanwhile loses the receipts, not the orders.

        Raises Draining, QueueFull, RequestIdReused or StorageUnavailable; only after the last
        may the orders have been stored all the same.
        """
        if self._is_draining and not self._ledger.is_broken:  # which says more than the stop it is
            raise Draining("the server is stopping; it takes no new orders")
        return await self._ledger.accept(group)

    async def get(self, accept_sequence: int) -> Order | Completion:
        """Tell how an order stands. Raises OrderNotFound."""
        found = await self._store.find(accept_sequence)
        if found is None:
            raise OrderNotFound("there is no order with this order_id")
        if isinstance(found, Completion):
            self._completions.publish(found.sequence)  # its cursor must be good from now on
        return found

    async def page(self, *, after: int, limit: int) -> tuple[list[Completion], bool]:
        """Read a page of the log behind place `after`, and whether the log goes on behind it.

        Raises CursorAhead when the log does not reach `after`.
        """
        self._refuse_ahead(after)
        page = await self._completions.read(after=after, limit=limit)
        return page, bool(page) and page[-1].sequence < self._completions.head

    def subscribe(self, *, after: int | None, limit: int, heartbeat_seconds: float) -> Subscription:
        """Begin a subscription behind place `after`, or at the head of the log if None.

        Raises CursorAhead when the log does not reach `after`.
        """
        start = self._completions.head if after is None else after
        self._refuse_ahead(start)
        return Subscription(
            self._completions, after=start, limit=limit, heartbeat_seconds=heartbeat_seconds
        )

    def refuse_orders(self) -> None:
        """Take no new order from now on."""
        self._is_draining = True

    def _refuse_ahead(self, after: int) -> None:
        if after > self._completions.head:
            raise CursorAhead(
                f"the cursor is at {after}, the log's head at {self._completions.head}: "
                "the log was restored from an older copy"
            )
