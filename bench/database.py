"""A real PostgreSQL to measure on: its data is on the disk, and every commit is flushed."""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import asyncpg

from orderintake_server.store.postgres import schema as postgres_schema
from orderintake_server.store.postgres.connector import BARRIER

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # how tests run one, we do too
from support.postgres import Cluster, binaries, cluster, version

__all__ = ["Cluster", "commit_seconds", "postgres", "store", "told"]

SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
}
DISK = Path("/var/tmp")  # noqa: S108 - /tmp is in memory on some machines, this never is
COMMITS = 300


@contextmanager
def postgres() -> Iterator[Cluster]:
    """Run one with an empty database."""
    place = str(DISK) if DISK.is_dir() else None
    with mock.patch.object(tempfile, "tempdir", place), cluster(**SETTINGS) as running:
        yield running


def store(running: Cluster, name: str) -> str:
    """Make a database with an empty store; give its address."""
    address = running.create_database(name)
    asyncio.run(postgres_schema.migrate(address))
    return address


def commit_seconds(address: str) -> float:
    """Tell how long a commit takes that changes nothing: nearly all of it is the flush."""
    return asyncio.run(_commit_seconds(address))


async def _commit_seconds(address: str) -> float:
    connection, found = await asyncpg.connect(address), []
    for _ in range(COMMITS):
        began = time.perf_counter()
        await connection.fetch(BARRIER)
        found.append(time.perf_counter() - began)
    await connection.close()
    return statistics.median(found)


def told(address: str) -> str:
    """Say what is measured on."""
    milliseconds = commit_seconds(address) * 1e3
    return f"PostgreSQL {version(binaries()[0])}, fsync=on; an empty commit {milliseconds:.2f} ms"
