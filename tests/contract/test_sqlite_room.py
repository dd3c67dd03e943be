"""A write that SQLite could not make: a full disk, or a broken one, told by another file."""

import errno
import os
import sqlite3
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from orderintake_server.errors import StoreFull
from orderintake_server.store.sqlite.files.room import or_full


def failing(code: int) -> NoReturn:
    """Fail as SQLite does."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode, error.sqlite_errorname = code, "SQLITE_IOERR_WRITE"
    raise error


def lack(monkeypatch: pytest.MonkeyPatch, why: int) -> None:
    def refuse(*args: object, **kwargs: object) -> NoReturn:
        raise OSError(why, os.strerror(why))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)


@pytest.mark.parametrize("why", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_where_no_other_file_can_grow_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: int
) -> None:
    (tmp_path / "orders.db").write_bytes(b"x")
    lack(monkeypatch, why)
    with pytest.raises(StoreFull, match=os.strerror(why)):
        or_full(tmp_path, lambda: failing(sqlite3.SQLITE_IOERR_WRITE))


def test_where_another_file_can_grow_it_is_the_disk(tmp_path: Path) -> None:
    (tmp_path / "orders.db").write_bytes(b"x")
    with pytest.raises(sqlite3.OperationalError):
        or_full(tmp_path, lambda: failing(sqlite3.SQLITE_IOERR_WRITE))
    assert [file.name for file in tmp_path.iterdir()] == ["orders.db"]


@pytest.mark.parametrize("why", [errno.EIO, errno.EROFS])
def test_where_another_file_fails_otherwise_it_is_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: int
) -> None:
    (tmp_path / "orders.db").write_bytes(b"x")
    lack(monkeypatch, why)
    with pytest.raises(sqlite3.OperationalError):
        or_full(tmp_path, lambda: failing(sqlite3.SQLITE_IOERR_WRITE))


def test_no_other_error_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lack(monkeypatch, errno.ENOSPC)
    with pytest.raises(sqlite3.OperationalError):
        or_full(tmp_path, lambda: failing(sqlite3.SQLITE_IOERR_READ))
    assert or_full(tmp_path, lambda: 7) == 7
