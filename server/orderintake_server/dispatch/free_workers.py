"""Which order a free slot starts: the most urgent one, or none for now."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from orderintake_server.dispatch.requests.loads import Loads
from orderintake_server.dispatch.requests.pending import Offer
from orderintake_server.dispatch.requests.slots import Slot, Slots
from orderintake_server.domain import QueueEntry
from orderintake_server.holders import LentLease
from orderintake_server.store.changes import MOST_STARTS, NEVER_ALONE, ClaimNext

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orderintake_server.dispatch.ready import ReadyQueue
    from orderintake_server.dispatch.requests.loads import Closed
    from orderintake_server.domain import Lease
    from orderintake_server.holders import LeaseKey, WorkerRow

Match: TypeAlias = tuple[QueueEntry, Slot]
"""An order, and the slot that is to start it."""


class FreeWorkers:
    """The free slots, of this process and of workers; and what both have in process.

    All orders that were in process when a process died are suspects: any of them may have caused
    the crash. One crash before an order would be quarantined, it runs alone in its process. So only
    the order that really causes the crashes is quarantined.
    """

    def __init__(
        self, ready: ReadyQueue, *, max_crashes: int, workers: Iterable[WorkerRow] = ()
    ) -> None:
        """Start the orders in `ready`; an order is quarantined at its `max_crashes`-th crash.

        `workers`: those that go on, with what they have.
        """
        self._ready = ready
        self._alone = max_crashes - 1 or NEVER_ALONE
        self._loads = Loads(alone=self._alone, workers=workers)
        self._slots = Slots()
        self._busy = 0
        """How many orders this process has itself."""
        self._is_alone = False

    def add(self, slot: Slot) -> None:
        """Add a slot that is free; a worker that takes nothing any more is answered at once."""
        if isinstance(slot, Offer) and self._loads.is_closed(slot.item.worker_id):
            slot.resolve([])
        else:
            self._slots.add(slot)

    def match(self) -> list[Match]:
        """Remove the most urgent orders from `ready`; return them, each with a free slot."""
        matched: list[Match] = []
        while len(matched) < MOST_STARTS:
            first = self._ready.first()
            slot = self._slot_for(first) if first else None
            if slot is None:
                break
            matched.append((self._ready.pop(), slot))
            self._begin(*matched[-1])
        return matched

    def unmatch(self, matched: Sequence[Match]) -> None:
        """Undo a match: the commit did not start these orders."""
        self._slots.put_back([slot for _, slot in matched])
        for entry, slot in matched:
            self._ready.push(entry)
            self._miss(entry, slot)

    def missed(self, entry: QueueEntry, slot: Slot) -> None:
        """Note that an order did not wait any more: its slot is free again."""
        if isinstance(slot, Offer):
            slot.left += 1
        self._miss(entry, slot)
        self.add(slot)

    def _slot_for(self, entry: QueueEntry) -> Slot | None:
        """Return the first slot that may start this order: a suspect runs alone."""
        first = self._slots.first()
        if first is None or self._may_take(first, entry):
            return first
        return next((slot for slot in self._slots.live() if self._may_take(slot, entry)), None)

    def _may_take(self, slot: Slot, entry: QueueEntry) -> bool:
        if slot.item is not None:
            return self._loads.may_take(slot.item.worker_id, entry)
        return not self._is_alone and (entry.crash_count < self._alone or not self._busy)

    def _begin(self, entry: QueueEntry, slot: Slot) -> None:
        self._slots.take(slot)
        if slot.item is not None:
            self._loads.reserve(slot.item, entry)
            return
        self._busy += 1
        self._is_alone = entry.crash_count >= self._alone

    def _miss(self, entry: QueueEntry, slot: Slot) -> None:
        if slot.item is not None:
            self._loads.end(entry.accept_sequence)
        else:
            self.ended(orders=1)

    def offer(self) -> ClaimNext | None:
        """Offer the free slots to orders that the next commit queues; `match` found them none."""
        if not self._ready.is_empty():
            return None
        takes = self._slots.takes(own=not self._is_alone, may_take=self._loads.may_take)
        return ClaimNext(takes=takes, is_idle=not self._busy, alone=self._alone) if takes else None

    def take(self, leases: Sequence[Lease]) -> list[tuple[Slot, Lease]]:
        """Give each order that started by an offer to its slot."""
        pairs = self._slots.pair(leases)
        for _, lease in pairs:
            if isinstance(lease, LentLease):
                self._loads.begin(lease)
            else:
                self._busy += 1
                self._is_alone = self._is_alone or lease.crash_count >= self._alone
        return pairs

    def started(self, lease: Lease) -> None:
        """Note that an order that was matched has started."""
        if isinstance(lease, LentLease):
            self._loads.begin(lease)

    def ended(self, *, orders: int) -> None:
        """Note that `orders` attempts of this process have ended: their slots are free."""
        self._busy -= orders
        self._is_alone = self._is_alone and self._busy > 0

    # Workers

    def taken(self, keys: Iterable[LeaseKey]) -> None:
        """Note that these attempts of workers are over."""
        self._loads.taken(keys)

    def close(self, worker_id: str, why: Closed) -> None:
        """Give a worker nothing any more."""
        self._loads.close(worker_id, why)
        self._slots.close(worker_id)

    def reopen(self, worker_id: str, why: Closed) -> None:
        """Give a worker orders again, if it was closed for this or less."""
        self._loads.reopen(worker_id, why)
