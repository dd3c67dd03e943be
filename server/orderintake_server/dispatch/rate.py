"""How often something happened lately; and so, how soon there will be room in the queue."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY_SECONDS = 10.0
"""Of the rate at which orders start: long enough to be steady, short enough to follow."""
LEAST_SECONDS = 0.1
MOST_SECONDS = 10.0
"""Nobody is told to come back sooner, or later: a queue that stands may move at any moment."""


class Rate:
    """A recent rate, by a count that fades exponentially."""

    def __init__(self, clock: Callable[[], float], *, memory_seconds: float) -> None:
        """Measure by `clock`, in seconds that never go back.

        What is `memory_seconds` old counts 1/e of what happens now.
        """
        self._clock = clock
        self._memory = memory_seconds
        self._began = self._last = clock()
        self._count = 0.0

    def add(self, count: int) -> None:
        """Count what happened now."""
        self._fade()
        self._count += count

    def per_second(self) -> float:
        """Tell the rate, unbiased also while less than the memory has been seen."""
        self._fade()
        seen = self._memory * -math.expm1((self._began - self._last) / self._memory)
        return self._count / seen if seen > 0 else 0.0

    def _fade(self) -> None:
        now = self._clock()
        self._count *= math.exp((self._last - now) / self._memory)
        self._last = now


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
