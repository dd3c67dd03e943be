"""Rights of the store's files: its owner's alone, or a warning that says how to mend them."""

import asyncio
import os
import shlex
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from orderintake_server.store.sqlite.files.rights import warn_of_others
from support.logs import capture_logs
from support.stores import SqliteHome


async def _warnings(home: SqliteHome) -> list[str]:
    """Open the store; return the commands that warnings give."""
    with capture_logs() as logs:
        await home.reopen()
    return [entry["mend"] for entry in logs if "mend" in entry]


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_what_the_server_makes_is_its_owners_alone(sqlite_home: SqliteHome) -> None:
    assert await _warnings(sqlite_home) == []
    assert _mode(sqlite_home.directory) == 0o700
    assert {_mode(file) for file in sqlite_home.directory.iterdir()} == {0o600}


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o707])
async def test_a_directory_that_others_may_enter_is_told_with_what_mends_it(
    sqlite_home: SqliteHome, mode: int
) -> None:
    directory = sqlite_home.directory
    directory.mkdir()
    directory.chmod(mode)
    assert await _warnings(sqlite_home) == [f"chmod go-rwx {directory}"]
    assert _mode(directory) == mode  # a person made it so
    directory.chmod(0o700)
    assert await _warnings(sqlite_home) == []


async def test_files_that_others_may_read_are_told_with_what_mends_them(
    sqlite_home: SqliteHome,
) -> None:
    directory = sqlite_home.directory = sqlite_home.directory.with_name("our data")
    await sqlite_home.open()
    await sqlite_home.close()
    (directory / "orders.db").chmod(0o644)
    assert await _warnings(sqlite_home) == []  # nobody else gets as far
    directory.chmod(0o711)
    (command,) = await _warnings(sqlite_home)
    words = shlex.split(command)
    assert words[:3] == ["chmod", "go-rwx", str(directory)]
    assert str(directory / "orders.db") in words
    mending = await asyncio.create_subprocess_exec(*words)
    assert await mending.wait() == 0
    assert await _warnings(sqlite_home) == []


def test_what_belongs_to_somebody_else_is_not_ours_to_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    with capture_logs() as logs:
        warn_of_others(tmp_path, "orders.db")
    assert logs == []


AS_NOBODY = """
import asyncio, os, sys
from pathlib import Path
from orderintake_server.access import Role, editing, entries
from orderintake_server.clock import Clock
from orderintake_server.store.sqlite.files.backup import backup
from orderintake_server.store.sqlite.store import sqlite_store

async def open_store(directory):
    async with sqlite_store(directory, clock=Clock()) as store:
        return store.recovery.head

place = Path(sys.argv[1])
asyncio.run(open_store(place / "imported before rights are given up"))
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
os.umask(0o777)
data = place / "own" / "deep" / "data"
for _ in range(2):  # it finds what it made
    assert asyncio.run(open_store(data)) == 0
backup(data, data / "copy.db")
for name in ("shop", "stall"):
    key = entries.Entry(
        name=name, credential=name.encode().ljust(32), roles=frozenset({Role.WORKER}), customer=None
    )
    editing.add(data / "access.toml", key)
entries.read(data / "access.toml")
"""
"""Makes all files that the server makes, while a umask takes all rights away."""


def test_a_umask_that_takes_all_rights_away_takes_none_from_the_owner() -> None:
    with tempfile.TemporaryDirectory() as place:  # pytest's own is closed to other users
        Path(place).chmod(0o755)
        own = Path(place) / "own"
        own.mkdir()
        if os.geteuid() == 0:
            os.chown(own, 65_534, 65_534)
        subprocess.run([sys.executable, "-c", AS_NOBODY, place], check=True)
        data = own / "deep" / "data"
        assert {_mode(data.parent), _mode(data)} == {0o700}
        assert {_mode(file) for file in data.iterdir()} == {0o600}
        names = {file.name for file in data.iterdir()}
        assert names >= {"orders.db", "server.lock", "copy.db", "access.toml"}
