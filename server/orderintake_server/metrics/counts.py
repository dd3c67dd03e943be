"""Plain numbers to count in: a count takes a fraction of a microsecond, and no lock."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Labels = tuple[str, ...]
"""The values of a metric's labels, in the table's order."""
Counts = Counter[Labels]
"""How often something happened, by its labels."""
OTHER = "_OTHER"
"""The label of what has no name of its own."""


def counts(*values: Iterable[str]) -> Counts:
    """Return counts of 0 for every combination of labels: one of each of these `values`.

    A series that is there before it first counts shows its first event as an increase.
    """
    return Counter(dict.fromkeys(product(*values), 0))


class Histogram:
    """How many values lay in each bucket, and their sum."""

    __slots__ = ("_bounds", "buckets", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Count by these upper bounds, in rising order; what is above them is counted too."""
        self._bounds = tuple(bounds)
        self.buckets = [0] * (len(self._bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.buckets[bisect_left(self._bounds, value)] += 1
        self.total += value

    def copy(self) -> Histogram:
        """Return one with the same counts, which stay as they are."""
        same = Histogram(self._bounds)
        same.buckets, same.total = self.buckets.copy(), self.total
        return same

    def cumulated(self) -> list[tuple[str, float]]:
        """Return each bucket's upper bound, as Prometheus writes it, and how many are below it."""
        found, below = [], 0
        for bound, count in zip((*self._bounds, float("inf")), self.buckets, strict=True):
            below += count
            found.append((_written(bound), below))
        return [(bound, float(count)) for bound, count in found]


def _written(bound: float) -> str:
    return "+Inf" if bound == float("inf") else str(float(bound))


class Limited:
    """Counts by a text that others choose: the first so many texts by name, the rest together."""

    def __init__(self, most: int) -> None:
        """Name `most` texts."""
        self._most = most
        self.counts: Counts = Counter()

    def add(self, text: str) -> None:
        """Count one."""
        is_known = (text,) in self.counts or len(self.counts) < self._most
        self.counts[(text if is_known else OTHER,)] += 1
