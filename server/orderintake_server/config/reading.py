"""How settings are read from the command line, the environment and a file, or refused by name."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from orderintake_server.config.command_line import (
    did_you_mean,
    given,
    given_as,
    known_as,
)
from orderintake_server.config.settings import Settings
from orderintake_server.config.sources import PREFIX, Sourced
from orderintake_server.config.values import may_be_secret, path
from orderintake_server.errors import StartupFailed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

PROGRAM = "orderintake-server"
_S = TypeVar("_S", bound=Sourced)


def read(arguments: list[str], commands: Mapping[str, str] | None = None) -> Settings:
    """Read the settings for these command line arguments.

    `commands` are those that --help tells of. Raises StartupFailed, which names every bad setting;
    SystemExit for --help and for bad usage.
    """
    texts = given(Settings, arguments, program=PROGRAM, commands=commands)
    file = _config_path(arguments)

    class SettingsOfFile(Settings, toml_file=file):
        __doc__ = Settings.__doc__

    try:
        if file is not None and not file.is_file():
            raise StartupFailed(f"config: there is no file {file}")
        return _checked(SettingsOfFile, texts)
    except (OSError, ValueError) as error:  # the file cannot be read, or is not TOML
        raise StartupFailed(f"config: {file}: {error}") from None


def read_for(settings: type[_S], command: str, arguments: list[str]) -> _S:
    """Read the settings of another command than the server's; raises what `read` does."""
    return _checked(settings, given(settings, arguments, program=f"{PROGRAM} {command}"))


def _checked(settings: type[_S], texts: dict[str, str]) -> _S:
    values: dict[str, Any] = texts  # of all types in the end: pydantic reads them
    try:
        return settings(**values)
    except ValidationError as error:
        raise StartupFailed(_explained(error, settings)) from None


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


def _explained(error: ValidationError, settings: type[Sourced]) -> str:
    """Return a text that names every bad setting and what is wrong with it."""
    fields = {known_as(name, field): field for name, field in settings.model_fields.items()}
    return "; ".join(f"{_name(bad)}: {bad['msg']}{_hint(bad, fields)}" for bad in error.errors())


def _name(bad: ErrorDetails) -> str:
    """Return the name of a bad setting, whichever of its values is bad."""
    return ".".join(part for part in bad["loc"] if isinstance(part, str))


def _hint(bad: ErrorDetails, fields: Mapping[str, FieldInfo]) -> str:
    """Show a bad value, unless there may be a password in it; tell how to give a missing one."""
    name, value = _name(bad), bad["input"]
    if bad["type"] == "missing":
        return f" ({given_as(name, fields[name])} or {PREFIX}{name.upper()})"
    is_secret = name in {"store", "from", "to"} or may_be_secret(str(value))
    shown = "" if is_secret else f" (it is {value!r})"
    return shown + (did_you_mean(name, fields) if name not in fields else "")
