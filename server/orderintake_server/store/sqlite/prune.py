"""How old completions, their orders and their request_ids are pruned, a few at a time."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from orderintake_server.store.sqlite.writing.statements import as_json

if TYPE_CHECKING:
    from orderintake_server.store.changes import Prune
    from orderintake_server.store.sqlite.unit_of_work import UnitOfWork


def prune(unit: UnitOfWork, wanted: Prune) -> int:
    """Prune the oldest completions with their orders, and request_ids; return how many in all."""
    oldest = unit.connection.execute(
        "SELECT g.sequence, g.accept_sequence, g.outcome, g.complete_time, o.accept_time,"
        " o.customer_id, o.request_id"
        " FROM (SELECT * FROM log ORDER BY sequence LIMIT ?) g"
        " JOIN orders o ON o.accept_sequence = g.accept_sequence"
        " ORDER BY g.sequence",
        (wanted.limit,),
    ).fetchall()
    # The clock may have gone back: the first completion that is too young stays, and all after it.
    rows = list(takewhile(lambda row: row[3] < wanted.completed_before, oldest))
    for _, _, outcome, complete_time, accept_time, customer_id, request_id in rows:
        if request_id is not None:
            unit.connection.execute(
                "UPDATE requests SET outcome = ?, accept_time = ?, complete_time = ?"
                " WHERE customer_id = ? AND request_id = ?",
                (outcome, accept_time, complete_time, customer_id, request_id),
            )
    if rows:
        _delete(unit, last=rows[-1][0], orders=[row[1] for row in rows])
    return len(rows) + _delete_requests(unit, wanted)


def _delete(unit: UnitOfWork, *, last: int, orders: list[int]) -> None:
    """Delete the completions up to sequence `last`, and their orders."""
    unit.connection.execute("DELETE FROM log WHERE sequence <= ?", (last,))
    for table in ("orders", "starts"):
        unit.connection.execute(
            f"DELETE FROM {table} WHERE accept_sequence IN (SELECT value FROM json_each(?))",
            (as_json(orders),),
        )
    unit.connection.execute("UPDATE pruned SET sequence = ?", (last,))
    unit.earliest = last


def _delete_requests(unit: UnitOfWork, wanted: Prune) -> int:
    if wanted.requests_before is None:
        return 0
    return unit.connection.execute(
        "DELETE FROM requests WHERE (customer_id, request_id) IN ("
        " SELECT customer_id, request_id FROM requests"
        " WHERE outcome <> 0 AND complete_time < ? LIMIT ?)",
        (wanted.requests_before, wanted.limit),
    ).rowcount
