"""The rate limit of each customer: a token bucket of orders that it may place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.errors import CustomerQuota

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

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
