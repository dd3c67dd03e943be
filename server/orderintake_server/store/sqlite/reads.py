"""The reads of a SQLite store."""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, TypeVar

from orderintake_server.domain import Tier
from orderintake_server.errors import CursorExpired
from orderintake_server.store.base import COMPLETION_BYTES
from orderintake_server.store.pages import (
    LogRead,
    list_from,
    log_scan,
    page_of_orders,
    rows_to_list,
)
from orderintake_server.store.rows import (
    ACCEPTED,
    LOGGED,
    STANDING,
    CompletionRow,
    standing_of,
)
from orderintake_server.store.sqlite.writing.statements import as_json

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Iterable, Iterator

    from orderintake_server.domain import Completion, Order
    from orderintake_server.views import LogPage, OrderFilter

_T = TypeVar("_T")

_STANDING = f"""
SELECT {STANDING}
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


_KNOWN = """
SELECT q.customer_id, q.request_id FROM json_each(?) k CROSS JOIN requests q
  ON q.customer_id = json_extract(k.value, '$[0]') AND q.request_id = json_extract(k.value, '$[1]')
"""


def known_requests(
    connection: sqlite3.Connection, names: Collection[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Keep `Store.known_requests`."""
    return set(connection.execute(_KNOWN, (json.dumps(list(names)),)))


_LISTED = (
    _STANDING
    % (
        "(SELECT * FROM orders WHERE accept_sequence {after} :after{of_customer}"
        " ORDER BY accept_sequence {way} LIMIT :scan) o"
    )
    + "ORDER BY o.accept_sequence {way}"
)
_OLDEST_FIRST, _NEWEST_FIRST = {"after": ">", "way": "ASC"}, {"after": "<", "way": "DESC"}


def list_orders(
    connection: sqlite3.Connection,
    wanted: OrderFilter,
    after: int,
    limit: int,
    *,
    newest_first: bool,
) -> tuple[list[Order], int | None]:
    """Keep `Store.list_orders`."""
    of_customer = " AND customer_id = :customer_id" if wanted.customer_id else ""
    words = _NEWEST_FIRST if newest_first else _OLDEST_FIRST
    rows = connection.execute(
        _LISTED.format(**words, of_customer=of_customer),
        {
            "after": list_from(after, newest_first=newest_first),
            "scan": rows_to_list(wanted, limit),
            "customer_id": wanted.customer_id,
        },
    )
    with closing(rows):
        return page_of_orders(map(standing_of, rows), wanted, limit)


@contextmanager
def _log_after(connection: sqlite3.Connection, after: int) -> Iterator[int]:
    """See one state of the log inside, complete after `after`; give its head."""
    connection.execute("BEGIN")
    try:
        earliest, head = bounds(connection)
        if after < earliest:
            raise CursorExpired(earliest=earliest)
        yield head
    finally:
        connection.execute("ROLLBACK")  # it only read; an open snapshot would hold the log's file


_LOG = f"""
SELECT {ACCEPTED}, {LOGGED}
FROM {{scanned}} g CROSS JOIN orders o ON o.accept_sequence = g.accept_sequence
WHERE {{among}}g.sequence > :after
  AND (:tier IS NULL OR o.tier = :tier) AND (:state IS NULL OR g.outcome = :state)
ORDER BY g.sequence LIMIT :limit
"""


def read_log(  # noqa: PLR0913 - what is asked of the store, and where
    connection: sqlite3.Connection,
    wanted: OrderFilter,
    after: int,
    limit: int,
    max_bytes: int,
    *,
    read: Callable[[CompletionRow], _T],
) -> LogPage[_T]:
    """Keep `Store.read_log`."""
    scan = log_scan(wanted)
    among = f"g.{scan.column} = :{scan.column} AND " if scan.column else ""
    scanned = f"(SELECT * FROM log g WHERE {among}sequence > :after ORDER BY sequence LIMIT :scan)"
    query = _LOG.format(scanned="log" if scan.is_exact else scanned, among=among)
    values = {field: getattr(wanted, field) for field in wanted.__slots__}
    values |= {"after": after, "limit": limit, "scan": scan.rows(limit)}

    def last_scanned() -> int | None:
        if scan.is_exact:
            return None
        count, last = connection.execute(
            f"SELECT count(*), max(sequence) FROM {scanned}", values
        ).fetchone()
        return int(last) if count == values["scan"] else None

    with _log_after(connection, after) as head:
        found, last, is_cut = _within(connection.execute(query, values), max_bytes, read)
        return LogRead(found, last or after, is_cut or len(found) == limit, head).page(last_scanned)


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


def _within(
    rows: sqlite3.Cursor, max_bytes: int, read: Callable[[CompletionRow], _T]
) -> tuple[list[_T], int, bool]:
    """Read rows until, as completions, they exceed `max_bytes`; tell the last, whether they did."""
    found: list[_T] = []
    last = 0
    with closing(rows):
        for row in map(CompletionRow._make, rows):
            max_bytes -= COMPLETION_BYTES + len(row.content) + len(row.result or b"")
            if row.failure_code is not None and (failure := row.failure):
                max_bytes -= len((failure.code + failure.message).encode())
            if max_bytes < 0 and found:
                return found, last, True
            found.append(read(row))
            last = row.sequence
    return found, last, False
