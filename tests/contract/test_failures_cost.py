"""A page of failures costs the same, however many orders there are and however many succeeded."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest

from orderintake_server.domain import Ending, Ranking
from orderintake_server.store import pages
from orderintake_server.store.selections import postgres as in_postgres
from orderintake_server.store.selections.sqlite import SqliteSelections
from orderintake_server.store.sqlite.database import NAME
from orderintake_server.views import Selection
from support.changes import DONE, FAILED, complete, new
from support.postgres_home import PostgresHome
from support.stores import FoundStore, SqliteHome

T = TypeVar("T")

LIMIT = 10
WANTED = [
    Selection(),
    Selection(codes=("HANDLER_ERROR",)),
    Selection(customer_id="eve"),
    Selection(customer_id="nobody"),
    Selection(is_redriven_too=True),
]


async def _fill(store: FoundStore, orders: int, ending: Ending) -> None:
    """Let so many orders end, one of ten of a certain customer."""
    names = ["eve" if each % 10 == 0 else "ada" for each in range(orders)]
    await complete(store, *(new(customer_id=name) for name in names), ending=ending)


async def test_sqlite_takes_as_many_steps_among_many_orders_as_among_few(
    sqlite_home: SqliteHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SCAN_ROWS", LIMIT)
    store = await sqlite_home.open()
    await _fill(store, 100, FAILED)
    among_few = await asyncio.to_thread(_steps, sqlite_home.directory)
    await _fill(store, 2_000, DONE)
    await _fill(store, 1_000, FAILED)
    among_many = await asyncio.to_thread(_steps, sqlite_home.directory)
    assert all(now < 1.2 * before for now, before in zip(among_many, among_few, strict=True))


def _steps(directory: Path) -> list[int]:
    """Count the steps of SQLite's machine for a page of each kind of list."""
    found = []
    with closing(sqlite3.connect(directory / NAME)) as connection:

        async def read(read: Callable[[sqlite3.Connection], T]) -> T:
            return read(connection)

        selections = SqliteSelections(read, Ranking())
        for wanted in WANTED:
            steps = count()
            connection.set_progress_handler(partial(_go_on, steps), 1)
            listing = selections.list_failures(wanted, after=0, limit=LIMIT, max_bytes=10**6)
            with suppress(StopIteration):
                listing.send(None)  # it waits for nothing
            found.append(next(steps))
    return found


def _go_on(steps: "count[int]") -> int:
    next(steps)
    return 0


@pytest.mark.parametrize("wanted", WANTED)
async def test_postgresql_looks_at_failures_only(
    postgres_home: PostgresHome, wanted: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SCAN_ROWS", LIMIT)
    store = await postgres_home.open()
    await _fill(store, 500, FAILED)
    for _ in range(3):
        await _fill(store, 1_000, DONE)
    query = in_postgres.listing(wanted, newest_first=True)
    values = in_postgres.values_of(wanted, pages.LAST, LIMIT)
    connection = await asyncpg.connect(postgres_home.url)
    try:
        await connection.execute("ANALYZE orderintake.log")  # the database does, now and then
        plan = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", *values)
    finally:
        await connection.close()
    (scan,) = _scans_of_the_log(json.loads(plan)[0]["Plan"])
    assert scan["Index Name"].startswith(("log_to_redrive", "log_failed"))
    looked_at = scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)
    assert looked_at <= 12 * LIMIT  # to find ten of eve, who has one of ten, it may look at all


def _scans_of_the_log(plan: dict[str, Any]) -> list[dict[str, Any]]:
    found = [plan] if plan.get("Relation Name") == "log" else []
    for part in plan.get("Plans", []):
        found += _scans_of_the_log(part)
    return found
