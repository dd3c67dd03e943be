"""Admission: how many orders wait, how many more may, and when the queue has capacity again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orderintake_server.domain import Tier
from orderintake_server.errors import (
    CustomerQuota,
    FieldViolation,
    InvalidOrder,
    QueueFull,
    Unavailable,
)
from orderintake_server.store.changes import Capacity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orderintake_server.dispatch.rate import DequeueRate
    from orderintake_server.domain import NewOrder
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
        if started:
            self._drain.add(started)

    def refusal(
        self, over_capacity: OverCapacity, group: Sequence[NewOrder] = ()
    ) -> Unavailable | CustomerQuota | InvalidOrder:
        """Return the refusal of a group that is over capacity, with the time for a retry.

        A batch that is over a limit even when nothing waits is refused for good.
        """
        limit = self._exceeded(over_capacity, group)
        if limit is not None and len(group) > 1:
            field = "max_orders" if group[0].redrive_of else "requests"
            return InvalidOrder((FieldViolation(field=field, description=limit),))
        return self._refusal_for_now(over_capacity)

    def _exceeded(self, over_capacity: OverCapacity, group: Sequence[NewOrder]) -> str | None:
        """Name the limit that so many new orders of a group exceed by themselves, if any."""
        orders, limits = over_capacity.orders, self._limits
        if over_capacity.customer_id is not None:
            if orders > (limits.per_customer or orders):
                return (
                    f"has {orders} new orders of one customer; {limits.per_customer} may wait"
                    " (customer_queue_limit)"
                )
            return None
        # So many are new that one of them at least must be regular: these have less room.
        has_regular = orders > sum(order.tier is Tier.VIP for order in group)
        most = limits.queue - limits.vip_reserve if has_regular else limits.queue
        if orders <= most:
            return None
        reserved = f", {limits.vip_reserve} of them VIP orders only" if has_regular else ""
        return f"has {orders} new orders; {limits.queue} may wait{reserved} (queue_limit)"

    def _refusal_for_now(self, over_capacity: OverCapacity) -> Unavailable | CustomerQuota:
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
