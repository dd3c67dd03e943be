"""Which order a free worker starts: the most urgent one, or none for now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.store.changes import NEVER_ALONE, ClaimNext, Take

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orderintake_server.dispatch.inbox import FreeWorker
    from orderintake_server.dispatch.ready import ReadyQueue
    from orderintake_server.domain import Lease, QueueEntry


class FreeWorkers:
    """The free workers, and how many are busy.

    All orders that were in process when the process died are suspects: any of them may have caused
    the crash. One crash before an order would be quarantined, it runs alone. So only the order
    that really causes the crashes is quarantined.
    """

    def __init__(self, ready: ReadyQueue, *, max_crashes: int) -> None:
        """Start the orders in `ready`; an order is quarantined at its `max_crashes`-th crash."""
        self._ready = ready
        self._alone = max_crashes - 1 or NEVER_ALONE
        self._free: list[FreeWorker] = []
        self._busy = 0
        self._is_alone = False

    def add(self, worker: FreeWorker) -> None:
        """Add a worker that is free."""
        self._free.append(worker)

    def match(self) -> list[tuple[QueueEntry, FreeWorker]]:
        """Remove the most urgent orders from `ready`; return them, each with a free worker."""
        self._free = [worker for worker in self._free if not worker.answer.done()]
        matched: list[tuple[QueueEntry, FreeWorker]] = []
        ready, waiting = self._ready, iter(self._free)
        while len(matched) < len(self._free) and self._may_start(ready.first()):
            matched.append((ready.pop(), next(waiting)))
            self._busy += 1
        self._free = list(waiting)
        return matched

    def _may_start(self, first: QueueEntry | None) -> bool:
        """Whether the most urgent order may start; a suspect starts only when no worker is busy."""
        if first is None or self._is_alone:
            return False
        if first.crash_count < self._alone:
            return True
        self._is_alone = not self._busy
        return self._is_alone

    def offer(self) -> ClaimNext | None:
        """Offer the free workers to orders that the next commit queues; `match` found them none."""
        if not self._free or self._is_alone or not self._ready.is_empty():
            return None
        return ClaimNext(takes=[Take(len(self._free))], is_idle=not self._busy, alone=self._alone)

    def take(self, leases: Sequence[Lease]) -> list[tuple[FreeWorker, Lease]]:
        """Give each order that started by an offer to a worker."""
        workers, self._free = self._free[: len(leases)], self._free[len(leases) :]
        self._busy += len(leases)
        self._is_alone = self._is_alone or any(x.crash_count >= self._alone for x in leases)
        return list(zip(workers, leases, strict=True))

    def ended(self, *, orders: int) -> None:
        """Note that `orders` attempts have ended, so that their workers are no longer busy."""
        self._busy -= orders
        self._is_alone = self._is_alone and self._busy > 0
