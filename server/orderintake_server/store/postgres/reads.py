"""The reads of a PostgreSQL store, each one statement, and so of one moment."""

from __future__ import annotations

import asyncio
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from orderintake_server.domain import Tier
from orderintake_server.errors import CursorExpired, StoreObstacle, StoreRefused
from orderintake_server.store.base import COMPLETION_BYTES, Located
from orderintake_server.store.blame.postgres import talking
from orderintake_server.store.pages import (
    SCAN_BYTES,
    LogRead,
    list_from,
    log_scan,
    page_of_orders,
    rows_to_list,
)
from orderintake_server.store.receipts import restated
from orderintake_server.store.rows import (
    ACCEPTED,
    LOGGED,
    STANDING,
    CompletionRow,
    number_of,
    standing_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from orderintake_server.domain import Completion, Order, Receipt
    from orderintake_server.store.postgres.connector import Row
    from orderintake_server.store.postgres.functions import Release
    from orderintake_server.store.receipts import Outcome
    from orderintake_server.views import LogPage, OrderFilter

    Fetch = Callable[..., Awaitable[list[Row]]]
    """Gives the rows of a query, asked with its values."""

_P = ParamSpec("_P")
_T = TypeVar("_T")

LOCATE_SECONDS = 1.0
"""After which the receipts are given as they are, without places in the queue."""


def _read(read: Callable[_P, Awaitable[_T]]) -> Callable[_P, Awaitable[_T]]:
    """Let an answer that cannot be read be the connection's fault, whatever is wrong with it."""

    @wraps(read)
    async def reading(*values: _P.args, **named: _P.kwargs) -> _T:
        with talking():
            return await read(*values, **named)

    return reading


_STANDING = f"""
SELECT {STANDING}%s
FROM %s
LEFT JOIN orderintake.ready     r ON r.tier = o.tier AND r.rank = o.rank
                                 AND r.accept_sequence = o.accept_sequence
LEFT JOIN orderintake.scheduled s ON s.accept_sequence = o.accept_sequence
LEFT JOIN orderintake.leases    l ON l.accept_sequence = o.accept_sequence
LEFT JOIN orderintake.log       g ON g.accept_sequence = o.accept_sequence
"""


_FOUND = _STANDING % ("", "orderintake.orders o") + "WHERE o.accept_sequence = $1"


@_read
async def find(fetch: Fetch, accept_sequence: int) -> Order | Completion | None:
    """Keep `Store.find`."""
    rows = await fetch(_FOUND, accept_sequence)
    return standing_of(tuple(rows[0])) if rows else None


_KNOWN = """
SELECT customer_id, request_id FROM orderintake.requests
JOIN unnest($1::text[], $2::text[]) AS n (customer_id, request_id) USING (customer_id, request_id)
"""


@_read
async def known_requests(fetch: Fetch, names: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Keep `Store.known_requests`."""
    rows = await fetch(_KNOWN, *map(list, zip(*names, strict=True)))
    return {(customer_id, request_id) for customer_id, request_id in rows}


_PLACE = """, coalesce(p.place, 0),
  (SELECT paused[o.tier] FROM orderintake.commits ORDER BY number DESC LIMIT 1)"""
_LOCATED = (
    _STANDING
    % (_PLACE, "orderintake.orders o")
    + "LEFT JOIN {}.positions($1) p ON p.id = o.accept_sequence"
    " WHERE o.accept_sequence = ANY ($1::bigint[])"
)


@_read
async def locate(
    fetch: Fetch, release: Release, accept_sequences: Sequence[int]
) -> dict[int, Located]:
    """Tell how some orders stand, by counting: 30 ms in the middle of a queue of a million."""
    rows = await fetch(_LOCATED.format(release.schema), list(dict.fromkeys(accept_sequences)))
    located = [Located(standing_of(tuple(row)), row[-2], is_paused=row[-1]) for row in rows]
    return {number_of(found.stands): found for found in located}


async def located(outcomes: list[Outcome], fetch: Fetch, release: Release) -> list[Outcome]:
    """Tell of repeated orders that wait in the queue how they stand now, and at which place.

    It takes counting, so that it is no part of the commit; where it fails the receipts stay as they
    are, without a position, for the commit is done.
    """
    receipts = [r for outcome in outcomes if isinstance(outcome, tuple) for r in outcome]
    numbers = [r.order.accept_sequence for r in receipts if _has_unknown_place(r)]
    if not numbers:
        return outcomes
    try:
        with talking():
            async with asyncio.timeout(LOCATE_SECONDS):
                found = await locate(fetch, release, numbers)
    except (StoreObstacle, StoreRefused):
        return outcomes
    return [
        tuple(_restated(receipt, found) for receipt in outcome)
        if isinstance(outcome, tuple)
        else outcome
        for outcome in outcomes
    ]


def _has_unknown_place(receipt: Receipt) -> bool:
    return receipt.position is None


def _restated(receipt: Receipt, found: dict[int, Located]) -> Receipt:
    now = found.get(receipt.order.accept_sequence)
    if now is None or not _has_unknown_place(receipt):
        return receipt
    return restated(receipt, now.stands, now.position)


_SOME = """(
  SELECT * FROM (
    SELECT *,
      sum(length(content)) OVER (ORDER BY accept_sequence {way}) - length(content) AS bytes
    FROM orderintake.orders
    WHERE accept_sequence {after} $1 AND {of_customer}
    ORDER BY accept_sequence {way} LIMIT $3) s
  WHERE bytes <= $4) o"""
_LISTED = _STANDING % ("", _SOME) + "ORDER BY o.accept_sequence {way}"


def listing(wanted: OrderFilter, *, newest_first: bool) -> str:
    """Return the query for a page of orders: it reads along an index, whichever way."""
    return _LISTED.format(
        after="<" if newest_first else ">",
        way="DESC" if newest_first else "ASC",
        of_customer="$2::text IS NULL" if wanted.customer_id is None else "customer_id = $2",
    )


@_read
async def list_orders(
    fetch: Fetch, wanted: OrderFilter, after: int, limit: int, *, newest_first: bool
) -> tuple[list[Order], int | None]:
    """Keep `Store.list_orders`."""
    rows = await fetch(
        listing(wanted, newest_first=newest_first),
        list_from(after, newest_first=newest_first), wanted.customer_id,
        rows_to_list(wanted, limit), SCAN_BYTES,
    )  # fmt: skip
    return page_of_orders([standing_of(tuple(row)) for row in rows], wanted, limit)


_LOG = f"""
WITH newest AS (SELECT completed, earliest FROM orderintake.commits ORDER BY number DESC LIMIT 1),
scanned AS MATERIALIZED (
  SELECT * FROM orderintake.log WHERE %s sequence > $1 ORDER BY sequence LIMIT $4),
found AS MATERIALIZED (
  SELECT {ACCEPTED}, {LOGGED},
    sum({COMPLETION_BYTES} + length(o.content) + coalesce(length(g.result), 0)
      + coalesce(length(g.failure_code) + length(g.failure_message), 0))
      OVER (ORDER BY g.sequence) AS bytes,
    row_number() OVER (ORDER BY g.sequence) AS number
  FROM scanned g JOIN orderintake.orders o ON o.accept_sequence = g.accept_sequence
  WHERE ($2::smallint IS NULL OR g.tier = $2) AND ($3::smallint IS NULL OR g.outcome = $3)
    AND ($7::text IS NULL OR g.customer_id = $7)
  ORDER BY g.sequence LIMIT $5)
SELECT n.completed, n.earliest, (SELECT count(*) FROM scanned),
  (SELECT max(sequence) FROM scanned), (SELECT count(*) FROM found), f.*
FROM newest n LEFT JOIN found f ON f.bytes <= $6 OR f.number = 1 ORDER BY f.number
"""


_FACTS = ("completed", "earliest", "scanned", "last_scanned", "found")
_FOUND_ROW = slice(len(_FACTS), len(_FACTS) + len(CompletionRow._fields))
_PLACEHOLDERS = {"tier": "$2", "customer_id": "$7"}


@_read
async def read_log(  # noqa: PLR0913 - what is asked of the store, and where
    fetch: Fetch,
    wanted: OrderFilter,
    after: int,
    limit: int,
    max_bytes: int,
    *,
    read: Callable[[CompletionRow], _T],
) -> LogPage[_T]:
    """Keep `Store.read_log`."""
    scan = log_scan(wanted)
    condition = f"{scan.column} = {_PLACEHOLDERS[scan.column]} AND" if scan.column else ""
    rows = await fetch(
        _LOG % condition, after, wanted.tier, wanted.state, scan.rows(limit), limit, max_bytes,
        wanted.customer_id,
    )  # fmt: skip
    head, earliest, scanned, last, found = rows[0][: len(_FACTS)]
    if after < earliest:
        raise CursorExpired(earliest=earliest)
    there = [CompletionRow._make(row[_FOUND_ROW]) for row in rows] if found else []
    last_found = there[-1].sequence if there else after
    is_cut = len(there) < found or len(there) == limit
    is_bounded = not scan.is_exact and scanned == scan.rows(limit)
    completions = [read(row) for row in there]
    return LogRead(completions, last_found, is_cut, head).page(lambda: last if is_bounded else None)


_OLDEST = """
SELECT t.tier, o.accept_time FROM (VALUES (1), (2)) AS t (tier)
JOIN LATERAL (SELECT accept_sequence FROM orderintake.ready r WHERE r.tier = t.tier
  ORDER BY r.tier, r.rank, r.accept_sequence LIMIT 1) f ON true
JOIN orderintake.orders o ON o.accept_sequence = f.accept_sequence
"""


@_read
async def oldest_waiting(fetch: Fetch) -> dict[Tier, int]:
    """Keep `Store.oldest_waiting`."""
    rows = await fetch(_OLDEST)
    return {Tier(tier): accept_time for tier, accept_time in rows}


_BOUNDS = "SELECT earliest, completed FROM orderintake.commits ORDER BY number DESC LIMIT 1"


@_read
async def bounds(fetch: Fetch) -> tuple[int, int]:
    """Keep `Store.bounds`."""
    ((earliest, head),) = await fetch(_BOUNDS)
    return earliest, head


_IDENTITY = """
SELECT log_id, (SELECT count(*) FROM orderintake.leases WHERE worker > 0)
FROM orderintake.identity
"""


@_read
async def identity(fetch: Fetch) -> tuple[str, int]:
    """Give the name of the log, and how many attempts workers make at the moment."""
    ((log_id, lent),) = await fetch(_IDENTITY)
    return log_id, lent
