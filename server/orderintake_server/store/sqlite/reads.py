"""The reads of a SQLite store."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from orderintake_server.domain import Completion, Tier
from orderintake_server.errors import CursorExpired
from orderintake_server.store.base import COMPLETION_BYTES
from orderintake_server.store.rows import ACCEPTED, LOGGED, completion_of, standing_of
from orderintake_server.store.sqlite.statements import as_json
from orderintake_server.views import LogPage

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from orderintake_server.domain import Order
    from orderintake_server.views import OrderFilter

SCAN_ROWS = 10_000
"""Rows that one page of a filtered list reads at the most: some 20 ms."""

_SEQUENCE = 8
"""Where a completion's sequence stands behind what was accepted."""
_STANDING = f"""
SELECT {ACCEPTED}, r.attempt_count, s.attempt_count,
  l.attempt_count, l.start_sequence, l.start_time, {LOGGED}
FROM %s
LEFT JOIN ready     r ON r.tier = o.tier AND r.rank = o.rank
                     AND r.accept_sequence = o.accept_sequence
LEFT JOIN scheduled s ON s.accept_sequence = o.accept_sequence
LEFT JOIN leases    l ON l.accept_sequence = o.accept_sequence
LEFT JOIN log       g ON g.accept_sequence = o.accept_sequence
"""


def find(connection: sqlite3.Connection, accept_sequence: int) -> Order | Completion | None:
    """Read how one order stands, None when there is none."""
    return standing(connection, [accept_sequence]).get(accept_sequence)


_SOME = _STANDING % "json_each(?) k CROSS JOIN orders o ON o.accept_sequence = k.value"


def standing(
    connection: sqlite3.Connection, accept_sequences: Iterable[int]
) -> dict[int, Order | Completion]:
    """Read how some orders stand, by accept sequence."""
    rows = connection.execute(_SOME, (as_json(accept_sequences),))
    return {row[0]: standing_of(row) for row in rows}


_LISTED = _STANDING % (
    "(SELECT * FROM orders WHERE accept_sequence > :after{of_customer}"
    " ORDER BY accept_sequence LIMIT :scan) o"
)


def list_orders(
    connection: sqlite3.Connection, wanted: OrderFilter, after: int, limit: int
) -> tuple[list[Order], int | None]:
    """Keep `Store.list_orders`."""
    of_customer = " AND customer_id = :customer_id" if wanted.customer_id else ""
    scan = limit + 1 if wanted.tier is None and wanted.state is None else SCAN_ROWS
    rows = connection.execute(
        _LISTED.format(of_customer=of_customer) + " ORDER BY o.accept_sequence",
        {"after": after, "scan": scan, "customer_id": wanted.customer_id},
    ).fetchall()
    stands = map(standing_of, rows)
    orders = [found.order if isinstance(found, Completion) else found for found in stands]
    found = [order for order in orders if wanted.wants(order)]
    if len(found) > limit:
        return found[:limit], found[limit - 1].accept_sequence
    return found, rows[-1][0] if len(rows) == scan else None


@contextmanager
def _log_behind(connection: sqlite3.Connection, after: int) -> Iterator[None]:
    """See one state of the log inside, in which nothing behind `after` was forgotten."""
    connection.execute("BEGIN")
    try:
        (earliest,) = connection.execute("SELECT sequence FROM pruned").fetchone()
        if after < earliest:
            raise CursorExpired(earliest=earliest)
        yield
    finally:
        connection.execute("ROLLBACK")  # it only read; an open snapshot would hold the log's file


_LOG = f"""
SELECT {ACCEPTED}, {LOGGED}
FROM (%s) g JOIN orders o ON o.accept_sequence = g.accept_sequence
WHERE (:tier IS NULL OR o.tier = :tier) AND (:state IS NULL OR g.outcome = :state)
ORDER BY g.sequence LIMIT :limit
"""


def read_log(
    connection: sqlite3.Connection, wanted: OrderFilter, after: int, limit: int, max_bytes: int
) -> LogPage:
    """Keep `Store.read_log`."""
    looked_at, is_exact = _looked_at(wanted)
    values = {field: getattr(wanted, field) for field in wanted.__slots__}
    values |= {"after": after, "limit": limit, "scan": limit if is_exact else SCAN_ROWS}
    with _log_behind(connection, after):
        rows, is_cut = _within(connection.execute(_LOG % looked_at, values), max_bytes)
        _, newest = bounds(connection)
        end = newest
        if is_cut or len(rows) == limit:
            end = rows[-1][_SEQUENCE] if rows else after
        elif not is_exact:
            looked, last = connection.execute(
                f"SELECT count(*), max(sequence) FROM ({looked_at})", values
            ).fetchone()
            end = last if looked == SCAN_ROWS else newest
    completions = [completion_of(row[:8], row[8:]) for row in rows]
    return LogPage(completions=completions, end=end, goes_on=end < newest)


def _looked_at(wanted: OrderFilter) -> tuple[str, bool]:
    """Give the rows of the log to look at, by the best index; and whether just these are wanted."""
    condition, is_exact = "", wanted.state is None
    if wanted.customer_id is not None:
        condition, is_exact = "customer_id = :customer_id AND ", is_exact and wanted.tier is None
    elif wanted.tier is not None:
        condition = "tier = :tier AND "
    rows = f"SELECT * FROM log WHERE {condition}sequence > :after ORDER BY sequence LIMIT :scan"
    return rows, is_exact


def bounds(connection: sqlite3.Connection) -> tuple[int, int]:
    """Keep `Store.bounds`."""
    query = "SELECT sequence, completed FROM pruned, counters"
    earliest, head = connection.execute(query).fetchone()
    return earliest, head


def oldest_waiting(connection: sqlite3.Connection) -> dict[Tier, int]:
    """Keep `Store.oldest_waiting`."""
    rows = connection.execute(
        "SELECT r.tier, o.accept_time FROM ("
        " SELECT tier, min(rank) AS rank FROM ready GROUP BY tier) m"
        " JOIN ready r ON r.tier = m.tier AND r.rank = m.rank"
        " JOIN orders o ON o.accept_sequence = r.accept_sequence"
    )
    return {Tier(tier): accept_time for tier, accept_time in rows}


def _within(rows: sqlite3.Cursor, max_bytes: int) -> tuple[list[Sequence[Any]], bool]:
    """Take rows until, as completions, they exceed `max_bytes`; tell whether they did."""
    taken: list[Sequence[Any]] = []
    with closing(rows):
        for row in rows:
            content, message, result = row[3], row[15] or "", row[16] or b""
            max_bytes -= COMPLETION_BYTES + len(content) + len(message.encode()) + len(result)
            if max_bytes < 0 and taken:
                return taken, True
            taken.append(row)
    return taken, False
