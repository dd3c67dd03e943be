"""The commands beside the service: what they are told, and what they say when it is wrong."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from orderintake_server.commands import COMMANDS
from orderintake_server.store.sqlite.database import NAME
from orderintake_server.store.sqlite.schema import prepare


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and no settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("ORDERINTAKE_DATA", "ORDERINTAKE_STORE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_what_is_audited_is_told_by_flag_or_variable_and_by_nothing_else(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str) -> str:
        assert COMMANDS["audit"](list(arguments)) == 2
        return capsys.readouterr().err

    assert "there is no store in data" in said()
    monkeypatch.setenv("ORDERINTAKE_WORKERS", "many")  # the server's; an audit has no use for it
    monkeypatch.setenv("ORDERINTAKE_DATA", "/nowhere/orders")
    assert "there is no store in /nowhere/orders" in said()
    assert "there is no store in here" in said("--data", "here")
    assert "there is no store in there" in said("--data=there")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("arguments", [["--workers", "3"], ["stray", "stray"], ["--data"]])
def test_bad_usage_ends_the_program(
    command: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        COMMANDS[command](arguments)
    assert ended.value.code == 2
    assert f"usage: orderintake-server {command}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("audit", ("--data", "ORDERINTAKE_DATA", "--store", "Exit code")),
        ("migrate", ("--store", "ORDERINTAKE_STORE")),
        ("copy", ("--from", "--to")),
        ("servers", ("--store", "ORDERINTAKE_STORE")),
    ],
)
def test_help_tells_the_flags(
    command: str, told: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        COMMANDS[command](["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(each in text for each in told)


@pytest.mark.parametrize(
    ("command", "arguments", "missing"),
    [
        ("migrate", [], "store"),
        ("copy", ["--to", "here"], "from"),
        ("copy", ["--from", "here"], "to"),
    ],
)
def test_what_is_missing_is_named(
    elsewhere: Path,
    command: str,
    arguments: list[str],
    missing: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert COMMANDS[command](arguments) == 2
    assert f"{missing}: Field required" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["audit", "migrate"])
def test_an_address_that_leads_nowhere_is_told_without_its_password(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert COMMANDS[command](["--store", "postgresql://shop:secret@127.0.0.1:1/shop"]) == 2
    text = capsys.readouterr().err
    assert "PostgreSQL cannot be reached" in text
    assert "secret" not in text


def test_an_address_of_something_else_is_refused_without_its_password(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert COMMANDS["migrate"](["--store", "mysql://shop:secret@127.0.0.1/shop"]) == 2
    text = capsys.readouterr().err
    assert "must begin with postgresql://" in text
    assert "secret" not in text


@pytest.mark.parametrize("names", [("FROM", "TO"), ("from", "to")])
def test_copy_reads_no_variable_without_our_prefix(
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    names: tuple[str, str],
) -> None:
    for name in names:
        monkeypatch.setenv(name, "of somebody else")
    assert COMMANDS["copy"]([]) == 2
    assert "from: Field required" in capsys.readouterr().err
    monkeypatch.setenv("ORDERINTAKE_FROM", "~/here")
    monkeypatch.setenv("ORDERINTAKE_TO", "there")
    assert COMMANDS["copy"]([]) == 2
    assert "one must be a directory and the other a database" in capsys.readouterr().err


@pytest.fixture
def data(elsewhere: Path) -> Path:
    """A store with an order in it, which a server is using."""
    path = elsewhere / "data"
    path.mkdir()
    with closing(sqlite3.connect(path / NAME, isolation_level=None)) as connection:
        prepare(connection, path / NAME)
    return path


def test_a_backup_is_a_whole_store_and_on_the_disk(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda number: flushed.append(str(Path(f"/proc/self/fd/{number}").readlink()))
    )
    with closing(sqlite3.connect(data / NAME, isolation_level=None)) as server:
        server.execute("BEGIN IMMEDIATE")  # its last change is not committed, and so not copied
        server.execute("UPDATE counters SET accepted = 7")
        assert COMMANDS["backup"](["copy/orders.db"]) == 2
        assert "the backup to copy/orders.db failed" in capsys.readouterr().err
        Path("copy").mkdir()
        assert COMMANDS["backup"](["copy/orders.db", "--data", str(data)]) == 0
    directory = Path("copy").absolute()
    assert flushed == [str(directory / "orders.db.unfinished"), str(directory)]
    assert f"copied {data} to copy/orders.db" in capsys.readouterr().out
    assert [file.name for file in directory.iterdir()] == ["orders.db"]
    assert stat.S_IMODE((directory / "orders.db").stat().st_mode) == 0o600
    assert COMMANDS["audit"](["--data", str(directory)]) == 0


def test_a_backup_replaces_nothing_and_needs_a_store(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("there").write_text("precious")
    assert COMMANDS["backup"](["there"]) == 2
    assert "there is a file there already" in capsys.readouterr().err
    assert Path("there").read_text() == "precious"
    assert COMMANDS["backup"](["new", "--data", "nowhere"]) == 2
    assert "there is no store in nowhere" in capsys.readouterr().err
    assert COMMANDS["backup"](["new", "--data", "postgresql://shop:secret@127.0.0.1/shop"]) == 2
    said = capsys.readouterr().err
    assert "--store" in said
    assert "secret" not in said
