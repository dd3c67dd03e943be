"""The commands beside the service: what they are told, and what they say when it is wrong."""

from pathlib import Path

import pytest

from orderintake_server.commands import COMMANDS


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
@pytest.mark.parametrize("arguments", [["--workers", "3"], ["stray"], ["--data"]])
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
