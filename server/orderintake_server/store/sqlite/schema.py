"""The tables of a SQLite store, brought to this version by numbered steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderintake_server.errors import StartupFailed
from orderintake_server.store.steps import Step, refuse_changed, steps

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

_STEPS = """
CREATE TABLE IF NOT EXISTS steps (number INTEGER PRIMARY KEY, checksum TEXT NOT NULL)
"""


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Apply the steps that the database does not have yet, each as a whole or not at all.

    Raises StartupFailed when the database is of a newer version, or a step had another text.
    """
    connection.execute("PRAGMA journal_mode = WAL")
    known = _known()
    version = _version(connection, path)
    connection.execute(_STEPS)
    refuse_changed(known, _applied(connection))
    for step in known[version:]:
        _apply(connection, step)


def refuse_other_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StartupFailed when the database is not of this version's schema."""
    if _version(connection, path) < len(_known()):
        raise StartupFailed(
            f"the store {path} is of an older schema; start orderintake-server on it once"
        )
    refuse_changed(_known(), _applied(connection))


def _known() -> list[Step]:
    return steps(__package__)


def _applied(connection: sqlite3.Connection) -> dict[int, str]:
    return dict(connection.execute("SELECT number, checksum FROM steps").fetchall())


def _apply(connection: sqlite3.Connection, step: Step) -> None:
    connection.executescript(
        f"BEGIN IMMEDIATE; {step.text};"
        f" INSERT INTO steps VALUES ({step.number}, '{step.checksum}');"
        f" PRAGMA user_version = {step.number}; COMMIT;"
    )


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Return how many steps the database has; raise StartupFailed for more than are known here."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    newest = len(_known())
    if version > newest:
        raise StartupFailed(
            f"the store {path} is of schema {version}, newer than {newest}, the newest that "
            "this server knows; start a newer orderintake-server"
        )
    return int(version)
