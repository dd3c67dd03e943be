"""A page of a list costs the same from either end, however many orders there are."""

import asyncio
import json
import sqlite3
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from orderintake_server.domain import State
from orderintake_server.store.pages import LAST, SCAN_BYTES
from orderintake_server.store.postgres import reads as postgres_reads
from orderintake_server.store.sqlite import reads as sqlite_reads
from orderintake_server.store.sqlite.database import NAME
from orderintake_server.views import OrderFilter
from support.changes import new, place
from support.postgres_home import PostgresHome
from support.stores import FoundStore, SqliteHome

FEW, MANY = 100, 4_000
LIMIT = 10
WANTED = [OrderFilter(), OrderFilter(customer_id="eve"), OrderFilter(state=State.FAILED)]
EITHER_WAY = pytest.mark.parametrize("newest_first", [False, True])


async def _fill(store: FoundStore, orders: int) -> None:
    """Place so many orders, one of fifty of a certain customer."""
    for number in range(orders // FEW):
        names = ["eve" if each % 50 == 0 else f"c{number}" for each in range(FEW)]
        await place(store, *(new(customer_id=name) for name in names))


@EITHER_WAY
async def test_sqlite_takes_as_many_steps_among_many_orders_as_among_few(
    sqlite_home: SqliteHome,
    monkeypatch: pytest.MonkeyPatch,
    *,
    newest_first: bool,
) -> None:
    monkeypatch.setattr("orderintake_server.store.pages.SCAN_ROWS", LIMIT)
    store = await sqlite_home.open()

    async def steps() -> list[int]:
        return await asyncio.to_thread(_steps, sqlite_home.directory, newest_first=newest_first)

    await _fill(store, 12 * FEW)
    among_few = await steps()
    await _fill(store, MANY)
    among_many = await steps()
    assert all(now < 1.2 * before for now, before in zip(among_many, among_few, strict=True))


def _go_on(steps: "count[int]") -> int:
    next(steps)
    return 0


def _steps(directory: Path, *, newest_first: bool) -> list[int]:
    """Count the steps of SQLite's machine for a page in the middle, of each kind of list."""
    found = []
    with closing(sqlite3.connect(directory / NAME)) as connection:
        for wanted in WANTED:
            steps = count()
            connection.set_progress_handler(partial(_go_on, steps), 1)
            sqlite_reads.list_orders(connection, wanted, 600, LIMIT, newest_first=newest_first)
            found.append(next(steps))
    return found


@EITHER_WAY
@pytest.mark.parametrize("wanted", WANTED[:2])
async def test_postgresql_looks_at_no_more_orders_than_are_on_the_page(
    postgres_home: PostgresHome, wanted: OrderFilter, *, newest_first: bool
) -> None:
    await _fill(await postgres_home.open(), MANY)
    values = (LAST if newest_first else 0, wanted.customer_id, LIMIT + 1, SCAN_BYTES)
    query = postgres_reads.listing(wanted, newest_first=newest_first)
    connection = await asyncpg.connect(postgres_home.url)
    try:
        await connection.execute("ANALYZE orderintake.orders")  # the database does, now and then
        plan = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", *values)
    finally:
        await connection.close()
    (scan,) = _scans_of_orders(json.loads(plan)[0]["Plan"])
    assert "Index" in scan["Node Type"]
    assert scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0) <= LIMIT + 2


def _scans_of_orders(plan: dict[str, Any]) -> list[dict[str, Any]]:
    found = [plan] if plan.get("Relation Name") == "orders" else []
    for part in plan.get("Plans", []):
        found += _scans_of_orders(part)
    return found
