"""The server under test as a fixture: `pytest_plugins = ["orderintake_server.pytest_plugin"]`.

It needs pytest-asyncio. In that plugin's strict mode, each test also needs `@pytest.mark.asyncio`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from orderintake_server.testing import ServerUnderTest, server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest_asyncio.fixture
async def orderintake_server(tmp_path: Path) -> AsyncIterator[ServerUnderTest]:
    """Yield a running server with one worker, an empty store and the `simulate` handler."""
    async with server(data=tmp_path / "orderintake", workers=1) as under_test:
        yield under_test
