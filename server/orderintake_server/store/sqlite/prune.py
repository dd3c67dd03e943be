"""How old completions and their orders are forgotten, a few at a time."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from orderintake_server.store.sqlite.statements import as_json

if TYPE_CHECKING:
    from orderintake_server.store.changes import Prune
    from orderintake_server.store.sqlite.unit_of_work import UnitOfWork


def prune(unit: UnitOfWork, wanted: Prune) -> int:
    """Forget the oldest completions, their orders, and request_ids; return how many of each."""
    looked_at = unit.connection.execute(
        "SELECT g.sequence, g.accept_sequence, g.outcome, g.complete_time, o.accept_time,"
        " o.customer_id, o.request_id"
        " FROM (SELECT * FROM log ORDER BY sequence LIMIT ?) g"
        " JOIN orders o ON o.accept_sequence = g.accept_sequence"
        " ORDER BY g.sequence",
        (wanted.limit,),
    ).fetchall()
    # Times may go back with the clock: what is younger stays, and all that follows it.
    rows = list(takewhile(lambda row: row[3] < wanted.completed_before, looked_at))
    for _, _, outcome, complete_time, accept_time, customer_id, request_id in rows:
        if request_id is not None:
            unit.connection.execute(
                "UPDATE requests SET outcome = ?, accept_time = ?, complete_time = ?"
                " WHERE customer_id = ? AND request_id = ?",
                (outcome, accept_time, complete_time, customer_id, request_id),
            )
    if rows:
        _forget(unit, last=rows[-1][0], orders=[row[1] for row in rows])
    return len(rows) + _forget_requests(unit, wanted)


def _forget(unit: UnitOfWork, *, last: int, orders: list[int]) -> None:
    """Delete the oldest completions up to one, and their orders."""
    unit.connection.execute("DELETE FROM log WHERE sequence <= ?", (last,))
    for table in ("orders", "starts"):
        unit.connection.execute(
            f"DELETE FROM {table} WHERE accept_sequence IN (SELECT value FROM json_each(?))",
            (as_json(orders),),
        )
    unit.connection.execute("UPDATE pruned SET sequence = ?", (last,))


def _forget_requests(unit: UnitOfWork, wanted: Prune) -> int:
    if wanted.requests_before is None:
        return 0
    return unit.connection.execute(
        "DELETE FROM requests WHERE (customer_id, request_id) IN ("
        " SELECT customer_id, request_id FROM requests"
        " WHERE outcome <> 0 AND complete_time < ? LIMIT ?)",
        (wanted.requests_before, wanted.limit),
    ).rowcount
