"""How often something happened lately."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


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
