"""The reads of a PostgreSQL store, each one statement, and so of one moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.domain import Completion, Tier
from orderintake_server.errors import CursorExpired
from orderintake_server.store.base import COMPLETION_BYTES
from orderintake_server.store.rows import ACCEPTED, LOGGED, completion_of, standing_of
from orderintake_server.views import LogPage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orderintake_server.domain import Order
    from orderintake_server.store.postgres.connector import Row
    from orderintake_server.views import OrderFilter

    Fetch = Callable[..., Awaitable[list[Row]]]
    """Gives the rows of a query, asked with its values."""

SCAN_ROWS = 10_000
"""Rows that one page of a filtered list reads at the most: some 20 ms."""

_STANDING = f"""
SELECT {ACCEPTED}, r.attempt_count, s.attempt_count,
  l.attempt_count, l.start_sequence, l.start_time, {LOGGED}
FROM %s
LEFT JOIN orderintake.ready     r ON r.tier = o.tier AND r.rank = o.rank
                                 AND r.accept_sequence = o.accept_sequence
LEFT JOIN orderintake.scheduled s ON s.accept_sequence = o.accept_sequence
LEFT JOIN orderintake.leases    l ON l.accept_sequence = o.accept_sequence
LEFT JOIN orderintake.log       g ON g.accept_sequence = o.accept_sequence
"""


_FOUND = _STANDING % "orderintake.orders o" + "WHERE o.accept_sequence = $1"


async def find(fetch: Fetch, accept_sequence: int) -> Order | Completion | None:
    """Keep `Store.find`."""
    rows = await fetch(_FOUND, accept_sequence)
    return standing_of(tuple(rows[0])) if rows else None


_POSITION = """
SELECT sum(CASE
  WHEN me.rank - n.floor[t] <= last.rank - me.rank THEN (
    SELECT count(*) FROM orderintake.ready r WHERE r.tier = t AND r.rank >= n.floor[t]
      AND (r.rank, r.accept_sequence) <= (me.rank, me.accept_sequence))
  ELSE n.queued[t] - (
    SELECT count(*) FROM orderintake.ready r WHERE r.tier = t
      AND (r.rank, r.accept_sequence) > (me.rank, me.accept_sequence)) END)::bigint
FROM orderintake.orders o
JOIN orderintake.ready me ON me.tier = o.tier AND me.rank = o.rank
  AND me.accept_sequence = o.accept_sequence
CROSS JOIN (SELECT queued, floor FROM orderintake.commits ORDER BY number DESC LIMIT 1) n
CROSS JOIN generate_series(1, 2) t
LEFT JOIN LATERAL (
  SELECT r.rank FROM orderintake.ready r WHERE r.tier = t ORDER BY r.tier DESC, r.rank DESC LIMIT 1
) last ON true
WHERE o.accept_sequence = $1
"""
"""Counts each tier from its nearer end, as far as its ranks tell: most who ask came just now."""


async def position(fetch: Fetch, accept_sequence: int) -> int:
    """Keep `Store.position`: by counting, some 30 ms in the middle of a queue of a million."""
    ((before,),) = await fetch(_POSITION, accept_sequence)
    return before or 0


_LISTED = (
    _STANDING
    % (
        "(SELECT * FROM orderintake.orders WHERE accept_sequence > $1"
        " AND ($2::text IS NULL OR customer_id = $2) ORDER BY accept_sequence LIMIT $3) o"
    )
    + "ORDER BY o.accept_sequence"
)


async def list_orders(
    fetch: Fetch, wanted: OrderFilter, after: int, limit: int
) -> tuple[list[Order], int | None]:
    """Keep `Store.list_orders`."""
    scan = limit + 1 if wanted.tier is None and wanted.state is None else SCAN_ROWS
    rows = await fetch(_LISTED, after, wanted.customer_id, scan)
    stands = [standing_of(tuple(row)) for row in rows]
    orders = [found.order if isinstance(found, Completion) else found for found in stands]
    found = [order for order in orders if wanted.wants(order)]
    if len(found) > limit:
        return found[:limit], found[limit - 1].accept_sequence
    return found, rows[-1][0] if len(rows) == scan else None


_LOG = f"""
WITH newest AS (SELECT completed, earliest FROM orderintake.commits ORDER BY number DESC LIMIT 1),
looked AS MATERIALIZED (
  SELECT * FROM orderintake.log WHERE %s sequence > $1 ORDER BY sequence LIMIT $4),
