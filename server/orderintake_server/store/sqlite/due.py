"""What happens to orders while they wait: their time comes, or is over, or they are cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.domain import (
    TRANSITIONS,
    Cancelled,
    Event,
    Order,
    State,
)
from orderintake_server.store.rows import ACCEPTED, cancelled_of, order_of
from orderintake_server.store.sqlite.reads import standing
from orderintake_server.store.sqlite.statements import as_json
from orderintake_server.store.sqlite.unit_of_work import End, WaitingOrder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orderintake_server.store.sqlite.unit_of_work import UnitOfWork

DUE_ORDERS = 1_000
"""Orders that fall due, and that expire, in one commit: what is left is done by the next."""


def sweep(books: UnitOfWork) -> None:
    """Expire the waiting orders whose time is over, and queue those whose time has come."""
    if books.next_due is None or books.next_due > books.now:
        return
    _expire(books)
    _fall_due(books)
    books.look_ahead()


def _expire(books: UnitOfWork) -> None:
    numbers = _take(
        books,
        "SELECT accept_sequence FROM expiries WHERE expire_time <= ?"
        " ORDER BY expire_time, accept_sequence LIMIT ?",
    )
    books.connection.execute(
        "DELETE FROM expiries WHERE expire_time <= ?"
        " AND +accept_sequence IN (SELECT value FROM json_each(?))",
        (books.now, as_json(numbers)),
    )
    stands = standing(books.connection, numbers).values()
    end_waiting(books, [order for order in stands if isinstance(order, Order)], Event.EXPIRE)


def _fall_due(books: UnitOfWork) -> None:
    numbers = _take(
        books,
        "SELECT accept_sequence FROM scheduled WHERE due_time <= ?"
        " ORDER BY due_time, accept_sequence LIMIT ?",
    )
    rows = books.connection.execute(
        f"SELECT {ACCEPTED}, s.attempt_count, s.crash_count FROM scheduled s"
        " JOIN orders o ON o.accept_sequence = s.accept_sequence"
        " WHERE s.accept_sequence IN (SELECT value FROM json_each(?))",
        (as_json(numbers),),
    ).fetchall()
    due = [
        WaitingOrder(
            order_of(accepted, TRANSITIONS[State.SCHEDULED, Event.FALL_DUE], (attempts, 0, 0)),
            crashes,
        )
        for *accepted, attempts, crashes in rows
    ]
    if due:
        books.leave_schedule([mover.order for mover in due])
        books.enqueue(due)


def _take(books: UnitOfWork, query: str) -> list[int]:
    rows = books.connection.execute(query, (books.now, DUE_ORDERS)).fetchall()
    return [number for (number,) in rows]


def end_waiting(books: UnitOfWork, orders: Sequence[Order], event: Event) -> list[int]:
    """End those of the orders that wait; return the sequences of their completions."""
    queued = [order for order in orders if order.state is State.QUEUED]
    scheduled = [order for order in orders if order.state is State.SCHEDULED]
    if queued:
        books.leave_queue(queued)
    if scheduled:
        books.leave_schedule(scheduled)
    return books.end([End(order, event) for order in queued + scheduled])


def cancel(books: UnitOfWork, numbers: Sequence[int]) -> list[Cancelled | None]:
    """Cancel what waits, ask what is processed to stop, and tell where all stand now."""
    before = standing(books.connection, numbers)
    found = [order for order in before.values() if isinstance(order, Order)]
    end_waiting(books, found, Event.CANCEL)
    processed = [o.accept_sequence for o in found if o.state is State.PROCESSING]
    books.connection.execute(
        "UPDATE leases SET cancel_requested = 1"
        " WHERE accept_sequence IN (SELECT value FROM json_each(?))",
        (as_json(processed),),
    )
    after = standing(books.connection, before)
    return [cancelled_of(after.get(number)) for number in numbers]
