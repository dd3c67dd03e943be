"""However a command ends: one line that says why, an exit code of its own, never a traceback."""

import errno
import os
import subprocess
import sys
from typing import Any

import pytest
from grpc import StatusCode
from typer.testing import CliRunner

from client.cli.command import COMMAND, run, run_at
from client.fake_server import FakeServer
from orderintake import (
    Client,
    DeadlineExceeded,
    NotAllowed,
    OrderIntakeError,
    Unauthenticated,
    Unavailable,
)
from orderintake.cli.app import EXIT_CODES, app
from orderintake.errors import BY_REASON
from orderintake.status import Status

COMMANDS = {
    "place": ("place", "--customer", "ada", "--line", "tea"),
    "get": ("get", "order-1"),
    "number": ("get", "--number", "1"),
    "cancel": ("cancel", "CANCELLED"),
    "list": ("list",),
    "watch": ("watch", "--count", "1"),
    "stats": ("stats",),
    "pause": ("pause", "vip"),
    "resume": ("resume", "vip"),
    "redrive": ("redrive", "order-1"),
    "actions": ("actions",),
    "failures": ("failures",),
    "redrive many": ("redrive", "--all"),
    "cancel many": ("cancel", "--all"),
    "servers": ("servers",),
    "subscribers": ("subscribers",),
    "workers": ("workers",),
}
ENDS = [
    (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141),
    (OSError(errno.ENOSPC, "No space left on device"), 74),
    (PermissionError(errno.EACCES, "Permission denied", "cursor"), 74),
    (ValueError("does not fit"), 2),
    (KeyboardInterrupt(), 130),
]


def test_every_command_is_tried() -> None:
    told = CliRunner().invoke(app, ["--help"]).stdout
    assert not [name for name in {each[0] for each in COMMANDS.values()} if name not in told]
    assert {each[0] for each in COMMANDS.values()} == {
        command.name or getattr(command.callback, "__name__", "")
        for group in app.registered_groups
        for command in (group.typer_instance.registered_commands if group.typer_instance else ())
    }


@pytest.mark.parametrize(("failure", "code"), ENDS, ids=[type(each).__name__ for each, _ in ENDS])
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_every_command_ends_with_the_code_of_what_happened(
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    failure: BaseException,
    code: int,
    form: tuple[str, ...],
) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(Client, "__enter__", fail)
    result = run_at("127.0.0.1:1", *command, *form)
    assert (result.exit_code, result.stdout) == (code, "")
    assert bool(result.stderr) == (code in {2, 74})
    assert "Traceback" not in result.stderr
    assert isinstance(result.exception, SystemExit)


def test_the_help_tells_every_exit_code() -> None:
    for code in {code for _, code in ENDS} | {0, 1}:
        assert f"{code}, " in EXIT_CODES
    assert "Exit codes: 0, done" in CliRunner().invoke(app, ["--help"]).stdout


def ended(*arguments: str, redirected: str = "", **environment: str) -> tuple[int, str]:
    """Run a command in a shell, its output redirected; return its exit code and its errors."""
    command = [sys.executable, "-c", COMMAND[2], *arguments]
    done = subprocess.run(
        ["/bin/bash", "-c", f'"$@" {redirected}', "bash", *command],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=30,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("redirected", "code"),
    [("> /dev/full", 74), (">&-", 74), ("&> /dev/full", 74), ("2>&-", 0)],
)
@pytest.mark.parametrize("command", ["stats", "stats --json", "--help"])
def test_output_that_cannot_be_written_has_a_code_of_its_own(
    server: FakeServer, redirected: str, code: int, command: str
) -> None:
    found, told = ended("--server", server.target, *command.split(), redirected=redirected)
    assert found == code
    assert "Traceback" not in told
    assert "Exception" not in told
    assert len(told.splitlines()) <= 1


