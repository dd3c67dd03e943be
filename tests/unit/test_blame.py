"""P22: every error of an engine has a row that tells whose fault it is; few end a server."""

import sqlite3
from collections.abc import Iterator

import asyncpg
import pytest

from orderintake_server.errors import (
    StoreAway,
    StoreBroken,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreRefused,
)
from orderintake_server.store.blame import blame, postgres, sqlite

PRIMARY = {*range(29), 100, 101}
"""SQLite's primary result codes, which its documentation lists."""
SQLSTATES = sorted(
    {
        error.sqlstate
        for error in vars(asyncpg.exceptions).values()
        if isinstance(error, type)
        and issubclass(error, asyncpg.PostgresError)
        and getattr(error, "sqlstate", None)
    }
)


def _extended() -> Iterator[int]:
    for name, code in vars(sqlite3).items():
        if name.startswith("SQLITE_") and isinstance(code, int) and code > max(PRIMARY):
            assert code & 0xFF in PRIMARY, name
            yield code


def test_every_result_code_of_sqlite_has_a_row() -> None:
    assert sqlite.BLAME.keys() >= PRIMARY
    assert sqlite.BLAME.keys() <= PRIMARY | set(_extended())


def test_every_class_of_sqlstates_has_a_row() -> None:
    assert len(SQLSTATES) > 200
    assert {sqlstate[:2] for sqlstate in SQLSTATES} <= postgres.BLAME.keys()


def _of_sqlite(code: int) -> type[StoreError]:
    return blame(sqlite.BLAME, code, code & 0xFF)


def _of_postgres(sqlstate: str) -> type[StoreError]:
    error = asyncpg.PostgresError("as told")
    vars(error)["sqlstate"] = sqlstate
    with pytest.raises(StoreError) as caught, postgres.failures():
        raise error
    return caught.type


def test_only_damaged_or_unwritable_files_are_the_death_of_a_sqlite_store() -> None:
    dead = {code for code in {*PRIMARY, *_extended()} if _of_sqlite(code) is StoreBroken}
    assert {code & 0xFF for code in dead} == {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FORMAT,
        sqlite3.SQLITE_NOTADB,
    }
    assert sqlite3.SQLITE_IOERR_FSYNC in dead
    assert sqlite3.SQLITE_CORRUPT_INDEX in dead


@pytest.mark.parametrize(
    ("code", "blamed"),
    [
        (sqlite3.SQLITE_CONSTRAINT_TRIGGER, StoreRefused),
        (sqlite3.SQLITE_TOOBIG, StoreRefused),
        (sqlite3.SQLITE_MISMATCH, StoreRefused),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StoreBusy),
        (sqlite3.SQLITE_CANTOPEN, StoreBusy),
        (sqlite3.SQLITE_IOERR_NOMEM, StoreBusy),
        (sqlite3.SQLITE_IOERR_SHMSIZE, StoreFull),
        (99, StoreRefused),
    ],
)
def test_what_an_error_of_sqlite_means(code: int, blamed: type[StoreError]) -> None:
    assert _of_sqlite(code) is blamed


def test_only_missing_and_damaged_tables_are_the_death_of_a_postgres_store() -> None:
    dead = [sqlstate for sqlstate in SQLSTATES if _of_postgres(sqlstate) is StoreBroken]
    assert dead == ["3F000", "42601", "42703", "42704", "42883", "42P01", "XX001", "XX002"]


@pytest.mark.parametrize(
    ("sqlstate", "blamed"),
    [
        ("22P05", StoreRefused),
        ("23514", StoreRefused),
        ("0A000", StoreRefused),
        ("54000", StoreRefused),
        ("P0001", StoreRefused),
        ("XX000", StoreRefused),
        ("QQ123", StoreRefused),
        ("", StoreRefused),
        ("42501", StoreAway),
        ("08P01", StoreAway),
        ("57P01", StoreAway),
        ("53300", StoreAway),
        ("3D000", StoreAway),
        ("53100", StoreFull),
        ("53200", StoreBusy),
    ],
)
def test_what_an_error_of_postgresql_means(sqlstate: str, blamed: type[StoreError]) -> None:
    assert _of_postgres(sqlstate) is blamed


class NotTold(asyncpg.CheckViolationError):
    """As PostgreSQL raises it: with a piece of the row."""

    detail = "Failing row contains (1, ada, secret)."
    table_name = "orders"
    constraint_name = "guard"


def test_a_refusal_names_the_constraint_and_nothing_of_the_data() -> None:
    with pytest.raises(StoreRefused) as caught, postgres.failures():
        raise NotTold("secret")
    assert str(caught.value) == "PostgreSQL: NotTold (23514) orders.guard"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), UnicodeEncodeError("utf-8", "\udc80", 0, 1, "no"), OverflowError("no")],
    ids=repr,
)
def test_a_value_that_does_not_fit_is_the_callers(error: Exception) -> None:
    with pytest.raises(StoreRefused), postgres.failures():
        raise error
    assert isinstance(sqlite.blamed(error), StoreRefused)


def test_an_answer_that_cannot_be_read_tells_nothing_of_what_became_of_the_change() -> None:
    with pytest.raises(StoreAway), postgres.failures():
        b"\xff".decode()


def test_want_of_memory_passes() -> None:
    with pytest.raises(StoreBusy), postgres.failures():
        raise MemoryError
    assert isinstance(sqlite.blamed(MemoryError()), StoreBusy)
