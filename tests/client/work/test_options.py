"""What `orderintake worker` is told, by options and variables."""

import json
import logging
import sys
from pathlib import Path

import pytest

from orderintake.cli import _command
from orderintake.work.command.logs import Json, Text
from orderintake.work.command.options import read

HANDLER = ("--handler", "kitchen:prepare")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVER", "TLS", "CA", "API_KEY", "TOKEN", "API_KEY_FILE", "TOKEN_FILE"):
        monkeypatch.delenv(f"ORDERINTAKE_{name}", raising=False)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Give what is said of bad arguments."""
    with pytest.raises(SystemExit) as ended:
        read(arguments)
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_what_is_not_said_has_a_default() -> None:
    options = read(HANDLER)
    assert (options.handler, options.lifespan, options.processes) == ("kitchen:prepare", None, 1)
    assert options.worker["server"] == "127.0.0.1:50051"
    assert (options.worker["slots"], options.worker["drain_timeout"]) == (8, 20.0)


def test_a_key_is_a_file_s_or_a_variable_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    path.write_text("oik_abc\n")
    path.chmod(0o600)
    assert read((*HANDLER, "--api-key-file", str(path))).worker["token"]() == "oik_abc\n"
    monkeypatch.setenv("ORDERINTAKE_API_KEY", "oik_def")
    assert read(HANDLER).worker["api_key"] == "oik_def"
    monkeypatch.setenv("ORDERINTAKE_TOKEN_FILE", str(path))
    assert "token" in read((*HANDLER, "--token-file", str(path))).worker  # what is typed wins


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "--handler"),
        ((*HANDLER, "--slots", "0"), "must be 1 to 10000"),
        ((*HANDLER, "--slots", "many"), "invalid"),
        ((*HANDLER, "--drain-timeout", "-1"), "must be 0 to"),
        ((*HANDLER, "--server", "http://orders:50051"), "without http://"),
        ((*HANDLER, "--server", "unix:/socket", "--tls"), "a Unix socket is not encrypted"),
        ((*HANDLER, "--api-key-file", "oik_secret"), "the path of a file"),
        ((*HANDLER, "--processes", "2", "--worker-id", "me"), "--worker-id"),
        ((*HANDLER, "--server", "orders:50051", "--token-file", "/key"), "in plain text"),
        ((*HANDLER, "--token-file", "/key", "--api-key-file", "/key"), "contradict each other"),
    ],
)
def test_what_cannot_be_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], why: str
) -> None:
    said = refused(capsys, *arguments)
    assert why in said
    assert "oik_secret" not in said


@pytest.mark.parametrize(
    ("typed", "command"),
    [
        ("worker --handler x", "worker"),
        ("--server orders:1 --tls worker", "worker"),
        ("--server=worker place", "place"),
        ("--server worker stats", "stats"),
        ("place --customer worker", "place"),
        ("--help", None),
    ],
)
def test_it_is_told_from_other_commands(typed: str, command: str | None) -> None:
    arguments = typed.split()
    place = _command(arguments)
    assert (None if place is None else arguments[place]) == command


def record(message: str, **fields: object) -> logging.LogRecord:
    """Make a record with these fields."""
    found = logging.LogRecord("shop", logging.WARNING, __file__, 1, message, (), None)
    found.__dict__.update(fields)
    return found


def test_a_line_of_the_log_cannot_be_forged() -> None:
    text = Text().format(record("a\nb", order_id="x", said="two words\x1b[31m"))
    assert "\n" not in text
    assert "\x1b" not in text
    assert text.endswith(r"[warning ] a\nb order_id=x said='two words\x1b[31m'")


def test_a_traceback_stands_below_its_line() -> None:
    found = record("failed", code="X")
    try:
        int("no tea")
    except ValueError:
        found.exc_info = sys.exc_info()
    first, *below = Text().format(found).splitlines()
    assert first.endswith("failed code=X")
    assert below[-1].startswith("  ValueError: invalid literal")
    assert "ValueError: invalid literal" in json.loads(Json().format(found))["exception"]


def test_a_value_that_raises_is_told_as_such() -> None:
    class Bad:
        def __repr__(self) -> str:
            raise ValueError("no")

    assert json.loads(Json().format(record("x", value=Bad())))["value"] == (
        "<a value that cannot be told>"
    )


def test_what_json_cannot_hold_is_told_in_words() -> None:
    circle: list[object] = []
    circle.append(circle)
    for value in ({(1, 2): "x"}, circle):
        told = json.loads(Json().format(record("x", value=value, order_id="a")))
        assert (told["value"], told["order_id"], told["event"]) == (repr(value), "a", "x")
