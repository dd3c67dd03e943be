"""Failures and waiting orders, of which many are listed or changed at once, in a SQLite store."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from orderintake_server.domain import State, Tier
from orderintake_server.store import pages
from orderintake_server.store.actions.sqlite import find_bulk
from orderintake_server.store.pages import list_from
from orderintake_server.store.rows import ACCEPTED, LOGGED
from orderintake_server.store.selections import (
    Among,
    among,
    counted,
    failed,
    most_found,
    page_of,
    waits,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from orderintake_server.domain import Ranking
    from orderintake_server.views import BulkDone, FailedOrder, FailureCounts, Selection

_T = TypeVar("_T")

_TO_REDRIVE = "failure_code IS NOT NULL AND copy = 0"
_AMONG = {
    Among.NUMBERS: "WHERE failure_code IS NOT NULL"
    " AND accept_sequence IN (SELECT value FROM json_each(:numbers))",
    Among.ALL: "INDEXED BY log_failed"
    f" WHERE failure_code IS NOT NULL AND outcome = {State.FAILED:d}",
    Among.TO_REDRIVE: f"INDEXED BY log_to_redrive WHERE {_TO_REDRIVE}",
    Among.OF_CODE: "INDEXED BY log_to_redrive_by_code"
    f" WHERE {_TO_REDRIVE} AND failure_code = json_extract(:codes, '$[0]')",
    Among.OF_CUSTOMER: "INDEXED BY log_to_redrive_of_customer"
    f" WHERE {_TO_REDRIVE} AND customer_id = :customer_id",
}
_SCANNED = """
(SELECT *, sequence AS number FROM log {among} AND sequence {after} :after
 ORDER BY sequence {way} LIMIT :scan)
"""
_MATCHES = """
(:customer_id IS NULL OR g.customer_id = :customer_id) AND (:tier IS NULL OR g.tier = :tier)
AND g.complete_time >= :since AND g.complete_time < :until AND (:is_redriven_too OR g.copy = 0)
AND (:codes IS NULL OR g.failure_code IN (SELECT value FROM json_each(:codes)))
"""
_FAILED = f"""
SELECT {ACCEPTED}, {LOGGED}, g.copy
FROM {{scanned}} g CROSS JOIN orders o ON o.accept_sequence = g.accept_sequence
WHERE {_MATCHES} LIMIT :most
"""
"""Rows come as they are scanned, for a CROSS JOIN is not turned round: to sort them, SQLite would
read the content of all of them first."""
_OLDEST_FIRST, _NEWEST_FIRST = {"after": ">", "way": "ASC"}, {"after": "<", "way": "DESC"}
_COUNTED = f"""
SELECT g.failure_code, coalesce(o.content, x'')
FROM {{scanned}} g LEFT JOIN orders o ON :labels AND o.accept_sequence = g.accept_sequence
WHERE {_MATCHES}
"""
_QUEUED = """
SELECT * FROM (
  SELECT accept_sequence AS number FROM ready
  WHERE tier = {tier:d} AND (rank, accept_sequence) > (:rank_{tier:d}, :after)
  ORDER BY rank, accept_sequence LIMIT :scan)
"""
_WAITING = """
(SELECT * FROM (
  SELECT accept_sequence AS number FROM scheduled WHERE accept_sequence > :after
  ORDER BY accept_sequence LIMIT :scan)
{queued}
ORDER BY number LIMIT :scan)
"""
_FOUND = """
SELECT w.number, CASE WHEN :labels THEN o.content ELSE x'' END
FROM {scanned} w CROSS JOIN orders o ON o.accept_sequence = w.number
WHERE (:customer_id IS NULL OR o.customer_id = :customer_id) AND (:tier IS NULL OR o.tier = :tier)
  AND o.accept_time >= :since AND o.accept_time < :until
