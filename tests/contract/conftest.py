"""Every store, in a place of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.stores import KINDS, FoundStore, Home


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Home]:
    """The place of an empty store, of each kind in turn."""
    place: Home = request.param(tmp_path)
    yield place
    await place.leave()


@pytest.fixture
async def store(home: Home) -> FoundStore:
    """An empty store, open."""
    return await home.open()
