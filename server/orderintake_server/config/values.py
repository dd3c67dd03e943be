"""The kinds of values that settings have, each with its word in --help; which to show nobody."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from orderintake_server.texts import is_printable

_LISTEN = re.compile(r"(\[[0-9a-fA-F:]+\]|[^:\[\]]+):(\d{1,5})")
_HOST = re.compile(r"\[[0-9a-fA-F:]+\]|[\w.-]+", re.ASCII)
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:]+\]|[a-z0-9_.-]+)(:\d{1,5})?")
_LAST_PORT = 65_535
_SOCKET = "unix:/"
"""How the absolute path of a Unix socket begins; one that is relative would follow the process."""
_LONGEST_SOCKET = 106
"""Systems keep 108 bytes for the path of a socket, with a zero at its end; the / is not counted."""
_SCHEMES = {"dns", "ipv4", "ipv6", "unix", "unix-abstract", "vsock", "xds"}
"""What gRPC takes for the beginning of an address of another kind, and not for a host."""

_DATABASE = re.compile(r"\s*postgres(ql)?:", re.IGNORECASE)
_SECRET = re.compile(
    r"[a-z][a-z0-9+.-]*:/+[^\n]*|[^\s'\"=]*:[^\s]*@[^\n]*|password\s*=[^\n]*", re.IGNORECASE
)
"""What may hold a password: an address with a scheme, user:password@host, password=…"""


def _several(value: object) -> object:
    """Take one text, or several, each of which may hold several with commas between them."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(one, str) for one in texts):
        return value
    return tuple(one.strip() for text in texts for one in text.split(","))


def _any_number(value: object) -> object:
    """Take the same, and the empty text for none."""
    return () if value == "" else _several(value)


def _listen(text: str) -> str:
    if text.startswith(_SOCKET):
        path(text.removeprefix(_SOCKET))
        if len(text.removeprefix(_SOCKET).encode()) > _LONGEST_SOCKET:
            raise ValueError(f"must be a path of at most {_LONGEST_SOCKET} bytes after unix:")
        return text
    try:
        return _tcp(text)
    except ValueError as error:
        raise ValueError(f"{error}; or unix:/PATH") from error


def _tcp(text: str) -> str:
    match = _LISTEN.fullmatch(text)
    if match is None or int(match[2]) > _LAST_PORT or match[1].lower() in _SCHEMES:
        raise ValueError("must be HOST:PORT, with [ ] around an IPv6 host, and a port up to 65535")
    return text


def _tcp_or_not(text: str) -> str:
    return _tcp(text) if text else text


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError("must be a host's name or address, with [ ] around IPv6, and no port")
    return text


def _origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text):
        raise ValueError("must be SCHEME://HOST or SCHEME://HOST:PORT in small letters, no more")
    return text


def _database(text: str) -> str:
    if text and not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("must begin with postgresql://")
    return text


def path(value: object) -> Any:  # noqa: ANN401 - what is no path is refused by its type
    """Check a path, and put the home directory in the place of a ~ at its beginning."""
    if not isinstance(value, str | Path):
        return value
    text = str(value)
    if not text:
        raise ValueError("must be a path; it is empty")
    if not is_printable(text):
        raise ValueError("must be a path without control characters")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError("has a ~ for a user who has no home directory") from error


def _directory(value: object) -> object:
    if isinstance(value, str | Path) and _DATABASE.match(str(value)):
        raise ValueError("must be a directory; a database is given by --store")
    return path(value)


def _any_store(text: str) -> str:
    return text if _DATABASE.match(text) else str(path(text))


@dataclass(frozen=True, slots=True)
class Word:
    """The word that stands in --help for a value: its unit, or its form."""

    text: str


POSITIONAL = "positional"
"""Marks the type of an argument that is given by its place, without a flag."""

REPEATED = "repeated"
"""Marks the type of a setting whose flag may be given more than once."""

Listen = Annotated[
    tuple[Annotated[str, AfterValidator(_listen)], ...],
    Word("HOST:PORT|unix:/PATH"),
    REPEATED,
    NoDecode,
    BeforeValidator(_several),
    Field(min_length=1),
]
"""Where to serve: at least at one address."""
ListenOrNot = Annotated[str, Word("HOST:PORT"), AfterValidator(_tcp_or_not)]
"""Where to serve, or the empty text."""
Names = Annotated[
    tuple[Annotated[str, AfterValidator(_host)], ...],
    Word("HOST"),
    REPEATED,
    NoDecode,
    BeforeValidator(_any_number),
]
"""Names of a server, without ports."""
Origins = Annotated[
    tuple[Annotated[str, AfterValidator(_origin)], ...],
    Word("ORIGIN"),
    REPEATED,
    NoDecode,
    BeforeValidator(_any_number),
]
"""Origins of pages, as browsers send them."""
Database = Annotated[str, Word("POSTGRESQL://…"), AfterValidator(_database)]
"""The address of a PostgreSQL database, or the empty text."""
Directory = Annotated[Path, Word("DIRECTORY"), BeforeValidator(_directory)]
"""The path of a directory, with ~ replaced."""
File = Annotated[Path, Word("FILE"), BeforeValidator(path)]
"""The path of a file, with ~ replaced."""
AnyStore = Annotated[str, Word("DIRECTORY|POSTGRESQL://…"), AfterValidator(_any_store)]
"""The address of a database, or the path of a directory."""
Seconds = Annotated[float, Word("SECONDS"), Field(allow_inf_nan=False)]
"""A length of time; how long it may be, its setting says."""
Callable = Annotated[str, Word("PACKAGE.MODULE:NAME")]
"""Where in the shop's code something stands that can be called."""
Count = Annotated[int, Word("COUNT")]
"""How many."""
Orders = Annotated[int, Word("ORDERS")]
"""How many orders."""
Rate = Annotated[float, Word("ORDERS/SECOND"), Field(allow_inf_nan=False)]
"""How many orders a second."""
Share = Annotated[float, Word("SHARE")]
"""A part of a whole, which is 1."""
Factor = Annotated[float, Word("FACTOR")]
"""By how much something grows."""
Switch = Annotated[bool, Word("true|false")]
"""Whether something is on."""


def may_be_secret(text: str) -> bool:
    """Tell whether there may be a password in the text."""
    return _SECRET.search(text) is not None


def without_secrets(text: str) -> str:
    """Return the text with what may hold a password left out, to the end of its line."""
    return _SECRET.sub("(an address, not shown)", text)
