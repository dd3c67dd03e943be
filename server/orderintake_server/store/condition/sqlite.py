"""How a SQLite store is doing; nobody else uses it."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

from orderintake_server.domain import Durability
from orderintake_server.views import StoreCondition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    Run = Callable[[Callable[[], StoreCondition]], Awaitable[StoreCondition]]
    """Runs work in a thread that reads."""


class SqliteCondition:
    """Keeps `Condition`."""

    def __init__(self, path: Path, run: Run) -> None:
        """Look after the database at `path`."""
        self._path = path
        self._run = run

    async def look(self) -> StoreCondition:
        """Keep `Condition.look`."""
        return await self._run(self._looked)

    def _looked(self) -> StoreCondition:
        size = 0
        for suffix in ("", "-wal"):
            with suppress(OSError):  # a look is no reason to hold the store to be broken
                size += self._path.with_name(self._path.name + suffix).stat().st_size
        return StoreCondition(
            engine=f"SQLite {sqlite3.sqlite_version}",
            durability=Durability.FSYNC,
            size_bytes=size,
        )
