"""Which workers live: when each was heard, by a clock that runs only while they can be heard."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orderintake_server.errors import WorkerLimit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

TICK_SECONDS = 1.0
"""No tick counts for more: a server that was frozen could not hear anybody meanwhile."""


@dataclass(slots=True)
class _Sign:
    heard: float
    """By the clock of ticks."""
    capacity: int
    waiting: int = 0
    """How many of its calls wait."""


class Life:
    """The workers that were heard within their lease, each with the capacity that it named.

    Its clock begins when the port opens, and stands while the store is away: then nobody's outcome
    could be taken, so nobody's silence counts.
    """

    def __init__(self, *, lease_seconds: float, limit: int, clock: Callable[[], float]) -> None:
        """Let `limit` workers live at once; `clock` is steady, in seconds."""
        self.lease_seconds = lease_seconds
        self._limit = limit
        self._clock = clock
        self._last_tick = clock()
        self._now = 0.0
        self._signs: dict[str, _Sign] = {}
        self.on_sign: Callable[[str], object] = lambda _: None
        """Called with the worker at each sign of life."""
        self.is_counting: Callable[[], bool] = lambda: True
        """Tells whether silence counts now."""
        self.on_capacity: Callable[[int], object] = lambda _: None
        """Called with the capacity of all of them when that changes."""

    def __len__(self) -> int:
        """Return how many live."""
        return len(self._signs)

    def __contains__(self, worker_id: str) -> bool:
        """Tell whether a worker lives."""
        return worker_id in self._signs

    @property
    def capacity(self) -> int:
        """How many orders they can process at once."""
        return sum(sign.capacity for sign in self._signs.values())

    def hear(self, worker_id: str, capacity: int | None = None) -> None:
        """Note a sign of life, and the capacity if it names one. Raises WorkerLimit."""
        sign = self._signs.get(worker_id)
        if sign is None:
            if len(self._signs) >= self._limit:
                raise WorkerLimit(f"there are {self._limit} workers already")
            sign = self._signs[worker_id] = _Sign(self._now, 0)
        sign.heard = self._now
        self.on_sign(worker_id)
        if capacity is not None and capacity != sign.capacity:
            sign.capacity = capacity
            self.on_capacity(self.capacity)

    @contextmanager
    def waiting(self, worker_id: str) -> Iterator[None]:
        """Take a worker that was heard for alive while a call of it waits inside.

        Who is answered has two thirds of its lease left for the next call.
        """
        sign = self._signs[worker_id]
        sign.waiting += 1
        try:
            yield
            sign.heard = max(sign.heard, self._now - self.lease_seconds / 3)
        finally:
            sign.waiting -= 1

    def know(self, workers: Iterable[tuple[str, int]]) -> None:
        """Begin with workers that the store knows, each with its capacity: they have a full lease.

        There may be more than the limit.
        """
        for worker_id, capacity in workers:
            self._signs[worker_id] = _Sign(self._now, capacity)
        self.on_capacity(self.capacity)

    def forget(self, worker_id: str) -> None:
        """Forget a worker that has ended."""
        sign = self._signs.pop(worker_id, None)
        if sign is not None and sign.capacity:
            self.on_capacity(self.capacity)

    def heard(self, worker_id: str) -> float | None:
        """Return when a worker was heard last, by the clock of ticks; None: it does not live."""
        sign = self._signs.get(worker_id)
        return None if sign is None else sign.heard

    def ages(self) -> dict[str, float]:
        """Return for how many seconds each has been silent: for none while a call of it waits."""
        return {
            worker_id: 0.0 if sign.waiting else self._now - sign.heard
            for worker_id, sign in self._signs.items()
        }

    async def silent(self) -> list[str]:
        """Wait for the next tick, and return those that are silent for longer than their lease."""
        await asyncio.sleep(TICK_SECONDS)
        return self.tick()

    def open(self) -> None:
        """Begin to count: before now nobody could be heard."""
        self._last_tick = self._clock()

    def tick(self) -> list[str]:
        """Let the time since the last tick pass, a second of it at most; return who is silent."""
        now = self._clock()
        passed, self._last_tick = now - self._last_tick, now
        if not self.is_counting():
            return []
        self._now += min(passed, TICK_SECONDS)
        return [worker_id for worker_id in self._signs if self.is_silent(worker_id)]

    def is_silent(self, worker_id: str) -> bool:
        """Tell whether a worker is silent for longer than its lease, as of the newest tick."""
        sign = self._signs.get(worker_id)
        if sign is None or sign.waiting:
            return False
        return sign.heard < self._now - self.lease_seconds
