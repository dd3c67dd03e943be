"""From where orders start: this process's own queue, or one that it shares with others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from orderintake_server.dispatch.inbox import Starts
from orderintake_server.store.changes import ClaimNext

if TYPE_CHECKING:
    from orderintake_server.dispatch.free_workers import FreeWorkers
    from orderintake_server.dispatch.inbox import FreeWorker
    from orderintake_server.dispatch.ready import ReadyQueue
    from orderintake_server.domain import Lease, QueueEntry
    from orderintake_server.store.changes import Committed, StoreState


class Queue(Protocol):
    """The free workers, and the orders they are given; the committer alone changes it."""

    def add(self, worker: FreeWorker) -> None:
        """Add a worker that is free."""

    def wanted(self, *, is_closing: bool) -> Starts:
        """Tell what is to be asked of the next commit; if that fails, of the one after it.

        Nothing starts any more when the service `is_closing`.
        """

    def apply_commit(
        self, asked: Starts, committed: Committed, *, ended: int
    ) -> list[tuple[FreeWorker, Lease]]:
        """Bring the queue to what the store holds now; return which worker is given which order.

        In the commit, so many attempts `ended`.
        """

    def apply(self, state: StoreState) -> None:
        """Take over how others left the store."""


class OwnQueue:
    """The front of the store's queue is here, in memory: nobody else changes it."""

    def __init__(self, ready: ReadyQueue, workers: FreeWorkers) -> None:
        """Give the orders in `ready` to `workers`."""
        self._ready = ready
        self._workers = workers
        self._claims: list[tuple[QueueEntry, FreeWorker]] = []
        """Taken out of `ready`, and not yet started by a commit."""

    def add(self, worker: FreeWorker) -> None:
        """Keep `Queue.add`."""
        self._workers.add(worker)

    def wanted(self, *, is_closing: bool) -> Starts:
        """Keep `Queue.wanted`: start the most urgent here; read on where too few are here."""
        if is_closing:
            return Starts()
        self._claims += self._workers.match()
        return Starts(claims=self._claims, page=self._ready.missing())

    def apply_commit(
        self, asked: Starts, committed: Committed, *, ended: int
    ) -> list[tuple[FreeWorker, Lease]]:
        """Keep `Queue.apply_commit`; a worker whose order did not wait any longer is free again."""
        self._ready.pause(committed.paused)
        for entry in committed.queued:
            self._ready.push(entry)
        if asked.page:
            self._ready.fill(asked.page, committed.page)
        self._claims = []
        self._workers.ended(orders=ended + committed.claimed.count(None))
        starts = []
        for (_, worker), lease in zip(asked.claims, committed.claimed, strict=True):
            if lease is None:
                self._workers.add(worker)
            else:
                starts.append((worker, lease))
        return starts

    def apply(self, state: StoreState) -> None:
        """Keep `Queue.apply`: nobody else has changed anything."""


class SharedQueue:
    """The queue is in the store: at each commit the free workers claim the most urgent there is.

    Nothing is fetched ahead, so no order is started past a more urgent one that another process
    has accepted meanwhile.
    """

    def __init__(self, *, max_crashes: int) -> None:
        """Run an order alone before its last allowed crash, as FreeWorkers does."""
        self._alone = max_crashes - 1 or 1_000_000
        self._free: list[FreeWorker] = []
        self._busy = 0
        self._is_alone = False
        self._may_have_more = True
        """Whether it is worth asking: by the newest state that is known, some orders wait."""

    def add(self, worker: FreeWorker) -> None:
        """Keep `Queue.add`."""
        self._free.append(worker)
        self._may_have_more = True

    def wanted(self, *, is_closing: bool) -> Starts:
        """Keep `Queue.wanted`."""
        self._free = [worker for worker in self._free if not worker.answer.done()]
        if not self._free or not self._may_have_more or self._is_alone or is_closing:
            return Starts()
        claim_next = ClaimNext(most=len(self._free), is_idle=not self._busy, alone=self._alone)
        return Starts(claim_next=claim_next)

    def apply_commit(
        self, asked: Starts, committed: Committed, *, ended: int
    ) -> list[tuple[FreeWorker, Lease]]:
        """Keep `Queue.apply_commit`; a worker that was stopped meanwhile may be among them."""
        leases = committed.claimed_next
        self._busy += len(leases) - ended
        suspects = any(lease.crash_count >= self._alone for lease in leases)
        self._is_alone = (self._is_alone or suspects) and self._busy > 0
        if self._has_all(asked.claim_next, len(leases)):
            self._may_have_more = False
        else:
            self.apply(committed)
        workers, self._free = self._free[: len(leases)], self._free[len(leases) :]
        return list(zip(workers, leases, strict=True))

    def _has_all(self, asked: ClaimNext | None, found: int) -> bool:
        """Tell whether nothing more waits: fewer were found than asked for.

        Unless something may start only now that nothing else is in process.
        """
        if asked is None or found >= asked.most:
            return False
        return asked.is_idle or self._busy > 0

    def apply(self, state: StoreState) -> None:
        """Keep `Queue.apply`."""
        self._may_have_more = any(
            counts.queued for tier, counts in state.counts.items() if tier not in state.paused
        )
