"""Which order a free worker takes: the most urgent there is, or none for the moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orderintake_server.dispatch.inbox import FreeWorker
    from orderintake_server.dispatch.ready import ReadyQueue
    from orderintake_server.domain import QueueEntry


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
        self._free: list[FreeWorker] = []
        self._busy = 0
        self._is_alone = False

    def add(self, worker: FreeWorker) -> None:
        """Add a worker that is free."""
        self._free.append(worker)

    def match(self) -> list[tuple[QueueEntry, FreeWorker]]:
        """Give the most urgent orders to the free workers, one each."""
        self._free = [worker for worker in self._free if not worker.answer.done()]
        matched: list[tuple[QueueEntry, FreeWorker]] = []
        while self._free and self._may_start(self._ready.first()):
            matched.append((self._ready.pop(), self._free.pop(0)))
            self._busy += 1
        return matched

    def _may_start(self, first: QueueEntry | None) -> bool:
        """Tell whether the most urgent order may start; a suspect only with nothing beside it."""
        if first is None or self._is_alone:
            return False
        if not self._is_suspect(first):
            return True
        self._is_alone = not self._busy
        return self._is_alone

    def ended(self, *, orders: int) -> None:
        """Count so many attempts out that have ended."""
        self._busy -= orders
        self._is_alone = self._is_alone and self._busy > 0

    def _is_suspect(self, entry: QueueEntry) -> bool:
        return 0 < self._last_crash <= entry.crash_count
