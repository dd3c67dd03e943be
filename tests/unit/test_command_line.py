"""The command line of the server: its help, and what it says to somebody who mistyped."""

import inspect
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from orderintake_server.commands import COMMANDS, SUMMARIES
from orderintake_server.config import Settings, Sourced, read
from orderintake_server.errors import StartupFailed


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 columns, and none of our variables."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in os.environ:
        if name.startswith("ORDERINTAKE_"):
            monkeypatch.delenv(name)


def said(capsys: pytest.CaptureFixture[str], command: str, *arguments: str) -> str:
    """Return what is written before the command ends by itself; "" is the server."""
    with pytest.raises(SystemExit):
        COMMANDS[command](list(arguments)) if command else read([*arguments], SUMMARIES)
    return "".join(capsys.readouterr())


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_into_80_columns(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, command, "--help").splitlines()
    assert [line for line in lines if len(line) > 80] == []


def test_help_tells_each_setting_once_under_its_heading(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = said(capsys, "", "--help").splitlines()
    for group in Settings.__bases__:
        begin = lines.index(f"{str(group.__doc__).rstrip('.')}:")
        told = [line.split()[0] for line in _until_blank(lines[begin:]) if line.startswith("  --")]
        assert told == [f"--{name.replace('_', '-')}" for name in inspect.get_annotations(group)]
    assert all(issubclass(group, Sourced) for group in Settings.__bases__)
    assert not inspect.get_annotations(Settings)


def _until_blank(lines: Iterable[str]) -> list[str]:
    found: list[str] = []
    for line in lines:
        if not line:
            break
        found.append(line)
    return found


def test_help_tells_the_unit_or_form_of_every_value(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "", "--help").splitlines()
    words = dict(line.split() for line in lines if line.startswith("  --") and " " in line.strip())
    assert len(words) == len(Settings.model_fields)
    assert {flag for flag, word in words.items() if word == "TEXT"} == {"--replica"}
    assert words["--listen"] == "HOST:PORT|unix:/PATH"
    assert words["--drain-timeout"] == "SECONDS"
    assert words["--notify"] == "[true|false]"
    assert words["--log-format"] == "text|json"


def test_help_tells_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "", "--help")
    assert all(f"  {name:10}{SUMMARIES[name]}" in text for name in COMMANDS)
    assert "--version" in text


@pytest.mark.parametrize(
    ("command", "arguments", "told"),
    [
        ("", ["--listne", "x"], "there is no option --listne; did you mean --listen?"),
        ("", ["--queue_limit=3"], "there is no option --queue_limit; did you mean --queue-limit?"),
        ("", ["--xyzzy"], "there is no option --xyzzy\n"),
        ("", ["adit"], "there is no command adit; did you mean audit?"),
        ("", ["xyzzy"], "there is no command xyzzy\n"),
        ("", ["--data=x", "audit"], "the command audit must come first: orderintake-server audit"),
        ("migrate", ["--stoer", "x"], "there is no option --stoer; did you mean --store?"),
        ("migrate", ["stray"], "there is no place for the argument stray\n"),
        ("", ["--workers"], "argument --workers: expected one argument"),
    ],
)
def test_a_typo_is_told_in_three_lines_with_what_was_meant(
    command: str, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, command, *arguments)
    assert told in text
    assert text.count("\n") == 3


def test_an_unknown_key_is_told_with_the_one_that_was_meant(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("worker = 1\nxyzzy = 2")
    with pytest.raises(StartupFailed) as failed:
        read(["--config", str(file)])
    assert "worker: Extra inputs are not permitted (it is 1); did you mean workers?" in str(
        failed.value
    )
    assert str(failed.value).endswith("xyzzy: Extra inputs are not permitted (it is 2)")


def test_what_is_missing_is_told_with_how_to_give_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMANDS["migrate"]([]) == 2
    assert "(--store or ORDERINTAKE_STORE)" in capsys.readouterr().err
    assert COMMANDS["backup"]([]) == 2
    assert "(FILE or ORDERINTAKE_TO)" in capsys.readouterr().err


def test_a_mistyped_variable_is_told_by_the_other_commands_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERINTAKE_STROE", "postgresql://shop:secret@db/shop")
    assert COMMANDS["migrate"]([]) == 2
    text = capsys.readouterr().err
    assert "ORDERINTAKE_STROE sets nothing; did you mean ORDERINTAKE_STORE?" in text
    assert "secret" not in text
