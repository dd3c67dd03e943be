"""What operators did, in a SQLite store: recorded, and read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.domain import Action, CancelOutcome
from orderintake_server.store.actions import (
    READ,
    action_of,
    bulk_of,
    detail_of_cancel,
    detail_of_copy,
)
from orderintake_server.store.pages import page_of_actions

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from orderintake_server.domain import NewOrder, Operator
    from orderintake_server.store.changes import Cancel, Pause
    from orderintake_server.views import BulkDone, OperatorAction

_RECORD = """
INSERT INTO operator_actions
SELECT coalesce(max(sequence), 0) + 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM operator_actions
"""


class Trail:
    """Records what operators do in one transaction, at one time."""

    def __init__(self, connection: sqlite3.Connection, now: int) -> None:
        """Record in the transaction of `connection`; `now` is in microseconds since 1970."""
        self._connection = connection
        self._now = now

    def paused(self, pause: Pause) -> None:
        """Record a pause, or a resume, which changed the tier."""
        action = Action.PAUSE_TIER if pause.is_paused else Action.RESUME_TIER
        self._record(pause.by, action, (pause.tier, 0, "{}"))

    def cancelled(self, cancels: Sequence[Cancel], outcomes: Mapping[int, CancelOutcome]) -> None:
        """Record the cancels that changed an order: `outcomes` has those orders, by number.

        Of several cancels of an order, the first one changed it.
        """
        first = {cancel.accept_sequence: cancel for cancel in reversed(cancels)}
        for number in dict.fromkeys(cancel.accept_sequence for cancel in cancels):
            if number in outcomes:
                detail = detail_of_cancel(outcomes[number])
                self._record(first[number].by, Action.CANCEL_ORDER, (0, number, detail))

    def cancelled_waiting(self, by: Operator, numbers: Sequence[int]) -> None:
        """Record that these orders, which waited, were cancelled together."""
        detail = detail_of_cancel(CancelOutcome.CANCELLED)
        for number in sorted(numbers):
            self._record(by, Action.CANCEL_ORDER, (0, number, detail))

    def redriven(self, accepted: Mapping[int, NewOrder]) -> None:
        """Record the redrives among orders that were accepted just now, by number."""
        for number, new in accepted.items():
            if new.by is not None:
                subject = (0, new.redrive_of, detail_of_copy(number))
                self._record(new.by, Action.REDRIVE_ORDER, subject)

    def _record(self, by: Operator | None, action: Action, subject: tuple[int, int, str]) -> None:
        if by is not None:
            call = (by.peer, by.request_id, by.until)
            values = (self._now, by.name, by.credential, action, *subject, *call)
            self._connection.execute(_RECORD, values)


_READ = f"""
SELECT {READ} FROM operator_actions
WHERE sequence < ?1 {{of_order}} ORDER BY sequence DESC LIMIT ?2
"""
_ALL = _READ.format(of_order="")
_OF_ORDER = _READ.format(of_order="AND accept_sequence = ?3 AND accept_sequence > 0")


def list_actions(
    connection: sqlite3.Connection, accept_sequence: int | None, before: int, limit: int
) -> tuple[list[OperatorAction], bool]:
    """Keep `Store.list_actions`."""
    if accept_sequence is None:
        rows = connection.execute(_ALL, (before, limit + 1)).fetchall()
    else:
        rows = connection.execute(_OF_ORDER, (before, limit + 1, accept_sequence)).fetchall()
    return page_of_actions(list(map(action_of, rows)), limit)


_BULK = """
SELECT action, accept_sequence, until,
  (SELECT count(*) FROM operator_actions WHERE request_id = ?1 AND request_id <> '')
FROM operator_actions WHERE request_id = ?1 AND request_id <> '' ORDER BY sequence DESC LIMIT 1
"""


def find_bulk(connection: sqlite3.Connection, request_id: str) -> BulkDone | None:
    """Keep `Selections.find_bulk`."""
    return bulk_of(connection.execute(_BULK, (request_id,)).fetchall())
