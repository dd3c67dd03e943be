"""The command `orderintake`: its options, and all its commands."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from orderintake.channel import TIMEOUT_SECONDS
from orderintake.cli.operators import app as operators
from orderintake.cli.orders import app as orders
from orderintake.cli.place import app as place
from orderintake.cli.watch import app as watch
from orderintake.sync import Client

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for _commands in (place, orders, operators, watch):  # as `--help` lists them
    app.add_typer(_commands)


def _show_version(asked: bool) -> None:  # noqa: FBT001 - so typer calls it
    if asked:
        typer.echo(f"orderintake {version('orderintake-client')}")
        raise typer.Exit


Server = Annotated[
    str, typer.Option(envvar="ORDERINTAKE_SERVER", metavar="HOST:PORT", help="Where to connect.")
]
Timeout = Annotated[
    float, typer.Option(min=0.001, metavar="SECONDS", help="How long a call may last.")
]
Version = Annotated[
    bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
]


@app.callback()
def connect(
    context: typer.Context,
    *,
    server: Server = "127.0.0.1:50051",
    timeout: Timeout = TIMEOUT_SECONDS,
    _version: Version = False,
) -> None:
    """Place orders, see how they stand, and watch them being completed.

    Exit codes: 0, done; 1, the server refused or cannot be reached; 2, the command or an input
    line is wrong; 130, ended by Ctrl-C.
    """
    context.obj = Client(server, timeout=timeout)
