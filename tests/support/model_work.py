"""The workers of a model of a store: what they said, who has what, and which orders they get."""

from collections.abc import Sequence
from dataclasses import dataclass

from orderintake_server.domain import Event, Lease, QueueEntry, State
from orderintake_server.holders import (
    HeldLease,
    Holder,
    LeaseKey,
    LentLease,
    WorkerRow,
)
from orderintake_server.store.base import Policy
from orderintake_server.store.changes import MOST_STARTS, ClaimNext
from orderintake_server.store.work import (
    GIVES,
    OVERDUE_AGAIN,
    REMEMBERED,
    AttemptEnd,
    WorkerState,
    WorkerWord,
)
from support.model_orders import Held, Orders


@dataclass(kw_only=True)
class Worker:
    """What is known of a worker."""

    since: int
    name: str = ""
    capacity: int = 0
    is_local: bool = False
    is_stopping: bool = False
    ended_at: int = 0

    @property
    def state(self) -> WorkerState:
        if self.ended_at:
            return WorkerState.ENDED
        return WorkerState.STOPS if self.is_stopping else WorkerState.WORKS


def key_of(held: Held) -> LeaseKey:
    """Write the key of the lease that an order in process has."""
    order = held.order
    return LeaseKey(
        order.accept_sequence, order.start_sequence, order.tier, order.attempt_count, held.crashes
    )


class Workers(Orders):
    """Knows the workers, and which orders they have."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self.workers: dict[str, Worker] = {}
        self.news: set[str] = set()
        self.overdue: dict[LeaseKey, str] = {}
        self._now = 0
        self._noted: dict[int, tuple[State, int]] = {}
        """By start sequence: what a report made of an order that did not end, and when."""

    @property
    def capacity(self) -> int:
        """How many slots those have that have not ended."""
        return sum(w.capacity for w in self.workers.values() if not w.ended_at)

    def had_by(self, worker_id: str) -> list[Held]:
        """Tell which orders a worker has, as they were accepted."""
        running = [held for held in self.standing() if held.order.state is State.PROCESSING]
        return [held for held in running if held.holder and held.holder.worker_id == worker_id]

    def leases_of(self, holder: Holder) -> list[LentLease]:
        """Tell what a call was given and still has, as it started."""
        mine = [held for held in self.had_by(holder.worker_id) if held.holder == holder]
        mine.sort(key=lambda held: held.order.start_sequence)
        return [
            LentLease(order=held.order, crash_count=held.crashes, holder=holder)
            for held in mine
            if holder.call
        ]

    def row(self, worker_id: str) -> WorkerRow | None:
        """Tell what a store must know of a worker."""
        worker = self.workers.get(worker_id)
        if worker is None:
            return None
        mine = sorted(self.had_by(worker_id), key=lambda held: held.order.start_sequence)
        return WorkerRow(
            worker_id=worker_id,
            name=worker.name,
            capacity=worker.capacity,
            since=worker.since,
            is_local=worker.is_local,
            is_stopping=worker.is_stopping,
            is_ended=worker.ended_at > 0,
            leases=[
                HeldLease(key_of(held), held.holder.call, held.order.start_time, held.is_to_stop)
                for held in mine
                if held.holder
            ],
        )

    # What they say

    def _note_word(self, word: WorkerWord) -> WorkerState:
        worker = self.workers.setdefault(word.worker_id, Worker(since=self._now))
        if not worker.ended_at:
            worker.name = worker.name if word.name is None else word.name
            worker.capacity = worker.capacity if word.capacity is None else word.capacity
            worker.is_local = worker.is_local if word.is_local is None else word.is_local
            worker.is_stopping = worker.is_stopping or word.is_stopping
        return worker.state

    def _said_before(self, report: AttemptEnd) -> State | None:
        event = report.ending.event if report.ending else Event.RELEASE
        start = report.key.start_sequence
        noted, time = self._noted.get(start, (None, 0))
        state = noted if time >= self._now - REMEMBERED else None
        for end in self.ends[self.earliest :]:
            if end.order.start_sequence == start:
                is_quarantined = end.failure and end.failure.code == "QUARANTINED"
                state = None if is_quarantined else end.order.state
        return state if state in GIVES[event] else None

    def _forget_old_workers(self) -> None:
        limit = self._now - REMEMBERED
        old = [name for name, each in self.workers.items() if 0 < each.ended_at < limit]
        for name in old:
            del self.workers[name]

    def _find_overdue(self) -> None:
        over = [
            held
            for held in self.standing()
            if held.order.state is State.PROCESSING and 0 < held.deadline <= self._now
        ]
        for held in over[:MOST_STARTS]:
            assert held.holder
            self.overdue[key_of(held)] = held.holder.worker_id
            held.deadline = self._now + OVERDUE_AGAIN

    # Which slot gets which order

    def _slots(self, wanted: ClaimNext) -> tuple[list[Holder | None], list[Holder], set[str]]:
        """Tell the slots that are open, the calls that have leases, and the workers that stop."""
        slots: list[Holder | None] = []
        had: list[Holder] = []
        closed: set[str] = set()
        for take in wanted.takes:
            holder = take.holder
            if holder is None:
                slots += [None] * take.most
                continue
            worker = self.workers.get(holder.worker_id)
            if worker and worker.state is not WorkerState.WORKS:
                closed.add(holder.worker_id)
            elif self.leases_of(holder):
                had += [] if holder in had else [holder]
            elif all(held.crashes < wanted.alone for held in self.had_by(holder.worker_id)):
                slots += [holder] * take.most
        return slots, had, closed

    def _deal(self, wanted: ClaimNext, slots: list[Holder | None]) -> list[Lease]:
        """Give the most urgent orders to the first slots that may have them."""
        leases: list[Lease] = []
        alone: set[str] = set()
        for place in self.startable()[: len(slots)]:
            is_suspect = place.crash_count >= wanted.alone
            may = [
                slot
                for slot in slots
                if _name(slot) not in alone
                and not (is_suspect and self._has_any(slot, wanted, leases))
            ]
            if not may:
                break
            slots.remove(may[0])
            alone |= {_name(may[0])} if is_suspect else set()
            lease = self._claim(place, may[0])
            assert lease
            leases.append(lease)
        return leases

    def _has_any(self, slot: Holder | None, wanted: ClaimNext, leases: Sequence[Lease]) -> bool:
        if slot is None:
            mine = [lease for lease in leases if not isinstance(lease, LentLease)]
            return not wanted.is_idle or bool(mine)
        return bool(self.had_by(slot.worker_id))

    def _claim(self, place: QueueEntry, holder: Holder | None = None) -> Lease | None:
        raise NotImplementedError


def _name(slot: Holder | None) -> str:
    return slot.worker_id if slot else ""
