"""A directory that only this user can enter, for the socket at which worker processes call."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from orderintake_server.errors import StartupFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PREFIX = "orderintake-work-"
NAME = "work.sock"
LONGEST = 106
"""Systems keep 108 bytes for the path of a socket, with a zero at its end."""


@asynccontextmanager
async def private_socket() -> AsyncIterator[str]:
    """Give the path of a Unix socket in a directory of its own, which is removed in the end.

    Those that killed servers left behind go too. Raises StartupFailed when none can be made.
    """
    directory = await asyncio.to_thread(_make)
    try:
        yield str(directory / NAME)
    finally:
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


def _make() -> Path:
    place = Path(tempfile.gettempdir())
    for left in place.glob(f"{PREFIX}*"):
        with suppress(OSError):
            _remove_if_left(left)
    try:
        directory = Path(tempfile.mkdtemp(prefix=PREFIX))
    except OSError as error:
        raise StartupFailed(f"no directory can be made for the workers' socket: {error}") from error
    if len(os.fsencode(directory / NAME)) > LONGEST:
        directory.rmdir()
        raise StartupFailed(f"TMPDIR is too long for the path of a socket: {place}")
    return directory


def _remove_if_left(directory: Path) -> None:
    """Remove the directory of a server that is gone: nobody listens at its socket."""
    if directory.lstat().st_uid != os.geteuid():
        return
    with socket.socket(socket.AF_UNIX) as tried:
        tried.settimeout(1)
        try:
            tried.connect(str(directory / NAME))
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                shutil.rmtree(directory, ignore_errors=True)
