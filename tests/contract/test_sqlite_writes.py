"""What a transaction of the SQLite store writes is the same by one statement or by many."""

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from orderintake_server.store.sqlite import schema
from orderintake_server.store.sqlite.writing import transaction as writing
from orderintake_server.store.sqlite.writing.transaction import Transaction
from orderintake_server.store.sqlite.writing.writes import (
    ACCEPT,
    COUNT,
    LEASE,
    LEAVE_LEASES,
    MOST_VALUES,
    QUEUE,
    QUEUE_NEW,
    WATCH_EXPIRY,
    WRITES,
    Change,
    Insert,
    Write,
)

LEAVES = "[3, 4]"
VALUES: dict[Write, list[tuple[Any, ...]]] = {
    write: [
        (3, LEAVES, LEAVES)[-text.count("?") :]
        if (text := write.text).startswith("DELETE")
        else (1, 2, 3, 4, 5)
    ]
    for write in WRITES
    if isinstance(write, Change)
}
"""Of each change, one row of values: those that leave are orders 3 and 4, or the first of them."""


Tables = dict[str, list[tuple[Any, ...]]]


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """The database of a store."""
    with closing(made()) as connection:
        yield connection


def made() -> sqlite3.Connection:
    """Make the database of a store, in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.prepare(connection, Path(":memory:"))
    return connection


def columns(connection: sqlite3.Connection, write: Insert) -> dict[str, tuple[str, bool]]:
    """Tell of each column that gets a value its type, and whether it may have none."""
    table = {
        name: (kind, not (has_value or key))
        for _, name, kind, has_value, _, key in connection.execute(
            f"PRAGMA table_info({write.table})"
        )
    }
    return {name: table[name] for name in write.columns or table}


def rows(connection: sqlite3.Connection, write: Write) -> list[tuple[Any, ...]]:
    """Return five rows to write: where a column may have no value, every other one has none."""
    if isinstance(write, Change):
        return VALUES[write]
    shape = columns(connection, write).values()
    return [
        tuple(
            None
            if may_lack and number % 2
            else {"INTEGER": number, "TEXT": f"{number}", "BLOB": bytearray([0, number])}[kind]
            for kind, may_lack in shape
        )
        for number in range(1, 6)
    ]


def content(connection: sqlite3.Connection) -> Tables:
    """Read all that is in the tables that can be written."""
    tables = sorted({write.table for write in WRITES})
    read = connection.execute
    return {table: read(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in tables}  # noqa: S608


def written(writes: Iterable[Write]) -> Tables:
    """Write rows of each kind in one transaction; return what it made of the tables."""
    with closing(made()) as connection:
        transaction = Transaction(connection)
        for write in writes:
            transaction.write(write, rows(connection, write))
        transaction.commit()
        assert not connection.in_transaction
        return content(connection)


@pytest.mark.parametrize("write", WRITES, ids=lambda write: str(WRITES.index(write)))
def test_a_row_is_the_same_written_together_or_alone(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    filling = [each for each in WRITES if type(each) is Insert and each.table == write.table]
    before = filling[:1] if isinstance(write, Change) else []
    together = written([*before, write])
    monkeypatch.setattr(writing, "MOST_TOGETHER", 0)
    assert written([*before, write]) == together
    assert written(before) != together


def test_each_kind_of_row_fits_into_the_view(connection: sqlite3.Connection) -> None:
    widths = [
        len(columns(connection, write))
        if isinstance(write, Insert)
        else len(re.findall(r"\?\d", write.text))
        for write in WRITES
    ]
    assert max(widths) == MOST_VALUES


@pytest.mark.parametrize("most", [0, 64])
def test_a_row_that_cannot_be_written_leaves_nothing_written(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(writing, "MOST_TOGETHER", most)
    empty = content(connection)
    transaction = Transaction(connection)
    for write in (LEASE, COUNT, QUEUE, QUEUE):  # the last are there already
        transaction.write(write, rows(connection, write))
    with pytest.raises(sqlite3.IntegrityError):
        transaction.commit()
    transaction.rollback()
    assert content(connection) == empty
    transaction.commit()
    assert content(connection) == empty


def test_a_row_that_is_there_already_is_passed_over_where_that_is_said(
    connection: sqlite3.Connection,
) -> None:
    transaction = Transaction(connection)
    transaction.write(WATCH_EXPIRY, [(7, 1)])
    transaction.write(WATCH_EXPIRY, [(7, 1), (7, 2)])
    transaction.commit()
    assert content(connection)["expiries"] == [(7, 1), (7, 2)]


def test_what_is_read_has_what_was_written_but_for_new_orders(
    connection: sqlite3.Connection,
) -> None:
    transaction = Transaction(connection)
    transaction.write(ACCEPT, rows(connection, ACCEPT))
    transaction.write(QUEUE_NEW, rows(connection, QUEUE_NEW))
    early = transaction.reading("orders", "ready", "leases")
    assert early.execute("SELECT count(*) FROM ready").fetchone() == (0,)
    transaction.write(LEASE, rows(connection, LEASE))
    transaction.write(LEAVE_LEASES, [(LEAVES,)])
    assert transaction.reading("orders").execute("SELECT count(*) FROM leases").fetchone() == (0,)
    late = transaction.reading("leases")
    assert late.execute("SELECT count(*) FROM leases").fetchone() == (3,)
    assert late.execute("SELECT count(*) FROM ready").fetchone() == (5,)
    transaction.rollback()
    assert connection.execute("SELECT count(*) FROM ready").fetchone() == (0,)


def test_a_small_transaction_is_one_statement(connection: sqlite3.Connection) -> None:
    statements: list[str] = []
    transaction = Transaction(connection)
    connection.set_trace_callback(statements.append)
    transaction.write(COUNT, [(1, 2, 3, 4, 5)])
    transaction.commit()
    assert {statement.split()[0] for statement in statements} == {"INSERT"}  # each trigger is told


def test_a_transaction_that_writes_nothing_tells_whether_it_could(tmp_path: Path) -> None:
    with (
        closing(sqlite3.connect(tmp_path / "db", isolation_level=None, timeout=0)) as connection,
        closing(sqlite3.connect(tmp_path / "db", isolation_level=None)) as other,
    ):
        schema.prepare(connection, tmp_path / "db")
        transaction = Transaction(connection)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            transaction.commit()
        transaction.rollback()
        other.execute("COMMIT")
        transaction.commit()
        assert not connection.in_transaction
