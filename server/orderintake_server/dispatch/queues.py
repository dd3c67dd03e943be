"""Where orders start from: the process's own queue, or a queue in a store that processes share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from orderintake_server.dispatch.inbox import Starts
from orderintake_server.store.changes import NEVER_ALONE, ClaimNext, Take

if TYPE_CHECKING:
    from orderintake_server.dispatch.free_workers import FreeWorkers
    from orderintake_server.dispatch.inbox import FreeWorker
    from orderintake_server.dispatch.ready import ReadyQueue
    from orderintake_server.domain import Lease, QueueEntry
    from orderintake_server.store.changes import Committed, StoreState


class Queue(Protocol):
    """Matches free workers with orders; only the committer uses it."""

    def add(self, worker: FreeWorker) -> None:
        """Add a worker that is free."""

    def wanted(self, *, is_closing: bool) -> Starts:
        """Return what the queue wants from the next commit, and again after one that failed.

        When the service `is_closing`, nothing starts any more.
        """

    def apply_commit(
        self, wanted: Starts, committed: Committed, *, ended: int
    ) -> list[tuple[FreeWorker, Lease]]:
        """Update the queue after a commit; return each order that started, with its worker.

        In this commit, `ended` attempts ended.
        """

    def apply(self, state: StoreState) -> None:
        """Update the queue after other processes changed the store."""


class OwnQueue:
    """The queue of a store that only this process uses; the front of it is here, in memory."""

    def __init__(self, ready: ReadyQueue, workers: FreeWorkers) -> None:
        """Let `workers` start the orders in `ready`."""
        self._ready = ready
        self._workers = workers
        self._claims: list[tuple[QueueEntry, FreeWorker]] = []
        """Removed from `ready`, but not yet started by a commit."""

    def add(self, worker: FreeWorker) -> None:
        """Keep `Queue.add`."""
        self._workers.add(worker)

    def wanted(self, *, is_closing: bool) -> Starts:
        """Keep `Queue.wanted`: start the most urgent orders; read a page when too few are here."""
        if is_closing:
            return Starts()
        self._claims += self._workers.match()
        return Starts(claims=self._claims, page=self._ready.missing(), offer=self._workers.offer())

    def apply_commit(
        self, wanted: Starts, committed: Committed, *, ended: int
    ) -> list[tuple[FreeWorker, Lease]]:
        """Keep `Queue.apply_commit`; a worker whose order no longer waited is free again."""
        self._ready.pause(committed.paused)
        if any(committed.cancelled_waiting):
            self._ready.forget()  # or each entry would cost a claim, before any later order
        for entry in committed.queued:
            self._ready.push(entry)
        if wanted.page:
            self._ready.fill(wanted.page, committed.page)
        if wanted.claims:
            self._claims = []
        self._workers.ended(orders=ended + committed.claimed.count(None))
        starts = []
        for (_, worker), lease in zip(wanted.claims, committed.claimed, strict=True):
            if lease is None:
                self._workers.add(worker)
            else:
                starts.append((worker, lease))
        return starts + self._workers.take(committed.claimed_next)

    def apply(self, state: StoreState) -> None:
        """Keep `Queue.apply`: no other process changes anything."""


class SharedQueue:
    """The queue of a shared store: in each commit the free workers claim its most urgent orders.

    Nothing is fetched in advance. So no order starts before a more urgent one that another process
    has accepted in the meantime.
    """

    def __init__(self, *, max_crashes: int) -> None:
        """Run an order alone when its next crash would quarantine it, as FreeWorkers does."""
        self._alone = max_crashes - 1 or NEVER_ALONE
        self._free: list[FreeWorker] = []
        self._busy = 0
        self._is_alone = False
        self._may_have_more = True
        """Whether a claim is worthwhile: by the newest known state, some orders wait."""

    def add(self, worker: FreeWorker) -> None:
        """Keep `Queue.add`."""
        self._free.append(worker)
        self._may_have_more = True

    def wanted(self, *, is_closing: bool) -> Starts:
        """Keep `Queue.wanted`."""
        self._free = [worker for worker in self._free if not worker.answer.done()]
        if not self._free or not self._may_have_more or self._is_alone or is_closing:
            return Starts()
        claim_next = ClaimNext(
            takes=[Take(len(self._free))], is_idle=not self._busy, alone=self._alone
        )
        return Starts(claim_next=claim_next)

    def apply_commit(
        self, wanted: Starts, committed: Committed, *, ended: int
    ) -> list[tuple[FreeWorker, Lease]]:
        """Keep `Queue.apply_commit`; a worker that was stopped meanwhile may get a lease too."""
        leases = committed.claimed_next
        self._busy += len(leases) - ended
        suspects = any(lease.crash_count >= self._alone for lease in leases)
        self._is_alone = (self._is_alone or suspects) and self._busy > 0
        if self._is_empty_after(wanted.claim_next, len(leases)):
            self._may_have_more = False
        else:
            self.apply(committed)
        workers, self._free = self._free[: len(leases)], self._free[len(leases) :]
        return list(zip(workers, leases, strict=True))

    def _is_empty_after(self, claim_next: ClaimNext | None, started: int) -> bool:
        """Whether nothing more can start: fewer orders started than the workers wanted.

        That is not certain when an order may start now only because nothing else is in process any
        more.
        """
        if claim_next is None or started >= claim_next.most:
            return False
        return claim_next.is_idle or self._busy > 0

    def apply(self, state: StoreState) -> None:
        """Keep `Queue.apply`."""
        self._may_have_more = any(
            counts.queued for tier, counts in state.counts.items() if tier not in state.paused
        )
