"""When a waiting order will probably start, estimated from recently measured service times."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from orderintake_server.domain import WaitEstimate

if TYPE_CHECKING:
    from collections.abc import Callable

_Shape = tuple[float, float, float, float]
"""The mean wait for each position; a wait's variance, as a polynomial of the position."""
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
        self._shape: _Shape | None = None

    def share(self, workers: int) -> None:
        """Note how many workers, of all processes, start orders from the queue."""
        self.workers = workers
        self._shape = None

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
        self._shape = None
        return seconds

    @property
    def is_known(self) -> bool:
        """Whether anything has been measured, and somebody starts orders."""
        return bool(self._weight and self.workers)

    def mean_wait(self, position: int) -> float:
        """Return the mean of `wait`, in seconds: all that a receipt tells. It must be known."""
        return max(position * self._mean / self.workers, 0.0)

    def wait(self, position: int) -> WaitEstimate | None:
        """Return how long the order at this position (from 1) waits; None: nothing measured yet.

        While all workers are busy, it starts when a worker has become free `position` times. The
        times at which one worker becomes free are a renewal process in equilibrium. Their number in
        a time t has the variance c t/m + 1/6 + c**2/2 - s/3, where m is the mean, c the squared
        coefficient of variation, and s the third central moment for m = 1 (Cox, Renewal Theory,
        1962, 4.5). The time until the last of them is assumed to be gamma distributed, with the
        mean and variance that follow from this, plus the variance of the measured mean itself.
        """
        if not self.is_known:
            return None
        if self._shape is None:  # it is the same for all orders of a commit
            self._shape = self._shaped()
        mean, fixed, linear, square = self._shape
        return _gamma(position * mean, fixed + position * (linear + position * square))

    def _shaped(self) -> _Shape:
        workers, mean = self.workers, self._mean
        if mean <= 0:
            return 0.0, 0.0, 0.0, 0.0
        squared, step = self._variance / mean**2, mean / workers
        offset = max(1 / 6 + squared**2 / 2 - self._third / mean**3 / 3, 0.0)
        linear = squared * step**2
        return step, workers * offset * step**2, linear, linear / (2 * self._weight)


def _gamma(mean: float, variance: float) -> WaitEstimate:
    """Return a wait that is gamma distributed, by Wilson and Hilferty's approximation."""
    if mean <= 0 or variance <= 0:
        mean = max(mean, 0.0)
        return WaitEstimate(mean, mean, mean)
    ninth = variance / (9 * mean * mean)
    middle, tenth = 1 - ninth, TENTH * math.sqrt(ninth)
    least = mean * (middle - tenth) ** 3 if middle > tenth else 0.0
    return WaitEstimate(mean, least, mean * max(middle + tenth, 0.0) ** 3)
