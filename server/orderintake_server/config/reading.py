"""How settings are read from the command line, the environment and a file, or refused by name."""

from __future__ import annotations

import argparse
import io
import os
import sys
from contextlib import contextmanager, redirect_stderr
from typing import TYPE_CHECKING

from pydantic import ValidationError

from orderintake_server.config.settings import PREFIX, Settings
from orderintake_server.config.values import may_be_secret, path, without_secrets
from orderintake_server.errors import StartupFailed
from orderintake_server.texts import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def read(arguments: list[str]) -> Settings:
    """Read the settings for these command line arguments.

    Raises StartupFailed, which names every bad setting; SystemExit for --help and for bad usage.
    """
    _refuse_line_feeds(arguments)
    file = _config_path(arguments)

    class SettingsOfFile(Settings, toml_file=file):
        __doc__ = Settings.__doc__

    try:
        if file is not None and not file.is_file():
            raise StartupFailed(f"config: there is no file {file}")
        with plain_errors():
            return SettingsOfFile(_cli_parse_args=arguments)
    except ValidationError as error:
        raise StartupFailed(explained(error)) from None
    except (OSError, ValueError) as error:  # the file cannot be read, or is not TOML
        raise StartupFailed(f"config: {file}: {error}") from None


def _refuse_line_feeds(arguments: list[str]) -> None:
    """Refuse --flag=value with a line feed: the parser would read the value only as far as that."""
    for argument in arguments:
        if argument.startswith("--") and "\n" in argument:
            name = argument.partition("=")[0].removeprefix("--").replace("-", "_")
            raise StartupFailed(f"{escaped(name)}: must be without control characters")


def log_form(arguments: list[str]) -> str:
    """Return the form of the log: it is needed before the settings are read, to tell of bad ones.

    A form that stands only in the file is not known so early; until then the log is a text.
    """
    return "json" if _early(arguments, "log-format") == "json" else "text"


def _config_path(arguments: list[str]) -> Path | None:
    """Return the path of the TOML file: it must be known before the other settings are read."""
    text = _early(arguments, "config")
    try:
        return path(text) if text else None
    except ValueError as error:
        raise StartupFailed(f"config: {error}") from None


def _early(arguments: list[str], name: str) -> str | None:
    """Return one setting's text from the arguments or else its variable."""
    parser = argparse.ArgumentParser("orderintake-server", add_help=False, allow_abbrev=False)
    variable = f"{PREFIX}{name.replace('-', '_').upper()}"
    parser.add_argument(f"--{name}", dest="text", default=os.environ.get(variable))
    text: str | None = parser.parse_known_args(arguments)[0].text
    return text


@contextmanager
def plain_errors() -> Iterator[None]:
    """Keep passwords out of what the parser of the command line writes to standard error."""
    written = io.StringIO()
    try:
        with redirect_stderr(written):
            yield
    finally:
        sys.stderr.write(without_secrets(written.getvalue()))


def explained(error: ValidationError) -> str:
    """Return a text that names every bad setting and what is wrong with it."""
    return "; ".join(
        f"{'.'.join(map(str, bad['loc']))}: {bad['msg']}{_shown(bad['loc'], bad['input'])}"
        for bad in error.errors()
    )


def _shown(place: tuple[int | str, ...], value: object) -> str:
    """Show a bad value, unless there may be a password in it."""
    is_secret = {"store", "from", "to"} & set(place) or may_be_secret(str(value))
    return "" if is_secret else f" (it is {value!r})"
