"""A transaction of the writer: what it writes waits in memory, and goes as one statement if it can.

For each call of SQLite, and for each row that it answers, Python's lock is given away. While the
event loop is busy, to get it back takes longer than the call. So a commit is few calls: of a small
one, all rows of all tables are one INSERT into a view, whose triggers write them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.store.sqlite.writing.writes import MOST_VALUES, WRITES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from typing import Any

    from orderintake_server.store.sqlite.writing.writes import Row, Write

MOST_TOGETHER = 64
"""Rows that one statement writes. Each costs it a microsecond more than statements for each table
do, and those are ten calls more. Measured with the part core of bench/."""


class Transaction:
    """One transaction after the other; a small one, in which nothing is read, is one statement."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Give the connection a view of its own, whose rows are what a transaction writes."""
        self._connection = connection
        self._kept: list[tuple[Write, Sequence[Row]]] = []
        self._count = 0
        columns = ", ".join(f"v{place}" for place in range(1, MOST_VALUES + 1))
        values = ", ".join(["NULL"] * (MOST_VALUES + 1))
        connection.execute(f"CREATE TEMP VIEW writes (what, {columns}) AS SELECT {values}")
        for what, write in enumerate(WRITES):
            connection.execute(
                f"CREATE TEMP TRIGGER write_{what} INSTEAD OF INSERT ON writes"
                f" WHEN new.what = {what} BEGIN {write.statement(connection)}; END"
            )

    def write(self, write: Write, rows: Sequence[Row]) -> None:
        """Write rows, after all that was written before; by `commit` at the latest."""
        if rows:
            self._kept.append((write, rows))
            self._count += len(rows)

    def flush(self) -> None:
        """Write what is not written into the transaction, which goes on."""
        self._begin()
        self._write()

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, in the transaction; all is in it that was written so far."""
        self.flush()
        return self._connection

    def reading(self, *tables: str) -> sqlite3.Connection:
        """Return the connection, to read these tables: only new orders may be missing in them.

        Those are the orders that this transaction itself accepts.
        """
        if any(write.table in tables and not write.is_new for write, _ in self._kept):
            return self.connection
        return self._connection

    def commit(self) -> None:
        """Write what is not written, and make all of it durable.

        If that is nothing, it begins and ends all the same: who probes the store wants to know.
        """
        if not 0 < self._count <= MOST_TOGETHER:
            self._begin()
        self._write()
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")

    def rollback(self) -> None:
        """Undo all of it."""
        self._kept, self._count = [], 0
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _begin(self) -> None:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")

    def _write(self) -> None:
        kept, count = self._kept, self._count
        self._kept, self._count = [], 0
        if 0 < count <= MOST_TOGETHER:
            self._connection.execute(_STATEMENTS[count], _values(kept))
        elif count:
            for write, rows in kept:
                write.do(self._connection, rows)


_ROW = f"({', '.join('?' * (MOST_VALUES + 1))})"
_STATEMENTS = [
    f"INSERT INTO writes VALUES {', '.join([_ROW] * n)}" for n in range(MOST_TOGETHER + 1)
]
_NUMBERS = {write: number for number, write in enumerate(WRITES)}
_REST = [(0,) * (MOST_VALUES - count) for count in range(MOST_VALUES + 1)]


def _values(kept: Sequence[tuple[Write, Sequence[Row]]]) -> list[Any]:
    """Give the values of all rows, each filled up to the width of the view."""
    values: list[Any] = []
    for write, rows in kept:
        what, rest = _NUMBERS[write], _REST[len(rows[0])]
        for row in rows:
            values.append(what)
            values += row
            values += rest
    return [0 if value is None else value for value in values]
