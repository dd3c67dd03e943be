"""The command `orderintake`: its options, and all its commands."""

from __future__ import annotations

import difflib
import os
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from orderintake.access.given import FLAGS, SERVER_VARIABLE, VALUES, encryption, identity
from orderintake.channel import TIMEOUT_SECONDS, checked_target
from orderintake.cli.access.options import (
    HEADING,
    ApiKeyFile,
    Ca,
    Cert,
    Key,
    TokenFile,
    UseTls,
)
from orderintake.cli.many.commands import app as many
from orderintake.cli.operators import app as operators
from orderintake.cli.orders import app as orders
from orderintake.cli.place import app as place
from orderintake.cli.watch import app as watch
from orderintake.sync import Client

LEAST_SECONDS, MOST_SECONDS = 0.001, 31_536_000
"""How long a call may last: to a year."""
VARIABLES = (SERVER_VARIABLE, "ORDERINTAKE_API_KEY")
NEAR = 0.94
"""How much alike two names of variables are, of 1, of which one was meant to be the other."""

EXIT_CODES = """Exit codes: 0, done; 1, the server refused or does not answer; 2, the command or an
input line is wrong; 74, input cannot be read or output cannot be written; 77, the server does not
know the caller or does not let it; 130, ended by Ctrl-C; 141, nobody reads the output any more."""


class _Commands(TyperGroup):
    """The commands; the options of all of them may stand after the command too."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - typer's own
        return _plain(super().get_params(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 - typer's own
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _plain([command.get_help_option(ctx), *command.params])
        return command

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer's own
        return super().parse_args(ctx, _with_options_first(args))


def _plain(params: list[Any]) -> list[Any]:
    """Leave out of the help what says nothing: the type of a flag, or of a text with a name."""
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return params


def _with_options_first(arguments: list[str]) -> list[str]:
    first: list[str] = []
    rest = list(arguments)
    for index in reversed(range(len(rest[: rest.index("--")] if "--" in rest else rest))):
        name, equals, _ = rest[index].partition("=")
        if name in (*VALUES, *FLAGS):
            end = index + (1 if equals or name in FLAGS else 2)
            first[:0] = rest[index:end]
            del rest[index:end]
    return first + rest


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog=EXIT_CODES,
)
for _commands in (place, orders, watch, operators, many):  # as `--help` lists them
    app.add_typer(_commands)


def _show_version(asked: bool) -> None:  # noqa: FBT001 - so typer calls it
    if asked:
        typer.echo(f"orderintake {version('orderintake-client')}")
        raise typer.Exit


def _target(text: str) -> str:
    try:
        return checked_target(text, needs_port=True)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _seconds(number: float) -> float:
    if not LEAST_SECONDS <= number <= MOST_SECONDS:
        raise typer.BadParameter(f"must be {LEAST_SECONDS} to {MOST_SECONDS} seconds")
    return number


def _warn_of_variable() -> None:
    """Name a variable that was probably meant to be one of ours; its value is not looked at."""
    for meant in (name for name in VARIABLES if name not in os.environ):
        for name in difflib.get_close_matches(meant, os.environ, cutoff=NEAR):
            typer.echo(f"{name} sets nothing; did you mean {meant}?", err=True)


Server = Annotated[
    str,
    typer.Option(
        envvar=SERVER_VARIABLE,
        metavar="HOST:PORT",
        help="Where to connect; unix:/PATH is a Unix socket.",
        callback=_target,
        rich_help_panel=HEADING,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        help="How long a call may last.",
        callback=_seconds,
        rich_help_panel=HEADING,
    ),
]
Version = Annotated[
    bool,
    typer.Option(
        "--version", metavar="", callback=_show_version, is_eager=True, help="Show the version."
    ),
]


@app.callback()
def connect(  # noqa: PLR0913 - each is given by name
    context: typer.Context,
    *,
    server: Server = "127.0.0.1:50051",
    timeout: Timeout = TIMEOUT_SECONDS,
    tls: UseTls = False,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    api_key_file: ApiKeyFile = None,
    token_file: TokenFile = None,
    _version: Version = False,
) -> None:
    """Place orders, see how they stand, and watch them being completed.

    What processes them is a worker: `orderintake worker --help`.
    """
    _warn_of_variable()
    secrets = {"api_key_file": api_key_file, "token_file": token_file}
    files = {"ca": ca, "cert": cert, "key": key}
    try:
        who = identity(secrets, [name for name in secrets if _is_typed(context, name)])
        how = encryption(server, use_tls=tls, files=files, has_identity=bool(who))
        context.obj = Client(server, timeout=timeout, **how, **who)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _is_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
