"""The server under test as fixtures: `pytest_plugins = ["orderintake_server.pytest_plugin"]`.

`orderintake_server` is for asynchronous tests and needs pytest-asyncio; in its strict mode, each
test needs `@pytest.mark.asyncio` too. `orderintake_sync_server` is for plain tests. Both run the
handler and take the settings of two more fixtures, which a test overrides by its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from orderintake_server.handlers import simulate
from orderintake_server.testing import ServerUnderTest, SyncServerUnderTest, server, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

    from orderintake_server.handlers import OrderAttempt

    Handler = Callable[[OrderAttempt], Any]


@pytest.fixture
def orderintake_handler() -> Handler:
    """Give the handler of the server under test: `simulate`. Override it to test yours."""
    return simulate


@pytest.fixture
def orderintake_settings() -> Mapping[str, Any]:
    """Give the settings of the server under test: one worker, a short drain. Override at will."""
    return {"workers": 1, "drain_timeout": 5.0}


@pytest_asyncio.fixture
async def orderintake_server(
    tmp_path: Path, orderintake_handler: Handler, orderintake_settings: Mapping[str, Any]
) -> AsyncIterator[ServerUnderTest]:
    """Give a running server with an empty store, on the test's event loop."""
    place = tmp_path / "orderintake"
    async with server(
        data=place, handler=orderintake_handler, **orderintake_settings
    ) as under_test:
        yield under_test


@pytest.fixture
def orderintake_sync_server(
    tmp_path: Path, orderintake_handler: Handler, orderintake_settings: Mapping[str, Any]
) -> Iterator[SyncServerUnderTest]:
    """Give a running server with an empty store, in a thread of its own."""
    place = tmp_path / "orderintake"
    with serving(data=place, handler=orderintake_handler, **orderintake_settings) as under_test:
        yield under_test
