"""The files of a SQLite store: whose they are, that they are on the disk, that they stay there."""

import asyncio
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from orderintake_server.errors import StartupFailed, StoreBroken, StoreBusy, StoreGone
from orderintake_server.store.sqlite import database
from orderintake_server.store.sqlite import store as store_module
from orderintake_server.store.sqlite.database import LOCK_NAME, NAME
from orderintake_server.store.sqlite.files.generations import Generations
from orderintake_server.store.sqlite.store import SqliteStore
from support.changes import new, place, start, waiting
from support.stores import SqliteHome

LOG, INDEX = f"{NAME}-wal", f"{NAME}-shm"


@pytest.fixture
def home(sqlite_home: SqliteHome) -> SqliteHome:
    """The place of a store."""
    return sqlite_home


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# Rights


async def test_the_store_is_its_owners_alone(home: SqliteHome) -> None:
    before = os.umask(0)
    try:
        await place(await home.open(), new())
    finally:
        os.umask(before)
    assert _mode(home.directory) == 0o700
    for name in (NAME, LOG, INDEX, LOCK_NAME):
        assert _mode(home.directory / name) == 0o600


# Flushes


@contextmanager
def _flushed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Note the path of each file or directory that we flush ourselves."""
    paths: list[str] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        paths.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", note)
        yield paths


async def test_p1_a_new_stores_names_are_on_the_disk(
    home: SqliteHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.directory = home.directory / "deep" / "down"
    with _flushed(monkeypatch) as paths:
        await home.open()
    top = home.directory.parent.parent
    assert paths[:3] == [str(top.parent), str(top), str(home.directory.parent)]
    assert str(home.directory) in paths[3:]


async def test_p1_a_log_that_was_found_is_flushed_before_anything_is_answered(
    home: SqliteHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place(await home.open(), new())
    with _flushed(monkeypatch) as paths:
        await home.crash()
    assert paths == [str(home.directory / LOG), str(home.directory)]


# Who has the store


async def test_p18_a_link_to_the_store_makes_no_second_server_of_it(home: SqliteHome) -> None:
    await home.open()
    for name, link in (("symbolic", os.symlink), ("hard", os.link)):
        other = SqliteHome(home.directory.parent / name)
        other.directory.mkdir(parents=True)
        link(home.directory / NAME, other.directory / NAME)
        with pytest.raises(StartupFailed, match=rf"in use by .* pid {os.getpid()};"):
            await other.open()


# Files that go


def _remove(path: Path) -> None:
    path.unlink()


def _replace(path: Path) -> None:
    other = path.with_name("other")
    shutil.copy(path, other)
    other.rename(path)


def _move_directory(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


@pytest.mark.parametrize("name", [NAME, LOG, INDEX])
@pytest.mark.parametrize("change", [_remove, _replace, _move_directory])
async def test_nothing_is_acknowledged_into_files_that_are_gone(
    home: SqliteHome, name: str, change: Callable[[Path], None]
) -> None:
    store = await home.open()
    await place(store, new())
    change(home.directory / name)
    with pytest.raises(StoreGone, match="was removed or replaced"):
        await place(store, new())
    with pytest.raises(StoreGone):  # and for good
        await place(store, new())


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(store_module, "IDLE_SECONDS", 0.01)


async def _ends(store: SqliteStore) -> None:
    async for _ in store.watch():
        raise AssertionError


@pytest.mark.usefixtures("_at_once")
@pytest.mark.parametrize("change", [_remove, _replace])
async def test_an_idle_store_notices_that_its_files_are_gone(
    home: SqliteHome, change: Callable[[Path], None]
) -> None:
    store = await home.open()
    change(home.directory / NAME)
    with pytest.raises(StoreGone, match="was removed or replaced"):
        await asyncio.wait_for(_ends(store), 5)


@pytest.mark.usefixtures("_at_once")
async def test_an_idle_store_notices_a_backup_written_over_its_file(home: SqliteHome) -> None:
    await home.open()
    await home.close()
    backup = (home.directory / NAME).read_bytes()
    for _ in range(2):
        await place(await home.open(), new())
        await home.close()
    store = await home.open()
    (home.directory / NAME).write_bytes(backup)
    with pytest.raises(StoreGone, match="was written over"):
        await asyncio.wait_for(_ends(store), 5)


class _CopiesAtOnce(sqlite3.Connection):
    """Copies what it writes into the database's file at once, as a log that is full does."""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:  # noqa: ANN401
        cursor = super().execute(sql, *parameters)
        if sql.startswith("PRAGMA application_id ="):
            super().execute("PRAGMA wal_checkpoint")
            self.was_own = self.generations.is_own_database()
        return cursor

    generations: Generations
    was_own = False


