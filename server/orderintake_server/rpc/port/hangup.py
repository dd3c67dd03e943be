"""Ends the connections of a port from below gRPC, which cannot be told to."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_FILES = Path("/dev/fd")
"""The files that a process has open, on Linux and macOS."""


def hang_up(listens: Collection[int | str]) -> None:
    """End every connection to these ports, or paths of sockets, of this process; take no other.

    What is on its way to us is never read, and what gRPC writes from now on is never sent: a call
    that meets this ends as UNAVAILABLE at its caller. What was sent before still arrives. Where
    files cannot be listed, nothing happens.
    """
    for is_listening in (True, False):  # first, or another connection is made meanwhile
        with suppress(OSError):
            for file in list(_FILES.iterdir()):
                with suppress(OSError):  # one that is no socket, or was closed meanwhile
                    _end(int(file.name), listens, is_listening=is_listening)


def _end(file: int, listens: Collection[int | str], *, is_listening: bool) -> None:
    if not stat.S_ISSOCK(os.fstat(file).st_mode):
        return
    with socket.socket(fileno=os.dup(file)) as found:
        if bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) is not is_listening:
            return
        own = found.getsockname()
        if (own[1] if isinstance(own, tuple) else own) in listens:
            found.shutdown(socket.SHUT_RDWR)
