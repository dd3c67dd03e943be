"""Admission: how many orders wait, how many more may, and when the queue has capacity again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orderintake_server.errors import CustomerQuota, QueueFull, Unavailable
from orderintake_server.store.changes import Capacity

if TYPE_CHECKING:
    from orderintake_server.dispatch.rate import DequeueRate
    from orderintake_server.store.changes import OverCapacity
    from orderintake_server.views import CountsByTier


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many orders may wait."""

    queue: int = 1_000_000
    vip_reserve: int = 0
    """Capacity that is kept for VIP orders: regular orders may not use it."""
    per_customer: int | None = None


class Admission:
    """Compares the number of waiting orders with its limits; exact after every commit."""

    def __init__(self, limits: Limits, *, counts: CountsByTier, drain: DequeueRate) -> None:
        """Begin with the orders that wait: more than the limits, if these were lowered."""
        self._limits = limits
        self._drain = drain
        self.count(counts, started=0)

    def capacity(self) -> Capacity:
        """Return how many more orders may wait; negative after a limit was lowered."""
        total = self._limits.queue - self._waiting
        return Capacity(
            total=total,
            regular=total - self._limits.vip_reserve,
            per_customer=self._limits.per_customer,
            waiting=self._waiting,
        )

    def count(self, counts: CountsByTier, *, started: int) -> None:
        """Note the orders that wait after a commit, in which `started` orders started."""
        self._waiting = sum(counts.queued + counts.scheduled for counts in counts.values())
        self._drain.add(started)

    def refusal(self, over_capacity: OverCapacity) -> Unavailable | CustomerQuota:
        """Return the refusal of a group that is over capacity, with the time for a retry."""
        seconds = self._drain.seconds_for(over_capacity.orders)
        if over_capacity.customer_id is not None:
            return CustomerQuota(
                f"{self._limits.per_customer} orders of one customer may wait",
                subject=over_capacity.customer_id,
                retry_after=seconds,
            )
        return QueueFull(
            f"{self._waiting} orders wait; {self._limits.queue} may wait, and"
            f" {self._limits.vip_reserve} of these are reserved for VIP orders",
            retry_after=seconds,
        )
