"""What the SQLite store promises beyond every store's promise: its files, and who may use them."""

import asyncio
import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from orderintake_server.domain import Ending, Event, Failure, State
from orderintake_server.errors import StartupFailed, StoreRefused
from orderintake_server.store.changes import Changes, Settlement
from orderintake_server.store.sqlite.database import LOCK_NAME, NAME
from orderintake_server.store.sqlite.writing.statements import insert
from orderintake_server.views import EVERY_ORDER
from support.changes import DONE, new, place, settle, start, waiting, whole_log
from support.stores import SqliteHome


@pytest.fixture
def home(sqlite_home: SqliteHome) -> SqliteHome:
    """The place of a store."""
    return sqlite_home


async def test_p18_a_second_open_is_refused_naming_the_process(home: SqliteHome) -> None:
    await home.open()
    second = SqliteHome(home.directory.parent)
    with pytest.raises(StartupFailed, match=rf"in use by .* pid {os.getpid()}\b"):
        await second.open()
    await home.close()
    await second.open()
    await second.close()


async def test_a_refused_second_open_does_not_disturb_the_first(home: SqliteHome) -> None:
    store = await home.open()
    with pytest.raises(StartupFailed):
        await SqliteHome(home.directory.parent).open()
    await place(store, new())
    with pytest.raises(StartupFailed, match=rf"pid {os.getpid()}\b"):
        await SqliteHome(home.directory.parent).open()


async def test_a_lock_that_names_nobody_is_a_lock(home: SqliteHome) -> None:
    await home.open()
    (home.directory / LOCK_NAME).write_text("")
    with pytest.raises(StartupFailed, match="pid unknown"):
        await SqliteHome(home.directory.parent).open()


async def test_a_lock_forgets_who_held_it_before(home: SqliteHome) -> None:
    home.directory.mkdir()
    (home.directory / LOCK_NAME).write_text("1234567890123\n")
    await home.open()
    with pytest.raises(StartupFailed, match=rf"pid {os.getpid()};"):
        await SqliteHome(home.directory.parent).open()


async def test_a_failed_open_lets_the_directory_go(home: SqliteHome) -> None:
    home.directory.mkdir()
    database = home.directory / NAME
    database.write_bytes(b"no database" * 1000)
    with pytest.raises(StartupFailed, match=f"cannot open the store {database}"):
        await home.open()
    database.unlink()
    await home.open()


async def test_a_directory_that_cannot_be_made_is_named(home: SqliteHome) -> None:
    home.directory.write_text("a file is in the way")
    with pytest.raises(StartupFailed, match=f"cannot use the data directory {home.directory}"):
        await home.open()


async def test_a_full_disk_is_told_with_the_directory(
    home: SqliteHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StartupFailed, match=f"{home.directory}: .*No space left"):
        await home.open()


async def test_links_that_lead_round_in_a_circle_are_told(home: SqliteHome) -> None:
    home.directory.mkdir()
    (home.directory / NAME).symlink_to(home.directory / NAME)
    with pytest.raises(StartupFailed, match=f"cannot open the store {home.directory / NAME}"):
        await home.open()


async def test_a_newer_schema_is_refused_and_left_alone(home: SqliteHome) -> None:
    await home.open()
    await home.close()
    with closing(sqlite3.connect(home.directory / NAME)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StartupFailed, match="of schema 99, newer than"):
        await home.open()
    with closing(sqlite3.connect(home.directory / NAME)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (99,)


async def test_each_store_has_a_log_of_its_own(tmp_path: Path) -> None:
    ids = set()
    for name in ("a", "b", "c"):
        home = SqliteHome(tmp_path / name)
        ids.add((await home.open()).recovery.log_id)
        await home.close()
    assert len(ids) == 3
    assert all(len(log_id) == 8 and int(log_id, 16) >= 0 for log_id in ids)


async def test_p1_a_commit_is_flushed_before_it_returns(home: SqliteHome) -> None:
    store = await home.open()
    execute = store._writer._connection.execute  # noqa: SLF001 - what a power cut would show
    assert execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert execute("PRAGMA fullfsync").fetchone() == (1,)


@pytest.mark.parametrize("torn", [b"\x00" * 4120, b"\xff" * 4120, b"half a frame"])
async def test_a_torn_write_behind_the_last_commit_is_left_out(
    home: SqliteHome, torn: bytes
) -> None:
    store = await home.open()
    await place(store, new(), new())
    with (home.directory / f"{NAME}-wal").open("ab") as file:
        file.write(torn)
    left = await home.crash()
    assert len(await waiting(left)) == 2
    (receipt,) = await place(left, new())
    assert receipt.order.accept_sequence == 3


async def test_a_commit_that_fails_by_a_bug_is_undone_too(home: SqliteHome) -> None:
    store = await home.open()
    await place(store, new(), new())
    first, second = await start(store, 2)
    unstorable = Ending(
        event=Event.FAIL, failure=Failure(code="HANDLER_ERROR", message="beyond Unicode: \udce9")
    )
    with pytest.raises(StoreRefused) as refused:
        await store.commit(
            Changes(
                settles=[
                    Settlement(lease=first, ending=DONE),
                    Settlement(lease=second, ending=unstorable),
                ]
            )
        )
    assert isinstance(refused.value.__cause__, UnicodeEncodeError)
    assert await whole_log(store) == []
    assert await settle(store, second, first) == [State.SUCCEEDED] * 2


async def test_what_was_asked_is_done_also_when_nobody_waits_for_it(home: SqliteHome) -> None:
    store = await home.open()
    asking = asyncio.create_task(place(store, new()))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert len(await waiting(store)) == 1


async def test_closing_finishes_what_was_asked(home: SqliteHome) -> None:
    store = await home.open()
    asking = [asyncio.create_task(place(store, new())) for _ in range(20)]
    await asyncio.sleep(0)
    await home.close()
    assert len(await asyncio.gather(*asking)) == 20
    assert len(await waiting(await home.open())) == 20


async def test_reading_changes_nothing(home: SqliteHome) -> None:
    store = await home.open()
    await whole_log(store)
    reader = store._readers[0]  # noqa: SLF001 - there is no read that writes
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM orders")


async def test_an_open_page_of_the_log_holds_no_snapshot(home: SqliteHome) -> None:
    store = await home.open()
    await place(store, new(), new())
    await store.read_log(EVERY_ORDER, after=0, limit=1, max_bytes=1)
    assert not any(reader.in_transaction for reader in store._readers)  # noqa: SLF001
    with closing(sqlite3.connect(home.directory / NAME)) as connection:
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert busy == 0


@pytest.mark.parametrize("count", [0, 1, 15, 17, 300])
def test_rows_are_inserted_as_they_are_whatever_their_number_and_their_gaps(count: int) -> None:
    gaps = [(None, None), (None, b""), (0, None)]
    rows = [(number, *gaps[number % 3], None) for number in range(count)]
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE kept (number, first, second, none)")
        insert(connection, "kept", rows)
        assert connection.execute("SELECT * FROM kept ORDER BY number").fetchall() == rows
