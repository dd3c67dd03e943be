"""Which targets are this very machine: what is sent there leaves it on no wire."""

from __future__ import annotations

import ipaddress
import re

SOCKETS = ("unix:", "unix-abstract:")
_RESOLVED_HERE = re.compile(r"(?:dns:(?:///)?|ipv[46]:)?", re.IGNORECASE)
_HOST = re.compile(r"\[(?P<v6>[^\[\]]+)\](?::\d+)?|(?P<host>[^\s:/\[\]]+)(?::\d+)?")


def is_local(target: str) -> bool:
    """Tell whether a target is a Unix socket, or names loopback addresses only."""
    if target.startswith(SOCKETS):
        return True
    return all(_is_loopback(place) for place in _RESOLVED_HERE.sub("", target, count=1).split(","))


def _is_loopback(place: str) -> bool:
    match = _HOST.fullmatch(place)
    host = (match["v6"] or match["host"]) if match else ""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_safe(target: str, *, is_encrypted: bool, has_secret: bool) -> None:
    """Refuse to send a key or token in plain text to another machine.

    Raises:
        ValueError: this would.
    """
    if has_secret and not is_encrypted and not is_local(target):
        raise ValueError(
            f"a key or token is not sent in plain text to {target}, where others could read it:"
            " give ca= (or credentials=) for a server with TLS, or use a Unix socket or loopback"
        )
