"""Statements that handle many rows at once: integers as one value, and inserts of many rows."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from typing import Any

MOST_ROWS = 256
"""Rows of one INSERT: at most 3072 values, where SQLite allows 32,766."""
FEW_ROWS = 16
"""Of so many rows and fewer, each number has a statement of its own."""


def as_json(numbers: Iterable[int]) -> str:
    """Return integers as a JSON list for json_each: so one statement serves any number of them."""
    return f"[{','.join(map(str, numbers))}]"


def insert(
    connection: sqlite3.Connection,
    table: str,
    rows: Sequence[Sequence[Any]],
    *,
    verb: str = "INSERT",
) -> None:
    """Insert rows, many with one statement.

    With a statement for each row, Python's lock would change threads each time. Beyond FEW_ROWS the
    numbers of rows are its multiples, so that only a few different statements are ever prepared.
    """
    start = 0
    while start < len(rows):
        left = min(len(rows) - start, MOST_ROWS)
        count = left if left < FEW_ROWS else left // FEW_ROWS * FEW_ROWS
        chunk = rows[start : start + count]
        placeholders = f"({','.join('?' * len(chunk[0]))})"
        connection.execute(
            f"{verb} INTO {table} VALUES {','.join([placeholders] * count)}",
            list(chain.from_iterable(chunk)),
        )
        start += count
