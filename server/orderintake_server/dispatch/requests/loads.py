"""Which workers have which orders, and which of them may be given more."""

from __future__ import annotations

from collections import defaultdict
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from orderintake_server.store.work import MOST_ENDED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orderintake_server.domain import QueueEntry
    from orderintake_server.holders import Holder, LeaseKey, LentLease, WorkerRow

MOST_CLOSED = 2 * MOST_ENDED
"""So many workers are remembered that take nothing any more: more than the store remembers."""


class Closed(IntEnum):
    """Why a worker is given nothing; the later ones outlast the earlier."""

    IS_THOUGHT_DEAD = 1
    STOPS = 2
    """Until it is taken for dead and begins anew."""
    HAS_ENDED = 3


class _Load(NamedTuple):
    """An order that a worker has, or is to have by the next commit (start_sequence 0)."""

    worker_id: str
    start_sequence: int


class Loads:
    """What workers have, for a queue that no other process uses."""

    def __init__(self, *, alone: int, workers: Iterable[WorkerRow] = ()) -> None:
        """Begin with what the workers have by these rows.

        An order that crashed `alone` times is alone at its worker.
        """
        self._alone_from = alone
        self._of: dict[int, _Load] = {}
        """By accept sequence."""
        self._has: defaultdict[str, set[int]] = defaultdict(set)
        self._alone: set[str] = set()
        self._closed: dict[str, Closed] = {}
        for worker in workers:
            if worker.is_stopping or worker.is_ended:
                why = Closed.HAS_ENDED if worker.is_ended else Closed.STOPS
                self.close(worker.worker_id, why)
            for key, *_ in worker.leases:
                self._add(worker.worker_id, key.accept_sequence, key.start_sequence)
                self._note_alone(worker.worker_id, key.crash_count)

    def may_take(self, worker_id: str, entry: QueueEntry | None = None) -> bool:
        """Tell whether a worker may be given this order; without one, any that is no suspect."""
        if worker_id in self._alone or worker_id in self._closed:
            return False
        is_suspect = entry is not None and entry.crash_count >= self._alone_from
        return not (is_suspect and self._has.get(worker_id))

    def is_closed(self, worker_id: str) -> bool:
        """Tell whether a worker takes nothing any more."""
        return worker_id in self._closed

    def close(self, worker_id: str, why: Closed) -> None:
        """Note that a worker takes nothing any more."""
        self._closed[worker_id] = max(why, self._closed.get(worker_id, why))
        if len(self._closed) > MOST_CLOSED:
            del self._closed[next(iter(self._closed))]

    def reopen(self, worker_id: str, why: Closed) -> None:
        """Note that a worker takes orders again, unless it is closed for what outlasts this."""
        if self._closed.get(worker_id, Closed.HAS_ENDED) <= why:
            del self._closed[worker_id]

    def reserve(self, holder: Holder, entry: QueueEntry) -> None:
        """Note that a worker is to be given an order."""
        self._add(holder.worker_id, entry.accept_sequence, 0)
        self._note_alone(holder.worker_id, entry.crash_count)

    def begin(self, lease: LentLease) -> None:
        """Note that a worker was given an order."""
        order, worker_id = lease.order, lease.holder.worker_id
        self._add(worker_id, order.accept_sequence, order.start_sequence)
        self._note_alone(worker_id, lease.crash_count)

    def end(self, accept_sequence: int, start_sequence: int = 0) -> None:
        """Note that this attempt is over, or (0) that it did not begin."""
        load = self._of.get(accept_sequence)
        if load is None or load.start_sequence != start_sequence:
            return  # it was over before
        del self._of[accept_sequence]
        orders = self._has[load.worker_id]
        orders.remove(accept_sequence)
        if not orders:
            del self._has[load.worker_id]
            self._alone.discard(load.worker_id)

    def taken(self, keys: Iterable[LeaseKey]) -> None:
        """Note that these attempts are over."""
        for key in keys:
            self.end(key.accept_sequence, key.start_sequence)

    def _add(self, worker_id: str, accept_sequence: int, start_sequence: int) -> None:
        self._of[accept_sequence] = _Load(worker_id, start_sequence)
        self._has[worker_id].add(accept_sequence)

    def _note_alone(self, worker_id: str, crash_count: int) -> None:
        if crash_count >= self._alone_from:
            self._alone.add(worker_id)
