"""Failures and waiting orders, of which many are listed or changed at once, in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from orderintake_server.domain import Tier
from orderintake_server.store import pages
from orderintake_server.store.actions.postgres import find_bulk
from orderintake_server.store.blame.postgres import talking
from orderintake_server.store.pages import SCAN_BYTES, list_from
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
    from collections.abc import Sequence

    from orderintake_server.domain import Ranking
    from orderintake_server.store.actions.postgres import Fetch
    from orderintake_server.views import BulkDone, FailedOrder, FailureCounts, Selection

_MATCHING = f"""
WITH scanned AS MATERIALIZED ({{scanned}}),
found AS (
  SELECT * FROM (
    SELECT sum(length({{read}})) OVER (ORDER BY g.number {{way}}) - length({{read}}) AS bytes,
      g.number, {{columns}}
    FROM scanned g JOIN orderintake.orders o ON o.accept_sequence = g.accept_sequence
    WHERE {{matches}} ORDER BY g.number {{way}} LIMIT $3) AS matching
  WHERE bytes <= {SCAN_BYTES})
SELECT s.*, f.* FROM (SELECT count(*), min(number), max(number) FROM scanned) AS s
LEFT JOIN found f ON true ORDER BY f.number {{way}}
"""
"""What matches among what is scanned, with the bytes of content before it; with each row it is told
how many were scanned, the first and the last of them."""
_OLDEST_FIRST, _NEWEST_FIRST = {"after": ">", "way": "ASC"}, {"after": "<", "way": "DESC"}
_CONTENT = "o.content"
_NO_CONTENT = "''::bytea"

_TO_REDRIVE = "failure_code IS NOT NULL AND copy = 0"
_AMONG = {
    Among.NUMBERS: "failure_code IS NOT NULL AND accept_sequence = ANY ($10::bigint[])",
    Among.ALL: "failure_code IS NOT NULL",
    Among.TO_REDRIVE: _TO_REDRIVE,
    Among.OF_CODE: f"{_TO_REDRIVE} AND failure_code = ($8::bytea[])[1]",
    Among.OF_CUSTOMER: f"{_TO_REDRIVE} AND customer_id = $4",
}
_FAILED = """
  SELECT *, sequence AS number FROM orderintake.log WHERE {among} AND sequence {after} $1
  ORDER BY sequence {way} LIMIT $2"""
_FAILED_MATCHES = """
      ($4::text IS NULL OR g.customer_id = $4) AND ($5::smallint IS NULL OR g.tier = $5)
      AND g.complete_time >= $6::bigint AND g.complete_time < $7::bigint
      AND ($8::bytea[] IS NULL OR g.failure_code = ANY ($8)) AND ($9::boolean OR g.copy = 0)
      AND ($10::bigint[] IS NULL OR g.accept_sequence = ANY ($10))"""
_QUEUED = """
    UNION ALL (
      SELECT accept_sequence FROM orderintake.ready
      WHERE tier = {tier:d} AND (rank, accept_sequence) > (($8::bigint[])[{tier:d}], $1)
      ORDER BY tier, rank, accept_sequence LIMIT $2)"""
_WAITING = """
  SELECT accept_sequence, accept_sequence AS number FROM (
    (SELECT accept_sequence FROM orderintake.scheduled WHERE accept_sequence > $1
      ORDER BY accept_sequence LIMIT $2){queued}) AS waiting
  ORDER BY number LIMIT $2"""
_WAITING_MATCHES = """
      ($4::text IS NULL OR o.customer_id = $4) AND ($5::smallint IS NULL OR o.tier = $5)
      AND o.accept_time >= $6::bigint AND o.accept_time < $7::bigint
      AND $8::bigint[] IS NOT NULL"""
_ACCEPT_TIME = """
SELECT accept_time FROM orderintake.orders WHERE accept_sequence <= $1
ORDER BY accept_sequence DESC LIMIT 1
"""


class _Matching(NamedTuple):
    """The rows that match, and the last number that was scanned, None when those were all."""

    rows: list[Sequence[Any]]
    end: int | None


class PostgresSelections:
    """Keeps `Selections`."""

    def __init__(self, fetch: Fetch, ranking: Ranking) -> None:
        """Read with `fetch`, from a queue that is ranked so."""
        self._fetch = fetch
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
        query = listing(wanted, newest_first=newest_first)
        after = list_from(after, newest_first=newest_first)
        with talking():
            values = values_of(wanted, after, limit)
            found = await self._matching(query, values, falls=newest_first)
            page, last, is_cut = page_of(map(failed, found.rows), wanted, limit, max_bytes)
        return page, last if is_cut else found.end

    async def count_failures(self, wanted: Selection) -> FailureCounts:
        """Keep `Selections.count_failures`."""
        read = _CONTENT if wanted.has_labels else _NO_CONTENT
        columns = f"convert_from(g.failure_code, 'UTF8'), {read}"
        query = _failed(wanted, columns, newest_first=True, read=read)
        with talking():
            values = values_of(wanted, pages.LAST, pages.SCAN_ROWS)
            found = await self._matching(query, values, falls=True)
            return counted(found.rows, wanted, is_cut=found.end is not None)

    async def list_waiting(
        self, wanted: Selection, *, after: int, limit: int
    ) -> tuple[list[int], int | None]:
        """Keep `Selections.list_waiting`: within a tier ranks rise as accept sequences do."""
        read = _CONTENT if wanted.has_labels else _NO_CONTENT
        tiers = [tier for tier in Tier if wanted.tier in (None, tier)]
        query = _MATCHING.format(
            scanned=_WAITING.format(queued="".join(_QUEUED.format(tier=tier) for tier in tiers)),
            columns=f"o.accept_sequence, {read}",
            read=read,
            matches=_WAITING_MATCHES,
            way="ASC",
        )
        with talking():
            accepted = await self._fetch(_ACCEPT_TIME, after)
            accept_time = accepted[0][0] if accepted else 0
            ranks = [self._ranking.rank(tier, after, accept_time) for tier in sorted(Tier)]
            values = [*_values(wanted, after, limit), ranks]
            found = await self._matching(query, values, falls=False)
            page, last, is_cut = page_of(map(waits, found.rows), wanted, limit, 0)
        return page, last if is_cut else found.end

    async def find_bulk(self, request_id: str) -> BulkDone | None:
        """Keep `Selections.find_bulk`."""
        return await find_bulk(self._fetch, request_id)

    async def _matching(self, query: str, values: Sequence[Any], *, falls: bool) -> _Matching:
        rows = [tuple(row) for row in await self._fetch(query, *values)]
        count, first, last = rows[0][:3]
        end = None if count < pages.SCAN_ROWS else first if falls else last
        return _Matching([row[5:] for row in rows if row[4] is not None], end)


def listing(wanted: Selection, *, newest_first: bool) -> str:
    """Return the query for a page of failures: it reads along an index, whichever way."""
    columns = f"{ACCEPTED}, {LOGGED}, g.copy"
    return _failed(wanted, columns, newest_first=newest_first, read=_CONTENT)


def _failed(wanted: Selection, columns: str, *, newest_first: bool, read: str) -> str:
    """Write the query for failures that match; `read`: the content that it reads of each."""
    words = _NEWEST_FIRST if newest_first else _OLDEST_FIRST
    return _MATCHING.format(
        scanned=_FAILED.format(among=_AMONG[among(wanted)], **words),
        columns=columns,
        read=read,
        matches=_FAILED_MATCHES,
        way=words["way"],
    )


def values_of(wanted: Selection, after: int, limit: int) -> list[Any]:
    """Return the values of `listing` for a page after this sequence, or before it."""
    codes = [code.encode() for code in wanted.codes] or None
    numbers = None if wanted.numbers is None else list(wanted.numbers)
    return [*_values(wanted, after, limit), codes, wanted.is_redriven_too, numbers]


def _values(wanted: Selection, after: int, limit: int) -> list[Any]:
    most = most_found(wanted, limit)
    times = wanted.since, wanted.until
    return [after, pages.SCAN_ROWS, most, wanted.customer_id, wanted.tier, *times]
