"""The functions in PostgreSQL: deployed whole, in a schema of their release, never migrated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import TYPE_CHECKING

from orderintake_server.domain import TRANSITIONS, Action, Event, State
from orderintake_server.errors import StartupFailed
from orderintake_server.store.postgres.connector import COMMIT_LOCK
from orderintake_server.store.steps import checksum

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

    from orderintake_server.store.postgres.connector import Connection

RELEASE = 5
"""Of the functions that this server calls. Raise it when one that Python calls (`commit_changes`,
`positions`, `rank_of`) takes or answers something else than before, or a step of the tables needs
it: servers of the release before go on with their own functions then. Otherwise functions are
replaced for all servers of the release, while these are running."""

_ARGUMENTS = ", ".join(f"${number}" for number in range(1, 19))


@dataclass(frozen=True)
class Release:
    """The functions of one release, in a schema of their own."""

    number: int
    text: str

    @property
    def schema(self) -> str:
        """Name the schema."""
        return f"orderintake_r{self.number}"

    @property
    def search_path(self) -> str:
        """Name all schemas that the functions and their callers use."""
        return f"{self.schema}, orderintake, pg_catalog, pg_temp"

    @cached_property
    def checksum(self) -> str:
        """Tell these functions from any other."""
        return checksum(self.text)

    @property
    def call(self) -> str:
        """Give the statement that a commit is."""
        return f"SELECT * FROM {self.schema}.commit_changes({_ARGUMENTS})"


def this_release() -> Release:
    """Give the functions that this server calls: of its files, and of what `domain` says."""
    folder = resources.files(__package__).joinpath("functions")
    files = [file.read_text() for file in _files(folder)]
    return Release(RELEASE, "\n".join([_types(folder), *_constants(), *files]))


def _types(folder: Traversable) -> str:
    return folder.joinpath("types.sql").read_text()


def _files(folder: Traversable) -> Iterator[Traversable]:
    """Give one file for each function, always in the same order."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from sorted(entry.iterdir(), key=lambda file: file.name)


def _constants() -> Iterator[str]:
    """Write the functions that name states and actions: constants, which cost nothing."""
    names = [("state", state) for state in State] + [("action", action) for action in Action]
    for kind, value in names:
        yield (
            f"CREATE FUNCTION {kind}_{value.name.lower()}() RETURNS smallint LANGUAGE sql IMMUTABLE"
            f" AS 'SELECT {value:d}::smallint';"
        )
    becomes = " ".join(
        f"WHEN '{state.name} {event.name}' THEN {then:d}"
        for (state, event), then in TRANSITIONS.items()
    )
    yield (
        "CREATE FUNCTION becomes(state text, event text) RETURNS smallint LANGUAGE sql IMMUTABLE"
        f" AS $$ SELECT (CASE state || ' ' || event {becomes} END)::smallint $$;"
    )


_DEPLOYED = """
SELECT checksum FROM orderintake.releases WHERE release = $1 AND to_regnamespace($2) IS NOT NULL
"""
_NOTE = """
INSERT INTO orderintake.releases AS r (release, checksum) VALUES ($1, $2)
ON CONFLICT (release) DO UPDATE SET checksum = excluded.checksum, deployed_at = now()
"""


async def is_deployed(connection: Connection, release: Release) -> bool:
    """Tell whether the database has just these functions."""
    return bool(
        await connection.fetchval(_DEPLOYED, release.number, release.schema) == release.checksum
    )


async def deploy(connection: Connection, release: Release) -> None:
    """Make the functions anew, in a transaction, while no commit is under way."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", COMMIT_LOCK)
    await connection.execute(f"DROP SCHEMA IF EXISTS {release.schema} CASCADE")
    await connection.execute(f"CREATE SCHEMA {release.schema}")
    # Who may use the tables may call what works on them, by its own rights.
    await connection.execute(f"GRANT USAGE ON SCHEMA {release.schema} TO PUBLIC")
    await connection.execute(f"SET LOCAL search_path = {release.search_path}")
    await connection.execute("SET LOCAL check_function_bodies = off")  # they call each other
    await connection.execute(release.text)
    await connection.execute(_NOTE, release.number, release.checksum)


async def drop_below(connection: Connection, least: int) -> None:
    """Drop the functions of older releases, which work with the tables no more."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", COMMIT_LOCK)
    rows = await connection.fetch(
        "DELETE FROM orderintake.releases WHERE release < $1 RETURNING release", least
    )
    for (number,) in rows:
        schema = Release(number, "").schema
        await connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


_BECOMES = "SELECT {}.becomes(state, event) FROM unnest($1::text[], $2::text[]) AS t (state, event)"


async def refuse_other_life(connection: Connection, release: Release) -> None:
    """Raise StartupFailed unless an order leads the same life in the database as in `domain`."""
    pairs = [(state, event) for state in State for event in Event]
    rows = await connection.fetch(
        _BECOMES.format(release.schema),
        [state.name for state, _ in pairs],
        [event.name for _, event in pairs],
    )
    if [TRANSITIONS.get(pair) for pair in pairs] != [becomes for (becomes,) in rows]:
        raise StartupFailed(
            "the functions in the database know other changes of an order's state than this "
            "server; make them anew by `orderintake-server migrate --store …`"
        )
