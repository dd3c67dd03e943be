"""When a waiting order will probably start, estimated from recently measured service times."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from orderintake_server.domain import WaitEstimate

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY = 256
"""After so many more attempts, one counts 1/e: many for a steady variance, few enough to adapt."""
TENTH = 1.2815515655446004
"""The 0.9 quantile of the standard normal distribution: 80 % lie between its negative and it."""


class ServiceTimes:
    """The first three moments of the time that an order keeps a worker; recent times count most."""

    def __init__(self, *, workers: int, clock: Callable[[], float]) -> None:
        """Measure with `clock`, in seconds; `workers` workers start orders."""
        self.now = clock
        self.workers = workers
        """How many workers, of all processes, start orders from the queue."""
        self._weight = 0.0
        self._mean = 0.0
        self._variance = 0.0
        self._third = 0.0

    def share(self, workers: int) -> None:
        """Note how many workers, of all processes, start orders from the queue."""
        self.workers = workers

    def add(self, began: float) -> float:
        """Count an order that kept a worker from `began`, by this clock, until now.

        Returns how many seconds that is.
        """
        seconds = self.now() - began
        self._weight = min(self._weight + 1.0, MEMORY)
        share = 1.0 / self._weight
        distance = seconds - self._mean
        self._mean += share * distance
        rest = distance * (1.0 - share)
        self._third += share * (rest**3 - self._third)
        self._variance = (1.0 - share) * (self._variance + share * distance * distance)
        return seconds

    def wait(self, position: int) -> WaitEstimate | None:
        """Return how long the order at this position (from 1) waits; None: nothing measured yet.

        While all workers are busy, it starts when a worker has become free `position` times. The
        times at which one worker becomes free are a renewal process in equilibrium. Their number in
        a time t has the variance c t/m + 1/6 + c**2/2 - s/3, where m is the mean, c the squared
        coefficient of variation, and s the third central moment for m = 1 (Cox, Renewal Theory,
        1962, 4.5). The time until the last of them is assumed to be gamma distributed, with the
        mean and variance that follow from this, plus the variance of the measured mean itself.
        """
        if not self._weight or not self.workers:
            return None
        workers, mean = self.workers, self._mean
        if mean <= 0:
            return WaitEstimate(mean=0.0, least=0.0, most=0.0)
        squared = self._variance / mean**2
        offset = max(1 / 6 + squared**2 / 2 - self._third / mean**3 / 3, 0.0)
        counted = position * squared + workers * offset
        measured = position**2 * squared / (2 * self._weight)
        expected = position * mean / workers
        return _gamma(expected, (counted + measured) * (mean / workers) ** 2)


def _gamma(mean: float, variance: float) -> WaitEstimate:
    """Return a wait that is gamma distributed, by Wilson and Hilferty's approximation."""
    if mean <= 0 or variance <= 0:
        mean = max(mean, 0.0)
        return WaitEstimate(mean=mean, least=mean, most=mean)
    ninth = variance / (9 * mean * mean)
    middle, tenth = 1 - ninth, TENTH * math.sqrt(ninth)
    least = mean * (middle - tenth) ** 3 if middle > tenth else 0.0
    return WaitEstimate(mean=mean, least=least, most=mean * max(middle + tenth, 0.0) ** 3)
