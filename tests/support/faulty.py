"""A real store that a test can hold, fill up or break."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from orderintake_server.errors import StoreAway, StoreBroken, StoreFull
from orderintake_server.store.base import Policy
from orderintake_server.store.changes import Changes, Committed
from orderintake_server.store.sqlite.store import SqliteStore, sqlite_store
from orderintake_server.store.sqlite.writer import Writer
from support.clocks import Microseconds


class FaultyStore(SqliteStore):
    """Commits when it may, and tells which commits began."""

    def __init__(self, path: Path, writer: Writer, clock: Microseconds) -> None:
        super().__init__(path, writer)
        self.clock = clock
        self.begun: asyncio.Queue[Changes] = asyncio.Queue()
        self.fault: Exception | None = None
        self._may_go_on = asyncio.Event()
        self.let_go()

    def hold(self) -> None:
        """Let no commit go on that begins from now on."""
        self._may_go_on.clear()

    def let_go(self) -> None:
        """Let all commits go on."""
        self._may_go_on.set()

    def fill(self) -> None:
        """Let every commit fail for want of room."""
        self.fault = StoreFull("database or disk is full")

    def break_down(self) -> None:
        """Let every commit fail for good."""
        self.fault = StoreBroken("SQLITE_CORRUPT: database disk image is malformed")

    def go_away(self) -> None:
        """Let every commit fail because the store cannot be reached."""
        self.fault = StoreAway("PostgreSQL cannot be reached")

    def repair(self) -> None:
        """Let commits succeed again."""
        self.fault = None

    async def commit(self, changes: Changes) -> Committed:
        self.begun.put_nowait(changes)
        await self._may_go_on.wait()
        if self.fault:
            raise self.fault
        return await super().commit(changes)


@asynccontextmanager
async def faulty_store(
    directory: Path, *, policy: Policy | None = None
) -> AsyncIterator[FaultyStore]:
    """Open a store in `directory`, with no fault as yet."""
    clock = Microseconds()
    async with sqlite_store(directory, clock=clock, policy=policy) as sound:
        store = FaultyStore(sound._path, sound._writer, clock)  # noqa: SLF001 - the one writer there is
        try:
            yield store
        finally:
            await asyncio.to_thread(store.close)
