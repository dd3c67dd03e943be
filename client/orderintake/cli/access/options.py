"""The options for a connection and its credentials; a key or token itself is never one."""

from __future__ import annotations

from typing import Annotated

import typer

from orderintake.access.given import checked_path

HEADING = "Connection and credentials"


def _file(text: str | None) -> str | None:
    try:
        return checked_path(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _option(variable: str, text: str) -> typer.models.OptionInfo:
    found: typer.models.OptionInfo = typer.Option(
        envvar=variable, metavar="FILE", help=text, callback=_file, rich_help_panel=HEADING
    )
    return found


UseTls = Annotated[
    bool,
    typer.Option(
        "--tls",
        metavar="",
        envvar="ORDERINTAKE_TLS",
        help="Encrypt; the server's certificate is from a public authority.",
        rich_help_panel=HEADING,
    ),
]
Ca = Annotated[
    str | None,
    _option("ORDERINTAKE_CA", "Encrypt; this authority signed the server's certificate (PEM)."),
]
Cert = Annotated[
    str | None, _option("ORDERINTAKE_CERT", "Encrypt; the client's own certificate (PEM).")
]
Key = Annotated[str | None, _option("ORDERINTAKE_KEY", "The private key of --cert (PEM).")]
ApiKeyFile = Annotated[
    str | None,
    _option("ORDERINTAKE_API_KEY_FILE", "The API key is in this file; or set ORDERINTAKE_API_KEY."),
]
TokenFile = Annotated[
    str | None,
    _option(
        "ORDERINTAKE_TOKEN_FILE",
        "A token is in this file, read again when it has expired; or set ORDERINTAKE_TOKEN.",
    ),
]
