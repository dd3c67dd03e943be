"""How rows become orders and completions, and the reads that want them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.domain import Completion, Ending, Failure, Order, State, Tier
from orderintake_server.store.base import COMPLETION_BYTES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

MAX_ROWS = 256
"""Rows of one INSERT: 2560 values at the most, where SQLite takes 32,766."""

_STANDING = """
SELECT o.accept_sequence, o.tier, o.content, o.accept_time,
       r.attempt_count,
       l.attempt_count, l.start_sequence, l.start_time,
       g.sequence, g.outcome, g.attempt_count, g.start_sequence, g.start_time, g.complete_time,
       g.failure_code, g.failure_message, g.result
FROM orders o
LEFT JOIN ready  r ON r.rank = o.rank AND r.accept_sequence = o.accept_sequence
LEFT JOIN leases l ON l.accept_sequence = o.accept_sequence
LEFT JOIN log    g ON g.accept_sequence = o.accept_sequence
WHERE o.accept_sequence IN (SELECT value FROM json_each(?))
"""


def find(connection: sqlite3.Connection, accept_sequence: int) -> Order | Completion | None:
    """Read how one order stands, None when there is none."""
    return standing(connection, [accept_sequence]).get(accept_sequence)


def standing(
    connection: sqlite3.Connection, accept_sequences: Iterable[int]
) -> dict[int, Order | Completion]:
    """Read how some orders stand, by accept sequence."""
    rows = connection.execute(_STANDING, (as_json(accept_sequences),))
    return {row[0]: _standing(row) for row in rows}


def _standing(row: Sequence[Any]) -> Order | Completion:
    """Tell where an order's row is, and so its state."""
    accepted, waiting, leased, logged = row[:4], row[4], row[5:8], row[8:]
    if logged[0] is not None:
        return _completion(accepted, logged)
    if leased[0] is not None:
        return _order(accepted, State.PROCESSING, leased)
    return _order(accepted, State.QUEUED, (waiting, 0, 0))


_LOG = """
SELECT o.accept_sequence, o.tier, o.content, o.accept_time,
       g.sequence, g.outcome, g.attempt_count, g.start_sequence, g.start_time, g.complete_time,
       g.failure_code, g.failure_message, g.result
FROM log g JOIN orders o ON o.accept_sequence = g.accept_sequence
WHERE g.sequence > ? ORDER BY g.sequence LIMIT ?
"""


def read_log(
    connection: sqlite3.Connection, after: int, limit: int, max_bytes: int
) -> list[Completion]:
    """Read the log behind `after`: at most `limit`, and `max_bytes`, but at least one."""
    rows = connection.execute(_LOG, (after, limit))
    try:
        return [_completion(row[:4], row[4:]) for row in _within(rows, max_bytes)]
    finally:
        rows.close()  # an open cursor would hold this snapshot, and with it the log's file


def _within(rows: Iterable[Sequence[Any]], max_bytes: int) -> Iterator[Sequence[Any]]:
    """Pass rows on until, as completions, they exceed `max_bytes`."""
    for count, row in enumerate(rows):
        content, failure_message, result = row[2], row[11] or "", row[12] or b""
        max_bytes -= COMPLETION_BYTES + len(content) + len(failure_message.encode()) + len(result)
        if max_bytes < 0 and count:
            return
        yield row


def _completion(accepted: Sequence[Any], logged: Sequence[Any]) -> Completion:
    """Make a completion of an order's row and its row in the log."""
    sequence, outcome, attempts, start_sequence, start_time, complete_time = logged[:6]
    failure_code, failure_message, result = logged[6:]
    failed = failure_code is not None
    return Completion(
        sequence=sequence,
        order=_order(
            accepted, State(outcome), (attempts, start_sequence, start_time), complete_time
        ),
        ending=Ending(
            failure=Failure(code=failure_code, message=failure_message) if failed else None,
            result=result,
        ),
    )


def _order(
    accepted: Sequence[Any], state: State, attempt: Sequence[int], complete_time: int = 0
) -> Order:
    """Make an order of its own row and of what is known of its latest attempt."""
    accept_sequence, tier, content, accept_time = accepted
    attempt_count, start_sequence, start_time = attempt
    return Order(
        accept_sequence=accept_sequence,
        tier=Tier(tier),
        content=content,
        accept_time=accept_time,
        state=state,
        attempt_count=attempt_count,
        start_sequence=start_sequence,
        start_time=start_time,
        complete_time=complete_time,
    )


def as_json(numbers: Iterable[int]) -> str:
    """Write integers as the JSON list that json_each reads: one statement for any count."""
    return f"[{','.join(map(str, numbers))}]"


def insert(connection: sqlite3.Connection, table: str, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows, many by one statement: row by row, Python's lock would change hands each time.

    The counts of rows are powers of two, so that few different statements are ever prepared.
    """
    start = 0
    while start < len(rows):
        count = min(1 << ((len(rows) - start).bit_length() - 1), MAX_ROWS)
        chunk = rows[start : start + count]
        places = f"({','.join('?' * len(chunk[0]))})"
        connection.execute(
            f"INSERT INTO {table} VALUES {','.join([places] * count)}",  # noqa: S608 - our own names
            [value for row in chunk for value in row],
        )
        start += count
