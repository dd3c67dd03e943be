"""The command line: the flags of a class of settings, their help, and what was meant by a typo."""

from __future__ import annotations

import argparse
import difflib
import inspect
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any, NoReturn

from orderintake_server.config.output import tell
from orderintake_server.config.sources import PREFIX, Sourced
from orderintake_server.config.values import POSITIONAL, REPEATED, Word, without_secrets
from orderintake_server.texts import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pydantic.fields import FieldInfo

COLUMNS = 100
"""Help is no wider than this, however wide the terminal is."""


def given(
    settings: type[Sourced],
    arguments: list[str],
    *,
    program: str,
    commands: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return what the command line gives for these settings, by name: texts, not yet checked.

    `commands` are told in the help, each with a line; they are read elsewhere. Raises SystemExit
    for --help and for bad usage, after a line on standard error that says what was wrong.
    """
    parser = _Parser(settings, program, commands or {})
    found, rest = parser.parse_known_args(arguments)
    if rest:
        parser.error(parser.unknown(rest[0]))
    return vars(found)


def known_as(name: str, field: FieldInfo) -> str:
    """Return the name by which a setting is given: as a key; with dashes as a flag."""
    return field.alias or name


def given_as(known: str, field: FieldInfo) -> str:
    """Return how a setting is given on the command line: as a flag, or as the word for it."""
    return _word(field) if _is_positional(field) else f"--{known.replace('_', '-')}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the one that was probably meant, None if there is none so near."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence: what was probably meant, or nothing."""
    found = nearest(name, known)
    return f"; did you mean {found}?" if found else ""


def _filled(text: str, columns: int) -> str:
    """Break what is longer than a line; lines that are broken already stay so."""
    wrapper = textwrap.TextWrapper(columns, break_on_hyphens=False, break_long_words=False)
    return "\n".join(wrapper.fill(line) for line in text.splitlines())


def _usage(settings: type[Sourced], commands: Mapping[str, str]) -> str:
    places = [_word(field) for field in settings.model_fields.values() if _is_positional(field)]
    ends = "".join(f" {word}" for word in places) + (" | COMMAND [OPTION ...]" if commands else "")
    return f"%(prog)s [OPTION ...]{ends}"


class _Parser(argparse.ArgumentParser):
    def __init__(self, settings: type[Sourced], program: str, commands: Mapping[str, str]) -> None:
        columns = min(shutil.get_terminal_size().columns, COLUMNS) - 2
        super().__init__(
            program,
            description=_filled(inspect.getdoc(settings) or "", columns),
            usage=_usage(settings, commands),
            formatter_class=lambda prog: _Help(prog, max_help_position=8, width=columns),
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
        )
        self._positionals.title = "arguments"
        self._commands = commands
        self._add_commands(commands)
        for heading, names in _groups(settings):
            group = self.add_argument_group(heading) if heading else self
            for name in names:
                _add(group, name, settings.model_fields[name])

    def _add_commands(self, commands: Mapping[str, str]) -> None:
        if commands:
            self.add_argument("--version", action="store_true", help="tell the version, and end")
            lines = (f"{name:10}{summary}" for name, summary in commands.items())
            self.add_argument_group(
                "commands", "\n".join(lines) + "\n\nEach tells more by --help, after its name."
            )

    def unknown(self, argument: str) -> str:
        """Say of an argument that is none of ours what was probably meant."""
        name = argument.partition("=")[0]
        if name.startswith("-"):
            return f"there is no option {name}{did_you_mean(name, self._option_string_actions)}"
        if name in self._commands:
            return f"the command {name} must come first: {self.prog} {name} …"
        what = "command" if self._commands else "place for the argument"
        return f"there is no {what} {name}{did_you_mean(name, self._commands)}"

    def print_help(self, _: Any = None) -> None:  # noqa: ANN401 - argparse's own
        """Tell the help on standard output."""
        tell(self.format_help().rstrip("\n"))

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the usage in few lines, without a password; exit with 2."""
        said = without_secrets(escaped(message))
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: {said}\nIts options are told by: {self.prog} --help\n")


def _groups(settings: type[Sourced]) -> Iterator[tuple[str, list[str]]]:
    """Yield each heading with the settings under it, "" for those of the class itself."""
    for kind in settings.__mro__:
        own = inspect.get_annotations(kind) if issubclass(kind, Sourced) else {}
        if names := [name for name in own if name in settings.model_fields]:
            yield "" if kind is settings else str(kind.__doc__).rstrip("."), names


def _add(group: argparse._ActionsContainer, name: str, field: FieldInfo) -> None:
    known = known_as(name, field)
    word = _word(field)
    if _is_positional(field):
        group.add_argument(known, metavar=word, help=_help(known, field), nargs="?")
    else:
        flag = given_as(known, field)
        how: dict[str, Any] = {}
        if REPEATED in field.metadata:
            how = {"action": "append"}
        elif field.annotation is bool:
            how = {"nargs": "?", "const": "true"}  # the flag alone switches it on
        group.add_argument(flag, dest=known, metavar=word, help=_help(known, field), **how)


def _is_positional(field: FieldInfo) -> bool:
    return POSITIONAL in field.metadata


def _word(field: FieldInfo) -> str:
    return next((each.text for each in field.metadata if isinstance(each, Word)), "TEXT")


def _help(known: str, field: FieldInfo) -> str:
    default = "required" if field.is_required() else f"default: {_shown(field.default)}"
    text = f"{field.description}\n({default}) [env: {PREFIX}{known.upper()}]"
    return text.replace("%", "%%")


def _shown(default: Any) -> str:  # noqa: ANN401 - of any type
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return ", ".join(map(str, default))
    return "none" if default in ("", None) else str(default)


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help in which each option has a line of its own, and no flag or name is cut in two."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return _filled(text, width).splitlines()
