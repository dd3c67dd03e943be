"""Which slot gets which order: the most urgent orders are dealt to the slots that are offered."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orderintake_server.store.work import WorkerState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orderintake_server.domain import QueueEntry
    from orderintake_server.holders import Holder
    from orderintake_server.store.changes import ClaimNext
    from orderintake_server.store.sqlite.workers.roster import Roster


@dataclass(slots=True)
class _Offer:
    holder: Holder | None
    left: int

    @property
    def worker_id(self) -> str:
        """Whose it is; empty: this process's own."""
        return self.holder.worker_id if self.holder else ""


class Dealer:
    """Deals to the slots of one ClaimNext, once."""

    def __init__(self, wanted: ClaimNext, roster: Roster) -> None:
        """Look which of the takes may be given anything."""
        self._wanted = wanted
        self._roster = roster
        self.closed: set[str] = set()
        """Ids of those workers that take nothing any more."""
        self.had: list[Holder] = []
        """The calls that have leases already."""
        self.most = wanted.own
        self._has_workers = wanted.own < wanted.most
        if self._has_workers:
            takes = [take for take in wanted.takes if self._is_open(take.holder)]
            self.most = sum([take.most for take in takes])
            self._offers = deque([_Offer(take.holder, take.most) for take in takes])
            self._given: set[str] = set()
            self._alone: set[str] = set()

    def _is_open(self, holder: Holder | None) -> bool:
        if holder is None:
            return True
        member = self._roster.find(holder.worker_id)
        if member is None:
            return True
        if member.state is not WorkerState.WORKS:
            self.closed.add(holder.worker_id)
            return False
        if self._roster.has_of_call(holder):
            self.had += [] if holder in self.had else [holder]
            return False
        held = self._roster.held_by(holder.worker_id)
        return all(each.crash_count < self._wanted.alone for each in held)

    def deal(self, entries: Sequence[QueueEntry]) -> list[Holder | None]:
        """Deal these orders, most urgent first; return who gets each that starts, in their order.

        Those that are left do not start.
        """
        if not self._has_workers:
            return [None] * self._own(entries)
        dealt: list[Holder | None] = []
        for entry in entries:
            offer = self._first_for(entry)
            if offer is None:
                break
            offer.left -= 1
            dealt.append(offer.holder)
        return dealt

    def _first_for(self, entry: QueueEntry) -> _Offer | None:
        """Return the first offer whose worker may take this order, as ClaimNext says."""
        is_suspect = entry.crash_count >= self._wanted.alone
        while self._offers and not self._offers[0].left:
            self._offers.popleft()
        for offer in self._offers:
            worker = offer.worker_id
            if offer.left and worker not in self._alone and not (is_suspect and self._has(offer)):
                self._given.add(worker)
                self._alone |= {worker} if is_suspect else set()
                return offer
        return None

    def _has(self, offer: _Offer) -> bool:
        """Tell whether the worker of this offer has anything."""
        if offer.worker_id in self._given:
            return True
        if offer.holder is None:
            return not self._wanted.is_idle
        return bool(self._roster.held_by(offer.worker_id))

    def _own(self, entries: Sequence[QueueEntry]) -> int:
        """Return how many start when all slots are this process's own."""
        alone = self._wanted.alone
        suspects = [place for place, entry in enumerate(entries) if entry.crash_count >= alone]
        start = min([*suspects[:1], len(entries), self.most])
        if not start and entries and self.most and self._wanted.is_idle:
            return 1
        return start
