"""Which workers and which leases there are: kept in memory, as the tables have it."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from orderintake_server.store.work import MOST_ENDED, REMEMBERED, WorkerState, WorkerWord, word_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from orderintake_server.holders import Holder, LentLease
    from orderintake_server.store.sqlite.writing.transaction import Transaction


@dataclass(slots=True)
class Member:
    """The row of a worker."""

    number: int
    worker_id: str
    name: str
    capacity: int
    is_local: bool
    is_stopping: bool
    ended_at: int = 0
    """When it ended; 0: it has not."""

    @property
    def state(self) -> WorkerState:
        """How it stands."""
        if self.ended_at:
            return WorkerState.ENDED
        return WorkerState.STOPS if self.is_stopping else WorkerState.WORKS


class Held(NamedTuple):
    """A lease: who has it, and by which call, if that is a worker."""

    worker: int
    """0: this process's own; nothing else is kept of such a lease."""
    call: int = 0
    crash_count: int = 0


_OWN = Held(0)


class Roster:
    """The workers and all leases, which follow the transaction: a rollback reads them anew."""

    def __init__(self, transaction: Transaction) -> None:
        """Read them."""
        self._transaction = transaction
        self.capacity = 0
        """How many slots those have that have not ended."""
        self.reload()

    def reload(self) -> None:
        """Read all anew: what was done in memory was not done in the tables."""
        execute = self._transaction.reading("workers", "leases").execute
        members = [
            Member(number, worker_id, name, slots, bool(local), bool(stopping), ended_at)
            for number, worker_id, name, slots, local, stopping, ended_at in execute(_MEMBERS)
        ]
        self._members = {member.worker_id: member for member in members}
        self.capacity = sum(member.capacity for member in members if not member.ended_at)
        ended = [member for member in members if member.ended_at]
        self._ended = deque(sorted(ended, key=lambda member: member.ended_at))
        self._held: dict[int, Held] = {}
        self._of: defaultdict[int, set[int]] = defaultdict(set)
        self._to_stop: set[int] = set()
        for start_sequence, is_to_stop, *held in execute(_HELD):
            self._hold(start_sequence, Held(*held))
            if is_to_stop:
                self._to_stop.add(start_sequence)
        self._is_changed = self._is_stale = False

    def begin(self) -> None:
        """Begin a transaction."""
        if self._is_stale:
            self.reload()
        self._is_changed = False

    def rollback(self) -> None:
        """Note that what was done since `begin` was not done."""
        self._is_stale = self._is_changed

    # Workers

    def find(self, worker_id: str) -> Member | None:
        """Return a worker, None if it is unknown."""
        return self._members.get(worker_id)

    def ids(self, numbers: Collection[int]) -> list[str]:
        """Return the ids of the workers with these numbers."""
        members = self._members.values() if numbers else ()
        return [member.worker_id for member in members if member.number in numbers]

    def local(self) -> list[Member]:
        """Return the workers that this process, or the one before, supervises."""
        return [member for member in self._members.values() if member.is_local]

    def note(self, word: WorkerWord, now: int) -> Member:
        """Make a worker's row, or change it where the word differs; an ended one stays."""
        member = self.find(word.worker_id)
        if member is None:
            return self._make(word, now)
        before = (member.name, member.capacity, member.is_local, member.is_stopping)
        after = (
            member.name if word.name is None else word.name,
            member.capacity if word.capacity is None else word.capacity,
            member.is_local if word.is_local is None else word.is_local,
            member.is_stopping or word.is_stopping,
        )
        if after != before and not member.ended_at:
            self._is_changed = True
            self.capacity -= member.capacity
            member.name, member.capacity, member.is_local, member.is_stopping = after
            self.capacity += member.capacity
            self._transaction.connection.execute(_CHANGE, (*after, member.number))
        return member

    def _known(self, holder: Holder, now: int) -> Member:
        return self.find(holder.worker_id) or self._make(word_of(holder), now)

    def _make(self, word: WorkerWord, now: int) -> Member:
        self._is_changed = True
        said = (word.name or "", word.capacity or 0, bool(word.is_local), word.is_stopping)
        (number,) = self._transaction.connection.execute(
            _MAKE, (word.worker_id, *said, now)
        ).fetchone()
        member = Member(number, word.worker_id, *said)
        self._members[word.worker_id] = member
        self.capacity += member.capacity
        return member

    def end(self, member: Member, now: int) -> None:
        """Note that a worker has ended."""
        if not member.ended_at:
            self._is_changed = True
            member.ended_at = now
            self._transaction.connection.execute(_END, (now, member.number))
            self.capacity -= member.capacity
            self._ended.append(member)
            if len(self._ended) > MOST_ENDED:
                self._remove(self._ended.popleft())

    def forget_old(self, now: int) -> None:
        """Forget the workers that ended long ago."""
        while self._ended and self._ended[0].ended_at < now - REMEMBERED:
            self._remove(self._ended.popleft())

    def remove(self, member: Member) -> None:
        """Forget a worker that has not ended, and has no lease."""
        self.capacity -= member.capacity
        self._remove(member)

    def _remove(self, member: Member) -> None:
        self._is_changed = True
        del self._members[member.worker_id]
        self._of.pop(member.number, None)
        self._transaction.connection.execute(
            "DELETE FROM workers WHERE number = ?", (member.number,)
        )

    # Leases

    def lend(self, leases: Sequence[LentLease], now: int) -> list[Member]:
        """Note that leases begin, each with the worker that has it; it is made if it is unknown."""
        self._is_changed = True
        members = [self._known(lease.holder, now) for lease in leases]
        for lease, member in zip(leases, members, strict=True):
            held = Held(member.number, lease.holder.call, lease.crash_count)
            self._hold(lease.order.start_sequence, held)
        return members

    def take(self, start_sequences: Iterable[int]) -> None:
        """Note that leases of this process's own begin."""
        self._is_changed = True
        self._held.update(dict.fromkeys(start_sequences, _OWN))

    def ask_to_stop(self, start_sequences: Iterable[int]) -> None:
        """Note that somebody cancelled the orders of these leases."""
        self._is_changed = True
        self._to_stop.update(start_sequences)

    def standing(self, start_sequences: Iterable[int]) -> set[int]:
        """Return those of these leases that are not over."""
        return self._held.keys() & start_sequences

    def to_stop(self, start_sequences: Iterable[int]) -> set[int]:
        """Return those of these leases whose orders were cancelled meanwhile."""
        return self._to_stop.intersection(start_sequences)

    def drop(self, start_sequences: Iterable[int]) -> None:
        """Note that leases are over, whoever had them."""
        self._is_changed = True
        for number in start_sequences:
            held = self._held.pop(number, _OWN)
            if held.worker:
                self._of[held.worker].discard(number)
        self._to_stop.difference_update(start_sequences)

    def held_by(self, worker_id: str) -> list[Held]:
        """Return the leases of a worker."""
        member = self.find(worker_id)
        return [self._held[number] for number in self._of[member.number]] if member else []

    def has_of_call(self, holder: Holder) -> bool:
        """Tell whether a call that can be repeated has leases already."""
        calls = [held.call for held in self.held_by(holder.worker_id)] if holder.call else []
        return holder.call in calls

    def _hold(self, start_sequence: int, held: Held) -> None:
        self._held[start_sequence] = held
        if held.worker:
            self._of[held.worker].add(start_sequence)


_MEMBERS = """
SELECT number, worker_id, name, capacity, is_local, is_stopping, ended_at FROM workers
"""
_HELD = "SELECT start_sequence, cancel_requested, worker, call, crash_count FROM leases"
_MAKE = """
INSERT INTO workers (worker_id, name, capacity, is_local, is_stopping, since)
VALUES (?, ?, ?, ?, ?, ?) RETURNING number
"""
_CHANGE = """
UPDATE workers SET name = ?, capacity = ?, is_local = ?, is_stopping = ? WHERE number = ?
"""
_END = "UPDATE workers SET ended_at = ? WHERE number = ?"
