"""How fast orders leave the queue, and so how long one must wait for room in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.dispatch.rate import Rate

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY_SECONDS = 10.0
"""Long enough to be steady, short enough to follow."""
LEAST_SECONDS = 0.1
MOST_SECONDS = 10.0
"""Nobody is told to come back sooner, or later: a queue that stands may move at any moment."""


class DequeueRate(Rate):
    """The recent rate at which waiting orders start."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Measure by `clock`, which gives seconds and never goes back."""
        super().__init__(clock, memory_seconds=MEMORY_SECONDS)

    def seconds_for(self, orders: int) -> float:
        """Tell in how many seconds about `orders` orders will have left the queue."""
        rate = self.per_second()
        seconds = orders / rate if rate > 0 else MOST_SECONDS
        return min(max(seconds, LEAST_SECONDS), MOST_SECONDS)
