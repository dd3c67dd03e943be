"""Which order a free worker takes: the most urgent there is, or none for the moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orderintake_server.dispatch.inbox import Pending
    from orderintake_server.dispatch.ready import ReadyQueue
    from orderintake_server.domain import Lease, QueueEntry


class FreeWorkers:
    """The workers that are free, and how many are not.

    An order that may take the process down is given out alone: orders that were in process
    together when the process died are all under suspicion, and before the last crash that an order
    is allowed, it runs with nobody beside it. So only the guilty one is quarantined.
    """

    def __init__(self, ready: ReadyQueue, *, max_crashes: int) -> None:
        """Give out what is in `ready`; an order is allowed fewer crashes than `max_crashes`."""
        self._ready = ready
        self._last_crash = max_crashes - 1
        self._free: list[Pending[None, Lease]] = []
        self._busy = 0
        self._is_alone = False

    def add(self, ask: Pending[None, Lease]) -> None:
        """Note a worker that is free."""
        self._free.append(ask)

    def match(self) -> list[tuple[QueueEntry, Pending[None, Lease]]]:
        """Give the most urgent orders to the free workers, one each."""
        self._free = [ask for ask in self._free if not ask.answer.done()]
        matched: list[tuple[QueueEntry, Pending[None, Lease]]] = []
        while self._free and (place := self._ready.first()) and not self._is_alone:
            if self._is_suspect(place):
                if self._busy:
                    break
                self._is_alone = True
            matched.append((self._ready.pop(), self._free.pop(0)))
            self._busy += 1
        return matched

    def ended(self, *, orders: int) -> None:
        """Note that so many orders are in a worker's hands no longer."""
        self._busy -= orders
        self._is_alone = self._is_alone and self._busy > 0

    def _is_suspect(self, place: QueueEntry) -> bool:
        return 0 < self._last_crash <= place.crash_count
