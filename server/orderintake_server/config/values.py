"""The kinds of values that settings have: addresses, databases, paths; and which to show nobody."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from orderintake_server.texts import is_printable

_LISTEN = re.compile(r"(\[[0-9a-fA-F:]+\]|[^:\[\]]+):(\d{1,5})")
_LAST_PORT = 65_535
_SCHEMES = {"dns", "ipv4", "ipv6", "unix", "unix-abstract", "vsock", "xds"}
"""What gRPC takes for the beginning of an address of another kind, and not for a host."""

_DATABASE = re.compile(r"\s*postgres(ql)?:", re.IGNORECASE)
_SECRET = re.compile(
    r"[a-z][a-z0-9+.-]*:/+[^\n]*|[^\s'\"=]*:[^\s]*@[^\n]*|password\s*=[^\n]*", re.IGNORECASE
)
"""What may hold a password: an address with a scheme, user:password@host, password=…"""


def _listen(text: str) -> str:
    match = _LISTEN.fullmatch(text)
    if match is None or int(match[2]) > _LAST_PORT or match[1].lower() in _SCHEMES:
        raise ValueError("must be HOST:PORT, with [ ] around an IPv6 host, and a port up to 65535")
    return text


def _listen_or_not(text: str) -> str:
    return _listen(text) if text else text


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


Listen = Annotated[str, AfterValidator(_listen)]
"""HOST:PORT."""
ListenOrNot = Annotated[str, AfterValidator(_listen_or_not)]
"""HOST:PORT, or the empty text."""
Database = Annotated[str, AfterValidator(_database)]
"""The address of a PostgreSQL database, or the empty text."""
Directory = Annotated[Path, BeforeValidator(_directory)]
"""The path of a directory, with ~ replaced."""
File = Annotated[Path, BeforeValidator(path)]
"""The path of a file, with ~ replaced."""
AnyStore = Annotated[str, AfterValidator(_any_store)]
"""The address of a database, or the path of a directory."""


def may_be_secret(text: str) -> bool:
    """Tell whether there may be a password in the text."""
    return _SECRET.search(text) is not None


def without_secrets(text: str) -> str:
    """Return the text with what may hold a password left out, to the end of its line."""
    return _SECRET.sub("(an address, not shown)", text)
