"""Commits that are measured: how long each takes, what it does, and whose fault a failure is."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from orderintake_server.domain import ENDED, CancelOutcome, Completion, State
from orderintake_server.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orderintake_server.domain import Cancelled, Lease, Tier
    from orderintake_server.metrics import Meters
    from orderintake_server.store.base import Store
    from orderintake_server.store.changes import Changes, Committed
    from orderintake_server.store.work import Work, WorkDone

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
        for asked in changes.cancels_waiting:  # those that started are not remembered any more
            for accept_sequence in asked.accept_sequences:
                self._promises.cancelled(accept_sequence)
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
        settled = zip(changes.settles, committed.settled, strict=True)
        ended = Counter((settle.lease.order.tier, state) for settle, state in settled)
        if changes.work and committed.work:
            ended.update(_ended_at_workers(changes.work, committed.work))
        for (tier, state), count in ended.items():
            if state in ENDED:
                self._commits.ended(tier, state, count)
                left[tier] -= count
        for asked, cancelled in zip(changes.cancels, committed.cancelled, strict=True):
            if end := self._new_end(cancelled):
                self._promises.cancelled(asked.accept_sequence)
                self._commits.ended(end.order.tier, State.CANCELLED)
                left[end.order.tier] -= 1
        for counts in committed.cancelled_waiting:
            for tier, count in counts.items():
                self._commits.ended(tier, State.CANCELLED, count)
                left[tier] -= count
        self._head = committed.head
        if not self._store.is_shared:
            for tier, count in left.items():
                self._commits.ended(tier, State.EXPIRED, count)

    def _new_end(self, cancelled: Cancelled | None) -> Completion | None:
        """Return the end of an order that this commit cancelled, and none before it."""
        if cancelled is None or cancelled.outcome is not CancelOutcome.CANCELLED:
            return None
        end = cancelled.stands
        return end if isinstance(end, Completion) and end.sequence > self._head else None


def _ended_at_workers(work: Work, done: WorkDone) -> Iterator[tuple[Tier, State | None]]:
    """Yield what became of orders by reports that counted, and by ends and deaths of workers."""
    for place, (report, state) in enumerate(zip(work.reports, done.reports, strict=True)):
        if place not in done.repeated:
            yield report.key.tier, state
    for taken in (*done.ends, *done.deaths):
        yield from ((key.tier, state) for key, state in taken)


def _size(changes: Changes) -> int:
    """Return how many orders the changes are about."""
    accepts = sum(len(group) for group in changes.accepts)
    ends = len(changes.settles) + len(changes.releases) + len(changes.cancels)
    ends += sum(len(asked.accept_sequences) for asked in changes.cancels_waiting)
    if changes.work:
        ends += len(changes.work.reports)
    return accepts + ends + len(changes.pauses) + len(changes.claims)
