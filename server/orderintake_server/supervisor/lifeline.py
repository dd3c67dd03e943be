"""A pipe by whose end a worker process notices that its server is gone, however that was."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from contextlib import suppress


def follow(descriptor: int) -> None:
    """End this process, and its group, when the other end of the pipe is closed.

    Where the system can (Linux), its kernel does that by itself, whatever holds Python's lock.
    """
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - its only other argument
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(descriptor, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGKILL)
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_ASYNC)

    def wait() -> None:  # also for a pipe that ended before
        with suppress(OSError):
            os.read(descriptor, 1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, name="server-lifeline", daemon=True).start()
