"""A whole server inside the test's own process, with its HTTP listener."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from orderintake_server.config import Settings
from orderintake_server.http import server as _  # noqa: F401 - it reads files when it is imported
from orderintake_server.service import running


@asynccontextmanager
async def listening(data: Path, **settings: Any) -> AsyncIterator[int]:  # noqa: ANN401 - of Settings
    """Run a server without workers, unless the settings say so; give the port."""
    given = {"http": "127.0.0.1:0", "workers": 0, "drain_timeout": 5.0, **settings}
    async with running(Settings(listen=("127.0.0.1:0",), data=data, **given)) as service:
        assert service.http_port is not None
        yield service.http_port
