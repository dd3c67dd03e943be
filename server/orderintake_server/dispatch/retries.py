"""The retry policy: whether a failed attempt is followed by another, and when."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with full jitter: the n-th delay is random, up to first * factor**(n-1).

    Full jitter spreads the retries of orders that failed at the same time over the whole delay.
    """

    max_attempts: int = 5
    first_seconds: float = 1.0
    factor: float = 2.0
    most_seconds: float = 300.0

    def delay_seconds(self, tries: int, random: Callable[[], float]) -> float | None:
        """Return how long to wait after `tries` failed attempts; None: no more attempts.

        `random` returns a number from 0 to 1.
        """
        if tries >= self.max_attempts:
            return None
        return random() * min(self.first_seconds * self._growth(tries), self.most_seconds)

    def _growth(self, tries: int) -> float:
        """Return the factor from the first to this delay's ceiling, at most the largest float."""
        try:
            return self.factor ** (tries - 1)
        except OverflowError:
            return sys.float_info.max
