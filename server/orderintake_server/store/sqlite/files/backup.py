"""A backup: a consistent copy of a store, which servers may use meanwhile, made to stay."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from orderintake_server.errors import StartupFailed
from orderintake_server.store.sqlite import database, schema
from orderintake_server.store.sqlite.files.flush import flush, open_own

if TYPE_CHECKING:
    from pathlib import Path

UNFINISHED = ".unfinished"
"""What the name of a copy ends with until it is complete."""


def backup(directory: Path, target: Path) -> int:
    """Copy the store in `directory` to the file `target`; return how many bytes it has.

    The copy is the store at one moment; commits go on meanwhile. On return it and its name are on
    the disk; a copy that was interrupted never has that name. Raises StartupFailed when there is no
    store, when there is a `target` already, and when the copy fails.
    """
    path = directory / database.NAME
    if not path.is_file():
        raise StartupFailed(f"there is no store in {directory}")
    if target.exists():
        raise StartupFailed(f"there is a file {target} already; a backup never replaces one")
    unfinished = target.with_name(target.name + UNFINISHED)
    try:
        unfinished.unlink(missing_ok=True)
        os.close(open_own(unfinished))
        _copy(path, unfinished)
        flush(unfinished)
        unfinished.rename(target)
        flush(target.parent)
    except (OSError, sqlite3.Error) as error:
        unfinished.unlink(missing_ok=True)
        raise StartupFailed(f"the backup to {target} failed: {error}") from error
    return target.stat().st_size


def _copy(path: Path, target: Path) -> None:
    """Copy in one step: a snapshot, which needs not begin anew when servers commit meanwhile."""
    address = f"{path.absolute().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(address, uri=True)) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        schema.refuse_other_schema(source, path)
        copy.execute("PRAGMA synchronous = OFF")  # it is flushed when it is complete
        copy.execute("PRAGMA journal_mode = OFF")
        source.backup(copy)
