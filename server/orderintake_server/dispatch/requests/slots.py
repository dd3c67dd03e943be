"""The free slots, of this process and of workers, in the order in which they were offered."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from typing import TYPE_CHECKING, TypeAlias

from orderintake_server.dispatch.requests.pending import FreeSlot, Offer
from orderintake_server.holders import LentLease
from orderintake_server.store.changes import MOST_STARTS, Take

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from orderintake_server.domain import Lease
    from orderintake_server.holders import Holder

Slot: TypeAlias = FreeSlot | Offer
"""A slot of this process, or those of a worker that one call offers."""


class Slots:
    """Slots that wait for orders; those that nobody waits for any more are passed over."""

    def __init__(self) -> None:
        """Begin with none."""
        self._waiting: OrderedDict[int, Slot] = OrderedDict()
        self.lent = 0
        """How many of them are offers of workers, those that nobody waits for any more too."""

    def add(self, slot: Slot) -> None:
        """Add what is offered, behind all others."""
        self._waiting[id(slot)] = slot
        if slot.item is not None:
            self.lent += 1

    def put_back(self, slots: Sequence[Slot]) -> None:
        """Add slots that were taken, before all others, in their order."""
        for slot in reversed(slots):
            if isinstance(slot, Offer):
                slot.left += 1
                self.lent += id(slot) not in self._waiting
            self._waiting[id(slot)] = slot
            self._waiting.move_to_end(id(slot), last=False)

    def __iter__(self) -> Iterator[Slot]:
        """Yield all in their order; while that goes on none may be added or taken."""
        return iter(self._waiting.values())

    def live(self) -> list[Slot]:
        """Forget those that nobody waits for any more; return the others."""
        live = [slot for slot in self._waiting.values() if not slot.answer.done()]
        if len(live) < len(self._waiting):
            self._waiting = OrderedDict((id(slot), slot) for slot in live)
            self.lent = sum(slot.item is not None for slot in live)
        return live

    def take(self, slot: Slot) -> None:
        """Take a slot, or one of an offer's, out."""
        if isinstance(slot, Offer):
            slot.left -= 1
            if slot.left:
                return
            self.lent -= 1
        del self._waiting[id(slot)]

    def take_own(self, slots: Sequence[Slot]) -> None:
        """Take out slots of this process."""
        for slot in slots:
            del self._waiting[id(slot)]

    def close(self, worker_id: str) -> None:
        """Let the calls of a worker end without orders."""
        for slot in self._waiting.values():
            if isinstance(slot, Offer) and slot.item.worker_id == worker_id:
                slot.resolve([])

    def takes(self) -> list[Take]:
        """Write all as takes, as `takes_of` does."""
        if self.lent:
            return takes_of(self._waiting.values())
        return [Take(min(len(self._waiting), MOST_STARTS))] if self._waiting else []

    def pair(self, leases: Sequence[Lease]) -> list[tuple[Slot, Lease]]:
        """Take out a slot for each lease: the first of the call that it is for."""
        if not self.lent:
            return [(self._waiting.popitem(last=False)[1], lease) for lease in leases]
        of: defaultdict[Holder | None, deque[Lease]] = defaultdict(deque)
        for lease in leases:
            of[lease.holder if isinstance(lease, LentLease) else None].append(lease)
        pairs: list[tuple[Slot, Lease]] = []
        for slot in list(self._waiting.values()) if leases else ():
            mine = of.get(slot.item, ())
            while mine and id(slot) in self._waiting:
                self.take(slot)
                pairs.append((slot, mine.popleft()))
            if len(pairs) == len(leases):
                break
        return pairs


def takes_of(slots: Iterable[Slot]) -> list[Take]:
    """Write slots as takes, at most MOST_STARTS of them: this process's own are joined."""
    takes: list[Take] = []
    own, left = 0, MOST_STARTS
    for slot in slots:
        if not left:
            break
        if slot.item is None:
            own += 1
            left -= 1
            continue
        takes += [Take(own)] if own else []
        own, most = 0, min(slot.left, left)
        takes.append(Take(most, slot.item))
        left -= most
    return [*takes, Take(own)] if own else takes
