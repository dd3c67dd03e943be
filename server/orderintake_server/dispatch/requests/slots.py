"""The free slots, of this process and of workers, in the order in which they were offered."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from typing import TYPE_CHECKING, TypeAlias

from orderintake_server.dispatch.requests.pending import FreeSlot, Offer
from orderintake_server.holders import LentLease
from orderintake_server.store.changes import MOST_STARTS, Take

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orderintake_server.domain import Lease
    from orderintake_server.holders import Holder

Slot: TypeAlias = FreeSlot | Offer
"""A slot of this process, or those of a worker that one call offers."""


class Slots:
    """Slots that wait for orders; those that nobody waits for any more are passed over."""

    def __init__(self) -> None:
        """Begin with none."""
        self._waiting: OrderedDict[Slot, None] = OrderedDict()

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._waiting)

    def add(self, slot: Slot) -> None:
        """Add what is offered, behind all others."""
        self._waiting[slot] = None

    def put_back(self, slots: Sequence[Slot]) -> None:
        """Add slots that were taken, before all others, in their order."""
        for slot in reversed(slots):
            if isinstance(slot, Offer):
                slot.left += 1
            self._waiting[slot] = None
            self._waiting.move_to_end(slot, last=False)

    def first(self) -> Slot | None:
        """Return the first one that somebody waits for; forget those before it."""
        waiting = self._waiting
        while waiting:
            slot = next(iter(waiting))
            if not slot.answer.done():
                return slot
            del waiting[slot]
        return None

    def live(self) -> list[Slot]:
        """Return those that somebody waits for; forget the others."""
        for gone in [slot for slot in self._waiting if slot.answer.done()]:
            del self._waiting[gone]
        return list(self._waiting)

    def take(self, slot: Slot) -> None:
        """Take a slot, or one of an offer's, out."""
        if slot.item is not None:
            slot.left -= 1
            if slot.left:
                return
        del self._waiting[slot]

    def close(self, worker_id: str) -> None:
        """Let the calls of a worker end without orders."""
        for slot in self._waiting:
            if isinstance(slot, Offer) and slot.item.worker_id == worker_id:
                slot.resolve([])

    def pair(self, leases: Sequence[Lease]) -> list[tuple[Slot, Lease]]:
        """Take out a slot for each lease: the first of the call that it is for."""
        of: defaultdict[Holder | None, deque[Lease]] = defaultdict(deque)
        for lease in leases:
            of[lease.holder if isinstance(lease, LentLease) else None].append(lease)
        pairs: list[tuple[Slot, Lease]] = []
        for slot in list(self._waiting) if leases else ():
            mine = of.get(slot.item, ())
            while mine and slot in self._waiting:
                self.take(slot)
                pairs.append((slot, mine.popleft()))
            if len(pairs) == len(leases):
                break
        return pairs

    def takes(self, *, own: bool, may_take: Callable[[str], bool]) -> list[Take]:
        """Write them as takes, at most MOST_STARTS slots: this process's are joined.

        Without its `own`; of workers those that `may_take`.
        """
        takes: list[Take] = []
        joined, left = 0, MOST_STARTS
        for slot in self.live():
            if slot.item is None:
                joined, left = joined + own, left - own
            elif may_take(slot.item.worker_id):
                takes += [Take(joined)] if joined else []
                joined, most = 0, min(slot.left, left)
                takes.append(Take(most, slot.item))
                left -= most
            if not left:
                break
        return [*takes, Take(joined)] if joined else takes
