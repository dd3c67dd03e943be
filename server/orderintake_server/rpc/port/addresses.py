"""Binds every address that HOST:PORT names, or tells why the server cannot listen there."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import TYPE_CHECKING

from orderintake_server.access.exposure import EVERY_ADDRESS
from orderintake_server.errors import StartupFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_WHAT_TO_DO = {
    errno.EADDRINUSE: "stop the program that uses it, which `ss -ltnp` names, or choose another"
    " port with --listen",
    errno.EACCES: "choose a port from 1024 with --listen, or give the server the right to it",
}


async def resolved(listen: str) -> list[str]:
    """Return the addresses of this machine that HOST:PORT names; there is at least one.

    Raises StartupFailed when it names none.
    """
    return await asyncio.to_thread(_resolved, listen.rpartition(":")[0], listen)


async def bind(add: Callable[[str], int], listen: str, addresses: Sequence[str]) -> int:
    """Give each of the addresses that `listen` names to `add`, which binds it; return the port.

    `add` returns the port that it bound, and raises RuntimeError when it cannot; port 0 is a free
    one, the same for all addresses. Raises StartupFailed when one of them cannot be bound.
    """
    port = int(listen.rpartition(":")[2])
    for address in addresses:
        shown = f"[{address}]" if ":" in address else address
        try:
            port = add(f"{shown}:{port}")
        except RuntimeError as error:
            why = await asyncio.to_thread(_why_not, address, port)
            raise StartupFailed(f"cannot listen on {listen}: {shown}:{port}: {why}") from error
    return port


def _resolved(host: str, listen: str) -> list[str]:
    """Return the addresses of this machine that `host` names; there is at least one."""
    if host == EVERY_ADDRESS:
        return [host]
    try:
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise StartupFailed(f"cannot listen on {listen}: {host} is unknown: {error}") from error
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    own = [address for address in addresses if not _why_not(address, 0)]
    if not own:
        raise StartupFailed(
            f"cannot listen on {listen}: {', '.join(addresses)} is no address of this machine"
        )
    return own


def _why_not(address: str, port: int) -> str:
    """Tell why a port of an address cannot be bound, and what to do; empty if it can."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((address, port))
    except OSError as error:
        number = error.errno or 0
        return "; ".join(filter(None, [os.strerror(number), _WHAT_TO_DO.get(number)]))
    return ""
