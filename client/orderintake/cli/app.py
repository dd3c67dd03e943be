"""The command `orderintake`: its options, and all its commands."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from orderintake.channel import TIMEOUT_SECONDS, checked_target
from orderintake.cli.operators import app as operators
from orderintake.cli.orders import app as orders
from orderintake.cli.place import app as place
from orderintake.cli.watch import app as watch
from orderintake.sync import Client

MOST_SECONDS = 31_536_000
"""A year."""

EXIT_CODES = """Exit codes: 0, done; 1, the server refused or does not answer; 2, the command or an
input line is wrong; 74, input cannot be read or output cannot be written; 130, ended by Ctrl-C;
141, nobody reads the output any more."""

_ANYWHERE = ("--server", "--timeout")


class _Commands(TyperGroup):
    """The commands; the options of all of them may stand after the command too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer's own
        return super().parse_args(ctx, _with_options_first(args))


def _with_options_first(arguments: list[str]) -> list[str]:
    first: list[str] = []
    rest = list(arguments)
    for index in reversed(range(len(rest[: rest.index("--")] if "--" in rest else rest))):
        name, equals, _ = rest[index].partition("=")
        if name in _ANYWHERE:
            end = index + (1 if equals else 2)
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
for _commands in (place, orders, watch, operators):  # as `--help` lists them
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


Server = Annotated[
    str,
    typer.Option(
        envvar="ORDERINTAKE_SERVER",
        metavar="HOST:PORT",
        help="Where to connect.",
        callback=_target,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(min=0.001, max=MOST_SECONDS, metavar="SECONDS", help="How long a call may last."),
]
Version = Annotated[
    bool,
    typer.Option(
        "--version", metavar="", callback=_show_version, is_eager=True, help="Show the version."
    ),
]


@app.callback()
def connect(
    context: typer.Context,
    *,
    server: Server = "127.0.0.1:50051",
    timeout: Timeout = TIMEOUT_SECONDS,
    _version: Version = False,
) -> None:
    """Place orders, see how they stand, and watch them being completed."""
    context.obj = Client(server, timeout=timeout)