found AS MATERIALIZED (
  SELECT {ACCEPTED}, {LOGGED},
    sum({COMPLETION_BYTES} + length(o.content) + coalesce(length(g.result), 0)
      + coalesce(length(g.failure_message), 0)) OVER (ORDER BY g.sequence) AS bytes,
    row_number() OVER (ORDER BY g.sequence) AS number
  FROM looked g JOIN orderintake.orders o ON o.accept_sequence = g.accept_sequence
  WHERE ($2::smallint IS NULL OR g.tier = $2) AND ($3::smallint IS NULL OR g.outcome = $3)
    AND ($7::text IS NULL OR g.customer_id = $7)
  ORDER BY g.sequence LIMIT $5)
SELECT n.completed, n.earliest, (SELECT count(*) FROM looked), (SELECT max(sequence) FROM looked),
  (SELECT count(*) FROM found), f.*
FROM newest n LEFT JOIN found f ON f.bytes <= $6 OR f.number = 1 ORDER BY f.number
"""


async def read_log(
    fetch: Fetch, wanted: OrderFilter, after: int, limit: int, max_bytes: int
) -> LogPage:
    """Keep `Store.read_log`."""
    looked_at, is_exact = _looked_at(wanted)
    scan = limit if is_exact else SCAN_ROWS
    rows = await fetch(
        _LOG % looked_at, after, wanted.tier, wanted.state, scan, limit, max_bytes,
        wanted.customer_id,
    )  # fmt: skip
    head, earliest, looked, last, found = rows[0][:5]
    if after < earliest:
        raise CursorExpired(earliest=earliest)
    there = [tuple(row)[5:22] for row in rows if row[5] is not None]
    completions = [completion_of(row[:8], row[8:]) for row in there]
    end = head
    if len(there) < found or len(there) == limit:
        end = there[-1][8] if there else after
    elif not is_exact and looked == scan:
        end = last
    return LogPage(completions=completions, end=max(end, after), goes_on=end < head)


def _looked_at(wanted: OrderFilter) -> tuple[str, bool]:
    """Give the rows of the log to look at, by the best index; and whether just these are wanted."""
    condition, is_exact = "", wanted.state is None
    if wanted.customer_id is not None:
        condition, is_exact = "customer_id = $7 AND", is_exact and wanted.tier is None
    elif wanted.tier is not None:
        condition = "tier = $2 AND"
    return condition, is_exact


_OLDEST = """
SELECT t.tier, o.accept_time FROM (VALUES (1), (2)) AS t (tier)
JOIN LATERAL (SELECT accept_sequence FROM orderintake.ready r WHERE r.tier = t.tier
  ORDER BY r.tier, r.rank, r.accept_sequence LIMIT 1) f ON true
JOIN orderintake.orders o ON o.accept_sequence = f.accept_sequence
"""


async def oldest_waiting(fetch: Fetch) -> dict[Tier, int]:
    """Keep `Store.oldest_waiting`."""
    rows = await fetch(_OLDEST)
    return {Tier(tier): accept_time for tier, accept_time in rows}


_BOUNDS = "SELECT earliest, completed FROM orderintake.commits ORDER BY number DESC LIMIT 1"


async def bounds(fetch: Fetch) -> tuple[int, int]:
    """Keep `Store.bounds`."""
    ((earliest, head),) = await fetch(_BOUNDS)
    return earliest, head
