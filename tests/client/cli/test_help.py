"""What `orderintake --help` says, and what it says to somebody who mistyped."""

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from client.cli.command import run, run_at
from client.fake_server import FakeServer
from orderintake.cli.app import app

COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined] # it is a group
NOWHERE = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_into_80_columns_and_names_no_type_of_python(command: str) -> None:
    text = run_at(NOWHERE, *filter(None, [command]), "--help").stdout
    assert [line for line in text.splitlines() if len(line) > 80] == []
    for noise in ("<bool>", "<float>", "<int>", "31536000"):
        assert noise not in text


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [(["lst"], "Did you mean 'list'?"), (["list", "--newst"], "--newest")],
)
def test_a_typo_is_told_with_what_was_meant(arguments: list[str], meant: str) -> None:
    result = run_at(NOWHERE, *arguments)
    assert result.exit_code == 2
    assert meant in result.stderr


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "31536001"])
def test_a_timeout_that_is_none_is_told_with_its_limits(seconds: str) -> None:
    result = run_at(NOWHERE, "--timeout", seconds, "stats")
    assert result.exit_code == 2
    assert "0.001 to 31536000 seconds" in result.stderr


def _get(server: FakeServer, **environment: str) -> Result:
    arguments = ["--server", server.target, "get", "order-1"]
    return CliRunner().invoke(app, arguments, env=environment)


def test_a_variable_that_was_meant_to_be_the_servers_is_named(server: FakeServer) -> None:
    for name in ("ORDERINTAKE_SERVR", "ORDERINTAKE_SERVERS"):
        said = f"{name} sets nothing; did you mean ORDERINTAKE_SERVER?\n"
        assert _get(server, **{name: "secret:1"}).stderr == said
    assert _get(server, ORDERINTAKE_STORE="x", ORDERINTAKE_VIP_RESERVE="0.2").stderr == ""
    assert run(server, "get", "order-1").stderr == ""
