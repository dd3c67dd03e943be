"""Statements that handle many rows at once: integers as one value, and inserts of many rows."""

from __future__ import annotations

from functools import lru_cache
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
    return str(list(numbers))


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
    A column without any value stands as NULL in the statement: to bind a None takes eight times as
    long as an int, and bytes or an IntEnum do too. So rows hold plain ints, and bytearrays.
    """
    if not rows:
        return
    columns = list(zip(*rows, strict=True))
    is_null = [column[0] is None and column.count(None) == len(column) for column in columns]
    places = ",".join(["NULL" if null else "?" for null in is_null])
    given = [column for column, null in zip(columns, is_null, strict=True) if not null]
    values = list(chain.from_iterable(zip(*given, strict=True)))
    start, width = 0, len(given)
    while start < len(rows):
        left = min(len(rows) - start, MOST_ROWS)
        end = start + (left if left < FEW_ROWS else left // FEW_ROWS * FEW_ROWS)
        statement = _statement(verb, table, places, end - start)
        connection.execute(statement, values[start * width : end * width])
        start = end


@lru_cache(maxsize=256)
def _statement(verb: str, table: str, places: str, count: int) -> str:
    return f"{verb} INTO {table} VALUES {','.join([f'({places})'] * count)}"
