"""Commits that are measured: how long each takes, what it does, and whose fault a failure is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from orderintake_server.domain import ENDED, CancelOutcome, Completion, State
from orderintake_server.errors import StoreError

if TYPE_CHECKING:
    from orderintake_server.domain import Cancelled, Lease, Order, Tier
    from orderintake_server.metrics import Meters
    from orderintake_server.store.base import Store
    from orderintake_server.store.changes import Changes, Committed

MOST_CRASHED = 10_000
"""So many orders are remembered whose attempts ended a process."""


class MeasuredCommits:
    """Commits to a store as the store does, and counts."""

    def __init__(self, store: Store, meters: Meters) -> None:
        """Commit to `store`."""
        self._store = store
        self._commits = meters.commits
        self._attempts = meters.attempts
        self._promises = meters.promises
        self._head = store.recovery.head
        self._crashes: dict[int, int] = {}
        """The crashes of the orders whose attempts ended a process, as far as they are counted."""

    async def commit(self, changes: Changes) -> Committed:
        """Keep `Store.commit`."""
        began = time.perf_counter()
        try:
            committed = await self._store.commit(changes)
        except StoreError as error:
            self._commits.failed(error)
            raise
        self._commits.committed(time.perf_counter() - began, _size(changes))
        self._count_orders(committed)
        self._count_ends(changes, committed)
        return committed

    def _count_orders(self, committed: Committed) -> None:
        """Count what was accepted, and what started."""
        for outcome in committed.accepted:
            if isinstance(outcome, tuple):
                self._commits.took(outcome)
        for lease in (*committed.claimed, *committed.claimed_next):
            if lease is not None:
                self._commits.started(lease.order)
                self._promises.started(lease.order.accept_sequence)
                self._count_crash(lease)

    def _count_crash(self, lease: Lease) -> None:
        """Count an attempt that ended its process, when its order starts again."""
        if not lease.crash_count:
            return
        number = lease.order.accept_sequence
        if lease.crash_count > self._crashes.get(number, lease.crash_count - 1):
            self._attempts.end(lease.order.tier, "crashed")
        if len(self._crashes) == MOST_CRASHED:
            self._crashes.clear()
        self._crashes[number] = lease.crash_count

    def _count_ends(self, changes: Changes, committed: Committed) -> None:
        """Count what ended: by its attempt, by a cancel, or because its time was up.

        The last cannot be told in a store where other processes end orders too.
        """
        left = dict(committed.completion_counts)
        for settlement, state in zip(changes.settles, committed.settled, strict=True):
            if state is not None and state in ENDED:
                self._count_end(settlement.lease.order, state, left)
        for asked, cancelled in zip(changes.cancels, committed.cancelled, strict=True):
            if cancelled and self._is_new(cancelled):
                self._promises.cancelled(asked.accept_sequence)
                self._count_end(cancelled.stands, State.CANCELLED, left)
        for counts in committed.cancelled_waiting:
            for tier, count in counts.items():
                self._commits.ended(tier, State.CANCELLED, count)
                left[tier] -= count
        self._head = committed.head
        if not self._store.is_shared:
            for tier, count in left.items():
                self._commits.ended(tier, State.EXPIRED, count)

    def _count_end(self, found: Order | Completion, state: State, left: dict[Tier, int]) -> None:
        tier = found.order.tier if isinstance(found, Completion) else found.tier
        self._commits.ended(tier, state)
        left[tier] -= 1

    def _is_new(self, cancelled: Cancelled) -> bool:
        """Tell whether this commit cancelled the order, and none before it."""
        is_cancelled = cancelled.outcome is CancelOutcome.CANCELLED
        stands = cancelled.stands
        return is_cancelled and isinstance(stands, Completion) and stands.sequence > self._head


def _size(changes: Changes) -> int:
    """Return how many orders the changes are about."""
    accepts = sum(len(group) for group in changes.accepts)
    ends = len(changes.settles) + len(changes.releases) + len(changes.cancels)
    ends += sum(len(asked.accept_sequences) for asked in changes.cancels_waiting)
    return accepts + ends + len(changes.pauses) + len(changes.claims)
