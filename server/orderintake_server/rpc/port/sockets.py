"""Binds a Unix socket that only its owner can reach, unless another server answers on it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from orderintake_server.errors import StartupFailed

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIX = "unix:"
"""How the address of a Unix socket begins; its path follows."""
OTHERS = 0o177
"""The rights that nobody but the owner gets; whoever can open the socket may call."""
_NOBODY = {errno.ENOENT, errno.ECONNREFUSED}
"""What it means that nobody listens: no such file, or one that a server left behind."""


async def bind_socket(add: Callable[[str], int], listen: str) -> None:
    """Give the Unix socket that `listen` names to `add`, which binds it, with mode 0600.

    gRPC would take a socket over from a server that uses it, without an error: that is refused.
    Raises StartupFailed when it cannot be bound.
    """
    path = Path(listen.removeprefix(PREFIX))
    if why := await asyncio.to_thread(_why_not, path):
        raise StartupFailed(f"cannot listen on {listen}: {why}")
    before = os.umask(OTHERS)
    try:
        add(f"{PREFIX}{path}")
    except RuntimeError as error:
        raise StartupFailed(f"cannot listen on {listen}: it cannot be bound") from error
    finally:
        os.umask(before)


def _why_not(path: Path) -> str:
    """Tell why a socket cannot be bound at a path; empty if it can."""
    try:
        if not os.access(path.parent, os.W_OK | os.X_OK):
            return f"{path.parent} is no directory in which this user may make a file"
        if path.exists() and not stat.S_ISSOCK(path.stat().st_mode):
            return "the file is there, and is no socket"
        with socket.socket(socket.AF_UNIX) as tried:
            tried.settimeout(1)
            tried.connect(str(path))
    except OSError as error:
        return "" if error.errno in _NOBODY else f"{error.strerror or error}"
    return "another server answers on it"
