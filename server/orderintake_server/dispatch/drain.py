"""How fast orders leave the queue, and so how long one must wait for room in it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY_SECONDS = 10.0
"""Starts this long ago count 1/e of one now: long enough to be steady, short enough to follow."""
LEAST_SECONDS = 0.1
MOST_SECONDS = 10.0
"""Nobody is told to come back sooner, or later: a queue that stands may move at any moment."""


class DrainRate:
    """The recent rate at which waiting orders start, by an exponentially fading count."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Measure by `clock`, which gives seconds and never goes back."""
        self._clock = clock
        self._began = self._last = clock()
        self._count = 0.0

    def add(self, starts: int) -> None:
        """Count orders that started now."""
        self._fade()
        self._count += starts

    def per_second(self) -> float:
        """Tell the rate, unbiased also while less than the memory has been seen."""
        self._fade()
        seen = MEMORY_SECONDS * -math.expm1((self._began - self._last) / MEMORY_SECONDS)
        return self._count / seen if seen > 0 else 0.0

    def seconds_for(self, orders: int) -> float:
        """Tell in how many seconds about `orders` orders will have left the queue."""
        rate = self.per_second()
        seconds = orders / rate if rate > 0 else MOST_SECONDS
        return min(max(seconds, LEAST_SECONDS), MOST_SECONDS)

    def _fade(self) -> None:
        now = self._clock()
        self._count *= math.exp((self._last - now) / MEMORY_SECONDS)
        self._last = now
