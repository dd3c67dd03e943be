"""What operators did, in a PostgreSQL store: said to the database, and read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orderintake_server.store.actions import READ, action_of, bulk_of
from orderintake_server.store.blame.postgres import talking
from orderintake_server.store.pages import page_of_actions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from orderintake_server.domain import NewOrder, Operator
    from orderintake_server.store.changes import Changes
    from orderintake_server.views import BulkDone, OperatorAction

    Fetch = Callable[..., Awaitable[Sequence[Sequence[Any]]]]
    """Returns the rows of a query, asked with its values."""


def asked(changes: Changes) -> dict[str, list[Any] | None]:
    """Return the cancels and pauses, and which new orders are redrives, each with its operator."""
    orders = [order for group in changes.accepts for order in group]
    return {
        "cancels": [[cancel.accept_sequence, _who(cancel.by)] for cancel in changes.cancels]
        or None,
        "cancels_waiting": [
            [list(asked.accept_sequences), _who(asked.by)] for asked in changes.cancels_waiting
        ]
        or None,
        "pauses": [[int(pause.tier), pause.is_paused, _who(pause.by)] for pause in changes.pauses]
        or None,
        "redrives": _redrives(orders) or None,
    }


def _redrives(orders: Sequence[NewOrder]) -> list[Any]:
    """Return which orders are copies, counted from 1, each with the operator who redrives it."""
    return [
        [place, _who(order.by)]
        for place, order in enumerate(orders, start=1)
        if order.by or order.redrive_of
    ]


def _who(by: Operator | None) -> list[str | int] | None:
    return None if by is None else [by.name, by.credential, by.peer, by.request_id, by.until]


_LISTED = f"""
SELECT {READ} FROM orderintake.operator_actions WHERE sequence < $1 %s
ORDER BY sequence DESC LIMIT $2
"""
_ALL = _LISTED % ""
_OF_ORDER = _LISTED % "AND accept_sequence = $3 AND accept_sequence > 0"


async def list_actions(
    fetch: Fetch, accept_sequence: int | None, before: int, limit: int
) -> tuple[list[OperatorAction], bool]:
    """Keep `Store.list_actions`."""
    if accept_sequence is None:
        rows = await fetch(_ALL, before, limit + 1)
    else:
        rows = await fetch(_OF_ORDER, before, limit + 1, accept_sequence)
    with talking():
        return page_of_actions([action_of(tuple(row)) for row in rows], limit)


_BULK = """
SELECT action, accept_sequence, until,
  (SELECT count(*) FROM orderintake.operator_actions WHERE request_id = $1 AND request_id <> '')
FROM orderintake.operator_actions WHERE request_id = $1 AND request_id <> ''
ORDER BY sequence DESC LIMIT 1
"""


async def find_bulk(fetch: Fetch, request_id: str) -> BulkDone | None:
    """Keep `Selections.find_bulk`."""
    rows = await fetch(_BULK, request_id)
    with talking():
        return bulk_of([tuple(row) for row in rows])
