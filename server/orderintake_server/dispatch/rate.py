"""Recent rates, and from them how soon the queue will have capacity again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY_SECONDS = 10.0
"""For the rate at which orders start: long enough to be steady, short enough to adapt."""
LEAST_SECONDS = 0.1
MOST_SECONDS = 10.0
"""No retry is asked for sooner or later than this: even a queue at a standstill may move again."""


class Rate:
    """A recent rate, from a count that decays exponentially."""

    def __init__(self, clock: Callable[[], float], *, memory_seconds: float) -> None:
        """Measure with `clock`, in seconds that never go back.

        An event that is `memory_seconds` old counts 1/e.
        """
        self._clock = clock
        self._memory = memory_seconds
        self._began = self._last = clock()
        self._count = 0.0

    def add(self, count: int) -> None:
        """Count `count` events that happen now."""
        self._decay()
        self._count += count

    def per_second(self) -> float:
        """Return the rate; it is unbiased also before `memory_seconds` have passed."""
        self._decay()
        measured = self._memory * -math.expm1((self._began - self._last) / self._memory)
        return self._count / measured if measured > 0 else 0.0

    def _decay(self) -> None:
        now = self._clock()
        self._count *= math.exp((self._last - now) / self._memory)
        self._last = now


class DequeueRate(Rate):
    """The recent rate at which waiting orders start."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Measure with `clock`, in seconds that never go back."""
        super().__init__(clock, memory_seconds=MEMORY_SECONDS)

    def seconds_for(self, orders: int) -> float:
        """Return in how many seconds about `orders` orders will have left the queue."""
        rate = self.per_second()
        seconds = orders / rate if rate > 0 else MOST_SECONDS
        return min(max(seconds, LEAST_SECONDS), MOST_SECONDS)
