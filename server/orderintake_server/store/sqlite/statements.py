"""Statements for many rows at once: integers as one value, and inserts of many rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from typing import Any

MAX_ROWS = 256
"""Rows of one INSERT: 2560 values at the most, where SQLite takes 32,766."""


def as_json(numbers: Iterable[int]) -> str:
    """Write integers as the JSON list that json_each reads: one statement for any count."""
    return f"[{','.join(map(str, numbers))}]"


def insert(
    connection: sqlite3.Connection,
    table: str,
    rows: Sequence[Sequence[Any]],
    *,
    verb: str = "INSERT",
) -> None:
    """Insert rows, many by one statement: row by row, Python's lock would change hands each time.

    The counts of rows are powers of two, so that few different statements are ever prepared.
    """
    start = 0
    while start < len(rows):
        count = min(1 << ((len(rows) - start).bit_length() - 1), MAX_ROWS)
        chunk = rows[start : start + count]
        places = f"({','.join('?' * len(chunk[0]))})"
        connection.execute(
            f"{verb} INTO {table} VALUES {','.join([places] * count)}",
            [value for row in chunk for value in row],
        )
        start += count
