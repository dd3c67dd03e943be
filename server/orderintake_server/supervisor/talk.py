"""What a worker process and its server say to each other, until the process may take orders."""

from __future__ import annotations

import socket
from contextlib import suppress

READY = "ready"
"""What the process says when it can process orders; else why it cannot."""
GO = b"go\n"
"""What it is answered then: from now on it may take orders."""
UNUSABLE = 78
"""The exit code of a process that can process no order: EX_CONFIG of sysexits.h."""


class Talk:
    """Says once to the server whether this process can process orders, and hears that it may."""

    def __init__(self, descriptor: int) -> None:
        """Talk at the end of a pair of sockets; nobody inherits it."""
        self._end = socket.socket(fileno=descriptor)
        self._end.set_inheritable(False)

    def say(self, text: str) -> None:
        """Say it, as one line."""
        with suppress(OSError):  # the server is gone
            self._end.sendall(f"{' '.join(text.splitlines())}\n".encode(errors="replace"))

    def may_begin(self) -> bool:
        """Wait for the server's word."""
        return self._end.recv(len(GO)) == GO
