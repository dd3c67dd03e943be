"""Leases that are taken from who has them: after a crash, from a worker that died or ended."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from orderintake_server.domain import TRANSITIONS, Event, Failure, QueueEntry, State, Tier
from orderintake_server.holders import LeaseKey, TakenBack
from orderintake_server.store.changes import MOST_STARTS
from orderintake_server.store.rows import ACCEPTED, order_of
from orderintake_server.store.sqlite.writing.statements import as_json
from orderintake_server.store.sqlite.writing.writes import LEAVE_LEASES
from orderintake_server.store.work import OVERDUE_AGAIN, QUARANTINED, WorkerWord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orderintake_server.domain import Order
    from orderintake_server.store.sqlite.unit_of_work import End, UnitOfWork


def recover(unit: UnitOfWork) -> list[TakenBack]:
    """Queue again, or end, what the last process had, and the workers that it supervised.

    Other workers go on; each of their attempts has a while left at least.
    """
    taken = _take_back(unit, "l.worker = 0", is_crash=True)
    for member in unit.roster.local():
        taken += bury(unit, member.worker_id)
    unit.connection.execute(_AT_LEAST, (unit.now + OVERDUE_AGAIN,))
    return taken


def forgive(unit: UnitOfWork) -> None:
    """Let the end of this process count as no crash of what is in process here.

    Who recovers its own attempts adds one to their crashes; so one is taken off beforehand. What
    the workers have that it supervises is not counted when they are said to stop.
    """
    unit.connection.execute(
        "UPDATE leases SET crash_count = crash_count - ? WHERE worker = 0", (1 - unit.forgiven,)
    )
    for member in unit.roster.local():
        unit.roster.note(WorkerWord(member.worker_id, is_stopping=True), unit.now)


def end_worker(unit: UnitOfWork, worker_id: str) -> list[TakenBack]:
    """End a worker: what it has waits again, uncounted; it takes nothing any more."""
    member = unit.roster.note(WorkerWord(worker_id), unit.now)
    taken = _take_back(unit, "l.worker > 0 AND l.worker = ?", member.number, is_crash=False)
    unit.roster.end(member, unit.now)
    return taken


def bury(unit: UnitOfWork, worker_id: str) -> list[TakenBack]:
    """Take from a worker that died what it had, each with a crash, unless it was to stop."""
    member = unit.roster.find(worker_id)
    if member is None or member.ended_at:
        return []
    taken = _take_back(
        unit, "l.worker > 0 AND l.worker = ?", member.number, is_crash=not member.is_stopping
    )
    unit.roster.remove(member)
    unit.news.add(worker_id)
    return taken


def find_overdue(unit: UnitOfWork) -> None:
    """Tell which attempts of workers take longer than they may; tell them again later."""
    rows = unit.connection.execute(_OVERDUE, (unit.now, MOST_STARTS)).fetchall()
    if rows:
        unit.connection.execute(
            "UPDATE leases SET deadline = ?"
            " WHERE accept_sequence IN (SELECT value FROM json_each(?))",
            (unit.now + OVERDUE_AGAIN, as_json([row[0] for row in rows])),
        )
    for number, start, tier, attempts, crashes, worker_id in rows:
        unit.overdue[LeaseKey(number, start, Tier(tier), attempts, crashes)] = worker_id


def _take_back(unit: UnitOfWork, which: str, *values: object, is_crash: bool) -> list[TakenBack]:
    """End the leases for which the condition `which` holds; tell what became of the orders."""
    rows = unit.connection.execute(_LEASES.format(which=which), values).fetchall()
    unit.write(LEAVE_LEASES, [(as_json([row[0] for row in rows]),)])
    orders: list[Order] = []
    taken: list[TakenBack] = []
    for *accepted, attempts, start_sequence, start_time, crashes, is_cancelled in rows:
        order = order_of(accepted, State.PROCESSING, (attempts, start_sequence, start_time))
        key = LeaseKey(order.accept_sequence, start_sequence, order.tier, attempts, crashes)
        orders.append(order)
        is_last = is_crash and crashes + 1 >= unit.policy.max_crashes
        event = Event.CANCEL if is_cancelled else _EVENTS[is_crash, is_last]
        taken.append(TakenBack(key, TRANSITIONS[order.state, event]))
    unit.count_processing(-1, orders)
    unit.roster.drop([order.start_sequence for order in orders])
    _place(unit, orders, taken, is_crash=is_crash)
    return taken


def _place(
    unit: UnitOfWork, orders: Sequence[Order], taken: Sequence[TakenBack], *, is_crash: bool
) -> None:
    """Let the orders wait again, or end, as it was decided."""
    requeued: list[Order] = []
    entries: list[QueueEntry] = []
    ends: list[End] = []
    for order, (key, state) in zip(orders, taken, strict=True):
        if state is State.QUEUED:
            requeued.append(replace(order, attempt_count=key.attempt_count - (not is_crash)))
            entries.append(unit.entry(order, key.crash_count + is_crash))
        else:
            failure = _quarantined(key.crash_count + 1) if state is State.FAILED else None
            ends.append((order, state, failure, None))
    unit.enqueue(requeued, entries)
    unit.end(ends)


def _quarantined(crashes: int) -> Failure:
    return Failure(
        code=QUARANTINED, message=f"the process died during {crashes} attempts of this order"
    )


_EVENTS = {
    (False, False): Event.RELEASE,
    (True, False): Event.RECOVER,
    (True, True): Event.QUARANTINE,
}
"""What happens to an order, by whether it is a crash, and the last that it may have."""
_LEASES = f"""
SELECT {ACCEPTED}, l.attempt_count, l.start_sequence, l.start_time, l.crash_count,
  l.cancel_requested
FROM leases l JOIN orders o ON o.accept_sequence = l.accept_sequence
WHERE {{which}} ORDER BY l.accept_sequence
"""
_AT_LEAST = "UPDATE leases SET deadline = max(deadline, ?) WHERE deadline > 0"
_OVERDUE = """
SELECT l.accept_sequence, l.start_sequence, o.tier, l.attempt_count, l.crash_count, w.worker_id
FROM leases l JOIN orders o ON o.accept_sequence = l.accept_sequence
JOIN workers w ON w.number = l.worker
WHERE l.deadline > 0 AND l.deadline <= ? ORDER BY l.deadline, l.accept_sequence LIMIT ?
"""