@pytest.mark.parametrize("command", ["stats", "--help"])
def test_a_reader_that_went_away_is_no_refusal(server: FakeServer, command: str) -> None:
    code, told = ended(
        "--server", server.target, command, redirected="| true; exit ${PIPESTATUS[0]}"
    )
    assert (code, told) in {(141, ""), (0, "")}  # true may have ended later


def test_a_character_that_the_terminal_lacks_is_written_in_ascii(server: FakeServer) -> None:
    place = ("place", "--customer", "Zoë", "--line", "tea", "--server", server.target)
    assert ended(*place, PYTHONIOENCODING="ascii") == (0, "")


# Where no server answers


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, whatever the machine has."""
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("timeout", ["0.05", pytest.param("5", marks=pytest.mark.seconds)])
def test_where_nothing_listens_one_line_says_what_to_do(timeout: str) -> None:
    result = run_at("127.0.0.1:1", "--timeout", timeout, "list")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "nothing listens at 127.0.0.1:1: start orderintake-server there" in line
    assert "--server" in line


def test_an_order_whose_answer_was_lost_can_be_repeated() -> None:
    result = run_at("127.0.0.1:1", "--timeout", "0.05", *COMMANDS["place"], "--request-id", "r7")
    (line,) = result.stderr.splitlines()
    assert line.endswith("to repeat it safely: --request-id r7")
    generated = run_at("127.0.0.1:1", "--timeout", "0.05", *COMMANDS["place"])
    assert len(generated.stderr.split()[-1]) == 32


@pytest.mark.parametrize(
    ("server", "told"),
    [
        ("localhost", "names no port: try localhost:50051"),
        ("http://127.0.0.1:50051", "without http://, such as 127.0.0.1:50051"),
        ("localhost:http", "is no HOST:PORT"),
    ],
)
def test_a_server_that_cannot_be_meant_is_told_at_once(server: str, told: str) -> None:
    result = run_at("127.0.0.1:1", "--server", server, "list")
    assert result.exit_code == 2
    words = " ".join(result.stderr.replace("│", " ").split())
    assert told in words
    assert "--server" in words


@pytest.mark.parametrize("timeout", ["nan", "inf", "-1", "0", "1e300", "soon"])
def test_a_timeout_that_is_none_is_told(server: FakeServer, timeout: str) -> None:
    result = run(server, "--timeout", timeout, "list")
    assert result.exit_code == 2
    assert "--timeout" in result.stderr


def test_the_options_of_all_commands_may_stand_after_the_command_too(server: FakeServer) -> None:
    for command in (
        ("list", "--server", server.target, "--json"),
        ("list", f"--server={server.target}", "--timeout=5", "--json"),
        ("--timeout", "5", "list", "--json", "--server", server.target),
    ):
        result = run_at("127.0.0.1:1", *command)
        assert (result.exit_code, len(result.stdout.splitlines())) == (0, 5)
    assert run_at("127.0.0.1:1", "list", "--server").exit_code == 2


def test_a_mistyped_command_or_option_is_told_with_the_nearest_one(server: FakeServer) -> None:
    assert "'place'" in run(server, "placed").stderr
    assert "--state" in run(server, "list", "--stat", "failed").stderr


def test_completion_for_shells_is_there(server: FakeServer) -> None:
    assert "--install-completion" in run(server, "--help").stdout


@pytest.mark.parametrize(
    "kind",
    dict.fromkeys([*BY_REASON.values(), Unavailable, DeadlineExceeded]),
    ids=lambda kind: kind.__name__,
)
def test_every_error_of_the_library_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch, kind: type[OrderIntakeError]
) -> None:
    def fail(*_: object, **__: object) -> Any:  # noqa: ANN401
        raise kind(Status(code=StatusCode.ABORTED, message="no", reason="SOME"))

    monkeypatch.setattr(Client, "queue_stats", fail)
    result = run_at("127.0.0.1:1", "stats")
    if kind in {Unauthenticated, NotAllowed}:  # they say what to do
        assert result.exit_code == 77
        assert result.stderr.startswith("SOME: the ")
    else:
        assert (result.exit_code, result.stderr) == (1, "SOME: no\n")
