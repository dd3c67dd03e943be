"""The schema in PostgreSQL: made and brought up to date by the command migrate, else only checked.

A step is never changed once released, nor does one change what an older server calls: it adds. So
an older server goes on beside a newer step, unless that says, by `-- least: N` in its first line,
which step a server must know at least.
"""

from __future__ import annotations

import asyncio
import re
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from orderintake_server.errors import StartupFailed
from orderintake_server.store.postgres.connector import connect, failures

if TYPE_CHECKING:
    from orderintake_server.store.postgres.connector import Connection

_LOCK = 8026370375060648053
"""Of the command migrate: one at a time."""
_LEAST = re.compile(r"-- least: (\d+)\n")

_PREPARE = """
CREATE SCHEMA IF NOT EXISTS orderintake;
CREATE TABLE IF NOT EXISTS orderintake.steps (
  number     integer     PRIMARY KEY,
  least      integer     NOT NULL,  -- the step that a server must know to work with this one
  applied_at timestamptz NOT NULL DEFAULT now());
"""


class Step(NamedTuple):
    """One numbered change of the schema."""

    number: int
    least: int
    text: str


def steps() -> list[Step]:
    """Give the steps that this version knows, in their order."""
    folder = resources.files(__package__).joinpath("tables")
    texts = [file.read_text() for file in sorted(folder.iterdir(), key=lambda file: file.name)]
    return [_step(number, text) for number, text in enumerate(texts, start=1)]


def _step(number: int, text: str) -> Step:
    said = _LEAST.match(text)
    return Step(number, int(said[1]) if said else 1, text)


async def migrate(address: str) -> list[int]:
    """Apply the steps that the database has not seen; return their numbers.

    Each is applied whole or not at all; steps of a newer version, if there are, stay as they are.
    Raises StoreAway when the database cannot be reached.
    """
    connection = await connect(address)
    applied = []
    try:
        with failures():
            for step in await asyncio.to_thread(steps):
                async with connection.transaction():
                    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
                    await connection.execute(_PREPARE)
                    if await _is_missing(connection, step.number):
                        await _apply(connection, step)
                        applied.append(step.number)
    finally:
        await connection.close()
    return applied


async def _is_missing(connection: Connection, number: int) -> bool:
    newest = await connection.fetchval("SELECT max(number) FROM orderintake.steps")
    return newest is None or newest < number


async def _apply(connection: Connection, step: Step) -> None:
    await connection.execute("SET LOCAL search_path = orderintake, pg_catalog")
    await connection.execute(step.text)
    await connection.execute(
        "INSERT INTO orderintake.steps (number, least) VALUES ($1, $2)", step.number, step.least
    )


async def check(connection: Connection) -> None:
    """Raise StartupFailed unless this version can work with the database as it is."""
    with failures():
        if await connection.fetchval("SELECT to_regclass('orderintake.steps')") is None:
            raise StartupFailed(
                "there is no store in this database yet; make it by "
                "`orderintake-server migrate --store …`"
            )
        newest, least = await connection.fetchrow(  # type: ignore[misc] # there is always one row
            "SELECT max(number), max(least) FROM orderintake.steps"
        )
    known = len(await asyncio.to_thread(steps))
    if newest < known:
        raise StartupFailed(
            f"the store is of schema {newest}, older than {known}; bring it up to date by "
            "`orderintake-server migrate --store …`"
        )
    if least > known:
        raise StartupFailed(
            f"the store is of schema {newest}, with which a server must know {least}; this one "
            f"knows {known}: start a newer orderintake-server"
        )


async def refuse_no_lock(one: Connection, other: Connection) -> None:
    """Raise StartupFailed where advisory locks do nothing, as where it only seems to be PostgreSQL.

    One commit at a time is all that keeps the log whole: it must be seen to hold.
    """
    with failures():
        async with one.transaction(), other.transaction():
            is_taken = await one.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LOCK + 1)
            is_taken_twice = await other.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LOCK + 1)
    if is_taken and is_taken_twice:
        raise StartupFailed(
            "this database does not hold advisory locks; orderintake needs PostgreSQL itself"
        )
