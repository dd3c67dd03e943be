"""Stores that move: a long life, and all that can be known of one."""

import asyncio
import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orderintake_server.domain import Durability, Ending, Event, Failure, NewOrder, Receipt, Tier
from orderintake_server.store.changes import Changes, Committed, Page
from orderintake_server.store.sqlite.database import NAME
from orderintake_server.views import EVERY_ORDER, OrderFilter
from support.changes import (
    BOSS,
    FRONT,
    PLENTY,
    actions,
    again,
    cancel,
    new,
    pause,
    place,
    position,
    prune,
    settle,
    start,
    waiting,
    whole_log,
)
from support.clocks import SECOND
from support.mixes import mix
from support.postgres_home import PostgresHome
from support.stores import FoundStore, Home, SqliteHome

Placed = list[NewOrder]

ODD = Failure(code="ODD ☃", message="from \0 to \N{SHOPPING TROLLEY}")


async def live(home: Home, store: FoundStore, chance: random.Random) -> FoundStore:
    """Let a lot happen, more than one crash too; some orders are in process at the end."""
    for number in range(12):
        await mix(home, store, chance)
        await pause(store, chance.choice(list(Tier)), is_paused=chance.random() < 0.3, by=BOSS)
        if number % 5 == 4:
            old = home.clock.later(-5)
            await prune(store, old, requests_before=old - 5 * SECOND, limit=30)
        for _ in range(_CRASHES.get(number, 0)):
            await start(store, min(2, len(await waiting(store, limit=2))))
            store = await home.crash()
    await _end_oddly(home, store, str(chance.random()))
    await start(store, 3)
    await pause(store, Tier.VIP)
    return store


_CRASHES = {3: 1, 7: 3, 10: 1}
"""Three in a row quarantine an order."""


async def _end_oddly(home: Home, store: FoundStore, mark: str) -> None:
    """Let orders end with whatever is unusual, and others wait so."""
    await pause(store, Tier.REGULAR, is_paused=False)
    await pause(store, Tier.VIP, is_paused=False)
    odd = [
        new(
            b"\0\xff",
            customer_id="Žofie ☃",
            request_id=f"žádost {mark}",
            redrive_of=3,
            by=replace(BOSS, name="Žofie ☃"),
        ),
        new(b"", vip=True, customer_id="x" * 64, expire_time=home.clock.later(1_000_000)),
        new(not_before=home.clock.later(1_000_000), request_id=f"later {mark}"),
    ]
    await place(store, *odd)
    first, *others = await start(store, 4)
    await settle(store, first, ending=Ending(event=Event.FAIL, failure=ODD))
    await settle(store, *others[:1], ending=Ending(result=b"\0\1"))
    await settle(store, *others[1:2], ending=again(1_000 * SECOND))
    running = others[2].order.accept_sequence
    await cancel(store, running, by=BOSS)  # which it has not heeded yet


def note(home: SqliteHome, monkeypatch: pytest.MonkeyPatch, placed: Placed) -> None:
    """Keep whatever is placed under a request_id in any store that is opened here."""
    open_ = home.open

    async def opening() -> FoundStore:
        store = await open_()
        commit = store.commit

        async def noting(changes: Changes) -> Committed:
            placed.extend(order for group in changes.accepts for order in group if order.request_id)
            return await commit(changes)

        monkeypatch.setattr(store, "commit", noting)
        return store

    monkeypatch.setattr(home, "open", opening)


async def everything(store: FoundStore) -> dict[str, Any]:
    """Read all that a store tells, once what is due was done."""
    stands = await store.commit(Changes(page=Page(after=FRONT, limit=PLENTY)))
    listed, more = await store.list_orders(EVERY_ORDER, after=0, limit=PLENTY)
    assert more is None
    numbers = range(1, listed[-1].accept_sequence + 2)
    return {
        "found": replace(
            store.recovery, recovered=0, quarantined=0
        ),  # which is nobody's but the old
        "tallies": stands.counts,
        "paused": stands.paused,
        "ends": (stands.earliest, stands.head),
        "queue": stands.page,
        "orders": [await store.find(number) for number in numbers],
        "listed": listed,
        "listed of one": await store.list_orders(
            OrderFilter(customer_id="Žofie ☃"), after=0, limit=PLENTY
        ),
        "positions": [await position(store, number) for number in numbers],
        "log": await whole_log(store, after=stands.earliest),
        "log of VIPs": await store.read_log(
            OrderFilter(tier=Tier.VIP), after=stands.earliest, limit=PLENTY, max_bytes=PLENTY
        ),
        "oldest": await store.oldest_waiting(),
        "actions": await actions(store),
    }


async def repeated(store: FoundStore, placed: Sequence[NewOrder]) -> list[Receipt]:
    """Place again what was placed; give the receipts, but for how durable a store makes orders."""
    receipts = [receipt for order in placed for receipt in await place(store, order)]
    return [replace(receipt, durability=Durability.FSYNC) for receipt in receipts]


def rows(directory: Path) -> dict[str, list[tuple[object, ...]]]:
    """Read all tables of a store; the rule of starts is not told across a copy."""
    with closing(sqlite3.connect(directory / NAME)) as connection:
        names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        tables = {
            name: connection.execute(f"SELECT * FROM {name}").fetchall()  # noqa: S608
            for (name,) in names
        }
        types = "SELECT typeof(digest) FROM requests UNION SELECT typeof(failure_code) FROM log"
        tables["types"] = connection.execute(types).fetchall()
    tables["policy"] = [(head_start,) for head_start, _ in tables["policy"]]
    return tables


def files(directory: Path) -> set[str]:
    """Tell what is in a directory."""
    return {path.name for path in directory.iterdir()}


STANDS = """
SELECT number, started, completed, processing, (SELECT count(*) FROM orderintake.leases),
  (SELECT count(*) FROM orderintake.log), (SELECT count(*) FROM orderintake.sessions)
FROM orderintake.commits ORDER BY number DESC LIMIT 1
"""


async def asked(database: PostgresHome, text: str) -> str:
    """Run SQL in the database; give the rows."""
    name = database.url.rpartition("/")[2]
    return await asyncio.to_thread(database.cluster.run_sql, text, database=name)
