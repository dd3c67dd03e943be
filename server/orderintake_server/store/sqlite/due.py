"""What happens to orders while they wait: they fall due, expire, or are cancelled."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from orderintake_server.domain import (
    TRANSITIONS,
    Cancelled,
    Event,
    Order,
    State,
)
from orderintake_server.store.actions.sqlite import Trail
from orderintake_server.store.rows import ACCEPTED, cancelled_of, order_of
from orderintake_server.store.sqlite.reads import standing
from orderintake_server.store.sqlite.workers.lost import find_overdue
from orderintake_server.store.sqlite.writing.statements import as_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orderintake_server.domain import Tier
    from orderintake_server.store.changes import Cancel, CancelWaiting
    from orderintake_server.store.sqlite.unit_of_work import UnitOfWork

DUE_ORDERS = 1_000
"""At most so many orders fall due, and so many expire, in one commit; the next does the rest."""


def sweep(unit: UnitOfWork) -> None:
    """Expire the waiting orders whose expire_time has come, and queue those that are due.

    And tell which attempts of workers take too long.
    """
    if unit.next_due is None or unit.next_due > unit.now:
        return
    expire(unit)
    _fall_due(unit)
    find_overdue(unit)
    unit.look_ahead()


def expire(unit: UnitOfWork) -> None:
    """Expire the waiting orders whose expire_time has come, at most DUE_ORDERS."""
    if unit.next_due is None or unit.next_due > unit.now:
        return
    numbers = _reached(
        unit,
        "SELECT accept_sequence FROM expiries WHERE expire_time <= ?"
        " ORDER BY expire_time, accept_sequence LIMIT ?",
    )
    unit.connection.execute(
        "DELETE FROM expiries WHERE expire_time <= ?"
        " AND +accept_sequence IN (SELECT value FROM json_each(?))",
        (unit.now, as_json(numbers)),
    )
    orders = standing(unit.connection, numbers).values()
    end_waiting(unit, [order for order in orders if isinstance(order, Order)], Event.EXPIRE)


def _fall_due(unit: UnitOfWork) -> None:
    numbers = _reached(
        unit,
        "SELECT accept_sequence FROM scheduled WHERE due_time <= ?"
        " ORDER BY due_time, accept_sequence LIMIT ?",
    )
    rows = unit.connection.execute(
        f"SELECT {ACCEPTED}, s.attempt_count, s.crash_count FROM scheduled s"
        " JOIN orders o ON o.accept_sequence = s.accept_sequence"
        " WHERE s.accept_sequence IN (SELECT value FROM json_each(?))",
        (as_json(numbers),),
    ).fetchall()
    state = TRANSITIONS[State.SCHEDULED, Event.FALL_DUE]
    due = [order_of(accepted, state, (attempts, 0, 0)) for *accepted, attempts, _ in rows]
    if due:
        unit.leave_schedule(due)
        unit.enqueue(due, list(map(unit.entry, due, [crashes for *_, crashes in rows])))


def _reached(unit: UnitOfWork, query: str) -> list[int]:
    """Return the accept sequences of the orders whose time has come, at most DUE_ORDERS."""
    rows = unit.connection.execute(query, (unit.now, DUE_ORDERS)).fetchall()
    return [number for (number,) in rows]


def end_waiting(unit: UnitOfWork, orders: Sequence[Order], event: Event) -> list[int]:
    """End those of the orders that wait; return the sequences of their completions."""
    queued = [order for order in orders if order.state is State.QUEUED]
    scheduled = [order for order in orders if order.state is State.SCHEDULED]
    if queued:
        unit.leave_queue(queued, list(map(unit.entry, queued)))
    if scheduled:
        unit.leave_schedule(scheduled)
    ended = queued + scheduled
    return unit.end([(order, TRANSITIONS[order.state, event], None, None) for order in ended])


def cancel(unit: UnitOfWork, cancels: Sequence[Cancel]) -> list[Cancelled | None]:
    """Cancel the orders that wait and mark those in process as cancelled; return each answer.

    What an operator cancels is recorded.
    """
    numbers = [cancel.accept_sequence for cancel in cancels]
    before = standing(unit.connection, numbers)
    orders = [order for order in before.values() if isinstance(order, Order)]
    end_waiting(unit, orders, Event.CANCEL)
    processed = [o.accept_sequence for o in orders if o.state is State.PROCESSING]
    changed = {o.accept_sequence for o in orders} - set(processed) | _ask_to_stop(unit, processed)
    after = standing(unit.connection, before)
    answers = [cancelled_of(after.get(number)) for number in numbers]
    outcomes = {
        number: answer.outcome
        for number, answer in zip(numbers, answers, strict=True)
        if answer and number in changed
    }
    Trail(unit.connection, unit.now).cancelled(cancels, outcomes)
    return answers


def cancel_waiting(unit: UnitOfWork, asked: CancelWaiting) -> dict[Tier, int]:
    """Cancel those of the orders that wait; record each, and return how many, by tier."""
    stands = standing(unit.connection, asked.accept_sequences).values()
    waiting = [o for o in stands if isinstance(o, Order) and o.state is not State.PROCESSING]
    end_waiting(unit, waiting, Event.CANCEL)
    Trail(unit.connection, unit.now).cancelled_waiting(
        asked.by, [order.accept_sequence for order in waiting]
    )
    return dict(Counter(order.tier for order in waiting))


def _ask_to_stop(unit: UnitOfWork, numbers: Sequence[int]) -> set[int]:
    """Mark attempts as cancelled; return the numbers of the orders that were not so before."""
    rows = unit.connection.execute(_ASK_TO_STOP, (as_json(numbers),)).fetchall()
    unit.roster.ask_to_stop([start for _, start, _ in rows])
    unit.news.update(unit.roster.ids({worker for *_, worker in rows if worker}))
    return {number for number, *_ in rows}


_ASK_TO_STOP = """
UPDATE leases SET cancel_requested = 1 WHERE NOT cancel_requested
  AND accept_sequence IN (SELECT value FROM json_each(?))
RETURNING accept_sequence, start_sequence, worker
"""
