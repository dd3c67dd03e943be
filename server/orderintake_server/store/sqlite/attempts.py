"""How orders start, and how their attempts end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from orderintake_server.domain import TRANSITIONS, Event, Failure, Lease, State
from orderintake_server.store.rows import ACCEPTED, order_of
from orderintake_server.store.sqlite.statements import as_json, insert
from orderintake_server.store.sqlite.unit_of_work import End, WaitingOrder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orderintake_server.domain import QueueEntry
    from orderintake_server.store.changes import Settlement
    from orderintake_server.store.sqlite.unit_of_work import UnitOfWork


def claim(unit: UnitOfWork, claims: Sequence[QueueEntry]) -> list[Lease | None]:
    """Move orders from the queue into workers' hands, in the order given."""
    found = _queued(unit, claims)
    leases: list[Lease | None] = []
    for place in claims:
        mover = found.pop(place.accept_sequence, None)
        leases.append(_lease(unit, mover) if mover else None)
    orders = [lease.order for lease in leases if lease]
    insert(
        unit.connection,
        "leases",
        [
            (o.accept_sequence, o.attempt_count, o.start_sequence, o.start_time, crash_count, 0)
            for o, crash_count in ((lease.order, lease.crash_count) for lease in leases if lease)
        ],
    )
    insert(
        unit.connection,
        "starts",
        [(o.accept_sequence, o.start_sequence, o.start_time) for o in orders],
    )
    unit.leave_queue(orders)
    unit.count_processing(+1, orders)
    return leases


def _queued(unit: UnitOfWork, claims: Sequence[QueueEntry]) -> dict[int, WaitingOrder]:
    """Read those of the claimed orders that are queued."""
    rows = unit.connection.execute(
        f"SELECT {ACCEPTED}, r.attempt_count, r.crash_count"
        " FROM json_each(?) k CROSS JOIN orders o ON o.accept_sequence = k.value"
        " CROSS JOIN ready r ON r.tier = o.tier AND r.rank = o.rank"
        " AND r.accept_sequence = o.accept_sequence",
        (as_json(place.accept_sequence for place in claims),),
    )
    return {
        row[0]: WaitingOrder(order_of(row, State.QUEUED, (attempt_count, 0, 0)), crash_count)
        for *row, attempt_count, crash_count in rows
    }


def _lease(unit: UnitOfWork, mover: WaitingOrder) -> Lease:
    """Start an order that was queued."""
    unit.counters.started += 1
    unit.start_count += 1
    order = replace(
        mover.order,
        state=TRANSITIONS[mover.order.state, Event.CLAIM],
        attempt_count=mover.order.attempt_count + 1,
        start_sequence=unit.counters.started,
        start_time=unit.now,
    )
    return Lease(order=order, crash_count=mover.crash_count)


def settle(unit: UnitOfWork, settles: Sequence[Settlement]) -> list[State | None]:
    """End attempts whose lease is still good: in the log, or to be tried again."""
    good = _end_leases(unit, [settle.lease for settle in settles])
    stands: list[State | None] = []
    ends: list[End] = []
    again: list[tuple[WaitingOrder, int]] = []
    for lease, ending in ((settle.lease, settle.ending) for settle in settles):
        order = lease.order
        is_cancelled = good.pop(order.start_sequence, None)
        if is_cancelled is None:
            stands.append(None)
            continue
        is_heeded = is_cancelled and ending.event is not Event.SUCCEED
        event = Event.CANCEL if is_heeded else ending.event
        stands.append(TRANSITIONS[order.state, event])
        if event is Event.RETRY:
            again.append((WaitingOrder(order, lease.crash_count), unit.now + ending.retry_after))
        elif event is Event.CANCEL:
            ends.append(End(order, event))
        else:
            ends.append(End(order, event, ending.failure, ending.result))
    unit.end(ends)
    if again:
        unit.schedule([mover for mover, _ in again], [due for _, due in again])
    return stands


def release(unit: UnitOfWork, leases: Sequence[Lease]) -> list[State | None]:
    """Let interrupted orders wait again, the attempt not counted; or end, if that was asked."""
    good = _end_leases(unit, leases)
    stands: list[State | None] = []
    for lease in leases:
        order = lease.order
        is_cancelled = good.pop(order.start_sequence, None)
        if is_cancelled is None:
            stands.append(None)
            continue
        event = Event.CANCEL if is_cancelled else Event.RELEASE
        stands.append(TRANSITIONS[order.state, event])
        if is_cancelled:
            unit.end([End(order, event)])
        else:
            uncounted = replace(order, attempt_count=order.attempt_count - 1)
            unit.enqueue([WaitingOrder(uncounted, lease.crash_count)])
    return stands


def _end_leases(unit: UnitOfWork, leases: Sequence[Lease]) -> dict[int, bool]:
    """Delete the leases that are still good; tell, by start sequence, whether a stop was asked.

    A start sequence is one attempt's alone, so an older attempt's lease finds nothing.
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
    good = {start: bool(is_cancelled) for start, is_cancelled in rows}
    orders = {lease.order.start_sequence: lease.order for lease in leases}
    unit.count_processing(-1, [orders[start] for start in good])
    return good


def recover(unit: UnitOfWork, max_crashes: int) -> tuple[int, int]:
    """End or queue again what was in process when the last server died.

    Returns how many are queued again, and how many were quarantined.
    """
    rows = unit.connection.execute(
        f"SELECT {ACCEPTED}, l.attempt_count, l.start_sequence, l.start_time, l.crash_count,"
        " l.cancel_requested FROM leases l JOIN orders o ON o.accept_sequence = l.accept_sequence"
    ).fetchall()
    unit.connection.execute("DELETE FROM leases")
    again: list[WaitingOrder] = []
    ends: list[End] = []
    for *accepted, attempts, start_sequence, start_time, crashes, is_cancelled in rows:
        order = order_of(accepted, State.PROCESSING, (attempts, start_sequence, start_time))
        if is_cancelled:
            ends.append(End(order, Event.CANCEL))
        elif crashes + 1 >= max_crashes:
            ends.append(End(order, Event.QUARANTINE, _quarantined(crashes + 1)))
        else:
            again.append(WaitingOrder(order, crashes + 1))
    unit.count_processing(-1, [mover.order for mover in again] + [end.order for end in ends])
    unit.enqueue(again)
    unit.end(ends)
    return len(again), sum(end.event is Event.QUARANTINE for end in ends)


def _quarantined(crashes: int) -> Failure:
    return Failure(
        code="QUARANTINED", message=f"the process died during {crashes} attempts of this order"
    )
