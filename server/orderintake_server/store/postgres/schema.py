"""The schema in PostgreSQL: the command migrate brings it up to date, servers only check it.

Tables are made by numbered steps, each applied once. Functions are deployed beside them, in a
schema for each release, so that older servers go on with theirs. A step that these do not work with
says so in its first line, by `-- least: N`: the release that a server must be of at the least.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orderintake_server.errors import StartupFailed
from orderintake_server.logger import get_logger
from orderintake_server.store.blame.postgres import failures
from orderintake_server.store.postgres import functions
from orderintake_server.store.postgres.connector import connect
from orderintake_server.store.steps import refuse_changed, steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orderintake_server.store.postgres.connector import Connection
    from orderintake_server.store.postgres.functions import Release
    from orderintake_server.store.steps import Step

log = get_logger()

_LOCK = 8026370375060648053
"""Of the command migrate: one at a time."""

OLDEST_VERSION = 15
"""Of PostgreSQL."""

_PREPARE = """
CREATE SCHEMA IF NOT EXISTS orderintake;
CREATE TABLE IF NOT EXISTS orderintake.steps (
  number     integer     PRIMARY KEY,
  least      integer     NOT NULL,  -- the release that a server must be of to work with this step
  checksum   text        NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS orderintake.releases (
  release     integer     PRIMARY KEY,  -- its functions are in the schema orderintake_r<release>
  checksum    text        NOT NULL,
  deployed_at timestamptz NOT NULL DEFAULT now());
"""


@dataclass(frozen=True)
class Version:
    """The steps and functions that a server knows."""

    steps: Sequence[Step]
    release: Release


def this_version() -> Version:
    """Give the steps and functions that come with this server."""
    return Version(steps(__package__), functions.this_release())


async def migrate(address: str, version: Version | None = None) -> list[int]:
    """Apply the steps that the database has not seen, and deploy the functions of the release.

    Returns the numbers of the steps. Each step is applied whole or not at all; steps of a newer
    version, if there are, stay as they are. Raises StoreAway when the database cannot be reached,
    StartupFailed when a step was applied with another text, or the database is of no use.
    """
    known = await asyncio.to_thread(this_version) if version is None else version
    connection = await connect(address)
    try:
        await refuse_ground(connection)
        with failures(tells_all=True):
            applied = [
                step.number for step in known.steps if await _applied(connection, known, step)
            ]
            await _deployed(connection, known.release)
    finally:
        await connection.close()
    return applied


async def _applied(connection: Connection, version: Version, step: Step) -> bool:
    """Apply a step, unless the database has seen it; tell whether it was applied now."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(_PREPARE)
        seen = await _seen(connection)
        refuse_changed(version.steps, seen)
        if step.number <= max(seen, default=0):
            return False
        await connection.execute("SET LOCAL search_path = orderintake, pg_catalog")
        await connection.execute(step.text)
        await connection.execute(
            "INSERT INTO orderintake.steps (number, least, checksum) VALUES ($1, $2, $3)",
            step.number, step.least, step.checksum,
        )  # fmt: skip
        return True


async def _seen(connection: Connection) -> dict[int, str]:
    rows = await connection.fetch("SELECT number, checksum FROM orderintake.steps")
    return {row["number"]: row["checksum"] for row in rows}


async def _deployed(connection: Connection, release: Release) -> None:
    """Deploy the functions, where they are missing or others; drop those that work no more."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        least = await _least(connection)
        await functions.drop_below(connection, least)
        if release.number >= least and not await functions.is_deployed(connection, release):
            await functions.deploy(connection, release)


_LEAST = "SELECT coalesce(max(least), 1) FROM orderintake.steps"


async def _least(connection: Connection) -> int:
    return int(await connection.fetchval(_LEAST))


async def refuse_ground(connection: Connection) -> None:
    """Raise StartupFailed unless the database is one that the store can stand on."""
    with failures():
        ((encoding, version),) = await connection.fetch(_GROUND)
    if encoding != "UTF8":
        raise StartupFailed(
            f"the database's encoding is {encoding}, in which not every text can be written; make "
            "one by `CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0`"
        )
    if version < OLDEST_VERSION * 10_000:
        raise StartupFailed(
            f"the database is PostgreSQL {version // 10_000}; "
            f"orderintake needs {OLDEST_VERSION} or newer"
        )


_GROUND = """
SELECT current_setting('server_encoding'), current_setting('server_version_num')::integer
"""
_DURABLE = ("fsync", "full_page_writes", "synchronous_commit", "synchronous_standby_names")


async def tell_durability(connection: Connection) -> None:
    """Log the settings by which PostgreSQL decides how durable a commit is."""
    with failures():
        rows = await connection.fetch(_SETTINGS, _DURABLE)
    told = {name: setting for name, setting in rows}  # noqa: C416 - mypy knows no Record
    log.info("database settings", **told)
    if "off" in (told["fsync"], told["full_page_writes"], told["synchronous_commit"]):
        log.warning("the database is set so that a power cut may lose acknowledged orders", **told)


_SETTINGS = "SELECT name, current_setting(name) FROM unnest($1::text[]) AS s (name)"


async def check(connection: Connection, version: Version | None = None) -> None:
    """Raise StartupFailed unless a server of this version can work with the database as it is."""
    known = await asyncio.to_thread(this_version) if version is None else version
    await refuse_ground(connection)
    with failures():
        if await connection.fetchval("SELECT to_regclass('orderintake.releases')") is None:
            raise StartupFailed(
                "there is no store in this database yet; make it by "
                "`orderintake-server migrate --store …`"
            )
        _refuse_other_tables(known, await _seen(connection), await _least(connection))
        if not await functions.is_deployed(connection, known.release):
            raise StartupFailed(
                f"the store does not have the functions of release {known.release.number} as this "
                "server knows them; deploy them by `orderintake-server migrate --store …`"
            )
        await functions.refuse_other_life(connection, known.release)


def _refuse_other_tables(known: Version, seen: dict[int, str], least: int) -> None:
    newest, ours = max(seen, default=0), len(known.steps)
    if newest < ours:
        raise StartupFailed(
            f"the store is of schema {newest}, older than {ours}; bring it up to date by "
            "`orderintake-server migrate --store …`"
        )
    if least > known.release.number:
        raise StartupFailed(
            f"the store is of schema {newest}, with which a server must be of release {least}; "
            f"this one is of {known.release.number}: start a newer orderintake-server"
        )
    refuse_changed(known.steps, seen)


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
