"""What a transaction writes at most commits: a name for each way in which a row changes a table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orderintake_server.store.rows import ATTEMPT_COLUMNS, LOG_COLUMNS
from orderintake_server.store.sqlite.writing.statements import insert

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from typing import Any

    Row = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Insert:
    """Adds a row to a table."""

    table: str
    columns: tuple[str, ...] = ()
    """Which the values are for; none: all of the table's."""
    verb: str = "INSERT"
    is_new: bool = False
    """The rows are of orders that the transaction itself accepts."""

    @property
    def into(self) -> str:
        """The table, and which of its columns."""
        return f"{self.table} ({', '.join(self.columns)})" if self.columns else self.table

    def do(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
        """Add many rows."""
        insert(connection, self.into, rows, verb=self.verb)

    def statement(self, connection: sqlite3.Connection) -> str:
        """Return the statement that adds one row: its values are new.v1, new.v2 and so on.

        A 0 is no value where the column may have none.
        """
        table = {
            name: not (has_value or key)
            for _, name, _, has_value, _, key in connection.execute(
                f"PRAGMA table_info({self.table})"
            )
        }
        values = [
            f"nullif(new.v{place}, 0)" if table[column] else f"new.v{place}"
            for place, column in enumerate(self.columns or table, 1)
        ]
        return f"{self.verb} INTO {self.into} VALUES ({', '.join(values)})"


@dataclass(frozen=True, slots=True)
class Change:
    """Changes or removes rows of a table that were there before."""

    table: str
    text: str
    """The statement; its values are ?1, ?2 and so on."""
    is_new = False

    def do(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
        """Do it for each row of values."""
        for row in rows:
            connection.execute(self.text, row)

    def statement(self, connection: sqlite3.Connection) -> str:  # noqa: ARG002 - as Insert's
        """Return the statement; its values are new.v1, new.v2 and so on."""
        return re.sub(r"\?(\d+)", r"new.v\1", self.text)


Write = Insert | Change

COUNT = Change(
    "counters",
    "UPDATE counters SET accepted = ?1, started = ?2, completed = ?3, time = ?4, accept_time = ?5",
)
ACCEPT = Insert("orders", is_new=True)
NAME_REQUEST = Insert("requests")
QUEUE = Insert("ready")
QUEUE_NEW = Insert("ready", is_new=True)
LEAVE_QUEUE = Change(
    "ready",
    "DELETE FROM ready WHERE tier = ?1 AND rank IN (SELECT value FROM json_each(?2))"
    " AND +accept_sequence IN (SELECT value FROM json_each(?3))",
)
SCHEDULE = Insert("scheduled")
LEAVE_SCHEDULE = Change(
    "scheduled",
    "DELETE FROM scheduled WHERE accept_sequence IN (SELECT value FROM json_each(?1))",
)
WATCH_EXPIRY = Insert("expiries", verb="INSERT OR IGNORE")
NOTE_START = Insert("starts")
_OWN = ("accept_sequence", *ATTEMPT_COLUMNS, "crash_count")
LEASE = Insert("leases", _OWN)
LEND = Insert("leases", (*_OWN, "worker", "call", "deadline", "is_alone"))
LEAVE_LEASES = Change(
    "leases", "DELETE FROM leases WHERE accept_sequence IN (SELECT value FROM json_each(?1))"
)
NOTE_END = Insert("ends")
FORGET_ENDS = Change("ends", "DELETE FROM ends WHERE time < ?1")
COMPLETE = Insert("log", (*LOG_COLUMNS, "accept_sequence", "customer_id", "tier"))

WRITES: tuple[Write, ...] = (
    *(COUNT, ACCEPT, NAME_REQUEST, QUEUE, QUEUE_NEW, LEAVE_QUEUE, SCHEDULE, LEAVE_SCHEDULE),
    *(WATCH_EXPIRY, NOTE_START, LEASE, LEND, LEAVE_LEASES, NOTE_END, FORGET_ENDS, COMPLETE),
)
MOST_VALUES = 12
"""Of one row."""
