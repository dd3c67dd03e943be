"""How many orders wait, how many more may, and how soon there is room again."""

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
    """Places that regular orders leave free for VIP ones."""
    per_customer: int | None = None


class Admission:
    """The count of waiting orders against its limits, exact after every commit."""

    def __init__(self, limits: Limits, *, counts: CountsByTier, drain: DequeueRate) -> None:
        """Begin with what waits, which may be more than the limits after they were lowered."""
        self._limits = limits
        self._drain = drain
        self.count(counts, started=0)

    def left(self) -> Capacity:
        """Tell how many more orders may wait; less than none after a limit was lowered."""
        total = self._limits.queue - self._waiting
        return Capacity(
            total=total,
            regular=total - self._limits.vip_reserve,
            per_customer=self._limits.per_customer,
            waiting=self._waiting,
        )

    def count(self, counts: CountsByTier, *, started: int) -> None:
        """Take note of what waits after a commit, in which so many orders started."""
        self._waiting = sum(counts.queued + counts.scheduled for counts in counts.values())
        self._drain.add(started)

    def refusal(self, over_capacity: OverCapacity) -> Unavailable | CustomerQuota:
        """Tell why there is no room for so many orders, and when there may be."""
        seconds = self._drain.seconds_for(over_capacity.orders)
        if over_capacity.customer_id is not None:
            return CustomerQuota(
                f"{self._limits.per_customer} orders of one customer may wait",
                subject=over_capacity.customer_id,
                retry_after=seconds,
            )
        return QueueFull(
            f"{self._waiting} orders wait; {self._limits.queue} may, of which"
            f" {self._limits.vip_reserve} places are kept for VIP orders",
            retry_after=seconds,
        )
