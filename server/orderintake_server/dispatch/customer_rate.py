"""The rate limit of each customer: a token bucket of orders that it may place."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from orderintake_server.errors import CustomerQuota

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from orderintake_server.domain import NewOrder, Receipt
    from orderintake_server.store.base import Store

MOST_CUSTOMERS = 100_000
"""Buckets kept. Above this, full buckets are dropped: a new one is full too."""


class CustomerRate:
    """Lets every customer place `per_second` orders a second, and `burst` at once."""

    def __init__(
        self,
        *,
        per_second: float | None,
        burst: int,
        clock: Callable[[], float],
        most_customers: int = MOST_CUSTOMERS,
    ) -> None:
        """Measure with `clock`, in seconds that never go back; `per_second` None means no limit."""
        self._most_customers = most_customers
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._full_at: dict[str, float] = {}
        """When each customer's bucket will be full again, by the clock."""

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit."""
        return self._per_second is not None

    def consume(self, customers: Iterable[tuple[str, int]]) -> None:
        """Consume a token from the customer's bucket for each order: for all orders, or for none.

        Raises CustomerQuota, with the time after which there are enough tokens.
        """
        if self._per_second is None:
            return
        now = self._clock()
        full = {}
        for customer_id, orders in customers:
            was_full_at = max(self._full_at.get(customer_id, now), now)
            full_at = was_full_at + orders / self._per_second
            seconds = full_at - now - self._burst / self._per_second
            if seconds > 0 and was_full_at > now:  # a full bucket lets even a large batch pass
                raise CustomerQuota(
                    f"a customer may place {self._per_second:g} orders a second, "
                    f"{self._burst} at once",
                    subject=customer_id,
                    retry_after=min(seconds, was_full_at - now),
                )
            full[customer_id] = full_at
        self._full_at |= full
        self._drop_full(now)

    def give_back(self, customers: Iterable[tuple[str, int]]) -> None:
        """Give tokens back to the customers' buckets, for orders that cost nothing after all."""
        if self._per_second is None:
            return
        for customer_id, orders in customers:
            if customer_id in self._full_at:
                self._full_at[customer_id] -= orders / self._per_second

    def _drop_full(self, now: float) -> None:
        if len(self._full_at) > self._most_customers:
            self._full_at = {name: at for name, at in self._full_at.items() if at > now}


class Tokens:
    """Takes a token for each order that is placed; repeats of what is stored take none."""

    def __init__(self, rate: CustomerRate, store: Store) -> None:
        """Take them from the buckets of `rate`; `store` knows what is stored."""
        self._rate = rate
        self._store = store
        self.are_needed = rate.is_limited
        """Whether any is taken."""

    async def take(self, group: Sequence[NewOrder]) -> Sequence[NewOrder]:
        """Take a token for each order; return those that took one.

        Only when there are not enough tokens the store is asked which of the orders it has.
        Raises CustomerQuota when there are not enough for the others.
        """
        try:
            self._rate.consume(_by_customer(group))
        except CustomerQuota:
            names = {(new.customer_id, new.request_id) for new in group if new.request_id}
            known = await self._store.known_requests(names) if names else set()
            fresh = [new for new in group if (new.customer_id, new.request_id) not in known]
            if len(fresh) == len(group):
                raise
            self._rate.consume(_by_customer(fresh))
            return fresh
        return group

    def give_back(
        self, paid: Sequence[NewOrder], group: Sequence[NewOrder], receipts: Sequence[Receipt]
    ) -> None:
        """Give back what the orders of the group have `paid` that turn out to be repeats."""
        replays = {
            id(new) for new, receipt in zip(group, receipts, strict=True) if receipt.replayed
        }
        if replays:
            self._rate.give_back(_by_customer(new for new in paid if id(new) in replays))


def _by_customer(orders: Iterable[NewOrder]) -> Iterable[tuple[str, int]]:
    """Count the orders of each customer."""
    return Counter(order.customer_id for order in orders).items()
