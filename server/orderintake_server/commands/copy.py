"""How a whole store is copied to the other engine, where everything goes on as before."""

from __future__ import annotations

import sqlite3
import time
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from orderintake_server.errors import StartupFailed, StoreError
from orderintake_server.store.copy_tables import TABLES
from orderintake_server.store.postgres import copy as postgres_copy
from orderintake_server.store.sqlite import copy as sqlite_copy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

    from orderintake_server.store.copy_tables import Numbers, Rows, Table


class Source(Protocol):
    """A store that is read: nobody uses it meanwhile, and nothing is in process."""

    async def numbers(self) -> Numbers:
        """Read what it keeps beside its tables."""

    def chunks(self, table: Table) -> AsyncGenerator[Rows, None]:
        """Read a table in the order of its key, CHUNK_ROWS at a time."""

    async def count(self, table: Table) -> int:
        """Count the rows of a table."""


class Target(Protocol):
    """A store that is made: if anything is raised meanwhile, it is not there afterwards."""

    async def write(self, table: Table, chunks: AsyncIterator[Rows]) -> None:
        """Fill a table, which is empty."""

    async def count(self, table: Table) -> int:
        """Count the rows of a table."""

    async def finish(self, numbers: Numbers) -> None:
        """Write what is kept beside the tables, once they are full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """How much was copied."""

    orders: int
    completions: int
    request_ids: int


def _now() -> int:
    """Tell the time in microseconds since 1970."""
    return time.time_ns() // 1_000


async def copy(
    source: str, target: str, *, max_crashes: int = 3, clock: Callable[[], int] = _now
) -> Copied:
    """Copy the store of a directory into an empty database, or that of a database into a directory.

    What begins with postgresql:// or postgres:// is a database. All names and numbers stay: a
    cursor, an order_id, a request_id mean there what they meant here. What was in process when a
    server died waits again, its crash counted, or has ended if that was the `max_crashes`th one.
    `clock` tells microseconds since 1970.

    The source stays as it was, but for its schema, where that is older. Raises StartupFailed when
    the source is in use or not there, when the target is not empty, and when the copy fails: then
    nothing of it is left.
    """
    try:
        async with _both(source, target, max_crashes, clock) as (old, new):
            return await _copy_all(old, new)
    except StoreError as error:
        raise StartupFailed(f"the copy failed: {error}") from error
    except (sqlite3.Error, OSError) as error:
        raise StartupFailed(f"the copy failed: {type(error).__name__}: {error}") from error


async def _copy_all(old: Source, new: Target) -> Copied:
    counts = {table.name: await _copied(table, old, new) for table in TABLES}
    numbers = await old.numbers()
    _refuse_loss(numbers, counts)
    await new.finish(numbers)
    return Copied(
        orders=counts["orders"], completions=counts["log"], request_ids=counts["requests"]
    )


@asynccontextmanager
async def _both(
    source: str, target: str, max_crashes: int, clock: Callable[[], int]
) -> AsyncIterator[tuple[Source, Target]]:
    """Hold both stores, the database first: looking at it changes nothing."""
    if _is_database(source) == _is_database(target):
        raise StartupFailed(
            "of the two stores, one must be a directory and the other a database, postgresql://…"
        )
    if _is_database(target):
        async with (
            postgres_copy.target(target, clock) as database,
            sqlite_copy.source(Path(source), max_crashes, clock) as file,
        ):
            yield file, database
    else:
        async with (
            postgres_copy.source(source, max_crashes, clock) as database,
            sqlite_copy.target(Path(target)) as file,
        ):
            yield database, file


def _is_database(address: str) -> bool:
    return address.startswith(("postgresql://", "postgres://"))


async def _copied(table: Table, old: Source, new: Target) -> int:
    """Copy a table; tell how many rows it has, which is as many as arrived."""
    async with aclosing(old.chunks(table)) as chunks:
        await new.write(table, chunks)
    there, here = await old.count(table), await new.count(table)
    if there != here:
        raise StartupFailed(f"the copy has {here} rows in {table.name}, and not {there}")
    return here


def _refuse_loss(numbers: Numbers, counts: Mapping[str, int]) -> None:
    """Raise StartupFailed when orders that have not ended wait nowhere, and so were not copied."""
    living, waiting = numbers.accepted - numbers.completed, counts["ready"] + counts["scheduled"]
    if living != waiting:
        raise StartupFailed(
            f"the store is broken: {living} orders have not ended, and {waiting} wait; "
            "the command audit tells more"
        )
