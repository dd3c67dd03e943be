"""Where orders start from: the process's own queue, or a queue in a store that processes share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from orderintake_server.dispatch.inbox import Starts
from orderintake_server.dispatch.requests.slots import Slots
from orderintake_server.holders import LentLease
from orderintake_server.store.changes import NEVER_ALONE, ClaimNext

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orderintake_server.dispatch.free_workers import FreeWorkers, Match
    from orderintake_server.dispatch.ready import ReadyQueue
    from orderintake_server.dispatch.requests.loads import Closed
    from orderintake_server.dispatch.requests.slots import Slot
    from orderintake_server.domain import Lease
    from orderintake_server.holders import LeaseKey
    from orderintake_server.store.changes import Committed, StoreState


class Queue(Protocol):
    """Matches free slots with orders; only the committer uses it."""

    def add(self, slot: Slot) -> None:
        """Add a slot that is free, or those that a worker offers."""

    def wanted(self, *, is_closing: bool) -> Starts:
        """Return what the queue wants from the next commit, and again after one that failed.

        When the service `is_closing`, nothing starts any more.
        """

    def apply_commit(
        self, wanted: Starts, committed: Committed, *, ended: int
    ) -> list[tuple[Slot, Lease]]:
        """Update the queue after a commit; return each order that started, with its slot.

        In this commit, `ended` attempts of this process ended.
        """

    def apply(self, state: StoreState) -> None:
        """Update the queue after other processes changed the store."""

    def taken(self, keys: Iterable[LeaseKey]) -> None:
        """Note that these attempts of workers are over."""

    def close(self, worker_id: str, why: Closed) -> None:
        """Give a worker nothing any more; its calls that wait end without orders."""

    def reopen(self, worker_id: str, why: Closed) -> None:
        """Give a worker orders again, unless it was closed for what outlasts this."""


class OwnQueue:
    """The queue of a store that only this process uses; the front of it is here, in memory."""

    def __init__(self, ready: ReadyQueue, workers: FreeWorkers) -> None:
        """Let `workers` start the orders in `ready`."""
        self._ready = ready
        self._workers = workers
        self.add, self.taken = workers.add, workers.taken
        self.close, self.reopen = workers.close, workers.reopen
        self._claims: list[Match] = []
        """Removed from `ready`, but not yet started by a commit."""

    def wanted(self, *, is_closing: bool) -> Starts:
        """Keep `Queue.wanted`: start the most urgent orders; read a page when too few are here."""
        if self._claims:  # no commit has started them
            self._workers.unmatch(self._claims)
            self._claims = []
        if is_closing:
            return Starts()
        self._claims = self._workers.match()
        return Starts(claims=self._claims, page=self._ready.missing(), offer=self._workers.offer())

    def apply_commit(
        self, wanted: Starts, committed: Committed, *, ended: int
    ) -> list[tuple[Slot, Lease]]:
        """Keep `Queue.apply_commit`; a slot whose order no longer waited is free again."""
        self._ready.pause(committed.paused)
        if any(committed.cancelled_waiting):
            self._ready.forget()  # or each entry would cost a claim, before any later order
        for entry in committed.queued:
            self._ready.push(entry)
        if wanted.page:
            self._ready.fill(wanted.page, committed.page)
        if wanted.claims:
            self._claims = []
        self._workers.ended(orders=ended)
        starts = []
        for (entry, slot), lease in zip(wanted.claims, committed.claimed, strict=True):
            if lease is None:
                self._workers.missed(entry, slot)
            else:
                self._workers.started(lease)
                starts.append((slot, lease))
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
        self._slots = Slots()
        self._busy = 0
        """How many orders this process has itself."""
        self._is_alone = False
        self._may_have_more = True
        """Whether a claim is worthwhile: by the newest known state, some orders wait."""

    def add(self, slot: Slot) -> None:
        """Keep `Queue.add`."""
        self._slots.add(slot)
        self._may_have_more = True

    def wanted(self, *, is_closing: bool) -> Starts:
        """Keep `Queue.wanted`."""
        if not self._may_have_more or is_closing:
            return Starts()
        takes = self._slots.takes(own=not self._is_alone, may_take=_anybody)
        if not takes:
            return Starts()
        claim_next = ClaimNext(takes=takes, is_idle=not self._busy, alone=self._alone)
        return Starts(claim_next=claim_next)

    def apply_commit(
        self, wanted: Starts, committed: Committed, *, ended: int
    ) -> list[tuple[Slot, Lease]]:
        """Keep `Queue.apply_commit`; a slot that was withdrawn meanwhile may get a lease too."""
        leases = committed.claimed_next
        own = [lease for lease in leases if not isinstance(lease, LentLease)]
        self._busy += len(own) - ended
        suspects = any(lease.crash_count >= self._alone for lease in own)
        self._is_alone = (self._is_alone or suspects) and self._busy > 0
        if self._is_empty_after(wanted.claim_next, committed):
            self._may_have_more = False
        else:
            self.apply(committed)
        for worker_id in committed.closed:
            self._slots.close(worker_id)
        return self._slots.pair([*committed.told_again, *leases])

    def _is_empty_after(self, claim_next: ClaimNext | None, committed: Committed) -> bool:
        """Whether nothing more can start: fewer orders started than there were slots.

        That is not certain when an order may start now only because nothing else is in process any
        more, nor when some slots were for nothing.
        """
        started = len(committed.claimed_next)
        if claim_next is None or started >= claim_next.most:
            return False
        if started and any(take.holder for take in claim_next.takes):
            return False
        is_refused = committed.closed or committed.told_again
        return not is_refused and (claim_next.is_idle or self._busy > 0)

    def apply(self, state: StoreState) -> None:
        """Keep `Queue.apply`."""
        self._may_have_more = any(
            counts.queued for tier, counts in state.counts.items() if tier not in state.paused
        )

    def taken(self, keys: Iterable[LeaseKey]) -> None:
        """Keep `Queue.taken`: the store knows what each worker has."""

    def close(self, worker_id: str, why: Closed) -> None:  # noqa: ARG002
        """Keep `Queue.close`: the store knows who takes orders."""
        self._slots.close(worker_id)

    def reopen(self, worker_id: str, why: Closed) -> None:
        """Keep `Queue.reopen`: the store knows who takes orders."""


def _anybody(_: str) -> bool:
    """Leave it to the store which workers take something."""
    return True
