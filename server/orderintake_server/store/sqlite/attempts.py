"""How attempts start and end: claim, settle, release, and recover after a crash."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orderintake_server.domain import TRANSITIONS, Ending, Event, Failure, Lease, QueueEntry, State
from orderintake_server.store.rows import ACCEPTED, ATTEMPT_COLUMNS, ORDER_COLUMNS, order_of
from orderintake_server.store.sqlite.due import end_waiting
from orderintake_server.store.sqlite.statements import as_json, insert

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orderintake_server.domain import Order
    from orderintake_server.store.changes import Settlement
    from orderintake_server.store.sqlite.unit_of_work import End, UnitOfWork


def claim(unit: UnitOfWork, claims: Sequence[QueueEntry]) -> list[Lease | None]:
    """Start orders that are queued, in the order of `claims`; None for one no longer queued.

    An order whose expire_time has come ends here as EXPIRED: more may be over than were swept.
    """
    queued = _queued(unit, claims)
    leases: list[Lease | None] = []
    started: list[Lease] = []
    entries: list[QueueEntry] = []
    for accept_sequence in [entry.accept_sequence for entry in claims]:
        found = queued.pop(accept_sequence, None)
        if found is None:
            leases.append(None)
            continue
        *accepted, rank, attempt_count, crash_count = found
        number = unit.counters.started + len(started) + 1
        order = order_of(accepted, _STARTED, (attempt_count + 1, number, unit.now))
        started.append(Lease(order=order, crash_count=crash_count))
        entries.append(QueueEntry(rank, accept_sequence, order.tier, crash_count))
        leases.append(started[-1])
    unit.leave_queue([lease.order for lease in started], entries)
    start(unit, started)
    return leases


def start(unit: UnitOfWork, leases: Sequence[Lease]) -> None:
    """Let the attempts begin that these leases number; their orders have left the queue."""
    orders = [lease.order for lease in leases]
    unit.counters.started += len(orders)
    unit.start_count += len(orders)
    attempts = [
        (o.accept_sequence, o.attempt_count, o.start_sequence, o.start_time) for o in orders
    ]
    crashes = [lease.crash_count - unit.forgiven for lease in leases]
    rows = [(*attempt, count, 0) for attempt, count in zip(attempts, crashes, strict=True)]
    insert(unit.connection, _LEASES, rows)
    insert(unit.connection, "starts", [(o, s, t) for o, _, s, t in attempts])
    unit.count_processing(+1, orders)


def _queued(unit: UnitOfWork, claims: Sequence[QueueEntry]) -> dict[int, tuple[Any, ...]]:
    """Read those of the claimed orders that are queued, by accept sequence; end what is over."""
    rows = unit.connection.execute(
        f"SELECT {ACCEPTED}, r.rank, r.attempt_count, r.crash_count"
        " FROM json_each(?) k CROSS JOIN orders o ON o.accept_sequence = k.value"
        " CROSS JOIN ready r ON r.tier = o.tier AND r.rank = o.rank"
        " AND r.accept_sequence = o.accept_sequence",
        (as_json([entry.accept_sequence for entry in claims]),),
    ).fetchall()
    queued = {row[0]: row for row in rows}
    if over := [row for row in queued.values() if 0 < row[_EXPIRE_TIME] <= unit.now]:
        orders = [
            order_of(accepted, State.QUEUED, (attempt_count, 0, 0))
            for *accepted, _, attempt_count, _ in over
        ]
        end_waiting(unit, orders, Event.EXPIRE)
        for order in orders:
            del queued[order.accept_sequence]
    return queued


def settle(unit: UnitOfWork, settles: Sequence[Settlement]) -> list[State | None]:
    """Record how attempts ended whose lease is still valid: in the log, or for a retry.

    Returns each order's state; None where the lease was not valid.
    """
    valid, cancelled = _end_leases(unit, [settle.lease for settle in settles])
    states: list[State | None] = []
    ends: list[End] = []
    retries: list[tuple[Lease, int]] = []
    for settlement in settles:
        lease, ending, order = settlement.lease, settlement.ending, settlement.lease.order
        if order.start_sequence not in valid:
            states.append(None)
            continue
        valid.remove(order.start_sequence)
        if order.start_sequence in cancelled and ending.event is not Event.SUCCEED:
            ending = _STOPPED
        state = TRANSITIONS[order.state, ending.event]
        states.append(state)
        if ending.event is Event.RETRY:
            retries.append((lease, unit.now + ending.retry_after))
        else:
            ends.append((order, state, ending.failure, ending.result))
    unit.end(ends)
    if retries:
        leases, due_times = zip(*retries, strict=True)
        crash_counts = [lease.crash_count for lease in leases]
        unit.schedule([lease.order for lease in leases], crash_counts, due_times)
    return states


def release(unit: UnitOfWork, leases: Sequence[Lease]) -> list[State | None]:
    """Queue interrupted orders again, the attempt not counted; end those that were cancelled.

    Returns each order's state; None where the lease was not valid.
    """
    valid, cancelled = _end_leases(unit, leases)
    states: list[State | None] = []
    for lease in leases:
        order = lease.order
        if order.start_sequence not in valid:
            states.append(None)
            continue
        valid.remove(order.start_sequence)
        is_cancelled = order.start_sequence in cancelled
        state = TRANSITIONS[order.state, Event.CANCEL if is_cancelled else Event.RELEASE]
        states.append(state)
        if is_cancelled:
            unit.end([(order, state, None, None)])
        else:
            uncounted = replace(order, attempt_count=order.attempt_count - 1)
            unit.enqueue([uncounted], [unit.entry(uncounted, lease.crash_count)])
    return states


def _end_leases(unit: UnitOfWork, leases: Sequence[Lease]) -> tuple[set[int], set[int]]:
    """Delete the leases that are still valid.

    Returns their start sequences, and those of them whose order was cancelled meanwhile. A start
    sequence belongs to one attempt only, so the lease of an older attempt is not among them. All
    come as one row: for each row of an answer, Python's lock is given away.
    """
    orders = {lease.order.start_sequence: lease.order for lease in leases}
    found = unit.connection.execute(
        _STANDING_LEASES, (as_json({order.accept_sequence for order in orders.values()}),)
    ).fetchone()
    standing, cancelled = map(json.loads, found)
    ended = [orders[number] for number in standing if number in orders]
    unit.connection.execute(
        "DELETE FROM leases WHERE accept_sequence IN (SELECT value FROM json_each(?))",
        (as_json([order.accept_sequence for order in ended]),),
    )
    unit.count_processing(-1, ended)
    return {order.start_sequence for order in ended}, set(cancelled)


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
    requeued: list[Order] = []
    entries: list[QueueEntry] = []
    ends: list[End] = []
    for *accepted, attempts, start_sequence, start_time, crashes, is_cancelled in rows:
        order = order_of(accepted, State.PROCESSING, (attempts, start_sequence, start_time))
        if is_cancelled:
            ends.append((order, TRANSITIONS[order.state, Event.CANCEL], None, None))
        elif crashes + 1 >= max_crashes:
            state = TRANSITIONS[order.state, Event.QUARANTINE]
            ends.append((order, state, _quarantined(crashes + 1), None))
        else:
            requeued.append(order)
            entries.append(unit.entry(order, crashes + 1))
    unit.count_processing(-1, requeued + [order for order, *_ in ends])
    unit.enqueue(requeued, entries)
    unit.end(ends)
    return len(requeued), sum(failure is not None for _, _, failure, _ in ends)


def _quarantined(crashes: int) -> Failure:
    return Failure(
        code="QUARANTINED", message=f"the process died during {crashes} attempts of this order"
    )


_STOPPED = Ending(event=Event.CANCEL)
_STARTED = TRANSITIONS[State.QUEUED, Event.CLAIM]
_LEASES = f"leases (accept_sequence, {', '.join(ATTEMPT_COLUMNS)}, crash_count, cancel_requested)"
_EXPIRE_TIME = ORDER_COLUMNS.index("expire_time")
_STANDING_LEASES = """
SELECT json_group_array(l.start_sequence),
  json_group_array(l.start_sequence) FILTER (WHERE l.cancel_requested)
FROM json_each(?) k CROSS JOIN leases l ON l.accept_sequence = k.value
"""
