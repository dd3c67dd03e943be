"""How attempts start and end: claim, settle, release."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import repeat
from typing import TYPE_CHECKING, Any

from orderintake_server.domain import TRANSITIONS, Ending, Event, Lease, QueueEntry, State
from orderintake_server.holders import LentLease
from orderintake_server.store.rows import ACCEPTED, ORDER_COLUMNS, order_of
from orderintake_server.store.sqlite.due import end_waiting
from orderintake_server.store.sqlite.workers.lending import lend
from orderintake_server.store.sqlite.writing.statements import as_json
from orderintake_server.store.sqlite.writing.writes import LEASE, LEAVE_LEASES, NOTE_START

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orderintake_server.holders import Holder
    from orderintake_server.store.changes import Settlement
    from orderintake_server.store.sqlite.unit_of_work import End, UnitOfWork


def claim(
    unit: UnitOfWork, claims: Sequence[QueueEntry], holders: Sequence[Holder | None] = ()
) -> list[Lease | None]:
    """Start orders that are queued, in the order of `claims`; None for one no longer queued.

    `holders`: who gets each; empty: this process itself gets all. An order whose expire_time has
    come ends here as EXPIRED: more may be over than were swept.
    """
    queued = _queued(unit, claims)
    leases: list[Lease | None] = []
    started: list[Lease] = []
    entries: list[QueueEntry] = []
    for entry, holder in zip(claims, holders or repeat(None), strict=False):
        accept_sequence = entry.accept_sequence
        found = queued.pop(accept_sequence, None)
        if found is None:
            leases.append(None)
            continue
        *accepted, rank, attempt_count, crash_count = found
        number = unit.counters.started + len(started) + 1
        order = order_of(accepted, _STARTED, (attempt_count + 1, number, unit.now))
        started.append(
            Lease(order=order, crash_count=crash_count)
            if holder is None
            else LentLease(order=order, crash_count=crash_count, holder=holder)
        )
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
    starts = [(o.accept_sequence, o.start_sequence, o.start_time) for o in orders]
    unit.write(NOTE_START, starts)
    unit.count_processing(+1, orders)
    lent = [lease for lease in leases if type(lease) is LentLease]
    if lent:
        lend(unit, lent)
        leases = [lease for lease in leases if type(lease) is not LentLease]
        orders = [lease.order for lease in leases]
    unit.roster.take([order.start_sequence for order in orders])
    crashes = [lease.crash_count - unit.forgiven for lease in leases]
    rows = [
        (o.accept_sequence, o.attempt_count, o.start_sequence, o.start_time, count)
        for o, count in zip(orders, crashes, strict=True)
    ]
    unit.write(LEASE, rows)


def _queued(unit: UnitOfWork, claims: Sequence[QueueEntry]) -> dict[int, list[Any]]:
    """Read those of the claimed orders that are queued, by accept sequence; end what is over."""
    (found,) = (
        unit.reading("orders", "ready")
        .execute(_QUEUED, (as_json([entry.accept_sequence for entry in claims]),))
        .fetchone()
    )
    queued = {row[0]: row for row in json.loads(found)}
    for row in queued.values():
        row[_CONTENT] = bytes.fromhex(row[_CONTENT])
        row[_TRACE] = bytes.fromhex(row[_TRACE]) or None
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
    sequence belongs to one attempt only, so the lease of an older attempt is not among them.
    """
    orders = {lease.order.start_sequence: lease.order for lease in leases}
    valid = unit.roster.standing(orders)
    cancelled = unit.roster.to_stop(valid)
    ended = [orders[number] for number in valid]
    if ended:
        unit.write(LEAVE_LEASES, [(as_json([order.accept_sequence for order in ended]),)])
    unit.count_processing(-1, ended)
    unit.roster.drop(valid)
    return valid, cancelled


_STOPPED = Ending(event=Event.CANCEL)
_STARTED = TRANSITIONS[State.QUEUED, Event.CLAIM]
_EXPIRE_TIME = ORDER_COLUMNS.index("expire_time")
_CONTENT = ORDER_COLUMNS.index("content")
_TRACE = ORDER_COLUMNS.index("trace")
_QUEUED = f"""
SELECT json_group_array(json_array(
  {ACCEPTED.replace("o.content", "hex(o.content)").replace("o.trace", "hex(o.trace)")},
  r.rank, r.attempt_count, r.crash_count))
FROM json_each(?) k CROSS JOIN orders o ON o.accept_sequence = k.value
CROSS JOIN ready r ON r.tier = o.tier AND r.rank = o.rank AND r.accept_sequence = o.accept_sequence
"""