async def test_a_token_is_known_before_it_can_be_in_the_file(home: SqliteHome) -> None:
    await place(await home.open(), new())
    await home.close()
    assert await asyncio.to_thread(_is_own_when_copied_at_once, home.directory)


def _is_own_when_copied_at_once(directory: Path) -> bool:
    path = directory / NAME
    with closing(sqlite3.connect(path, factory=_CopiesAtOnce)) as connection:
        connection.execute("UPDATE policy SET since = since")
        connection.commit()
        log, database_file = os.open(directory / LOG, os.O_RDONLY), os.open(path, os.O_RDONLY)
        connection.generations = Generations(connection, log, database_file)
        connection.generations.note_commit()
        for descriptor in (log, database_file):
            os.close(descriptor)
        return connection.was_own


@pytest.mark.usefixtures("_at_once")
async def test_a_read_that_finds_the_store_broken_ends_its_watch(home: SqliteHome) -> None:
    await place(await home.open(), new())
    store = await home.damage()
    watching = asyncio.create_task(_ends(store))
    with pytest.raises(StoreBroken):
        await store.find(1)
    with pytest.raises(StoreBroken):
        await asyncio.wait_for(watching, 5)
    with pytest.raises(StoreBroken):
        await place(store, new())


# A log that belongs to another database


def _back_up(home: SqliteHome) -> None:
    with (
        closing(sqlite3.connect(home.directory / NAME)) as source,
        closing(sqlite3.connect(home.directory.with_name("backup"))) as backup,
    ):
        source.backup(backup)


async def _crashed(home: SqliteHome, orders: int) -> Path:
    """Give a copy of what a killed server leaves, with this many orders in its log."""
    store = await home.open()
    for _ in range(orders):
        await place(store, new())
    return await _left(home)


async def _left(home: SqliteHome) -> Path:
    left = home.directory.with_name("left")
    left.mkdir()
    for name in (NAME, LOG):
        shutil.copy(home.directory / name, left / name)
    await home.close()
    return left


async def test_a_log_beside_a_restored_backup_is_refused(home: SqliteHome) -> None:
    await place(await home.open(), new())
    await home.close()
    _back_up(home)
    for _ in range(2):  # the store goes on
        await place(await home.open(), new())
        await home.close()
    home.directory = await _crashed(home, 3)
    shutil.copy(home.directory.with_name("backup"), home.directory / NAME)
    before = [(home.directory / name).read_bytes() for name in (NAME, LOG)]
    with pytest.raises(StartupFailed, match=f"{LOG} does not belong to .*{NAME}"):
        await home.open()
    assert before == [(home.directory / name).read_bytes() for name in (NAME, LOG)]
    (home.directory / LOG).unlink()  # as the message says
    assert len(await waiting(await home.open())) == 1


async def test_a_log_of_another_store_is_refused(home: SqliteHome, tmp_path: Path) -> None:
    other = SqliteHome(tmp_path / "other")
    await place(await other.open(), new())
    await other.close()
    home.directory = await _crashed(home, 3)
    shutil.copy(other.directory / NAME, home.directory / NAME)
    with pytest.raises(StartupFailed, match="does not belong to"):
        await home.open()


