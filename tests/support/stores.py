"""Where the stores under test live: opened, closed, crashed, filled up, broken."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, AsyncExitStack, closing, contextmanager
from pathlib import Path
from typing import Protocol

from orderintake_server.store.audit import Finding
from orderintake_server.store.base import Policy, RecoveryReport, Store
from orderintake_server.store.sqlite import database as sqlite_file
from orderintake_server.store.sqlite.audit import audit
from orderintake_server.store.sqlite.store import SqliteStore, sqlite_store
from support.clocks import Microseconds
from support.postgres_home import kinds

NO_LIMIT = 1_073_741_823
"""Pages that a SQLite file may have at the most."""


class FoundStore(Store, Protocol):
    """A store that tells what it held when it was opened."""

    @property
    def recovery(self) -> RecoveryReport:
        """What it held."""


class Home(Protocol):
    """The place of one store, through every life that a test gives it."""

    name: str
    clock: Microseconds
    policy: Policy
    """What the next open goes by."""
    is_shared: bool
    """Whether other processes may use the store too."""

    async def open(self) -> FoundStore:
        """Open the store that lives here."""

    async def close(self) -> None:
        """Close it in order, if it is open."""

    async def leave(self) -> None:
        """Close it for good: what it held is not looked at any more."""

    async def reopen(self, policy: Policy | None = None) -> FoundStore:
        """Close it and open it again, by another policy if there is one."""

    async def crash(self) -> FoundStore:
        """Leave the open store behind as `kill -9` would, and open what is on the disk."""

    def full(self) -> AbstractContextManager[None]:
        """Let its disk be full while inside."""

    def refusing(self, table: str, column: str, value: bytes) -> AbstractContextManager[None]:
        """Let the engine itself refuse rows that have this value, while inside."""

    async def damage(self) -> FoundStore:
        """Open it again with its orders spoiled: it opens, and cannot go on."""

    def findings(self) -> list[Finding]:
        """Tell which rules it breaks; blocks."""


class SqliteHome:
    """A directory with a SQLite store in it."""

    name = "sqlite"
    is_shared = False

    def __init__(self, root: Path) -> None:
        self.clock = Microseconds()
        self.policy = Policy()
        self.directory = root / "data"
        self._root = root
        self._crashes = 0
        self._life = AsyncExitStack()
        self._store: SqliteStore | None = None

    async def open(self) -> SqliteStore:
        self._store = await self._life.enter_async_context(
            sqlite_store(self.directory, clock=self.clock, policy=self.policy)
        )
        return self._store

    async def close(self) -> None:
        await self._life.aclose()

    async def leave(self) -> None:
        await self.close()

    async def reopen(self, policy: Policy | None = None) -> SqliteStore:
        await self.close()
        self.policy = policy or self.policy
        return await self.open()

    async def crash(self) -> SqliteStore:
        self._crashes += 1
        left = self._root / f"crash-{self._crashes}"
        _copy(self.directory, left)
        await self.close()  # in the directory that nobody reads any more
        self.directory = left
        return await self.open()

    @contextmanager
    def full(self) -> Iterator[None]:
        assert self._store is not None
        connection = self._store._writer._connection  # noqa: SLF001 - no disk here to fill
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        try:
            yield
        finally:
            connection.execute(f"PRAGMA max_page_count = {NO_LIMIT}")

    @contextmanager
    def refusing(self, table: str, column: str, value: bytes) -> Iterator[None]:
        path = self.directory / sqlite_file.NAME
        with closing(sqlite3.connect(path)) as operator:
            operator.execute(
                f"CREATE TRIGGER refusing BEFORE INSERT ON {table}"
                f" WHEN NEW.{column} = X'{value.hex()}'"
                " BEGIN SELECT RAISE(ABORT, 'an operator refuses it'); END"
            )
            yield
            operator.execute("DROP TRIGGER refusing")

    async def damage(self) -> SqliteStore:
        await self.close()
        _spoil(self.directory / sqlite_file.NAME, "orders")
        return await self.open()

    def findings(self) -> list[Finding]:
        return audit(self.directory)


def _copy(directory: Path, target: Path) -> None:
    """Copy what a killed process leaves; the log's index and the lock die with it."""
    target.mkdir()
    for name in (sqlite_file.NAME, f"{sqlite_file.NAME}-wal"):
        shutil.copy(directory / name, target / name)


def _spoil(path: Path, table: str) -> None:
    """Overwrite the page where a table begins; nobody has the file open."""
    connection = sqlite3.connect(path)
    (page,) = connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)
    ).fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


KINDS = [SqliteHome, *kinds()]
"""The homes of all who keep the promise of store/base.py."""
