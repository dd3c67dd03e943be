"""A store tells how it is doing, and which servers share it."""

from pathlib import Path
from unittest.mock import Mock

import pytest

from orderintake_server.domain import Durability
from support.changes import new, place, start
from support.postgres_home import PostgresHome
from support.stores import FoundStore, Home, SqliteHome


async def test_a_store_tells_its_engine_its_size_and_how_safe_it_is(
    home: Home, store: FoundStore
) -> None:
    before = await store.condition.look()
    await place(store, *[new(b"x" * 50_000) for _ in range(20)])
    after = await store.condition.look()
    engine, version = after.engine.split()
    assert engine == ("PostgreSQL" if home.is_shared else "SQLite")
    assert version[0].isdigit()
    assert after.size_bytes > before.size_bytes > 0
    assert after.durability is (Durability.RELAXED if home.is_shared else Durability.FSYNC)


async def test_a_store_whose_files_cannot_be_looked_at_is_none_the_worse(
    sqlite_home: SqliteHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await sqlite_home.open()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", Mock(side_effect=PermissionError(13, "Permission denied")))
        condition = await store.condition.look()
    assert condition.size_bytes == 0
    await place(store, new())


async def test_servers_that_share_a_store_are_told_with_what_they_do(
    postgres_home: PostgresHome,
) -> None:
    store = await postgres_home.open()
    await place(store, new(), new())
    await start(store)
    (own,) = (await store.condition.look()).servers
    assert (own.busy, own.is_alive, own.is_own) == (1, True, True)
    assert 0 < own.since <= own.heard
    left = await postgres_home.crash()
    servers = (await left.condition.look()).servers
    assert [each.is_own for each in servers][-1] is True
    assert sum(each.is_own for each in servers) == 1
