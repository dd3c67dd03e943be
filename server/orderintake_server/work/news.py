"""What a worker has to know of its leases, compared with what it says that it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orderintake_server.holders import HeldLease, LeaseKey
    from orderintake_server.work.words import Inventory, KeepAsked

AGAIN_SECONDS = 1.0
"""So long after it was told, the same news is told again, until the worker says that it knows."""


def undelivered(leases: Sequence[HeldLease], inventory: Inventory) -> list[LeaseKey]:
    """Return the leases of which the worker says that no answer brought it them, and none will.

    They came of calls that it has made, that are not open any more, and it does not hold them.
    What a call without a number got it may have: it cannot say.
    """
    held = {key.start_sequence for key in inventory.held}
    return [
        lease.key
        for lease in leases
        if 0 < lease.call <= inventory.last_call
        and lease.call not in inventory.open_calls
        and lease.key.start_sequence not in held
    ]


def to_stop(leases: Sequence[HeldLease], asked: KeepAsked) -> list[LeaseKey]:
    """Return the attempts that somebody asked to stop, and of which the worker does not know it."""
    heard = {key.start_sequence for key in asked.stops_heard}
    return [
        lease.key
        for lease in leases
        if lease.is_cancel_requested and lease.key.start_sequence not in heard
    ]


def lost(leases: Sequence[HeldLease], inventory: Inventory | None) -> list[LeaseKey]:
    """Return the leases that the worker holds, and that are good no longer."""
    if inventory is None:
        return []
    good = {lease.key.start_sequence for lease in leases}
    return [key for key in inventory.held if key.start_sequence not in good]


@dataclass(slots=True)
class _Told:
    news: frozenset[int]
    at: float


class LastTold:
    """What each worker was told last, so that the same is told once a second, not at every call."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Measure with `clock`, in seconds."""
        self._clock = clock
        self._told: dict[str, _Told] = {}

    def seconds_until(self, worker_id: str, news: Sequence[LeaseKey]) -> float | None:
        """Return in how many seconds this is to be told: 0 is now; None when it is nothing."""
        if not news:
            self._told.pop(worker_id, None)
            return None
        told = self._told.get(worker_id)
        if told is None or not told.news.issuperset(key.start_sequence for key in news):
            return 0.0
        return max(told.at + AGAIN_SECONDS - self._clock(), 0.0)

    def told(self, worker_id: str, news: Sequence[LeaseKey]) -> None:
        """Note that a worker is told this now."""
        if news:
            starts = frozenset(key.start_sequence for key in news)
            self._told[worker_id] = _Told(starts, self._clock())

    def forget(self, worker_id: str) -> None:
        """Forget a worker."""
        self._told.pop(worker_id, None)
