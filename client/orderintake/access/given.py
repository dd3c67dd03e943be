"""What options and variables of a command say of a connection, made into what a client takes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from orderintake.access.local import SOCKETS, is_local

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

SERVER_VARIABLE = "ORDERINTAKE_SERVER"
VALUES = (
    *("--server", "--timeout", "--ca", "--cert", "--key"),
    *("--api-key-file", "--token-file"),
)
FLAGS = ("--tls",)
"""The options of a connection: those with a value, and those without."""
_SECRETS = ("oik_", "eyJ", "Bearer ", "-----BEGIN")
"""How what belongs into a file begins."""
_BY_VARIABLE = {"ORDERINTAKE_API_KEY": "api_key", "ORDERINTAKE_TOKEN": "token"}
"""Which of the client's options a variable is whose value is the secret itself."""
_OTHERS = 0o077
"""The rights of others than its owner in a file's mode."""


class SecretFile:
    """A file with a key or token, read whenever the client needs it anew."""

    def __init__(self, path: str) -> None:
        """Read this file; nothing is read yet."""
        self._path = Path(path)
        self._has_warned = False

    def __call__(self) -> str:
        """Read it; warn once if others may read it too.

        Raises:
            OSError: it cannot be read.
            ValueError: more or less than one word is in it.
        """
        text = self._path.read_text(errors="replace")
        warn_of_rights(self._path if not self._has_warned else None)
        self._has_warned = True
        if len(text.split()) != 1:
            raise ValueError(f"{self._path} must hold a key or token, and nothing else")
        return text


def warn_of_rights(path: Path | None) -> None:
    """Warn of a file with a secret that others on this machine may read or write."""
    if path is not None and path.is_file() and path.stat().st_mode & _OTHERS:
        text = f"others on this machine may read {path}: chmod 600 {path}"
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - for people


def checked_path(text: str | None) -> str | None:
    """Return the path of a file, None for an empty one.

    Raises:
        ValueError: it is a secret, given in place of the file it is in; the error does not show it.
    """
    if text is not None and text.startswith(_SECRETS):
        raise ValueError("give the path of a file, not what is in it")
    return text or None


def identity(files: Mapping[str, str | None], typed: Collection[str]) -> dict[str, Any]:
    """Return the client's options for who calls; an option that was typed wins over variables.

    `files` are the values of the options by their parameters' names; `typed` are the names of those
    that come from no variable.

    Raises:
        ValueError: there is more than one.
    """
    found: dict[str, dict[str, Any]] = {}
    chosen: dict[str, dict[str, Any]] = {}
    for name, path in files.items():
        if path is not None:
            where, text = (chosen, _flag(name)) if name in typed else (found, variable_of(name))
            where[text] = {"token": SecretFile(path)}
    for variable, option in _BY_VARIABLE.items():
        if secret := os.environ.get(variable):
            found[variable] = {option: secret}
    chosen = chosen or found
    if len(chosen) > 1:
        raise ValueError(f"{' and '.join(chosen)} contradict each other: give one")
    return next(iter(chosen.values()), {})


def encryption(
    server: str, *, use_tls: bool, files: Mapping[str, str | None], has_identity: bool
) -> dict[str, Any]:
    """Return the client's options for TLS; `files` are those that it names ca, cert and key.

    Raises:
        ValueError: the server is a Unix socket, or it would get a secret in plain text.
    """
    given = {name: path for name, path in files.items() if path is not None}
    is_encrypted = use_tls or bool(given)
    if is_encrypted and server.startswith(SOCKETS):
        raise ValueError("a Unix socket is not encrypted: leave out --tls, --ca, --cert")
    if has_identity and not is_encrypted and not is_local(server):
        raise ValueError(
            f"a key or token is not sent in plain text to {server}, where others could read it:"
            " give --tls, or --ca FILE"
        )
    if path := given.get("key"):
        warn_of_rights(Path(path))
    return given or ({"credentials": grpc.ssl_channel_credentials()} if use_tls else {})


def variable_of(name: str) -> str:
    """Return the variable that stands for an option, by its parameter's name."""
    return f"ORDERINTAKE_{name.upper()}"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