@pytest.mark.parametrize("is_empty", [True, False])
async def test_a_log_whose_database_is_lost_is_refused_and_kept(
    home: SqliteHome, *, is_empty: bool
) -> None:
    home.directory = await _crashed(home, 3)
    log = (home.directory / LOG).read_bytes()
    (home.directory / NAME).unlink()
    if is_empty:
        (home.directory / NAME).touch()
    with pytest.raises(StartupFailed, match="missing or empty"):
        await home.open()
    assert (home.directory / LOG).read_bytes() == log


async def test_a_stores_own_log_is_its_own_through_crashes_and_generations(
    home: SqliteHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOG_PAGES", 20)  # a generation is soon over
    store = await home.open()
    for life in range(12):
        for _ in range(life):
            await place(store, new(b"x" * 9_000))
            await start(store)
        store = await home.crash()
    assert store.recovery.recovered > 0


async def test_the_backup_of_a_running_store_starts_beside_its_own_log(home: SqliteHome) -> None:
    store = await home.open()
    await place(store, new())
    _back_up(home)
    await place(store, new())
    left = await _left(home)
    shutil.copy(home.directory.with_name("backup"), left / NAME)
    home.directory = left
    assert len(await waiting(await home.open())) == 2


# Lacks that pass


@pytest.mark.seconds
async def test_a_lock_of_another_program_is_waited_for_and_then_refused(home: SqliteHome) -> None:
    store = await home.open()
    await place(store, new())
    with closing(sqlite3.connect(home.directory / NAME, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreBusy):
            await place(store, new())
        assert await store.find(1) is not None
    await place(store, new())
    assert len(await waiting(store)) == 2


async def test_an_open_store_needs_no_further_descriptor_or_thread(
    home: SqliteHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await home.open()

    def none(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", none)
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names only
    await place(store, *(new(b"x" * 9_000) for _ in range(500)))
    await asyncio.gather(*(store.find(number) for number in range(1, 100)))
    assert len(os.listdir("/proc/self/fd")) <= len(before)  # noqa: PTH208


@pytest.mark.parametrize(
    "code",
    [
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY_RECOVERY,
        sqlite3.SQLITE_IOERR_NOMEM,
        sqlite3.SQLITE_IOERR_SHMMAP,
        None,
    ],
)
async def test_a_lack_of_memory_or_descriptors_passes(
    home: SqliteHome, monkeypatch: pytest.MonkeyPatch, code: int | None
) -> None:
    store = await home.open()

    def fail(_: object) -> None:
        error = MemoryError() if code is None else sqlite3.OperationalError("a lack")
        if code is not None:
            error.sqlite_errorcode = code  # type: ignore[union-attr]
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(store._writer, "commit", fail)  # noqa: SLF001 - no memory to take here
        with pytest.raises(StoreBusy):
            await place(store, new())
    await place(store, new())


# The size of the log


@pytest.mark.usefixtures("_at_once")
async def test_the_log_of_an_idle_store_is_emptied(home: SqliteHome) -> None:
    store = await home.open()
    await place(store, *(new(b"x" * 9_000) for _ in range(100)))
    log = home.directory / LOG
    assert log.stat().st_size > 900_000
    watching = asyncio.create_task(_ends(store))
    async with asyncio.timeout(5):
        while log.stat().st_size:  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.01)
    watching.cancel()
    await place(store, new())
    assert len(await waiting(await home.crash())) == 101


async def test_a_log_that_has_grown_is_cut_when_it_begins_anew(
    home: SqliteHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOG_PAGES", 20)
    monkeypatch.setattr(database, "LOG_BYTES", 20 * 4096)
    store = await home.open()
    log = home.directory / LOG
    with closing(sqlite3.connect(home.directory / NAME, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM orders").fetchone()
        for _ in range(20):
            await place(store, new(b"x" * 50_000))
        assert log.stat().st_size > 1_000_000
    for _ in range(3):
        await place(store, new(b"x" * 50_000))
    assert log.stat().st_size < 500_000