LIMIT :most
"""
_ACCEPT_TIME = """
SELECT accept_time FROM orders WHERE accept_sequence <= ? ORDER BY accept_sequence DESC LIMIT 1
"""


class Read(Protocol):
    """Reads with a connection, in a thread that reads."""

    async def __call__(self, read: Callable[[sqlite3.Connection], _T]) -> _T:
        """Return what `read` returns. Raises StoreError."""


class SqliteSelections:
    """Keeps `Selections`."""

    def __init__(self, read: Read, ranking: Ranking) -> None:
        """Read with `read`, from a queue that is ranked so."""
        self._read = read
        self._ranking = ranking

    async def list_failures(
        self,
        wanted: Selection,
        *,
        after: int,
        limit: int,
        max_bytes: int,
        newest_first: bool = True,
    ) -> tuple[list[FailedOrder], int | None]:
        """Keep `Selections.list_failures`."""
        words = _NEWEST_FIRST if newest_first else _OLDEST_FIRST
        scanned = _SCANNED.format(among=_AMONG[among(wanted)], **words)
        values = _values(wanted, list_from(after, newest_first=newest_first), limit)

        def read(connection: sqlite3.Connection) -> tuple[list[FailedOrder], int | None]:
            rows = connection.execute(_FAILED.format(scanned=scanned), values)
            with closing(rows):
                page, last, is_cut = page_of(map(failed, rows), wanted, limit, max_bytes)
            return page, last if is_cut else _end(connection, scanned, values, falls=newest_first)

        return await self._read(_in_one_state(read))

    async def count_failures(self, wanted: Selection) -> FailureCounts:
        """Keep `Selections.count_failures`."""
        scanned = _SCANNED.format(among=_AMONG[among(wanted)], **_NEWEST_FIRST)
        values = _values(wanted, pages.LAST, 0)

        def read(connection: sqlite3.Connection) -> FailureCounts:
            end = _end(connection, scanned, values, falls=True)
            with closing(connection.execute(_COUNTED.format(scanned=scanned), values)) as rows:
                return counted(rows, wanted, is_cut=end is not None)

        return await self._read(_in_one_state(read))

    async def list_waiting(
        self, wanted: Selection, *, after: int, limit: int
    ) -> tuple[list[int], int | None]:
        """Keep `Selections.list_waiting`: within a tier ranks rise as accept sequences do."""
        tiers = [tier for tier in Tier if wanted.tier in (None, tier)]
        queued = "".join("UNION ALL" + _QUEUED.format(tier=tier) for tier in tiers)
        scanned = _WAITING.format(queued=queued)
        values = _values(wanted, after, limit)

        def read(connection: sqlite3.Connection) -> tuple[list[int], int | None]:
            accept_time = (connection.execute(_ACCEPT_TIME, (after,)).fetchone() or (0,))[0]
            for tier in tiers:
                values[f"rank_{tier:d}"] = self._ranking.rank(tier, after, accept_time)
            with closing(connection.execute(_FOUND.format(scanned=scanned), values)) as rows:
                page, last, is_cut = page_of(map(waits, rows), wanted, limit, 0)
            return page, last if is_cut else _end(connection, scanned, values, falls=False)

        return await self._read(_in_one_state(read))

    async def find_bulk(self, request_id: str) -> BulkDone | None:
        """Keep `Selections.find_bulk`."""
        return await self._read(lambda connection: find_bulk(connection, request_id))


def _values(wanted: Selection, after: int, limit: int) -> dict[str, Any]:
    return {
        "customer_id": wanted.customer_id,
        "tier": wanted.tier,
        "since": wanted.since,
        "until": wanted.until,
        "codes": json.dumps(wanted.codes) if wanted.codes else None,
        "numbers": json.dumps(wanted.numbers),
        "labels": wanted.has_labels is not None,
        "is_redriven_too": wanted.is_redriven_too,
        "after": after,
        "scan": pages.SCAN_ROWS,
        "most": most_found(wanted, limit),
    }


def _in_one_state(
    read: Callable[[sqlite3.Connection], _T],
) -> Callable[[sqlite3.Connection], _T]:
    """Let a read see one state of the store, however many statements it is."""

    def reading(connection: sqlite3.Connection) -> _T:
        connection.execute("BEGIN")
        try:
            return read(connection)
        finally:
            connection.execute("ROLLBACK")  # an open snapshot would hold the log's file

    return reading


def _end(
    connection: sqlite3.Connection, scanned: str, values: dict[str, Any], *, falls: bool
) -> int | None:
    """Return the last number that was scanned, None when those were all."""
    count, first, last = connection.execute(
        f"SELECT count(*), min(number), max(number) FROM {scanned}", values
    ).fetchone()
    if count < values["scan"]:
        return None
    return int(first if falls else last)
