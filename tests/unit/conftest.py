"""What the parts above the store are tested on: a real store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.faulty import FaultyStore, faulty_store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FaultyStore]:
    """An empty store, without a fault as yet."""
    async with faulty_store(tmp_path) as opened:
        yield opened
