"""Every store, in a place of its own."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.postgres_home import PostgresHome, each, kinds
from support.stores import KINDS, FoundStore, Home, SqliteHome


@pytest.fixture(params=each(KINDS), ids=lambda kind: kind.name)
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Home]:
    """The place of an empty store, of each kind in turn."""
    place: Home = request.param(tmp_path)
    yield place
    await place.leave()


@pytest.fixture
async def store(home: Home) -> FoundStore:
    """An empty store, open."""
    return await home.open()


@pytest.fixture
async def sqlite_home(tmp_path: Path) -> AsyncIterator[SqliteHome]:
    """The place of an empty SQLite store."""
    place = SqliteHome(tmp_path)
    yield place
    await place.leave()


@pytest.fixture(params=each(kinds()), ids=lambda kind: kind.name)
async def postgres_home(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[PostgresHome]:
    """The place of an empty store, of each PostgreSQL in turn; it obeys all rules at the end."""
    place: PostgresHome = request.param(tmp_path)
    yield place
    assert await asyncio.to_thread(place.findings) == []
    await place.leave()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[PostgresHome]:
    """A database with an empty store, of which nothing was ever asked but to be opened."""
    place = kinds()[0](tmp_path)
    await place.open()
    await place.close()
    yield place
    await place.leave()


@pytest.fixture(params=each(KINDS), ids=lambda kind: kind.name)
async def work_home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Home]:
    """The place of an empty store, of each kind in turn; all rules are obeyed at the end."""
    place: Home = request.param(tmp_path)
    yield place
    assert await asyncio.to_thread(place.findings) == []
    await place.leave()


@pytest.fixture
async def shop(work_home: Home) -> FoundStore:
    """An empty store, open, which obeys all rules at the end."""
    return await work_home.open()
