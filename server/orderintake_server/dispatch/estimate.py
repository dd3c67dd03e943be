"""When a waiting order will probably start, judged by the service times measured lately."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from orderintake_server.domain import WaitEstimate

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY = 256
"""Attempts after which one counts 1/e: enough for a steady variance, few enough to follow."""
TENTH = 1.2815515655446004
"""The standard normal quantile of 0.9: between it and its negative lie 80 %."""


class ServiceTimes:
    """The first three moments of how long an order keeps a worker, the latest counting most."""

    def __init__(self, *, workers: int, clock: Callable[[], float]) -> None:
        """Measure by `clock`, in seconds, the times of so many workers."""
        self.now = clock
        self._workers = workers
        self._weight = 0.0
        self._mean = 0.0
        self._variance = 0.0
        self._third = 0.0

    def share(self, workers: int) -> None:
        """Know that so many workers, of all processes, take from the queue."""
        self._workers = workers

    def add(self, began: float) -> None:
        """Count an order that kept a worker since `began`, by this clock, until now."""
        self._weight = min(self._weight + 1.0, MEMORY)
        share = 1.0 / self._weight
        distance = self.now() - began - self._mean
        self._mean += share * distance
        rest = distance * (1.0 - share)
        self._third += share * (rest**3 - self._third)
        self._variance = (1.0 - share) * (self._variance + share * distance * distance)

    def wait(self, position: int) -> WaitEstimate | None:
        """Tell when the order at this place (from 1) of the queue starts; None: nothing measured.

        All workers being busy, it starts when `position` of them have become free. Each worker's
        moments are a renewal process in equilibrium, so their number in a time t has the variance
        c t/m + 1/6 + c**2/2 - s/3, with m the mean, c the squared coefficient of variation and s
        the third central moment of m = 1 (Cox, Renewal Theory, 1962, 4.5). The time of the last
        is taken to be gamma distributed with the mean and variance that follow, and the variance
        of the measured mean itself.
        """
        if not self._weight or not self._workers:
            return None
        workers, mean = self._workers, self._mean
        if mean <= 0:
            return WaitEstimate(mean=0.0, least=0.0, most=0.0)
        squared = self._variance / mean**2
        offset = max(1 / 6 + squared**2 / 2 - self._third / mean**3 / 3, 0.0)
        counted = position * squared + workers * offset
        measured = position**2 * squared / (2 * self._weight)
        expected = position * mean / workers
        variance = (counted + measured) * (mean / workers) ** 2
        return WaitEstimate(
            mean=expected,
            least=_gamma(expected, variance, -TENTH),
            most=_gamma(expected, variance, TENTH),
        )


def _gamma(mean: float, variance: float, quantile: float) -> float:
    """Tell a quantile of a gamma distribution, by Wilson and Hilferty's approximation.

    `quantile` is that of the standard normal distribution.
    """
    if mean <= 0 or variance <= 0:
        return max(mean, 0.0)
    ninth = variance / (9 * mean * mean)
    root = 1 - ninth + quantile * math.sqrt(ninth)
    return mean * max(root, 0.0) ** 3
