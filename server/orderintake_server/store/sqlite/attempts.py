"""How attempts start and end: claim, settle, release, and recover after a crash."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from orderintake_server.domain import TRANSITIONS, Event, Failure, Lease, State
from orderintake_server.store.receipts import started_order
from orderintake_server.store.rows import ACCEPTED, order_of
from orderintake_server.store.sqlite.due import end_waiting
from orderintake_server.store.sqlite.statements import as_json, insert
from orderintake_server.store.sqlite.unit_of_work import End

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orderintake_server.domain import Order, QueueEntry
    from orderintake_server.store.changes import Settlement
    from orderintake_server.store.sqlite.unit_of_work import UnitOfWork, WaitingOrder


def claim(unit: UnitOfWork, claims: Sequence[QueueEntry]) -> list[Lease | None]:
    """Start orders that are queued, in the order of `claims`; None for one no longer queued.

    An order whose expire_time has come ends here as EXPIRED: more may be over than were swept.
    """
    queued = _expire(unit, _queued(unit, claims))
    found = [queued.pop(entry.accept_sequence, None) for entry in claims]
    starting = [waiting_order for waiting_order in found if waiting_order]
    unit.leave_queue(starting)
    leases = iter(start(unit, starting))
    return [waiting_order and next(leases) for waiting_order in found]


def start(unit: UnitOfWork, waiting_orders: Sequence[WaitingOrder]) -> list[Lease]:
    """Start orders, in this order, that have left where they waited."""
    leases = [_lease(unit, order, entry.crash_count) for order, entry in waiting_orders]
    rows = [(lease.order, lease.crash_count - unit.forgiven) for lease in leases]
    insert(
        unit.connection,
        "leases",
        [
            (o.accept_sequence, o.attempt_count, o.start_sequence, o.start_time, crashes, 0)
            for o, crashes in rows
        ],
    )
    insert(
        unit.connection,
        "starts",
        [(o.accept_sequence, o.start_sequence, o.start_time) for o, _ in rows],
    )
    unit.count_processing(+1, [order for order, _ in rows])
    return leases


def _queued(unit: UnitOfWork, claims: Sequence[QueueEntry]) -> dict[int, WaitingOrder]:
    """Return those of the claimed orders that are queued, by accept sequence."""
    rows = unit.connection.execute(
        f"SELECT {ACCEPTED}, r.attempt_count, r.crash_count"
        " FROM json_each(?) k CROSS JOIN orders o ON o.accept_sequence = k.value"
        " CROSS JOIN ready r ON r.tier = o.tier AND r.rank = o.rank"
        " AND r.accept_sequence = o.accept_sequence",
        (as_json(entry.accept_sequence for entry in claims),),
    )
    return {
        row[0]: unit.waiting(order_of(row, State.QUEUED, (attempt_count, 0, 0)), crash_count)
        for *row, attempt_count, crash_count in rows
    }


def _expire(unit: UnitOfWork, queued: dict[int, WaitingOrder]) -> dict[int, WaitingOrder]:
    """End those of the orders whose expire_time has come; return the others."""
    over = [order for order, _ in queued.values() if 0 < order.expire_time <= unit.now]
    if not over:
        return queued
    end_waiting(unit, over, Event.EXPIRE)
    ended = {order.accept_sequence for order in over}
    return {number: order for number, order in queued.items() if number not in ended}


def _lease(unit: UnitOfWork, order: Order, crash_count: int) -> Lease:
    """Number the start of an order that was queued, and return its lease."""
    unit.counters.started += 1
    unit.start_count += 1
    number = unit.counters.started
    started = started_order(order, start_sequence=number, start_time=unit.now)
    return Lease(order=started, crash_count=crash_count)


def settle(unit: UnitOfWork, settles: Sequence[Settlement]) -> list[State | None]:
    """Record how attempts ended whose lease is still valid: in the log, or for a retry.

    Returns each order's state; None where the lease was not valid.
    """
    valid = _end_leases(unit, [settle.lease for settle in settles])
    states: list[State | None] = []
    ends: list[End] = []
    retries: list[tuple[WaitingOrder, int]] = []
    for lease, ending in ((settle.lease, settle.ending) for settle in settles):
        order = lease.order
        is_cancelled = valid.pop(order.start_sequence, None)
        if is_cancelled is None:
            states.append(None)
            continue
        has_stopped = is_cancelled and ending.event is not Event.SUCCEED
        event = Event.CANCEL if has_stopped else ending.event
        states.append(TRANSITIONS[order.state, event])
        if event is Event.RETRY:
            again = unit.waiting(order, lease.crash_count)
            retries.append((again, unit.now + ending.retry_after))
        elif event is Event.CANCEL:
            ends.append(End(order, event))
        else:
            ends.append(End(order, event, ending.failure, ending.result))
    unit.end(ends)
    if retries:
        unit.schedule([order for order, _ in retries], [due for _, due in retries])
    return states


def release(unit: UnitOfWork, leases: Sequence[Lease]) -> list[State | None]:
    """Queue interrupted orders again, the attempt not counted; end those that were cancelled.

    Returns each order's state; None where the lease was not valid.
    """
    valid = _end_leases(unit, leases)
    states: list[State | None] = []
    for lease in leases:
        order = lease.order
        is_cancelled = valid.pop(order.start_sequence, None)
        if is_cancelled is None:
            states.append(None)
            continue
        event = Event.CANCEL if is_cancelled else Event.RELEASE
        states.append(TRANSITIONS[order.state, event])
        if is_cancelled:
            unit.end([End(order, event)])
        else:
            uncounted = replace(order, attempt_count=order.attempt_count - 1)
            unit.enqueue([unit.waiting(uncounted, lease.crash_count)])
    return states


def _end_leases(unit: UnitOfWork, leases: Sequence[Lease]) -> dict[int, bool]:
    """Delete the leases that are still valid.

    Returns, by start sequence, whether the order was cancelled meanwhile. A start sequence belongs
    to one attempt only, so the lease of an older attempt matches no row.
    """
    rows = unit.connection.execute(
        "DELETE FROM leases WHERE accept_sequence IN (SELECT value FROM json_each(?))"
        " AND +start_sequence IN (SELECT value FROM json_each(?))"
        " RETURNING start_sequence, cancel_requested",
        (
            as_json(lease.order.accept_sequence for lease in leases),
            as_json(lease.order.start_sequence for lease in leases),
        ),
    ).fetchall()
    valid = {start: bool(is_cancelled) for start, is_cancelled in rows}
    orders = {lease.order.start_sequence: lease.order for lease in leases}
    unit.count_processing(-1, [orders[start] for start in valid])
    return valid


def forgive(unit: UnitOfWork) -> None:
    """Let the end of this process count as no crash of the orders that are in process.

    Who recovers them adds one to their crashes; so one is taken off beforehand.
    """
    unit.connection.execute("UPDATE leases SET crash_count = crash_count - ?", (1 - unit.forgiven,))


def recover(unit: UnitOfWork, max_crashes: int) -> tuple[int, int]:
    """Queue again, or end, the orders that were in process when the last server crashed.

    Returns how many were queued again, and how many were quarantined.
    """
    rows = unit.connection.execute(
        f"SELECT {ACCEPTED}, l.attempt_count, l.start_sequence, l.start_time, l.crash_count,"
        " l.cancel_requested FROM leases l JOIN orders o ON o.accept_sequence = l.accept_sequence"
    ).fetchall()
    unit.connection.execute("DELETE FROM leases")
    requeued: list[WaitingOrder] = []
    ends: list[End] = []
    for *accepted, attempts, start_sequence, start_time, crashes, is_cancelled in rows:
        order = order_of(accepted, State.PROCESSING, (attempts, start_sequence, start_time))
        if is_cancelled:
            ends.append(End(order, Event.CANCEL))
        elif crashes + 1 >= max_crashes:
            ends.append(End(order, Event.QUARANTINE, _quarantined(crashes + 1)))
        else:
            requeued.append(unit.waiting(order, crashes + 1))
    unit.count_processing(-1, [order for order, _ in requeued] + [end.order for end in ends])
    unit.enqueue(requeued)
    unit.end(ends)
    return len(requeued), sum(end.event is Event.QUARANTINE for end in ends)


def _quarantined(crashes: int) -> Failure:
    return Failure(
        code="QUARANTINED", message=f"the process died during {crashes} attempts of this order"
    )
